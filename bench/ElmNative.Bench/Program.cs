using System.Diagnostics;
using ElmNative.Bench;
using ElmNative.Compute;
using ElmNative.Compute.Cpu;

// A row for each operation: its time, what it moves and computes, and how close that is to this machine's limits.
// Arguments: [--filter TEXT] [--threads N]. The table goes to standard output, ready for bench/results/.

string filter = Argument("--filter") ?? "";
int threads = int.Parse(Argument("--threads") ?? Environment.ProcessorCount.ToString());
using CpuBackend backend = new(threads);
MachineLimits limits = MachineLimits.Measure(threads);
Console.WriteLine($"{backend.Description}; {limits.GigaflopsPerSecond:0} GFLOP/s multiply-add, {limits.GigabytesPerSecond:0.0} GB/s copy; command: ./build.sh bench {string.Join(' ', args)}");
Console.WriteLine();
Console.WriteLine("| operation | us | GB/s | GFLOP/s | limit | of limit |");
Console.WriteLine("| :-- | --: | --: | --: | :-- | --: |");
using Operations operations = new(backend);
foreach (Operation operation in operations.All().Where(o => o.Name.Contains(filter, StringComparison.OrdinalIgnoreCase)))
{
    double seconds = Time(operation.Run);
    double bytes = operation.Bytes / seconds / 1e9, flops = operation.Flops / seconds / 1e9;
    bool byMemory = bytes / limits.GigabytesPerSecond > flops / limits.GigaflopsPerSecond;
    double share = byMemory ? bytes / limits.GigabytesPerSecond : flops / limits.GigaflopsPerSecond;
    Console.WriteLine($"| {operation.Name} | {seconds * 1e6:0.0} | {bytes:0.0} | {flops:0.0} | {(byMemory ? "bytes" : "FLOPs")} | {share:0 %} |");
}

// The median over at least five runs and a fifth of a second; operations smaller than the caches are measured warm.
static double Time(Action run)
{
    run();
    List<double> times = [];
    long begin = Stopwatch.GetTimestamp();
    while (times.Count < 5 || (Stopwatch.GetElapsedTime(begin).TotalSeconds < 0.2 && times.Count < 10_000))
    {
        long start = Stopwatch.GetTimestamp();
        run();
        times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
    }
    times.Sort();
    return times[times.Count / 2];
}

string? Argument(string name) => Array.IndexOf(args, name) is int at and >= 0 && at + 1 < args.Length ? args[at + 1] : null;
