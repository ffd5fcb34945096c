using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>
/// Products on the GPU. Inputs are rounded to BF16 first, so that what is left to round is the sum in single precision, 2^-24 for each of about sqrt(length) additions of its terms' size (1e-6 of
/// sqrt(length) holds it with a margin), and the output: BF16 has 8 significant bits, so half a unit in the last of them is up to 2^-8 of the value.
/// </summary>
[TestClass]
public sealed class CudaDenseTests
{
    private const double SumRounding = 1e-6, OutputRounding = Activations.Rounding;

    // Rows on both sides of the bounds between kernels (16) and tiles (64, 128), aligned and odd shapes, n and k around the sizes of tiles and stages, empty ones, more than eight tiles of rows.
    private static readonly (int M, int N, int K)[] Sizes =
    [
        (0, 5, 8), (1, 1, 1), (1, 9, 16), (2, 71, 40), (3, 40, 71), (7, 8, 900), (8, 300, 136), (16, 130, 72), (16, 33, 1032), (5, 0, 8), (6, 8, 0),
        (17, 71, 40), (17, 72, 40), (64, 9, 904), (65, 130, 64), (129, 136, 96), (129, 72, 130), (300, 130, 32), (33, 24, 0), (70, 7, 9), (600, 70, 9), (1100, 130, 8),
    ];

    [TestMethod]
    public void LinearMatchesTheReference()
    {
        using CudaBackend cuda = OpenOwn();
        foreach ((int m, int n, int k) in Sizes)
        {
            float[] x = Normal(1, m * k), w = Normal(2, n * k), bias = Normal(3, n);
            Tensor xt = cuda.Put(x, m, k, ElementType.BF16), wt = cuda.Put(w, n, k, ElementType.BF16);
            double[] exact = Rounded(x, ElementType.BF16), exactW = Rounded(w, ElementType.BF16);
            double[] plain = Reference.Linear(exact, exactW, null, m, n, k);
            Check(cuda, plain, m, n, k, $"{m}x{n}x{k}", (y, accumulate) => cuda.Linear(xt, wt, default, y, accumulate));
            foreach (ElementType type in new[] { ElementType.F32, ElementType.BF16 })
            {
                Tensor bt = cuda.Put(bias, 1, n, type);
                double[] biased = Reference.Linear(exact, exactW, Rounded(bias, type), m, n, k);
                Check(cuda, biased, m, n, k, $"{m}x{n}x{k} with a bias of {type}", (y, accumulate) => cuda.Linear(xt, wt, bt, y, accumulate), type is ElementType.F32);
            }
        }
    }

    [TestMethod]
    public void LinearBackwardMatchesTheReference()
    {
        using CudaBackend cuda = OpenOwn();
        foreach ((int m, int n, int k) in Sizes)
        {
            float[] dy = Normal(1, m * n), w = Normal(2, n * k);
            Tensor dyt = cuda.Put(dy, m, n, ElementType.BF16), wt = cuda.Put(w, n, k, ElementType.BF16);
            double[] wanted = Reference.LinearBackward(Rounded(dy, ElementType.BF16), Rounded(w, ElementType.BF16), m, n, k);
            Check(cuda, wanted, m, k, n, $"{m}x{n}x{k}", (dx, accumulate) => cuda.LinearBackward(dyt, wt, dx, accumulate));
        }
    }

    /// <summary>Reductions that are split between blocks: few tiles and a long sum.</summary>
    [TestMethod]
    public void SplitReductionsMatchTheReference()
    {
        using CudaBackend cuda = OpenOwn();
        foreach ((int m, int n, int k) in new[] { (20, 24, 1100), (17, 9, 1601) })
        {
            float[] x = Normal(1, m * k), w = Normal(2, n * k), bias = Normal(3, n);
            double[] wanted = Reference.Linear(Rounded(x, ElementType.BF16), Rounded(w, ElementType.BF16), Doubles(bias), m, n, k);
            Tensor xt = cuda.Put(x, m, k, ElementType.BF16), wt = cuda.Put(w, n, k, ElementType.BF16), bt = cuda.Put(bias, 1, n);
            Check(cuda, wanted, m, n, k, $"{m}x{n}x{k}", (y, accumulate) => cuda.Linear(xt, wt, bt, y, accumulate));
            // The same matrices the other way: n is the long side.
            Tensor back = cuda.Put(Transposed(w, n, k), k, n, ElementType.BF16);
            double[] gradient = Reference.LinearBackward(Rounded(x, ElementType.BF16), Rounded(Transposed(w, n, k), ElementType.BF16), m, k, n);
            Check(cuda, gradient, m, n, k, $"backward {m}x{k}x{n}", (dx, accumulate) => cuda.LinearBackward(xt, back, dx, accumulate));
        }
    }

