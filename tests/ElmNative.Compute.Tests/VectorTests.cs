using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Pooling, nearest keys and the optimizer.</summary>
[TestClass]
public sealed class VectorTests
{
    [TestMethod]
    public void PoolHeadsAveragesRowsAndHeads()
    {
        using CpuBackend cpu = new(2);
        foreach ((int heads, int headSize) in new[] { (1, 128), (2, 24), (3, 7), (4, 32) })
        {
            float[] x = Normal(1, 9 * heads * headSize);
            int[] ranges = [0, 9, 3, 1, 5, 0, 2, 4];
            Tensor y = cpu.Blank(4, headSize);
            cpu.PoolHeads(cpu.Put(x, 9, heads * headSize), cpu.Put(ranges, 4, 2), headSize, y);
            double[] wanted = new double[4 * headSize];
            for (int r = 0; r < 4; r++)
                for (int i = 0; i < ranges[2 * r + 1] * heads; i++)
                    for (int j = 0; j < headSize; j++)
                        wanted[r * headSize + j] += x[(ranges[2 * r] * heads + i) * headSize + j] / (double)(ranges[2 * r + 1] * heads);
            Near(wanted, cpu.Get(y), 1e-6, $"{heads}x{headSize}");
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

    [TestMethod]
    public void CosineTopKFindsTheNearestKeys()
    {
        using CpuBackend cpu = new(2);
        foreach ((int terms, int width, int n, int k) in new[] { (1, 16, 5, 2), (3, 10, 200, 4), (1, 33, 0, 1), (4, 24, 70, 1) })
        {
            int d = terms * width, m = 3;
            float[] queries = Normal(1, m * d), keys = Normal(2, n * d);
            int[] limits = [n, n / 2, 0];
            Tensor indices = cpu.Put(new int[m * k], m, k), scores = cpu.Blank(m, k);
            cpu.CosineTopK(cpu.Put(queries, m, d), cpu.Put(keys, n, d), cpu.Put(limits, 1, m), terms, indices, scores);
            int[] gotIndices = cpu.GetInts(indices);
            float[] gotScores = cpu.Get(scores);
            for (int i = 0; i < m; i++)
            {
                int[] order = [.. Enumerable.Range(0, limits[i]).OrderByDescending(key =>
                    Cosine(queries, i * d, keys, key * d, terms, width))];
                for (int place = 0; place < k; place++)
                {
                    int index = gotIndices[i * k + place];
                    Assert.AreEqual(place < order.Length ? order[place] : -1, index);
                    Assert.AreEqual(index < 0 ? 0 : Cosine(queries, i * d, keys, index * d, terms, width), gotScores[i * k + place], 1e-6);
                }
            }
        }
    }

    [TestMethod]
    public void CosineTiesGoToTheSmallerIndexAndBadTermsCountZero()
    {
        using CpuBackend cpu = new(1);
        float nan = float.NaN, big = float.PositiveInfinity;
        float[] keys = [0, 0, -1, 0, 1, 0, 2, 0, nan, 1, big, 1, 1e-20f, 0];
        Tensor indices = cpu.Put(new int[7], 1, 7), scores = cpu.Blank(1, 7);
        cpu.CosineTopK(cpu.Put([3f, 0f], 1, 2), cpu.Put(keys, 7, 2), cpu.Put([7], 1, 1), 1, indices, scores);
        CollectionAssert.AreEqual(new[] { 2, 3, 0, 4, 5, 6, 1 }, cpu.GetInts(indices));
        Near([1, 1, 0, 0, 0, 0, -1], cpu.Get(scores), 1e-7, "scores");
        cpu.CosineTopK(cpu.Put([3f, 0f], 1, 2), cpu.Put([1f, 0f], 1, 2), cpu.Put([1], 1, 1), 2, indices.Reshape(7, 1).Slice(0, 1),
            scores.Reshape(7, 1).Slice(0, 1));
        Assert.AreEqual(0.5f, cpu.Get(scores)[0], "one of two terms has no length");
    }

    [TestMethod]
    public void AdamWFollowsItsFormula()
    {
        using CpuBackend cpu = new(2);
        foreach (int count in new[] { 1, 17, 2560, 9000 })
            foreach (float clip in new[] { 1f, float.PositiveInfinity })
            {
                AdamWSettings settings = new(1e-2f, WeightDecay: 0.1f, MaxGradNorm: clip);
                float[] start = Normal(1, count);
                double[] theta = Doubles(start), m = new double[count], v = new double[count];
                Tensor t = cpu.Put(start, 1, count), mt = cpu.Put(new float[count], 1, count), vt = cpu.Put(new float[count], 1, count),
                    norm = cpu.Blank(1, 1);
                for (int step = 1; step <= 4; step++)
                {
                    float[] g = Normal(10 + step, count, 0.3);
                    cpu.AdamW(t, cpu.Put(g, 1, count), mt, vt, settings, step, norm);
                    double length = Math.Sqrt(g.Sum(x => (double)x * x)), factor = Math.Min(1, clip / (length + 1e-6));
                    for (int i = 0; i < count; i++)
                    {
                        theta[i] *= 1 - (double)settings.LearningRate * settings.WeightDecay;
                        m[i] = (double)settings.Beta1 * m[i] + (1 - (double)settings.Beta1) * g[i] * factor;
                        v[i] = (double)settings.Beta2 * v[i] + (1 - (double)settings.Beta2) * g[i] * factor * g[i] * factor;
                        theta[i] -= (double)settings.LearningRate * (m[i] / (1 - Math.Pow(settings.Beta1, step))) /
                            (Math.Sqrt(v[i] / (1 - Math.Pow(settings.Beta2, step))) + settings.Epsilon);
                    }
                    Near([length], cpu.Get(norm), 2e-6, "norm");
                    Near(theta, cpu.Get(t), 1e-6, $"theta after step {step}");
                    Near(m, cpu.Get(mt), 1e-6, "first moment", 0.01);
                    Near(v, cpu.Get(vt), 2e-6, "second moment", 0.001);
                }
            }
    }

    [TestMethod]
    public void TheFirstAdamWStepMovesByTheLearningRate()
    {
        using CpuBackend cpu = new(1);
        Tensor theta = cpu.Put([0f], 1, 1), norm = cpu.Blank(1, 1);
        cpu.AdamW(theta, cpu.Put([1f], 1, 1), cpu.Put([0f], 1, 1), cpu.Put([0f], 1, 1),
            new AdamWSettings(0.125f, MaxGradNorm: float.PositiveInfinity), 1, norm);
        Assert.AreEqual(-0.125f / (1 + 1e-8f), cpu.Get(theta)[0]);
        Assert.AreEqual(1f, cpu.Get(norm)[0]);
    }

    [TestMethod]
    public void AZeroGradientWithoutDecayMovesNothing()
    {
        using CpuBackend cpu = new(1);
        float[] start = Normal(1, 50);
        Tensor theta = cpu.Put(start, 1, 50), zero = cpu.Put(new float[50], 1, 50), norm = cpu.Blank(1, 1);
        cpu.AdamW(theta, zero, cpu.Put(new float[50], 1, 50), cpu.Put(new float[50], 1, 50), new AdamWSettings(0.1f), 1, norm);
        SameBits(start, cpu.Get(theta), "theta");
        Assert.AreEqual(0f, cpu.Get(norm)[0]);
    }
}
