using System.Diagnostics;
using ElmNative.Compute;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Bench;

/// <summary>
/// Forward and backward of one memory-training step on random token ids of given lengths, without rollouts and votes: what another framework can be given to do
/// as well.
/// </summary>
internal sealed class PassSpeed(BenchSession session, LanguageModel model, long activationMemory)
{
    private const int Seed = 1;

    /// <summary>Measures and prints the two passes and their sum.</summary>
    /// <param name="memoryRows">rows of the memory</param>
    /// <param name="promptTokens">tokens of the prompt</param>
    /// <param name="completions">tokens of each completion</param>
    /// <param name="device">what it runs on</param>
    /// <param name="facts">the model, for the report</param>
    public void Run(int memoryRows, int promptTokens, int[] completions, string device, ModelFacts facts)
    {
        long longest = (long)memoryRows + promptTokens + completions.Max();
        if (longest > model.MaxPositions)
            throw new ElmException($"{memoryRows} memory rows, {promptTokens} prompt tokens and the longest completion make {longest}, and {facts.Name} has {model.MaxPositions} positions: make them smaller");
        Random random = new(Seed);
        PackedTree tree = new(model.Embed(Ids(random, memoryRows)), Ids(random, promptTokens), [.. completions.Select(length => Ids(random, length))]);
        float[][][] slopes = [[.. completions.Select((length, i) => Enumerable.Repeat((i % 2 == 0 ? 1f : -1f) / length, length).ToArray())]];
        List<double> forward = [], backward = [], both = [];
        Measured.Over(session.Runs, () =>
        {
            long start = Stopwatch.GetTimestamp();
            using PackedPass pass = model.Forward([tree], temperature: 1, keepForBackward: true, activationMemory);
            long middle = Stopwatch.GetTimestamp();
            pass.Backward(slopes);
            long end = Stopwatch.GetTimestamp();
            forward.Add(Stopwatch.GetElapsedTime(start, middle).TotalSeconds);
            backward.Add(Stopwatch.GetElapsedTime(middle, end).TotalSeconds);
            both.Add(Stopwatch.GetElapsedTime(start, end).TotalSeconds);
            BenchSession.Progress($"{both[^1]:0.00} s");
            return both[^1];
        }, session.Cancellation);
        int rows = memoryRows + promptTokens + completions.Sum();
        BenchReport report = session.Report(new("pass", "pass"), new("s", "seconds", "0.000", Spread: true), new("rows/s", "rows_per_second", "0"));
        foreach ((string name, List<double> times) in new[] { ("forward", forward), ("backward", backward), ("both", both) })
        {
            Measured seconds = Measured.Of(times[^session.Runs..]);
            report.Row(name, seconds, rows / seconds.Mean);
        }
        using Process self = Process.GetCurrentProcess();
        report.Fact("model", $"{facts.Name}, {facts.ParameterText} {facts.Type}");
        report.Fact("task", $"{memoryRows} memory rows, {promptTokens} prompt tokens, completions of {string.Join(", ", completions)} tokens: {rows} rows; {session.Runs} runs");
        report.Fact("peak_memory", FormattableString.Invariant($"{self.PeakWorkingSet64 / 1e6:0} MB resident, mapped weights included"));
        session.Print(report, device);
    }

    private int[] Ids(Random random, int count)
    {
        int[] ids = new int[count];
        for (int i = 0; i < count; i++)
            ids[i] = random.Next(model.Config.VocabularySize);
        return ids;
    }
}
