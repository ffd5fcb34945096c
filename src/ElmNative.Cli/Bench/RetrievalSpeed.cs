using ElmNative.Cli.Bench.Kernels;
using ElmNative.Compute;

namespace ElmNative.Cli.Bench;

/// <summary>The search for the nearest memory among a thousand to a million keys of hidden size 896.</summary>
internal sealed class RetrievalSpeed(BenchSession session, IBackend backend, int threads)
{
    private const int Width = 896;

    /// <summary>Numbers of keys.</summary>
    public static readonly int[] Sizes = [1_000, 10_000, 100_000, 1_000_000];

    /// <summary>Measures and prints a row for each number of keys; those that do not fit the free memory are left out with a line on standard error.</summary>
    /// <exception cref="ElmException">a search finds something else than double precision does (the table is printed before)</exception>
    public void Run(int[] sizes)
    {
        MachineLimits limits = MachineLimits.Of(backend, threads);
        BenchSession.Progress($"{limits}");
        BenchReport report = session.Report(new("keys", "keys", "0"), new("MB", "megabytes", "0.0"), new("check", "check"), new("us", "microseconds", "0.0"), new("GB/s", "gigabytes_per_second", "0.0"),
            new("of read bandwidth", "of_read_bandwidth", "0 %"), new("of copy bandwidth", "of_copy_bandwidth", "0 %"), new("warm us", "warm_microseconds", "0.0"));
        bool right = true;
        foreach (int size in sizes)
        {
            session.Cancellation.ThrowIfCancellationRequested();
            long bytes = (long)size * Width * sizeof(float), needed = Math.Max(bytes, MachineLimits.ColdBytes) + (256L << 20);
            long free = FreeMemory();
            if (free < needed)
            {
                BenchSession.Progress($"{size} keys need {needed / 1e9:0.0} GB, and {free / 1e9:0.0} GB are free: left out");
                continue;
            }
            KernelTime time = Stopclock.Measure(VectorKernels.Cosine(1, size, Width, 1), backend);
            right &= time.Right;
            double rate = time.Right ? bytes / time.Cold.Median / 1e9 : 0;
            if (time.Right)
                report.Row(size, bytes / 1e6, "ok", time.Cold.Median * 1e6, rate, rate / limits.ReadGigabytes, rate / limits.CopyGigabytes, time.WarmSeconds * 1e6);
            else
                report.Row(size, bytes / 1e6, "FAIL", null, null, null, null, null);
            BenchSession.Progress($"{size} keys: {time.Cold.Median * 1e6:0.0} us");
        }
        report.Fact("limits", limits.ToString());
        report.Fact("task", $"one question, keys of {Width} float32 values, the nearest by cosine");
        session.Print(report, backend.Description);
        if (!right)
            throw new ElmException("a search found another key than double precision does: see FAIL above");
    }

    /// <summary>Bytes that can be had without swapping.</summary>
    private static long FreeMemory()
    {
        GC.Collect();
        GCMemoryInfo memory = GC.GetGCMemoryInfo();
        return memory.TotalAvailableMemoryBytes - memory.MemoryLoadBytes;
    }
}
