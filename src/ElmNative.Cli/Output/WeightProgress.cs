using System.Diagnostics;

namespace ElmNative.Cli.Output;

/// <summary>How far the weights are on their way to a device: a line that moves on a terminal, and one that stays when they are there.</summary>
internal sealed class WeightProgress(string device)
{
    private static readonly TimeSpan Often = TimeSpan.FromMilliseconds(100);

    private readonly Stopwatch clock = Stopwatch.StartNew();
    private TimeSpan shown = -Often;

    /// <summary>Takes in the bytes done, and in all.</summary>
    public void Report(long done, long total)
    {
        TimeSpan gone = clock.Elapsed;
        double rate = done / Math.Max(1e-6, gone.TotalSeconds);
        if (done >= total)
        {
            Terminal.Overwrite("");
            Terminal.Note(FormattableString.Invariant($"weights: {Size(total)} on {device} in {gone.TotalSeconds:0.0} s ({rate / 1e9:0.0} GB/s)"));
        }
        else if (gone - Often > shown)
        {
            shown = gone;
            TimeSpan left = TimeSpan.FromSeconds((total - done) / rate);
            Terminal.Overwrite(FormattableString.Invariant($"weights: {Size(done)} of {Size(total)}, {rate / 1e9:0.0} GB/s, {(int)left.TotalMinutes}:{left.Seconds:00} left"));
        }
    }

    private static string Size(long bytes) => bytes < 100_000_000 ? FormattableString.Invariant($"{bytes / 1e6:0.0} MB") : FormattableString.Invariant($"{bytes / 1e9:0.0} GB");
}
