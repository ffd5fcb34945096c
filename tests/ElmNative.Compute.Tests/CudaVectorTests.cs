using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Pooling, nearest keys and the optimizer on the GPU.</summary>
[TestClass]
public sealed class CudaVectorTests
{
    [TestMethod]
    public void PoolHeadsAveragesRowsAndHeads()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach ((int heads, int headSize) in new[] { (1, 128), (2, 24), (3, 7), (4, 32), (1, 1030), (1, 5000) })
        {
            const int rows = 9;
            double[] x = Rounded(Normal(1, rows * heads * headSize), ElementType.BF16);
            // The last two do not lie within the rows.
            int[] ranges = [0, 9, 3, 1, 5, 0, 2, 4, 8, 2, -1, 3];
            float[] before = Normal(2, 6 * headSize);
            Tensor y = cuda.Put(before, 6, headSize);
            cuda.PoolHeads(cuda.Put([.. x.Select(v => (float)v)], rows, heads * headSize, ElementType.BF16), cuda.Put(ranges, 6, 2), headSize, y);
            double[] wanted = new double[6 * headSize];
            for (int r = 0; r < 4; r++)
                for (int i = 0; i < ranges[2 * r + 1] * heads; i++)
                    for (int j = 0; j < headSize; j++)
                        wanted[r * headSize + j] += x[(ranges[2 * r] * heads + i) * headSize + j] / (ranges[2 * r + 1] * heads);
            for (int i = 4 * headSize; i < wanted.Length; i++)
                wanted[i] = before[i];
            Near(wanted, cuda.Get(y), 1e-6, $"{heads}x{headSize}");
        }
    }

    [TestMethod]
    public void PoolHeadsOfManyRows()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int rows = 700, columns = 128, headSize = 64;
        double[] x = Rounded(Normal(1, rows * columns), ElementType.BF16), wanted = new double[headSize];
        Tensor y = cuda.Blank(1, headSize);
        cuda.PoolHeads(cuda.Put([.. x.Select(v => (float)v)], rows, columns, ElementType.BF16), cuda.Put([1, rows - 1], 1, 2), headSize, y);
        for (int i = columns; i < x.Length; i++)
            wanted[i % headSize] += x[i] / (2 * (rows - 1));
        Near(wanted, cuda.Get(y), 1e-6, "mean");
    }

    private static double Cosine(float[] a, int atA, float[] b, int atB, int terms, int width)
    {
        double total = 0;
        for (int t = 0; t < terms; t++)
        {
            double product = 0, squareA = 0, squareB = 0;
            for (int j = t * width; j < (t + 1) * width; j++)
            {
                product += (double)a[atA + j] * b[atB + j];
                squareA += (double)a[atA + j] * a[atA + j];
                squareB += (double)b[atB + j] * b[atB + j];
            }
            double cosine = product / (Math.Sqrt(squareA) * Math.Sqrt(squareB));
            total += double.IsFinite(cosine) && squareA >= 1e-24 && squareB >= 1e-24 ? cosine : 0;
        }
        return total / terms;
    }

    /// <summary>Up to several rounds of every block's share of the keys. Scores of single-precision sums: 1e-6; places may differ from the reference's only between scores that near.</summary>
    [TestMethod]
    [DataRow(1, 16, 5, 2)]
    [DataRow(3, 10, 200, 4)]
    [DataRow(1, 33, 0, 1)]
    [DataRow(4, 24, 70, 1)]
    [DataRow(1, 8, 300, 0)]
    [DataRow(2, 130, 257, 300)]
    [DataRow(1, 4, 6001, 10)]
    public void CosineTopKFindsTheNearestKeys(int terms, int width, int n, int k)
    {
        using CudaBackend cuda = CudaDevice.Open();
        int d = terms * width, m = 4;
        float[] queries = Normal(1, m * d), keys = Normal(2, n * d);
        int[] limits = [n, n / 2, 0, n + 1];
        Tensor indices = cuda.Put(new int[m * k], m, k), scores = cuda.Blank(m, k);
        cuda.CosineTopK(cuda.Put(queries, m, d), cuda.Put(keys, n, d), cuda.Put(limits, 1, m), terms, indices, scores);
        int[] gotIndices = cuda.GetInts(indices);
        float[] gotScores = cuda.Get(scores);
        limits[3] = 0;
        for (int i = 0; i < m; i++)
        {
            double[] all = [.. Enumerable.Range(0, limits[i]).Select(key => Cosine(queries, i * d, keys, key * d, terms, width))];
            double[] best = [.. all.OrderDescending()];
            Assert.HasCount(Math.Min(k, best.Length), gotIndices.AsSpan(i * k, k).ToArray().Where(index => index >= 0).Distinct());
            for (int place = 0; place < k; place++)
            {
                int index = gotIndices[i * k + place];
                Assert.AreEqual(place < best.Length, index >= 0, $"query {i}, place {place}");
                Assert.AreEqual(index < 0 ? 0 : all[index], gotScores[i * k + place], 1e-6);
                if (index >= 0)
                    Assert.AreEqual(best[place], all[index], 1e-6);
                if (index >= 0 && place > 0)
                    Assert.IsTrue(gotScores[i * k + place] < gotScores[i * k + place - 1] ||
                        (gotScores[i * k + place] == gotScores[i * k + place - 1] && index > gotIndices[i * k + place - 1]), $"query {i}, place {place} is out of order");
            }
        }
    }

    [TestMethod]
    public void CosineTiesGoToTheSmallerIndexAndBadTermsCountZero()
    {
        using CudaBackend cuda = CudaDevice.Open();
        float nan = float.NaN, big = float.PositiveInfinity;
        float[] keys = [0, 0, -1, 0, 1, 0, 2, 0, nan, 1, big, 1, 1e-20f, 0];
        Tensor indices = cuda.Put(new int[7], 1, 7), scores = cuda.Blank(1, 7);
        cuda.CosineTopK(cuda.Put([3f, 0f], 1, 2), cuda.Put(keys, 7, 2), cuda.Put([7], 1, 1), 1, indices, scores);
        CollectionAssert.AreEqual(new[] { 2, 3, 0, 4, 5, 6, 1 }, cuda.GetInts(indices));
        Near([1, 1, 0, 0, 0, 0, -1], cuda.Get(scores), 1e-7, "scores");
        cuda.CosineTopK(cuda.Put([3f, 0f], 1, 2), cuda.Put([1f, 0f], 1, 2), cuda.Put([1], 1, 1), 2, indices.Reshape(7, 1).Slice(0, 1),
            scores.Reshape(7, 1).Slice(0, 1));
        Assert.AreEqual(0.5f, cuda.Get(scores)[0], "one of two terms has no length");
        // Equal keys in the shares of different blocks.
        float[] equal = [.. Enumerable.Repeat(1f, 2 * 3000)];
        Tensor nearest = cuda.Put(new int[600], 1, 600);
        cuda.CosineTopK(cuda.Put([2f, 2f], 1, 2), cuda.Put(equal, 3000, 2), cuda.Put([3000], 1, 1), 1, nearest, cuda.Blank(1, 600));
        CollectionAssert.AreEqual(Enumerable.Range(0, 600).ToArray(), cuda.GetInts(nearest));
    }

    [TestMethod]
    public void AdamWFollowsItsFormula()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (int count in new[] { 1, 17, 2560, 9001 })
            foreach (float clip in new[] { 1f, float.PositiveInfinity })
            {
                AdamWSettings settings = new(1e-2f, WeightDecay: 0.1f, MaxGradNorm: clip);
                float[] start = Normal(1, count);
                double[] theta = Doubles(start), m = new double[count], v = new double[count];
                Tensor t = cuda.Put(start, 1, count), mt = cuda.Put(new float[count], 1, count), vt = cuda.Put(new float[count], 1, count), norm = cuda.Blank(1, 1);
                for (int step = 1; step <= 4; step++)
                {
                    float[] g = Normal(10 + step, count, 0.3);
                    cuda.AdamW(t, cuda.Put(g, 1, count, shift: step % 2 * 4), mt, vt, settings, step, norm);
                    double length = Math.Sqrt(g.Sum(x => (double)x * x)), factor = Math.Min(1, clip / (length + 1e-6));
                    for (int i = 0; i < count; i++)
                    {
                        theta[i] *= 1 - (double)settings.LearningRate * settings.WeightDecay;
                        m[i] = (double)settings.Beta1 * m[i] + (1 - (double)settings.Beta1) * g[i] * factor;
                        v[i] = (double)settings.Beta2 * v[i] + (1 - (double)settings.Beta2) * g[i] * factor * g[i] * factor;
                        theta[i] -= (double)settings.LearningRate * (m[i] / (1 - Math.Pow(settings.Beta1, step))) /
                            (Math.Sqrt(v[i] / (1 - Math.Pow(settings.Beta2, step))) + settings.Epsilon);
                    }
                    Near([length], cuda.Get(norm), 2e-6, "norm");
                    Near(theta, cuda.Get(t), 1e-6, $"theta after step {step}");
                    Near(m, cuda.Get(mt), 1e-6, "first moment", 0.01);
                    Near(v, cuda.Get(vt), 2e-6, "second moment", 0.001);
                }
            }
    }

    [TestMethod]
    public void TheFirstAdamWStepMovesByTheLearningRate()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor theta = cuda.Put([0f], 1, 1), norm = cuda.Blank(1, 1);
        cuda.AdamW(theta, cuda.Put([1f], 1, 1), cuda.Put([0f], 1, 1), cuda.Put([0f], 1, 1), new AdamWSettings(0.125f, MaxGradNorm: float.PositiveInfinity), 1, norm);
        Assert.AreEqual(-0.125f / (1 + 1e-8f), cuda.Get(theta)[0]);
        Assert.AreEqual(1f, cuda.Get(norm)[0]);
    }

    [TestMethod]
    public void AZeroOrEmptyGradientWithoutDecayMovesNothing()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (int count in new[] { 0, 50 })
        {
            float[] start = Normal(1, count);
            Tensor theta = cuda.Put(start, 1, count), norm = cuda.Blank(1, 1);
            cuda.AdamW(theta, cuda.Put(new float[count], 1, count), cuda.Put(new float[count], 1, count), cuda.Put(new float[count], 1, count), new AdamWSettings(0.1f), 1, norm);
            SameBits(start, cuda.Get(theta), "theta");
            Assert.AreEqual(0f, cuda.Get(norm)[0]);
        }
    }

    [TestMethod]
    public void WrongShapesAreRefused()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Blank(2, 4), half = cuda.Nothing(2, 4, ElementType.BF16), indices = cuda.Put([0, 1], 1, 2), one = cuda.Blank(1, 1), keys = cuda.Blank(5000, 4);
        Assert.ThrowsExactly<ArgumentException>(() => cuda.PoolHeads(x, indices.Reshape(1, 2), 4, cuda.Blank(1, 4)));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.PoolHeads(half, indices.Reshape(1, 2), 3, cuda.Blank(1, 3)));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.CosineTopK(x, keys, indices, 3, indices.Reshape(2, 1), cuda.Blank(2, 1)));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.AdamW(x, x, x, half, new AdamWSettings(1), 1, one));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.AdamW(x, x, x, x, new AdamWSettings(1), 0, one));
        Tensor many = cuda.Put(new int[2 * 4097], 2, 4097);
        ArgumentException named = Assert.ThrowsExactly<ArgumentException>(() => cuda.CosineTopK(x, keys, indices, 1, many, cuda.Blank(2, 4097)));
        StringAssert.Contains(named.Message, "at most 4096");
    }

    [TestMethod]
    public void NoCallAllocatesManagedMemory()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Blank(2, 8), limits = cuda.Put([2, 2], 1, 2), indices = cuda.Put([0, 0], 2, 1), scores = cuda.Blank(2, 1), norm = cuda.Blank(1, 1);
        AdamWSettings settings = new(1e-3f);
        cuda.CosineTopK(x, x, limits, 2, indices, scores);
        cuda.AdamW(x, x, x, x, settings, 1, norm);
        long before = GC.GetAllocatedBytesForCurrentThread();
        cuda.CosineTopK(x, x, limits, 2, indices, scores);
        cuda.AdamW(x, x, x, x, settings, 1, norm);
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
