using System.Diagnostics;
using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>What became of a kernel.</summary>
/// <param name="Right">its values agree with double precision; only then was it timed</param>
/// <param name="Cold">with cold operands</param>
/// <param name="WarmSeconds">median on the same operands again and again, where they fit the caches; else null</param>
/// <param name="Bytes">bytes that it must move</param>
/// <param name="Flops">its arithmetic</param>
internal readonly record struct KernelTime(bool Right, CallTime Cold, double? WarmSeconds, double Bytes, double Flops);

/// <summary>Checks a kernel and then times it.</summary>
internal static class Stopclock
{
    private const int MostCopies = 4096, LaunchesOfAGraph = 16;

    /// <summary>Most time that one turn over all copies may take.</summary>
    private const double MostSeconds = 2;

    /// <summary>
    /// Makes as many copies of the operands as span <see cref="MachineLimits.ColdBytes"/>, unless a turn over them took seconds, and runs over them in turn: when one comes up again, others
    /// have driven it out of the caches.
    /// </summary>
    public static KernelTime Measure(KernelCase kernelCase, IBackend backend)
    {
        List<Operands> operands = [];
        try
        {
            List<Kernel> kernels = [Make()];
            if (!(kernels[0].Check() <= 1))
                return new KernelTime(false, default, null, 0, 0);
            long copies = Math.Clamp((MachineLimits.ColdBytes + operands[0].Bytes - 1) / operands[0].Bytes, 1, Math.Min(MostCopies, Affordable(() => Run(kernels[0]))));
            while (kernels.Count < copies)
                kernels.Add(Make());
            if (backend.Memory is not null)
                return Captured(kernels);
            // Behind the check the first copy is warm: begin with the next.
            CallTime cold = Measured.Calls(i => Run(kernels[(i + 1) % kernels.Count]));
            double? warm = copies >= 8 ? Measured.Calls(_ => Run(kernels[0])).Median : null;
            return new KernelTime(true, cold, warm, kernels[0].Bytes, kernels[0].Flops);
        }
        finally
        {
            foreach (Operands some in operands)
                some.Dispose();
        }

        static long Affordable(Action run)
        {
            long start = Stopwatch.GetTimestamp();
            run();
            return Math.Max(1, (long)(MostSeconds / Stopwatch.GetElapsedTime(start).TotalSeconds));
        }

        // A launch from the host costs as much as a small kernel: a graph runs over all copies many times for one call.
        KernelTime Captured(List<Kernel> kernels)
        {
            CallTime cold = Repeated(kernels);
            return new KernelTime(true, cold, kernels.Count >= 8 ? Repeated([kernels[0]]).Median : null, kernels[0].Bytes, kernels[0].Flops);
        }

        CallTime Repeated(List<Kernel> kernels)
        {
            foreach (Kernel kernel in kernels)
                Run(kernel);
            int launches = kernels.Count > 1 ? kernels.Count : (int)Math.Min(LaunchesOfAGraph, Affordable(() => Run(kernels[0])));
            using IGraph graph = backend.Capture(() =>
            {
                for (int i = 0; i < launches; i++)
                    kernels[i % kernels.Count].Run();
            });
            return Measured.Calls(_ =>
            {
                graph.Launch();
                backend.Synchronize();
            }) / launches;
        }

        Kernel Make()
        {
            Operands some = new(backend);
            operands.Add(some);
            return kernelCase.Make(some);
        }

        void Run(Kernel kernel)
        {
            kernel.Run();
            backend.Synchronize();
        }
    }
}
