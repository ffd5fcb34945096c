using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Pooling, nearest keys and the optimizer, on every backend.</summary>
public abstract class VectorContract
{
    /// <summary>A backend of its own for each test.</summary>
    private protected abstract IBackend Open();

    [TestMethod]
    public void PoolHeadsAveragesRowsAndHeads()
    {
        using IBackend backend = Open();
        foreach ((int heads, int headSize) in new[] { (1, 128), (2, 24), (3, 7), (4, 32), (1, 1030), (1, 5000) })
        {
            float[] x = Normal(1, 9 * heads * headSize);
            double[] rounded = Rounded(x, backend.ActivationType), wanted = new double[4 * headSize];
            int[] ranges = [0, 9, 3, 1, 5, 0, 2, 4];
            Tensor y = backend.Blank(4, headSize);
            backend.PoolHeads(backend.Put(x, 9, heads * headSize, backend.ActivationType), backend.Put(ranges, 4, 2), headSize, y);
            for (int r = 0; r < 4; r++)
                for (int i = 0; i < ranges[2 * r + 1] * heads; i++)
                    for (int j = 0; j < headSize; j++)
                        wanted[r * headSize + j] += rounded[(ranges[2 * r] * heads + i) * headSize + j] / (ranges[2 * r + 1] * heads);
            Near(wanted, backend.Get(y), 1e-6, $"{heads}x{headSize}");
        }
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

    /// <summary>Up to several rounds of every block's share of the keys on a GPU. Scores of single-precision sums: 1e-6; places may differ from the reference's only between scores that near.</summary>
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
        using IBackend backend = Open();
        int d = terms * width, m = 3;
        float[] queries = Normal(1, m * d), keys = Normal(2, n * d);
        int[] limits = [n, n / 2, 0];
        Tensor indices = backend.Put(new int[m * k], m, k), scores = backend.Blank(m, k);
        backend.CosineTopK(backend.Put(queries, m, d), backend.Put(keys, n, d), backend.Put(limits, 1, m), terms, indices, scores);
        int[] gotIndices = backend.GetInts(indices);
        float[] gotScores = backend.Get(scores);
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
        using IBackend backend = Open();
        float nan = float.NaN, big = float.PositiveInfinity;
        float[] keys = [0, 0, -1, 0, 1, 0, 2, 0, nan, 1, big, 1, 1e-20f, 0];
        Tensor indices = backend.Put(new int[7], 1, 7), scores = backend.Blank(1, 7);
        backend.CosineTopK(backend.Put([3f, 0f], 1, 2), backend.Put(keys, 7, 2), backend.Put([7], 1, 1), 1, indices, scores);
        CollectionAssert.AreEqual(new[] { 2, 3, 0, 4, 5, 6, 1 }, backend.GetInts(indices));
        Near([1, 1, 0, 0, 0, 0, -1], backend.Get(scores), 1e-7, "scores");
        backend.CosineTopK(backend.Put([3f, 0f], 1, 2), backend.Put([1f, 0f], 1, 2), backend.Put([1], 1, 1), 2, indices.Reshape(7, 1).Slice(0, 1),
            scores.Reshape(7, 1).Slice(0, 1));
        Assert.AreEqual(0.5f, backend.Get(scores)[0], "one of two terms has no length");
        // Equal keys in the shares of different blocks of a GPU.
        float[] equal = [.. Enumerable.Repeat(1f, 2 * 3000)];
        Tensor nearest = backend.Put(new int[600], 1, 600);
        backend.CosineTopK(backend.Put([2f, 2f], 1, 2), backend.Put(equal, 3000, 2), backend.Put([3000], 1, 1), 1, nearest, backend.Blank(1, 600));
        CollectionAssert.AreEqual(Enumerable.Range(0, 600).ToArray(), backend.GetInts(nearest));
    }

    [TestMethod]
    public void AdamWFollowsItsFormula()
    {
        using IBackend backend = Open();
        foreach (int count in new[] { 1, 17, 2560, 9001 })
            foreach (float clip in new[] { 1f, float.PositiveInfinity })
            {
                AdamWSettings settings = new(1e-2f, WeightDecay: 0.1f, MaxGradNorm: clip);
                float[] start = Normal(1, count);
                double[] theta = Doubles(start), m = new double[count], v = new double[count];
                Tensor t = backend.Put(start, 1, count), mt = backend.Put(new float[count], 1, count), vt = backend.Put(new float[count], 1, count), norm = backend.Blank(1, 1);
                for (int step = 1; step <= 4; step++)
                {
                    float[] g = Normal(10 + step, count, 0.3);
                    backend.AdamW(t, backend.Put(g, 1, count, shift: step % 2 * 4), mt, vt, settings, step, norm);
                    double length = Math.Sqrt(g.Sum(x => (double)x * x)), factor = Math.Min(1, clip / (length + 1e-6));
                    for (int i = 0; i < count; i++)
                    {
                        theta[i] *= 1 - (double)settings.LearningRate * settings.WeightDecay;
                        m[i] = (double)settings.Beta1 * m[i] + (1 - (double)settings.Beta1) * g[i] * factor;
                        v[i] = (double)settings.Beta2 * v[i] + (1 - (double)settings.Beta2) * g[i] * factor * g[i] * factor;
                        theta[i] -= (double)settings.LearningRate * (m[i] / (1 - Math.Pow(settings.Beta1, step))) /
                            (Math.Sqrt(v[i] / (1 - Math.Pow(settings.Beta2, step))) + settings.Epsilon);
                    }
                    Near([length], backend.Get(norm), 2e-6, "norm");
                    Near(theta, backend.Get(t), 1e-6, $"theta after step {step}");
                    Near(m, backend.Get(mt), 1e-6, "first moment", 0.01);
                    Near(v, backend.Get(vt), 2e-6, "second moment", 0.001);
                }
            }
    }

    [TestMethod]
    public void TheFirstAdamWStepMovesByTheLearningRate()
    {
        using IBackend backend = Open();
        Tensor theta = backend.Put([0f], 1, 1), norm = backend.Blank(1, 1);
        backend.AdamW(theta, backend.Put([1f], 1, 1), backend.Put([0f], 1, 1), backend.Put([0f], 1, 1), new AdamWSettings(0.125f, MaxGradNorm: float.PositiveInfinity), 1, norm);
        Assert.AreEqual(-0.125f / (1 + 1e-8f), backend.Get(theta)[0]);
        Assert.AreEqual(1f, backend.Get(norm)[0]);
    }

    [TestMethod]
    public void AZeroOrEmptyGradientWithoutDecayMovesNothing()
    {
        using IBackend backend = Open();
        foreach (int count in new[] { 0, 50 })
        {
            float[] start = Normal(1, count);
            Tensor theta = backend.Put(start, 1, count), norm = backend.Blank(1, 1);
            backend.AdamW(theta, backend.Put(new float[count], 1, count), backend.Put(new float[count], 1, count), backend.Put(new float[count], 1, count), new AdamWSettings(0.1f), 1, norm);
            SameBits(start, backend.Get(theta), "theta");
            Assert.AreEqual(0f, backend.Get(norm)[0]);
        }
    }
}
