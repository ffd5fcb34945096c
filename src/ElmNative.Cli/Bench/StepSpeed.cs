using System.Runtime.InteropServices;
using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Protocols;

namespace ElmNative.Cli.Bench;

/// <summary>
/// Whole memory-training steps through the trainer that <c>elmn stream</c> uses. Every row makes the same memories of the same problems, in groups of another size
/// side by side, after a step that warms up; whether the memories are the same to the bit is checked on the way. With float32 activations they must be; a GPU's products may sum in another order for another batch.
/// </summary>
internal sealed class StepSpeed(BenchSession session, IPolicy policy, TrainingSettings settings, long activationMemory)
{
    private static readonly StepPart[] Parts = [StepPart.Rollouts, StepPart.Votes, StepPart.Forward, StepPart.Backward, StepPart.Update];

    /// <summary>Measures and prints a row for each group size.</summary>
    /// <param name="data">the problems: as many as the largest group</param>
    /// <param name="sizes">memories side by side</param>
    /// <param name="device">what it runs on</param>
    /// <param name="model">the model, for the report</param>
    /// <exception cref="ElmException">fewer problems than the largest group; memories that differ between rows where they must not</exception>
    public void Run(ProblemSet data, int[] sizes, string device, ModelFacts model)
    {
        int count = sizes.Max();
        if (data.Problems.Count < count)
            throw new ElmException($"--memories asks for {count} problems, and the data has {data.Problems.Count}: give fewer, or another file with --data");
        int[][] prompts = new PromptBuilder(policy, settings.RawPrompt).All([.. data.Problems.Take(count)], settings.Rows, settings.MaxTokens);
        TrainingTask[] tasks = [.. prompts.Select((prompt, i) => new TrainingTask(i, data.Problems[i], prompt))];
        BenchReport report = session.Report([new("memories", "memories", "0"), new("steps/s", "memory_steps_per_second", "0.00", Spread: true), new("x", "speedup", "0.00"),
            new("t/s", "tokens_per_second", "0", Spread: true), .. Parts.Select(part => new BenchColumn(Name(part), Name(part) + "_share", "0.0 %")), new("same bits", "same_bits")]);
        double? first = null;
        float[][]? expected = null;
        bool same = true;
        foreach (int size in sizes)
        {
            List<TimedPolicy> runs = [];
            bool equal = true;
            Train(policy, settings with { Steps = 1 }, tasks[..size], size);
            for (int i = 0; i < session.Runs; i++)
            {
                TimedPolicy timed = new(policy);
                float[][] rows = Train(timed, settings, tasks, size);
                expected ??= rows;
                equal &= Equal(expected, rows);
                runs.Add(timed);
            }
            double steps = count * (double)settings.Steps, total = runs.Sum(run => run.StepSeconds);
            Measured rate = Measured.Of([.. runs.Select(run => steps / run.StepSeconds)]);
            first ??= rate.Mean;
            report.Row([size, rate, rate.Mean / first, Measured.Of([.. runs.Select(run => run.Tokens / run.StepSeconds)]),
                .. Parts.Select(part => (object)(runs.Sum(run => run.Seconds(part)) / total)), equal ? "yes" : "NO"]);
            same &= equal;
            BenchSession.Progress($"{size} side by side: {rate.Mean:0.00} memory steps/s");
        }
        report.Fact("model", $"{model.Name}, {model.ParameterText} {model.Type}");
        report.Fact("task", FormattableString.Invariant(
            $"{count} memories of {settings.Steps} steps, {settings.Group} rollouts of at most {settings.MaxTokens} tokens, beta {settings.Beta:g3}; {session.Runs} runs"));
        session.Print(report, device);
        if (!same && policy.ActivationType == ElementType.F32)
            throw new ElmException("memories trained side by side differ from those trained alone: see the last column");
    }

    private float[][] Train(IPolicy model, TrainingSettings training, TrainingTask[] tasks, int size)
    {
        MemoryTrainer trainer = new(model, new AnswerChecker(), training) { ActivationMemory = activationMemory };
        List<float[]> rows = [];
        foreach (TrainingTask[] group in tasks.Chunk(size))
            rows.AddRange(trainer.Train(group, cancellation: session.Cancellation).Select(trained => trained.Memory.Rows));
        return [.. rows];
    }

    private static bool Equal(float[][] left, float[][] right) =>
        left.Zip(right).All(pair => MemoryMarshal.AsBytes<float>(pair.First).SequenceEqual(MemoryMarshal.AsBytes<float>(pair.Second)));

    private static string Name(StepPart part) => part.ToString().ToLowerInvariant();
}
