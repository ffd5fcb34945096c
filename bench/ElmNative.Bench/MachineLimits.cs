using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ElmNative.Bench;

/// <summary>What this machine can do at most, measured: the limits that operations are compared with.</summary>
/// <param name="GigaflopsPerSecond">multiply-adds in registers, a multiply-add counting 2</param>
/// <param name="GigabytesPerSecond">copying between two blocks far larger than the caches, bytes read plus bytes written</param>
internal sealed record MachineLimits(double GigaflopsPerSecond, double GigabytesPerSecond)
{
    /// <summary>Measures with a number of threads; the best of several runs, since a limit is what was reached once.</summary>
    public static MachineLimits Measure(int threads) => new(
        Best(5, () => Parallel(threads, _ => MultiplyAdd()), 2.0 * Vector512<float>.Count * Accumulators * Rounds * threads) / 1e9,
        MeasureCopy(threads));

    private const int Accumulators = 12, Rounds = 4_000_000, CopyBytes = 256 << 20;

    private static unsafe double MeasureCopy(int threads)
    {
        byte* source = (byte*)NativeMemory.AlignedAlloc(CopyBytes, 64), destination = (byte*)NativeMemory.AlignedAlloc(CopyBytes, 64);
        try
        {
            NativeMemory.Fill(source, CopyBytes, 1);
            NativeMemory.Fill(destination, CopyBytes, 2);
            long part = CopyBytes / threads;
            return Best(8, () => Parallel(threads, t => Buffer.MemoryCopy(source + t * part, destination + t * part, part, part)), 2.0 * part * threads) / 1e9;
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

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyAdd()
    {
        Vector512<float> x = Vector512.Create(0.999f), y = Vector512.Create(1e-3f);
        Vector512<float> a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
        for (int n = 0; n < Rounds; n++)
        {
            a = Vector512.FusedMultiplyAdd(a, x, y);
            b = Vector512.FusedMultiplyAdd(b, x, y);
            c = Vector512.FusedMultiplyAdd(c, x, y);
            d = Vector512.FusedMultiplyAdd(d, x, y);
            e = Vector512.FusedMultiplyAdd(e, x, y);
            f = Vector512.FusedMultiplyAdd(f, x, y);
            g = Vector512.FusedMultiplyAdd(g, x, y);
            h = Vector512.FusedMultiplyAdd(h, x, y);
            i = Vector512.FusedMultiplyAdd(i, x, y);
            j = Vector512.FusedMultiplyAdd(j, x, y);
            k = Vector512.FusedMultiplyAdd(k, x, y);
            l = Vector512.FusedMultiplyAdd(l, x, y);
        }
        sink = Vector512.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    [ThreadStatic]
    private static float sink;
}
