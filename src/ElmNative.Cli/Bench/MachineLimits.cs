using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using ElmNative.Compute;

namespace ElmNative.Cli.Bench;

/// <summary>What this machine can do at most, measured: the limits that operations are compared with.</summary>
/// <param name="Gigaflops">10^9 operations a second of multiply-adds in registers, a multiply-add counting 2</param>
/// <param name="CopyGigabytes">10^9 bytes a second of copying between two blocks far larger than the caches, bytes read plus bytes written</param>
/// <param name="ReadGigabytes">10^9 bytes a second of reading such a block; null where it was not measured</param>
/// <param name="Peak">what the operations are</param>
internal sealed record MachineLimits(double Gigaflops, double CopyGigabytes, double? ReadGigabytes, string Peak = "multiply-add")
{
    private const int Accumulators = 12, Rounds = 500_000, MultiplyRuns = 40, Runs = 8;

    /// <summary>Bytes that operands must span together to be cold in every cache: several times the last level.</summary>
    public static long ColdBytes { get; } = Math.Clamp(4 * LastLevelCache(), 256L << 20, 2L << 30);

    /// <summary>The limits of what a backend runs on.</summary>
    public static MachineLimits Of(IBackend backend, int threads) => backend.Memory is null ? Measure(threads) : DeviceLimits.Measure(backend);

    /// <summary>Measures with a number of threads; the best of several runs, since a limit is what was reached once.</summary>
    public static MachineLimits Measure(int threads)
    {
        double[] rates = new double[threads];
        Parallel(threads, t => rates[t] = Best(MultiplyRuns, MultiplyAdd, 2.0 * VectorWidth * Accumulators * Rounds));
        (double copy, double read) = Memory(threads);
        return new MachineLimits(rates.Sum() / 1e9, copy / 1e9, read / 1e9);
    }

    /// <summary>One line for the head of a report.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Gigaflops:0} GFLOP/s {Peak}, {CopyGigabytes:0.0} GB/s copy (read + written){ReadText}; cold operands rotate through {ColdBytes >> 20} MiB");

    private string ReadText => ReadGigabytes is { } read ? string.Create(CultureInfo.InvariantCulture, $", {read:0.0} GB/s read") : "";

    private static int VectorWidth => Avx512F.IsSupported ? Vector512<float>.Count : Vector256<float>.Count;

    /// <summary>Copying, by the system's routine or by stores that pass the caches, whichever is faster; and reading.</summary>
    private static unsafe (double Copy, double Read) Memory(int threads)
    {
        nuint bytes = (nuint)ColdBytes;
        byte* source = (byte*)NativeMemory.AlignedAlloc(bytes, 64), destination = (byte*)NativeMemory.AlignedAlloc(bytes, 64);
        try
        {
            NativeMemory.Fill(source, bytes, 1);
            NativeMemory.Fill(destination, bytes, 2);
            long part = (long)bytes / threads & ~0xFFFL, all = part * threads;
            double system = Best(Runs, () => Parallel(threads, t => Buffer.MemoryCopy(source + t * part, destination + t * part, part, part)), 2.0 * all);
            double passing = Best(Runs, () => Parallel(threads, t => Copy((float*)(source + t * part), (float*)(destination + t * part), part / sizeof(float))), 2.0 * all);
            double read = Best(Runs, () => Parallel(threads, t => Read((float*)(source + t * part), part / sizeof(float))), all);
            return (Math.Max(system, passing), read);
        }
        finally
        {
            NativeMemory.AlignedFree(source);
            NativeMemory.AlignedFree(destination);
        }
    }

