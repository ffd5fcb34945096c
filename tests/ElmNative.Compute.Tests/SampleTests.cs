using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

[TestClass]
public sealed class SampleTests
{
    private static SamplingRow Row(float temperature = 1, int topK = 0, float topP = 1, float minP = 0, uint position = 0) => new()
    {
        Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, SeedLow = 7, SeedHigh = 9, Problem = 1, Step = 2, Rollout = 3,
            Position = position,
    };

    private static (int[] Tokens, float[] LogProbs) Sample(CpuBackend cpu, float[] logits, params SamplingRow[] rows)
    {
        Tensor tokens = cpu.Put(new int[rows.Length], 1, rows.Length), logprobs = cpu.Blank(1, rows.Length);
        cpu.Sample(cpu.Put(logits, rows.Length, logits.Length / rows.Length), cpu.Put(rows), tokens, logprobs);
        return (cpu.GetInts(tokens), cpu.Get(logprobs));
    }

    [TestMethod]
    [DataRow(new uint[] { 0, 0, 0, 0 }, new uint[] { 0, 0 }, new uint[] { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 })]
    [DataRow(new uint[] { ~0u, ~0u, ~0u, ~0u }, new uint[] { ~0u, ~0u }, new uint[] { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd })]
    [DataRow(new uint[] { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, new uint[] { 0xa4093822, 0x299f31d0 },
        new uint[] { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 })]
    public unsafe void PhiloxGivesItsKnownAnswers(uint[] counter, uint[] key, uint[] wanted)
    {
        uint[] output = new uint[4];
        fixed (uint* c = counter, k = key, o = output)
            NativeMethods.elm_philox(c, k, o);
        CollectionAssert.AreEqual(wanted, output);
    }

    [TestMethod]
    public void GreedyTakesTheSmallestIndexOfTheLargest()
    {
        using CpuBackend cpu = new(1);
        (int[] tokens, float[] logprobs) = Sample(cpu, [1, 4, 4, 2, -0f, 0f, -0f, -1], Row(0), Row(0));
        CollectionAssert.AreEqual(new[] { 1, 0 }, tokens);
        Near([4 - Reference.Softmax([1, 4, 4, 2], 1).LogSum, -Reference.Softmax([0, 0, 0, -1], 1).LogSum], logprobs, 1e-6,
            "log-probabilities at temperature 1");
    }

    [TestMethod]
    public void NaNAndNothingFiniteGiveMinusOne()
    {
        using CpuBackend cpu = new(2);
        float none = float.NegativeInfinity;
        foreach (float temperature in new[] { 0f, 1f })
        {
            (int[] tokens, float[] logprobs) = Sample(cpu,
                [1, 2, float.NaN, 0, none, none, none, none, none, none, 3, none, 1, float.PositiveInfinity, 2, 0, float.NaN, 1, 2, 3],
                Row(temperature), Row(temperature), Row(temperature), Row(temperature), Row(temperature));
            CollectionAssert.AreEqual(new[] { -1, -1, 2, -1, -1 }, tokens);
            Assert.IsTrue(float.IsNaN(logprobs[0]) && float.IsNaN(logprobs[1]) && float.IsNaN(logprobs[3]));
            Assert.AreEqual(0f, logprobs[2]);
        }
    }

    /// <summary>The candidates in their definition: sort by falling logit and rising id, cut, cut, cut.</summary>
    private static HashSet<int> Candidates(float[] logits, SamplingRow row)
    {
        double[] p = Reference.Softmax(Doubles(logits), row.Temperature).P;
        List<int> order = [.. Enumerable.Range(0, logits.Length).OrderByDescending(v => logits[v]).ThenBy(v => v)];
        if (row.TopK > 0)
            order = [.. order.Take(row.TopK)];
        if (row.TopP < 1)
        {
            double total = order.Sum(v => p[v]), mass = 0;
            int kept = 0;
            while (kept < order.Count && mass < row.TopP * total)
                mass += p[order[kept++]];
            order = order[..kept];
        }
        return [.. order.Where(v => p[v] >= row.MinP * p.Max())];
    }

    [TestMethod]
    [DataRow(1f, 0, 1f, 0f)]
    [DataRow(0.7f, 5, 1f, 0f)]
    [DataRow(1f, 0, 0.8f, 0f)]
    [DataRow(1.3f, 0, 1f, 0.2f)]
    [DataRow(1f, 12, 0.9f, 0.05f)]
    [DataRow(1f, 1, 1f, 0f)]
    [DataRow(1f, 0, 0f, 0f)]
    public void DrawsFollowTheFilteredDistribution(float temperature, int topK, float topP, float minP)
    {
        using CpuBackend cpu = new(2);
        const int draws = 20000, vocabulary = 20;
        float[] logits = Normal(3, vocabulary, 1.5);
        logits[7] = logits[3];
        SamplingRow[] rows = [.. Enumerable.Range(0, draws).Select(i => Row(temperature, topK, topP, minP, (uint)i))];
        (int[] tokens, float[] logprobs) = Sample(cpu, [.. rows.SelectMany(_ => logits)], rows);
        HashSet<int> candidates = topP == 0 ? [.. Enumerable.Range(0, vocabulary).OrderByDescending(v => logits[v]).Take(1)]
            : Candidates(logits, rows[0]);
        double[] p = Reference.Softmax(Doubles(logits), temperature).P;
        double mass = candidates.Sum(v => p[v]), chiSquare = 0;
        int[] counts = new int[vocabulary];
        for (int i = 0; i < draws; i++)
        {
            counts[tokens[i]]++;
            Assert.AreEqual(Math.Log(p[tokens[i]]), logprobs[i], 2e-6, "log-probability of the unfiltered distribution");
        }
        for (int v = 0; v < vocabulary; v++)
        {
            double wanted = candidates.Contains(v) ? draws * p[v] / mass : 0;
            if (wanted == 0)
                Assert.AreEqual(0, counts[v], $"token {v} is no candidate");
            else
                chiSquare += (counts[v] - wanted) * (counts[v] - wanted) / wanted;
        }
        // The mean of the statistic is its degrees of freedom, its variance twice that: five deviations.
        double freedom = candidates.Count - 1;
        Assert.IsLessThan(freedom + 5 * Math.Sqrt(2 * freedom) + 1e-9, chiSquare);
    }

    [TestMethod]
    public void TiesAtTheThresholdKeepTheSmallerId()
    {
        using CpuBackend cpu = new(1);
        float[] logits = [0, 1, 1, 1, 0];
        for (uint i = 0; i < 200; i++)
        {
            Assert.IsTrue(Sample(cpu, logits, Row(topK: 2, position: i)).Tokens[0] is 1 or 2);
            Assert.IsTrue(Sample(cpu, logits, Row(topP: 0.3f, position: i)).Tokens[0] is 1 or 2);
        }
    }

    [TestMethod]
    public void TopPOverAFlatLargeVocabularyKeepsTheFirstIds()
    {
        using CpuBackend cpu = new(1);
        float[] logits = new float[5000];
        int largest = 0;
        for (uint i = 0; i < 300; i++)
            largest = Math.Max(largest, Sample(cpu, logits, Row(topP: 0.5f, position: i)).Tokens[0]);
        Assert.IsTrue(largest is > 2400 and < 2500, $"{largest}");
    }

    [TestMethod]
    public void EveryPartOfTheCounterAndTheSeedMatters()
    {
        using CpuBackend cpu = new(1);
        float[] logits = new float[1 << 16];
        HashSet<int> tokens = [];
        SamplingRow row = Row();
        tokens.Add(Sample(cpu, logits, row).Tokens[0]);
        Assert.AreEqual(tokens.Single(), Sample(cpu, logits, row).Tokens[0]);
        tokens.Add(Sample(cpu, logits, row with { SeedLow = 8 }).Tokens[0]);
        tokens.Add(Sample(cpu, logits, row with { SeedHigh = 8 }).Tokens[0]);
        tokens.Add(Sample(cpu, logits, row with { Problem = 8 }).Tokens[0]);
        tokens.Add(Sample(cpu, logits, row with { Step = 8 }).Tokens[0]);
        tokens.Add(Sample(cpu, logits, row with { Rollout = 8 }).Tokens[0]);
        tokens.Add(Sample(cpu, logits, row with { Position = 8 }).Tokens[0]);
        Assert.HasCount(7, tokens);
    }

    /// <summary>The first draw computed by hand: the uniform number from Philox and the inverse distribution.</summary>
    [TestMethod]
    public unsafe void ADrawIsTheInverseTransformOfItsPhiloxNumber()
    {
        using CpuBackend cpu = new(1);
        uint* counter = stackalloc uint[4] { 1, 2, 3, 0 }, key = stackalloc uint[2] { 7, 9 }, words = stackalloc uint[4];
        for (uint position = 0; position < 100; position++)
        {
            counter[3] = position;
            NativeMethods.elm_philox(counter, key, words);
            double u = (((ulong)(words[0] >> 5) << 26) + (words[1] >> 6)) / 9007199254740992.0;
            Assert.AreEqual((int)(u * 1024), Sample(cpu, new float[1024], Row(position: position)).Tokens[0]);
        }
    }
}
