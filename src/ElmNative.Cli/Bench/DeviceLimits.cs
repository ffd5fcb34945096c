using System.Diagnostics;
using ElmNative.Cli.Bench.Kernels;
using ElmNative.Compute;

namespace ElmNative.Cli.Bench;

/// <summary>What a GPU can do at most, measured through its own backend: the rate of its largest dense product, and copying.</summary>
internal static class DeviceLimits
{
    private const int SmallestProduct = 256, LargestProduct = 8192, Runs = 8;
    private const double EnoughSeconds = 2e-3;

    /// <summary>
    /// Copies half of what is free up to a gigabyte, and multiplies square BF16 matrices, twice as large each time until one takes long enough to be measured; the best of several runs, since a limit is what
    /// was reached once.
    /// </summary>
    public static MachineLimits Measure(IBackend backend)
    {
        (double rate, int size) = Product(backend);
        return new MachineLimits(rate / 1e9, Copy(backend) / 1e9, null, $"BF16 product of {size} x {size} x {size}");
    }

    private static double Copy(IBackend backend)
    {
        long bytes = Math.Min(1L << 30, backend.Memory!.Value.FreeBytes / 4), floats = bytes / sizeof(float) & ~0xFFFFL;
        double best = 0;
        for (long count = Math.Min(1 << 20, floats); ; count = Math.Min(4 * count, floats))
        {
            using Operands o = new(backend);
            Tensor from = o.Outputs(1, (int)count), to = o.Outputs(1, (int)count);
            double seconds = Best(backend, () => backend.Copy(from, to));
            best = Math.Max(best, 2.0 * from.Bytes / seconds);
            if (count == floats || seconds > EnoughSeconds)
                return best;
        }
    }

    private static (double Rate, int Size) Product(IBackend backend)
    {
        for (int size = SmallestProduct; ; size *= 2)
        {
            using Operands o = new(backend);
            Tensor x = o.Activations(size, size), weight = o.Weights(size, size), y = o.Outputs(size, size);
            double seconds = Best(backend, () => backend.Linear(x, weight, default, y, accumulate: false));
            if (seconds > EnoughSeconds || size == LargestProduct)
                return (2.0 * size * size * size / seconds, size);
        }
    }

    private static double Best(IBackend backend, Action action)
    {
        action();
        backend.Synchronize();
        double best = double.MaxValue;
        for (int i = 0; i < Runs; i++)
        {
            long start = Stopwatch.GetTimestamp();
            action();
            backend.Synchronize();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return best;
    }
}