    /// <summary>Tiles of 128 rows and columns, of which it takes one for each multiprocessor: two of rows, the second ragged, and as many of columns.</summary>
    [TestMethod]
    public void LargeTilesMatchTheReference()
    {
        using CudaBackend cuda = OpenOwn();
        const int m = 139, depth = 72;
        int wide = 128 * ((cuda.Multiprocessors + 1) / 2) - 8;
        float[] x = Normal(1, m * depth), w = Normal(2, wide * depth);
        Tensor xt = cuda.Put(x, m, depth, ElementType.BF16), tall = cuda.Put(w, wide, depth, ElementType.BF16), flat = cuda.Put(w, depth, wide, ElementType.BF16);
        double[] exact = Rounded(x, ElementType.BF16), weight = Rounded(w, ElementType.BF16);
        Check(cuda, Reference.Linear(exact, weight, null, m, wide, depth), m, wide, depth, "forward", (y, accumulate) => cuda.Linear(xt, tall, default, y, accumulate));
        Check(cuda, Reference.LinearBackward(exact, weight, m, depth, wide), m, wide, depth, "backward", (dx, accumulate) => cuda.LinearBackward(xt, flat, dx, accumulate));
    }

    /// <summary>Few rows take wider blocks as the weight has more rows; each width, at its ragged edge.</summary>
    [TestMethod]
    public void EveryWidthOfASkinnyProductMatchesTheReference()
    {
        using CudaBackend cuda = OpenOwn();
        foreach (int n in new[] { 31, 33, 127, 200, 719 })
            foreach (int m in new[] { 1, 4, 9, 16 })
            {
                const int K = 200;
                float[] x = Normal(1, m * K), w = Normal(2, n * K);
                Tensor xt = cuda.Put(x, m, K, ElementType.BF16), wt = cuda.Put(w, n, K, ElementType.BF16), y = cuda.Blank(m, n);
                cuda.Linear(xt, wt, default, y, false);
                Near(Reference.Linear(Rounded(x, ElementType.BF16), Rounded(w, ElementType.BF16), null, m, n, K), cuda.Get(y), SumRounding, $"{m}x{n}", Math.Sqrt(K));
            }
    }

    /// <summary>Tensors that start in the middle of a buffer: rows of 16 bytes, so that a slice may start off the alignment of the buffer, and a shift that forbids 16-byte copies.</summary>
    [TestMethod]
    public void OperandsMayStartAnywhere()
    {
        using CudaBackend cuda = OpenOwn();
        foreach (int shift in new[] { 2, 16 })
            foreach (int m in new[] { 3, 40 })
            {
                const int N = 40, K = 72;
                float[] x = Normal(1, m * K), w = Normal(2, N * K);
                Tensor xt = cuda.Put(x, m, K, ElementType.BF16, shift), wt = cuda.Put(w, N, K, ElementType.BF16, shift);
                Tensor yt = new(cuda.Allocate(m * N * 4 + 4), 4, ElementType.F32, m, N), dxt = new(cuda.Allocate(m * K * 4 + 4), 4, ElementType.F32, m, K);
                cuda.Linear(xt, wt, default, yt, false);
                Near(Reference.Linear(Rounded(x, ElementType.BF16), Rounded(w, ElementType.BF16), null, m, N, K), cuda.Get(yt), SumRounding, $"{m} rows, shift {shift}", Math.Sqrt(K));
                Tensor dyt = cuda.Put(x[..(m * N)], m, N, ElementType.BF16, shift);
                cuda.LinearBackward(dyt, wt, dxt, false);
                Near(Reference.LinearBackward(Rounded(x[..(m * N)], ElementType.BF16), Rounded(w, ElementType.BF16), m, N, K), cuda.Get(dxt), SumRounding, $"backward, {m} rows, shift {shift}", Math.Sqrt(N));
            }
    }

    /// <summary>The gradient is that of the forward product: d(sum(dy * y)) along a direction, by central differences in double precision, is the product of the direction with dx.</summary>
    [TestMethod]
    public void BackwardIsTheDerivativeOfForward()
    {
        using CudaBackend cuda = OpenOwn();
        const int M = 40, N = 72, K = 48;
        float[] x = Normal(1, M * K), w = Normal(2, N * K), dy = Normal(3, M * N), direction = Normal(4, M * K);
        double[] exactW = Rounded(w, ElementType.BF16), exactDy = Rounded(dy, ElementType.BF16);
        Tensor dx = cuda.Blank(M, K);
        cuda.LinearBackward(cuda.Put(dy, M, N, ElementType.BF16), cuda.Put(w, N, K, ElementType.BF16), dx, false);
        double along = cuda.Get(dx).Zip(direction, (g, d) => (double)g * d).Sum();
        const double Step = 1e-3;
        double difference = (Loss(Step) - Loss(-Step)) / (2 * Step);
        Assert.AreEqual(difference, along, SumRounding * Math.Sqrt(M * K * (double)N));

        double Loss(double step) => Reference.Linear([.. x.Zip(direction, (a, d) => a + step * d)], exactW, null, M, N, K).Zip(exactDy, (y, g) => y * g).Sum();
    }

