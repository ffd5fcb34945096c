using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>What <see cref="IBackend.Sample"/> promises on every backend: the draws' definition and their distribution.</summary>
public abstract class SampleContract
{
    /// <summary>Temperature, top-k, top-p, min-p: none, each alone, together, and those that leave one candidate.</summary>
    public static IEnumerable<(float Temperature, int TopK, float TopP, float MinP)> Filters =>
    [
        (1f, 0, 1f, 0f), (0.7f, 5, 1f, 0f), (1f, 0, 0.8f, 0f), (1.3f, 0, 1f, 0.2f), (1f, 12, 0.9f, 0.05f), (1f, 1, 1f, 0f), (1f, 0, 0f, 0f),
    ];

    /// <summary>Draws that a distribution is judged by.</summary>
    private protected abstract int Draws { get; }

    /// <summary>A backend of its own for each test.</summary>
    private protected abstract IBackend Open();

    private protected static SamplingRow Row(float temperature = 1, int topK = 0, float topP = 1, float minP = 0, uint position = 0) => new()
    {
        Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, SeedLow = 7, SeedHigh = 9, Problem = 1, Step = 2, Rollout = 3, Position = position,
    };

    private protected static (int[] Tokens, float[] LogProbs) Sample(IBackend backend, float[] logits, params SamplingRow[] rows)
    {
        Tensor tokens = backend.Put(new int[rows.Length], 1, rows.Length), logprobs = backend.Blank(1, rows.Length);
        backend.Sample(backend.Put(logits, rows.Length, logits.Length / rows.Length), backend.Put(rows), tokens, logprobs);
        return (backend.GetInts(tokens), backend.Get(logprobs));
    }

    /// <summary>The candidates in their definition: sort by falling logit and rising id, cut, cut, cut. Top-p leaves one at least.</summary>
    private protected static HashSet<int> Candidates(float[] logits, SamplingRow row)
    {
        double[] p = Reference.Softmax(Doubles(logits), row.Temperature).P;
        List<int> order = [.. Enumerable.Range(0, logits.Length).OrderByDescending(v => logits[v]).ThenBy(v => v)];
        if (row.TopK > 0)
            order = [.. order.Take(row.TopK)];
        if (row.TopP < 1)
        {
            double total = order.Sum(v => p[v]), mass = 0;
            int kept = 0;
            do
                mass += p[order[kept++]];
            while (kept < order.Count && mass < row.TopP * total);
            order = order[..kept];
        }
        return [.. order.Where(v => p[v] >= row.MinP * p.Max())];
    }

    /// <summary>The uniform number of a draw, in [0, 1), from the words of Philox.</summary>
    private protected static unsafe double Uniform(SamplingRow row)
    {
        uint* counter = stackalloc uint[4] { row.Problem, row.Step, row.Rollout, row.Position }, key = stackalloc uint[2] { row.SeedLow, row.SeedHigh }, words = stackalloc uint[4];
        NativeMethods.elm_philox(counter, key, words);
        return (((ulong)(words[0] >> 5) << 26) + (words[1] >> 6)) / 9007199254740992.0;
    }

    [TestMethod]
    public void GreedyTakesTheSmallestIndexOfTheLargest()
    {
        using IBackend backend = Open();
        (int[] tokens, float[] logprobs) = Sample(backend, [1, 4, 4, 2, -0f, 0f, -0f, -1], Row(0), Row(0));
        CollectionAssert.AreEqual(new[] { 1, 0 }, tokens);
        Near([4 - Reference.Softmax([1, 4, 4, 2], 1).LogSum, -Reference.Softmax([0, 0, 0, -1], 1).LogSum], logprobs, 1e-6, "log-probabilities at temperature 1");
        float[] wide = Normal(1, 3 * 40001);
        wide[7] = wide[40000] = wide[40001 + 39999] = wide[2 * 40001 + 20000] = wide[2 * 40001 + 20001] = 9;
        CollectionAssert.AreEqual(new[] { 7, 39999, 20000 }, Sample(backend, wide, Row(0), Row(0, topK: 3), Row(0, topP: 0.5f)).Tokens);
    }

    [TestMethod]
    public void NaNAndNothingFiniteGiveMinusOne()
    {
        using IBackend backend = Open();
        float none = float.NegativeInfinity;
        foreach (SamplingRow row in new[] { Row(0), Row(1), Row(1, topK: 2), Row(1, topP: 0.5f) })
        {
            (int[] tokens, float[] logprobs) = Sample(backend,
                [1, 2, float.NaN, 0, none, none, none, none, none, none, 3, none, 1, float.PositiveInfinity, 2, 0, float.NaN, 1, 2, 3], row, row, row, row, row);
            CollectionAssert.AreEqual(new[] { -1, -1, 2, -1, -1 }, tokens);
            Assert.IsTrue(float.IsNaN(logprobs[0]) && float.IsNaN(logprobs[1]) && float.IsNaN(logprobs[3]));
            Assert.AreEqual(0f, logprobs[2]);
        }
    }

