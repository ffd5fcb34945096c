using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Dense products through cuBLASLt, on its stand-in (on a GPU: on the library itself).</summary>
[TestClass]
public sealed class CudaCublasTests
{
    private static readonly (int M, int N, int K)[] Shapes = [(1, 1, 1), (3, 5, 7), (17, 33, 9), (2, 64, 40), (65, 16, 128)];

    private static CudaOptions Options => CudaDevice.IsReal ? CudaDevice.Options
        : CudaDevice.Options with { CublasLtLibrary = StandIn.Library("libelm_cublaslt_standin.so"), UsesCublasLt = true };

    /// <summary>The tensor's values, whatever its type.</summary>
    private static float[] Floats(CudaBackend cuda, Tensor x)
    {
        if (x.Type == ElementType.F32)
            return cuda.Get(x);
        ushort[] bits = new ushort[x.Count];
        cuda.Download<ushort>(x, bits);
        return Array.ConvertAll(bits, b => BitConverter.UInt32BitsToSingle((uint)b << 16));
    }

    /// <summary>
    /// Compares a product with its reference. Float32 sums of k + 2 terms, each exact, err by less than (k + 2) 2^-24 of the sum of their absolute values, at most
    /// <paramref name="absolute"/>; a BF16 result is rounded by 2^-8 of itself at most (8 bits, to the nearest) besides.
    /// </summary>
    private static void Matches(double[] wanted, float[] got, ElementType type, int k, double absolute, string what)
    {
        double sum = (k + 2) * Math.Pow(2, -24) * absolute, rounding = type == ElementType.BF16 ? Math.Pow(2, -8) : Math.Pow(2, -24);
        Near(wanted, got, rounding, what, scale: sum / rounding);
    }

    private static double[] Absolute(double[] x) => Array.ConvertAll(x, Math.Abs);

    private static double[] Sum(double[] x, double[] y) => [.. x.Zip(y, (a, b) => a + b)];

    /// <summary>Whether a product was queued: the library may have no algorithm for rows that are not multiples of 16 bytes; the stand-in has one for all.</summary>
    private static bool Takes(bool queued, bool aligned, string what)
    {
        Assert.IsTrue(queued || (CudaDevice.IsReal && !aligned), what);
        return queued;
    }

    [TestMethod]
    public void LinearMatchesTheReference()
    {
        using CudaBackend cuda = new(0, Options);
        foreach ((int m, int n, int k) in Shapes)
            foreach (ElementType type in new[] { ElementType.F32, ElementType.BF16 })
                foreach (bool accumulate in new[] { false, true })
                    foreach (bool hasBias in new[] { false, true })
                    {
                        string what = $"{m} x {n} x {k}, {type}, accumulate {accumulate}, bias {hasBias}";
                        float[] x = Normal(1, m * k), w = Normal(2, n * k), bias = Normal(3, n), y = Normal(4, m * n);
                        Tensor xs = cuda.Put(x, m, k, ElementType.BF16), ws = cuda.Put(w, n, k, ElementType.BF16), ys = cuda.Put(y, m, n, type);
                        Tensor biases = hasBias ? cuda.Put(bias, 1, n, type) : default;
                        if (!Takes(cuda.TryCublasLt(xs, ws, biases, ys, accumulate), n % 8 == 0 && k % 8 == 0, what))
                            continue;
                        double[] xd = Rounded(x, ElementType.BF16), wd = Rounded(w, ElementType.BF16), yd = accumulate ? Rounded(y, type) : new double[m * n];
                        double[]? bd = hasBias ? Rounded(bias, type) : null;
                        double absolute = Sum(Reference.Linear(Absolute(xd), Absolute(wd), bd is null ? null : Absolute(bd), m, n, k), Absolute(yd)).Max();
                        Matches(Sum(Reference.Linear(xd, wd, bd, m, n, k), yd), Floats(cuda, ys), type, k, absolute, what);
                    }
    }

    [TestMethod]
    public void LinearBackwardMatchesTheReference()
    {
        using CudaBackend cuda = new(0, Options);
        foreach ((int m, int n, int k) in Shapes)
            foreach (ElementType type in new[] { ElementType.F32, ElementType.BF16 })
                foreach (bool accumulate in new[] { false, true })
                {
                    string what = $"{m} x {n} x {k}, {type}, accumulate {accumulate}";
                    float[] dy = Normal(1, m * n), w = Normal(2, n * k), dx = Normal(4, m * k);
                    Tensor dys = cuda.Put(dy, m, n, ElementType.BF16), ws = cuda.Put(w, n, k, ElementType.BF16), dxs = cuda.Put(dx, m, k, type);
                    if (!Takes(cuda.TryCublasLtBackward(dys, ws, dxs, accumulate), n % 8 == 0 && k % 8 == 0, what))
                        continue;
                    double[] dyd = Rounded(dy, ElementType.BF16), wd = Rounded(w, ElementType.BF16), dxd = accumulate ? Rounded(dx, type) : new double[m * k];
                    double absolute = Sum(Reference.LinearBackward(Absolute(dyd), Absolute(wd), m, n, k), Absolute(dxd)).Max();
                    Matches(Sum(Reference.LinearBackward(dyd, wd, m, n, k), dxd), Floats(cuda, dxs), type, n, absolute, what);
                }
    }