    [TestMethod]
    public void TheSameProductGivesTheSameBitsAndAllocatesNothing()
    {
        using CudaBackend cuda = OpenOwn();
        foreach ((int m, int n, int k) in new[] { (4, 40, 72), (20, 24, 1100), (130, 136, 64) })
        {
            Tensor x = cuda.Put(Normal(1, m * k), m, k, ElementType.BF16), w = cuda.Put(Normal(2, n * k), n, k, ElementType.BF16), dy = cuda.Put(Normal(3, m * n), m, n, ElementType.BF16);
            Tensor y = cuda.Blank(m, n), dx = cuda.Blank(m, k);
            cuda.Linear(x, w, default, y, false);
            cuda.LinearBackward(dy, w, dx, false);
            float[] first = cuda.Get(y), firstBack = cuda.Get(dx);
            long before = GC.GetAllocatedBytesForCurrentThread();
            cuda.Linear(x, w, default, y, false);
            cuda.LinearBackward(dy, w, dx, false);
            Assert.AreEqual(0, GC.GetAllocatedBytesForCurrentThread() - before, $"{m}x{n}x{k} allocates");
            SameBits(first, cuda.Get(y), "forward");
            SameBits(firstBack, cuda.Get(dx), "backward");
        }
    }

    [TestMethod]
    public void WrongShapesAndTypesAreRefused()
    {
        using CudaBackend cuda = OpenOwn();
        Tensor x = cuda.Put(new float[16], 2, 8, ElementType.BF16), w = cuda.Put(new float[24], 3, 8, ElementType.BF16), y = cuda.Blank(2, 3);
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Linear(cuda.Blank(2, 8), w, default, y, false));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Linear(x, cuda.Blank(3, 8), default, y, false));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Linear(x, w, cuda.Blank(1, 2), y, false));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Linear(x, w, default, cuda.Blank(3, 2), false));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Linear(x, w, default, cuda.Put(new int[6], 2, 3), false));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.LinearBackward(x, w, y, false));
    }

    /// <summary>The device, with the project's own products whether or not cuBLASLt is there.</summary>
    private static CudaBackend OpenOwn()
    {
        CudaBackend cuda = CudaDevice.Open();
        cuda.UsesOwnProducts = true;
        return cuda;
    }

    private static float[] Transposed(float[] w, int n, int k)
    {
        float[] t = new float[w.Length];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < k; j++)
                t[j * n + i] = w[i * k + j];
        return t;
    }

    /// <summary>Overwrites and adds to, in F32 and in BF16 (or in the second kind of each only).</summary>
    private static void Check(CudaBackend cuda, double[] wanted, int rows, int columns, int length, string what, Action<Tensor, bool> product, bool half = false)
    {
        float[] before = Normal(4, rows * columns);
        double scale = Math.Sqrt(length + 1);
        foreach (ElementType type in new[] { ElementType.F32, ElementType.BF16 })
            foreach (bool accumulate in new[] { false, true })
            {
                if (half && accumulate != (type is ElementType.F32))
                    continue;
                float[] nothing = new float[before.Length];
                Array.Fill(nothing, float.NaN);
                Tensor y = cuda.Put(accumulate ? before : nothing, rows, columns, type);
                product(y, accumulate);
                double[] sum = accumulate ? [.. wanted.Zip(Rounded(before, type), (a, b) => a + b)] : wanted;
                // Half a unit of BF16 is relative to the sum; the sum's own rounding comes on top.
                double[] got = type is ElementType.F32 ? Doubles(cuda.Get(y)) : Widened(cuda, y);
                Assert.HasCount(sum.Length, got, what);
                for (int i = 0; i < sum.Length; i++)
                {
                    double allowed = SumRounding * (scale + Math.Abs(sum[i])) + (type is ElementType.BF16 ? OutputRounding * Math.Abs(sum[i]) : 0);
                    if (!(Math.Abs(got[i] - sum[i]) <= allowed))
                        Assert.Fail($"{what}, {type}, accumulate {accumulate}: element {i} is {got[i]:R}, but should be {sum[i]:R}");
                }
            }
    }

    private static double[] Widened(CudaBackend cuda, Tensor x)
    {
        ushort[] bits = new ushort[x.Count];
        cuda.Download<ushort>(x, bits);
        return [.. bits.Select(b => (double)BitConverter.Int32BitsToSingle(b << 16))];
    }
}
