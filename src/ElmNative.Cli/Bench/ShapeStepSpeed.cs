using System.Diagnostics;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Bench;

/// <summary>
/// Whole memory-training steps of a model without a tokenizer, on random ids: rollouts of a fixed length at temperature 1, forward and backward over them with advantages of alternating sign, and
/// the update. No answers are read and no votes counted; <see cref="StepSpeed"/> has those.
/// </summary>
internal sealed class ShapeStepSpeed(BenchSession session, LanguageModel model, long activationMemory)
{
    private const int Seed = 1;
    private static readonly StepPart[] Parts = [StepPart.Rollouts, StepPart.Forward, StepPart.Backward, StepPart.Update];

    /// <summary>What a step is made of.</summary>
    /// <param name="MemoryRows">rows of a memory</param><param name="Prompt">tokens of a prompt</param><param name="Group">rollouts</param><param name="Length">tokens of a rollout</param>
    public readonly record struct Task(int MemoryRows, int Prompt, int Group, int Length);

    /// <summary>Measures and prints a row for each number of memories side by side.</summary>
    /// <param name="task">the step</param><param name="sizes">memories side by side</param><param name="device">what it runs on</param><param name="facts">the model, for the report</param>
    /// <exception cref="ElmException">the step does not fit the model's positions</exception>
    public void Run(Task task, int[] sizes, string device, ModelFacts facts)
    {
        long longest = (long)task.MemoryRows + task.Prompt + task.Length;
        if (task.Prompt < 1 || task.Length < 1 || longest > model.MaxPositions)
            throw new ElmException($"{task.MemoryRows} memory rows, a prompt of {task.Prompt} and rollouts of {task.Length} tokens make {longest}, and {facts.Name} has {model.MaxPositions} positions: give -p and -n from 1 on that fit");
        BenchReport report = session.Report([new("memories", "memories", "0"), new("s a step", "seconds", "0.000", Spread: true), new("steps/s", "memory_steps_per_second", "0.000"), new("x", "speedup", "0.00"),
            new("t/s", "tokens_per_second", "0"), .. Parts.Select(part => new BenchColumn(Name(part), Name(part) + "_share", "0.0 %"))]);
        double? first = null;
        foreach (int size in sizes)
        {
            Step step = new(model, task, size, activationMemory);
            TimedPolicy timed = new(step.Policy);
            Measured seconds = Measured.Over(session.Runs, () =>
            {
                timed = new TimedPolicy(step.Policy);
                long start = Stopwatch.GetTimestamp();
                step.Run(timed, session.Cancellation);
                double taken = Stopwatch.GetElapsedTime(start).TotalSeconds;
                BenchSession.Progress($"{size} side by side: {taken:0.00} s");
                return taken;
            }, session.Cancellation);
            double rate = size / seconds.Mean, total = Parts.Sum(timed.Seconds);
            first ??= rate;
            report.Row([size, seconds, rate, rate / first, (double)size * task.Group * task.Length / seconds.Mean, .. Parts.Select(part => (object)(timed.Seconds(part) / total))]);
        }
        report.Fact("model", $"{facts.Name}, {facts.ParameterText} {facts.Type}");
        report.Fact("task", $"{task.Group} rollouts of {task.Length} random tokens behind {task.MemoryRows} memory rows and a prompt of {task.Prompt}; {session.Runs} runs; shares are those of the last");
        session.Print(report, device);
    }

    private static string Name(StepPart part) => part.ToString().ToLowerInvariant();

    /// <summary>The memories, their prompts and optimisers.</summary>
    private sealed class Step
    {
        private readonly Task task;
        private readonly long activationMemory;
        private readonly float[][] memories;
        private readonly int[][] prompts;
        private readonly AdamW[] optimisers;

        public Step(LanguageModel model, Task task, int count, long activationMemory)
        {
            this.task = task;
            this.activationMemory = activationMemory;
            Policy = new ModelPolicy(model);
            Random random = new(Seed);
            int[] Ids(int length) => [.. Enumerable.Range(0, length).Select(_ => random.Next(model.Config.VocabularySize))];
            memories = [.. Enumerable.Range(0, count).Select(_ => model.Embed(Ids(task.MemoryRows)))];
            prompts = [.. Enumerable.Range(0, count).Select(_ => Ids(task.Prompt))];
            optimisers = [.. memories.Select(rows => new AdamW(rows.Length, new AdamWSettings(1e-3f)))];
        }

        public ModelPolicy Policy { get; }

        public void Run(TimedPolicy timed, CancellationToken cancellation)
        {
            Completion[][] completions = timed.Generate([.. prompts.Select((prompt, i) => new GenerationRequest(memories[i], prompt, task.Group, task.Length,
                SamplingSettings.Greedy with { Temperature = 1 }, new RandomKey(Seed, (uint)i, 0)) { IgnoreEndTokens = true })], cancellation);
            PackedTree[] trees = [.. prompts.Select((prompt, i) => new PackedTree(memories[i], prompt, [.. completions[i].Select(completion => completion.Tokens)]))];
            foreach (Range range in ActivationBudget.Split(trees, timed, activationMemory))
            {
                (int start, int count) = range.GetOffsetAndLength(trees.Length);
                using IPolicyPass pass = timed.Forward(trees[range], temperature: 1, keepForBackward: true, activationMemory);
                float[][] gradients = pass.Backward([.. pass.LogProbs.Select(tree => tree.Select((tokens, g) => Slopes(tokens.Length, g)).ToArray())]);
                for (int i = 0; i < count; i++)
                    optimisers[start + i].Step(memories[start + i], gradients[i]);
            }
        }

        private static float[] Slopes(int tokens, int rollout)
        {
            float[] slopes = new float[tokens];
            Array.Fill(slopes, (rollout % 2 == 0 ? 1f : -1f) / tokens);
            return slopes;
        }
    }
}