    private static double Best(int runs, Action action, double work)
    {
        action();
        double best = double.MaxValue;
        for (int i = 0; i < runs; i++)
        {
            long start = Stopwatch.GetTimestamp();
            action();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return work / best;
    }

    private static void Parallel(int threads, Action<int> action)
    {
        Thread[] others = new Thread[threads - 1];
        for (int i = 0; i < others.Length; i++)
        {
            int index = i + 1;
            others[i] = new Thread(() => action(index));
            others[i].Start();
        }
        action(0);
        foreach (Thread thread in others)
            thread.Join();
    }

    private static unsafe void Read(float* data, long count)
    {
        float* sum = stackalloc float[Vector256<float>.Count];
        Read(data, count, sum);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Read(float* data, long count, float* sum)
    {
        Vector256<float> a = default, b = default, c = default, d = default;
        int width = Vector256<float>.Count;
        for (long i = 0; i < count; i += 4 * width)
        {
            a += Vector256.LoadAligned(data + i);
            b += Vector256.LoadAligned(data + i + width);
            c += Vector256.LoadAligned(data + i + 2 * width);
            d += Vector256.LoadAligned(data + i + 3 * width);
        }
        (a + b + c + d).Store(sum);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Copy(float* source, float* destination, long count)
    {
        int width = Vector256<float>.Count;
        for (long i = 0; i < count; i += 2 * width)
        {
            Vector256<float> first = Vector256.LoadAligned(source + i), second = Vector256.LoadAligned(source + i + width);
            Vector256.StoreAlignedNonTemporal(first, destination + i);
            Vector256.StoreAlignedNonTemporal(second, destination + i + width);
        }
        Thread.MemoryBarrier();
    }

    // The sums below are stored, not returned: a call behind a loop would make the compiler keep its registers in memory.

    private static unsafe void MultiplyAdd()
    {
        float* sum = stackalloc float[Vector512<float>.Count];
        if (Avx512F.IsSupported)
            MultiplyAdd512(sum);
        else
            MultiplyAdd256(sum);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static unsafe void MultiplyAdd512(float* sum)
    {
        Vector512<float> x = Vector512.Create(0.999f), y = Vector512.Create(1e-3f);
        Vector512<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (int n = 0; n < Rounds; n++)
        {
            a = Avx512F.FusedMultiplyAdd(a, x, y);
            b = Avx512F.FusedMultiplyAdd(b, x, y);
            c = Avx512F.FusedMultiplyAdd(c, x, y);
            d = Avx512F.FusedMultiplyAdd(d, x, y);
            e = Avx512F.FusedMultiplyAdd(e, x, y);
            f = Avx512F.FusedMultiplyAdd(f, x, y);
            g = Avx512F.FusedMultiplyAdd(g, x, y);
            h = Avx512F.FusedMultiplyAdd(h, x, y);
            i = Avx512F.FusedMultiplyAdd(i, x, y);
            j = Avx512F.FusedMultiplyAdd(j, x, y);
            k = Avx512F.FusedMultiplyAdd(k, x, y);
            l = Avx512F.FusedMultiplyAdd(l, x, y);
        }
        (a + b + c + d + e + f + g + h + i + j + k + l).Store(sum);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static unsafe void MultiplyAdd256(float* sum)
    {
        Vector256<float> x = Vector256.Create(0.999f), y = Vector256.Create(1e-3f);
        Vector256<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (int n = 0; n < Rounds; n++)
        {
            a = Vector256.FusedMultiplyAdd(a, x, y);
            b = Vector256.FusedMultiplyAdd(b, x, y);
            c = Vector256.FusedMultiplyAdd(c, x, y);
            d = Vector256.FusedMultiplyAdd(d, x, y);
            e = Vector256.FusedMultiplyAdd(e, x, y);
            f = Vector256.FusedMultiplyAdd(f, x, y);
            g = Vector256.FusedMultiplyAdd(g, x, y);
            h = Vector256.FusedMultiplyAdd(h, x, y);
            i = Vector256.FusedMultiplyAdd(i, x, y);
            j = Vector256.FusedMultiplyAdd(j, x, y);
            k = Vector256.FusedMultiplyAdd(k, x, y);
            l = Vector256.FusedMultiplyAdd(l, x, y);
        }
        (a + b + c + d + e + f + g + h + i + j + k + l).Store(sum);
    }

    /// <summary>Bytes of the largest cache where the system tells; else a common size.</summary>
    private static long LastLevelCache()
    {
        const string folder = "/sys/devices/system/cpu/cpu0/cache";
        const long common = 32L << 20;
        if (!Directory.Exists(folder))
            return common;
        long largest = 0;
        foreach (string size in Directory.EnumerateDirectories(folder, "index*").Select(index => Path.Combine(index, "size")).Where(File.Exists))
        {
            string text = File.ReadAllText(size).Trim();
            long unit = text.EndsWith('K') ? 1L << 10 : text.EndsWith('M') ? 1L << 20 : 1;
            if (long.TryParse(text.TrimEnd('K', 'M'), out long number))
                largest = Math.Max(largest, number * unit);
        }
        return largest > 0 ? largest : common;
    }
}
