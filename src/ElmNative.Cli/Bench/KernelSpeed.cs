using ElmNative.Cli.Bench.Kernels;
using ElmNative.Compute;

namespace ElmNative.Cli.Bench;

/// <summary>Every operation of the backend against the machine's limits, each checked before it is timed.</summary>
internal sealed class KernelSpeed(BenchSession session, IBackend backend, int threads)
{
    /// <summary>Measures and prints the operations whose name contains a text.</summary>
    /// <exception cref="ElmException">no operation has such a name; an operation computes something wrong (the table is printed before)</exception>
    public void Run(string? filter)
    {
        KernelCase[] cases = [.. KernelCases.For(backend).Where(c => c.Name.Contains(filter ?? "", StringComparison.OrdinalIgnoreCase))];
        if (cases.Length == 0)
            throw new ElmException($"no operation has '{filter}' in its name: try a shorter --filter, like linear or attention");
        MachineLimits limits = MachineLimits.Of(backend, threads);
        BenchSession.Progress($"{limits}");
        BenchReport report = session.Report(new("operation", "operation"), new("check", "check"), new("us", "microseconds", "0.0"), new("GB/s", "gigabytes_per_second", "0.0"),
            new("GFLOP/s", "gigaflops", "0.0"), new("limit", "limit"), new("of copy bandwidth", "of_copy_bandwidth", "0 %"), new("of peak rate", "of_peak_rate", "0 %"),
            new("best run", "of_limit_in_best_run", "0 %"), new("warm us", "warm_microseconds", "0.0"));
        int wrong = 0;
        foreach (KernelCase kernelCase in cases)
        {
            session.Cancellation.ThrowIfCancellationRequested();
            KernelTime time = Stopclock.Measure(kernelCase, backend);
            if (!time.Right)
            {
                wrong++;
                report.Row(kernelCase.Name, "FAIL", null, null, null, null, null, null, null, null);
                BenchSession.Progress($"{kernelCase.Name}: FAIL");
                continue;
            }
            double seconds = time.Cold.Median, bytes = time.Bytes / seconds / 1e9, flops = time.Flops / seconds / 1e9;
            double ofCopy = bytes / limits.CopyGigabytes, ofPeak = flops / limits.Gigaflops;
            double best = Math.Max(ofCopy, ofPeak) * seconds / time.Cold.Best;
            report.Row(kernelCase.Name, "ok", seconds * 1e6, bytes, flops, Limit(ofCopy, ofPeak), ofCopy, ofPeak, best, time.WarmSeconds * 1e6);
            BenchSession.Progress($"{kernelCase.Name}: {seconds * 1e6:0.0} us, {Math.Max(ofCopy, ofPeak):0 %} of the limit");
        }
        report.Fact("limits", limits.ToString());
        report.Fact("times", "medians; the limits are best runs, and 'best run' is an operation's best one against the nearer limit");
        session.Print(report, backend.Description);
        if (wrong > 0)
            throw new ElmException($"{wrong} of {cases.Length} operations differ from double precision: see FAIL above");
    }

    /// <summary>The limit that an operation comes nearest to; neither where it is far from both and something else costs the time: exponentials, a search, the call itself.</summary>
    private static string Limit(double ofCopy, double ofPeak)
    {
        const double near = 0.5;
        return Math.Max(ofCopy, ofPeak) < near ? "neither" : ofCopy > ofPeak ? "bytes" : "FLOPs";
    }
}