    [TestMethod]
    public void OperandsMayStartAtAnyElement()
    {
        using CudaBackend cuda = new(0, Options);
        const int m = 9, n = 7, k = 15;
        float[] x = Normal(1, m * k), w = Normal(2, n * k);
        double[] xd = Rounded(x, ElementType.BF16), wd = Rounded(w, ElementType.BF16);
        foreach (int shift in new[] { 0, 2, 8, 16, 254 })
        {
            Tensor xs = cuda.Put(x, m, k, ElementType.BF16, shift), ws = cuda.Put(w, n, k, ElementType.BF16), ys = cuda.Blank(m + 1, n).Slice(1, m);
            if (!Takes(cuda.TryCublasLt(xs, ws, default, ys, false), false, $"shift {shift}"))
                continue;
            Matches(Reference.Linear(xd, wd, null, m, n, k), cuda.Get(ys), ElementType.F32, k, Reference.Linear(Absolute(xd), Absolute(wd), null, m, n, k).Max(), $"shift {shift}");
        }
        Tensor bias = cuda.Put(Normal(3, n + 1), 1, n + 1, ElementType.BF16), y = cuda.Put(new float[m * n], m, n, ElementType.BF16);
        Tensor unaligned = new(bias.Buffer!, 2, ElementType.BF16, 1, n), rows = cuda.Put(x, m, k, ElementType.BF16), weight = cuda.Put(w, n, k, ElementType.BF16);
        Assert.IsFalse(cuda.TryCublasLt(rows, weight, unaligned, y, false));
    }

    [TestMethod]
    public void WhatItCannotDoIsLeftToOthers()
    {
        using CudaBackend cuda = new(0, Options), without = new(0, Options with { UsesCublasLt = false });
        Tensor x = cuda.Put(Normal(1, 6), 2, 3, ElementType.BF16), w = cuda.Put(Normal(2, 12), 4, 3, ElementType.BF16), y = cuda.Blank(2, 4);
        Assert.IsFalse(cuda.TryCublasLt(cuda.Put(Normal(1, 6), 2, 3), w, default, y, false), "F32 input");
        Assert.IsFalse(cuda.TryCublasLt(x, cuda.Put(Normal(1, 12), 4, 3), default, y, false), "F32 weight");
        Assert.IsFalse(cuda.TryCublasLt(x, w, cuda.Put(Normal(1, 4), 1, 4, ElementType.BF16), y, false), "BF16 bias of an F32 result");
        Assert.IsFalse(cuda.TryCublasLt(x.Slice(0, 0), w, default, y.Slice(0, 0), false), "no rows");
        Assert.IsFalse(without.TryCublasLt(x, w, default, y, false), "switched off");
        Assert.EndsWith(", dense products by the project's own kernels (ELM_CUBLASLT is off)", without.Description);
        Assert.Contains(", dense products by cuBLASLt ", cuda.Description);
        cuda.Synchronize();
        Assert.IsTrue(cuda.Get(y).All(float.IsNaN));
    }

    [TestMethod]
    public void ANamedLibraryThatIsNotThereOrNotCublasIsAnError()
    {
        using CudaBackend missing = new(0, Options with { CublasLtLibrary = "/nowhere/libcublasLt.so" });
        Tensor x = missing.Put([1], 1, 1, ElementType.BF16);
        string error = Assert.ThrowsExactly<ElmException>(() => missing.TryCublasLt(x, x, default, x, false)).Message;
        Assert.StartsWith("the library that ELM_CUBLASLT_LIBRARY names, /nowhere/libcublasLt.so, cannot be loaded (", error);
        Assert.EndsWith("); correct the path or unset the variable", error);
        string other = Path.Combine(AppContext.BaseDirectory, "libelm_cpu.so");
        using CudaBackend wrong = new(0, Options with { CublasLtLibrary = other });
        Assert.AreEqual($"the library that ELM_CUBLASLT_LIBRARY names, {other}, is not cuBLASLt of CUDA 12 or newer; correct the path or unset the variable",
            Assert.ThrowsExactly<ElmException>(() => _ = wrong.Description).Message);
    }

    [TestMethod]
    public void ProductsAreCapturedOnceTheyAreKnownAndAllocateNothing()
    {
        using CudaBackend cuda = new(0, Options);
        Tensor x = cuda.Put(Normal(1, 16), 2, 8, ElementType.BF16), w = cuda.Put(Normal(2, 64), 8, 8, ElementType.BF16), bias = cuda.Put(Normal(3, 8), 1, 8),
            y = cuda.Put(new float[16], 2, 8);
        Assert.ThrowsExactly<InvalidOperationException>(() => cuda.Capture(() => cuda.TryCublasLt(x, w, bias, y, true)));
        cuda.TryCublasLt(x, w, bias, y, true);
        float[] once = cuda.Get(y);
        Assert.ThrowsExactly<InvalidOperationException>(() => cuda.Capture(() => cuda.TryCublasLt(x, w, default, y, true)));
        using IGraph graph = cuda.Capture(() => cuda.TryCublasLt(x, w, bias, y, true));
        graph.Launch();
        graph.Launch();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 5; i++)
            cuda.TryCublasLt(x, w, bias, y, true);
        Assert.AreEqual(0, GC.GetAllocatedBytesForCurrentThread() - before);
        // Eight equal terms: the sum is rounded to 2^-24 of itself at most eight times.
        Near([.. once.Select(v => 8.0 * v)], cuda.Get(y), 8 * Math.Pow(2, -24), "eight times", scale: 8 * once.Max(Math.Abs));
    }
}