    [TestMethod]
    [DynamicData(nameof(Filters))]
    public void DrawsFollowTheFilteredDistribution(float temperature, int topK, float topP, float minP)
    {
        using IBackend backend = Open();
        const int vocabulary = 20;
        float[] logits = Normal(3, vocabulary, 1.5);
        logits[7] = logits[3];
        SamplingRow[] rows = [.. Enumerable.Range(0, Draws).Select(i => Row(temperature, topK, topP, minP, (uint)i))];
        (int[] tokens, float[] logprobs) = Sample(backend, [.. rows.SelectMany(_ => logits)], rows);
        HashSet<int> candidates = Candidates(logits, rows[0]);
        double[] p = Reference.Softmax(Doubles(logits), temperature).P;
        double mass = candidates.Sum(v => p[v]), chiSquare = 0, rareWanted = 0, rare = 0, freedom = 0;
        int[] counts = new int[vocabulary];
        for (int i = 0; i < Draws; i++)
        {
            counts[tokens[i]]++;
            Assert.AreEqual(Math.Log(p[tokens[i]]), logprobs[i], 2e-6, "log-probability of the unfiltered distribution");
        }
        void Compare(double wanted, double count)
        {
            chiSquare += (count - wanted) * (count - wanted) / wanted;
            freedom++;
        }
        for (int v = 0; v < vocabulary; v++)
        {
            double wanted = candidates.Contains(v) ? Draws * p[v] / mass : 0;
            if (wanted == 0)
                Assert.AreEqual(0, counts[v], $"token {v} is no candidate");
            else if (wanted >= 5)
                Compare(wanted, counts[v]);
            else
                (rareWanted, rare) = (rareWanted + wanted, rare + counts[v]);
        }
        // Rare tokens count as one.
        if (rareWanted > 0)
            Compare(rareWanted, rare);
        // The mean of the statistic is its degrees of freedom, its variance twice that: five deviations.
        freedom--;
        Assert.IsLessThan(freedom + 5 * Math.Sqrt(2 * freedom) + 1e-9, chiSquare);
    }

    [TestMethod]
    public void TiesAtTheThresholdKeepTheSmallerId()
    {
        using IBackend backend = Open();
        float[] logits = [0, 1, 1, 1, 0], wide = new float[700];
        SamplingRow[] byRank = [.. Enumerable.Range(0, 80).Select(i => Row(topK: 2, position: (uint)i))], byMass = [.. byRank.Select(row => row with { TopK = 0, TopP = 0.3f })];
        CollectionAssert.AreEqual(new[] { 1, 2 }, Sample(backend, [.. byRank.SelectMany(_ => logits)], byRank).Tokens.Distinct().Order().ToArray());
        CollectionAssert.AreEqual(new[] { 1, 2 }, Sample(backend, [.. byMass.SelectMany(_ => logits)], byMass).Tokens.Distinct().Order().ToArray());
        // Of three likely tokens and many ties far below them, top-k takes the first ties; top-p then cuts among those it took.
        wide[400] = wide[500] = wide[600] = 1;
        SamplingRow[] both = [.. byRank.Select(row => row with { TopK = 8, TopP = 0.95f })];
        HashSet<int> wanted = Candidates(wide, both[0]);
        CollectionAssert.AreEquivalent(new[] { 0, 1, 2, 3, 4, 400, 500, 600 }, Candidates(wide, both[0] with { TopP = 1 }).ToArray());
        Assert.IsTrue(wanted.IsSubsetOf([0, 1, 2, 3, 4, 400, 500, 600]));
        CollectionAssert.AreEquivalent(wanted.ToArray(), Sample(backend, [.. both.SelectMany(_ => wide)], both).Tokens.Distinct().ToArray());
    }

    [TestMethod]
    public void TopPOverAFlatLargeVocabularyKeepsTheFirstIds()
    {
        using IBackend backend = Open();
        SamplingRow[] rows = [.. Enumerable.Range(0, 12).Select(i => Row(topP: 0.5f, position: (uint)i))];
        CollectionAssert.AreEqual(rows.Select(row => (int)(Uniform(row) * 2500)).ToArray(), Sample(backend, new float[12 * 5000], rows).Tokens);
    }

    [TestMethod]
    public void EveryPartOfTheCounterAndTheSeedMatters()
    {
        using IBackend backend = Open();
        SamplingRow row = Row();
        int[] tokens = Sample(backend, new float[8 << 14], row, row, row with { SeedLow = 8 }, row with { SeedHigh = 8 }, row with { Problem = 8 }, row with { Step = 8 },
            row with { Rollout = 8 }, row with { Position = 8 }).Tokens;
        Assert.AreEqual(tokens[0], tokens[1]);
        Assert.HasCount(7, tokens.Distinct());
    }

    [TestMethod]
    public void ADrawIsTheInverseTransformOfItsPhiloxNumber()
    {
        using IBackend backend = Open();
        SamplingRow[] rows = [.. Enumerable.Range(0, 40).Select(i => Row(position: (uint)i))];
        CollectionAssert.AreEqual(rows.Select(row => (int)(Uniform(row) * 1024)).ToArray(), Sample(backend, new float[40 * 1024], rows).Tokens);
    }
}
