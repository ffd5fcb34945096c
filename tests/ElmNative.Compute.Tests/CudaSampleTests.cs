using System.Runtime.InteropServices;
using ElmNative.Compute.Cpu;
using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Draws on the GPU: their distribution, their definition, and that they are the CPU's; and the step of a decode loop.</summary>
[TestClass]
public sealed class CudaSampleTests
{
    private static SamplingRow Row(float temperature = 1, int topK = 0, float topP = 1, float minP = 0, uint position = 0) => new()
    {
        Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, SeedLow = 7, SeedHigh = 9, Problem = 1, Step = 2, Rollout = 3,
            Position = position,
    };

    private static (int[] Tokens, float[] LogProbs) Sample(IBackend backend, float[] logits, params SamplingRow[] rows)
    {
        Tensor tokens = backend.Put(new int[rows.Length], 1, rows.Length), logprobs = backend.Blank(1, rows.Length);
        backend.Sample(backend.Put(logits, rows.Length, logits.Length / rows.Length), backend.Put(rows), tokens, logprobs);
        return (backend.GetInts(tokens), backend.Get(logprobs));
    }

    [TestMethod]
    public void GreedyTakesTheSmallestIndexOfTheLargest()
    {
        using CudaBackend cuda = CudaDevice.Open();
        (int[] tokens, float[] logprobs) = Sample(cuda, [1, 4, 4, 2, -0f, 0f, -0f, -1], Row(0), Row(0));
        CollectionAssert.AreEqual(new[] { 1, 0 }, tokens);
        Near([4 - Reference.Softmax([1, 4, 4, 2], 1).LogSum, -Reference.Softmax([0, 0, 0, -1], 1).LogSum], logprobs, 1e-6, "log-probabilities at temperature 1");
        float[] wide = Normal(1, 3 * 40001);
        wide[7] = wide[40000] = wide[40001 + 39999] = wide[2 * 40001 + 20000] = wide[2 * 40001 + 20001] = 9;
        CollectionAssert.AreEqual(new[] { 7, 39999, 20000 }, Sample(cuda, wide, Row(0), Row(0, topK: 3), Row(0, topP: 0.5f)).Tokens);
    }

    [TestMethod]
    public void NaNAndNothingFiniteGiveMinusOne()
    {
        using CudaBackend cuda = CudaDevice.Open();
        float none = float.NegativeInfinity;
        foreach (SamplingRow row in new[] { Row(0), Row(1), Row(1, topK: 2), Row(1, topP: 0.5f) })
        {
            (int[] tokens, float[] logprobs) = Sample(cuda,
                [1, 2, float.NaN, 0, none, none, none, none, none, none, 3, none, 1, float.PositiveInfinity, 2, 0, float.NaN, 1, 2, 3], row, row, row, row, row);
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
            do
                mass += p[order[kept++]];
            while (kept < order.Count && mass < row.TopP * total);
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
        using CudaBackend cuda = CudaDevice.Open();
        const int draws = 250, vocabulary = 20;
        float[] logits = Normal(3, vocabulary, 1.5);
        logits[7] = logits[3];
        SamplingRow[] rows = [.. Enumerable.Range(0, draws).Select(i => Row(temperature, topK, topP, minP, (uint)i))];
        (int[] tokens, float[] logprobs) = Sample(cuda, [.. rows.SelectMany(_ => logits)], rows);
        HashSet<int> candidates = Candidates(logits, rows[0]);
        double[] p = Reference.Softmax(Doubles(logits), temperature).P;
        double mass = candidates.Sum(v => p[v]), chiSquare = 0, rareWanted = 0, rare = 0, freedom = 0;
        int[] counts = new int[vocabulary];
        for (int i = 0; i < draws; i++)
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
            double wanted = candidates.Contains(v) ? draws * p[v] / mass : 0;
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
        using CudaBackend cuda = CudaDevice.Open();
        float[] logits = [0, 1, 1, 1, 0], wide = new float[700];
        SamplingRow[] byRank = [.. Enumerable.Range(0, 80).Select(i => Row(topK: 2, position: (uint)i))], byMass = [.. byRank.Select(row => row with { TopK = 0, TopP = 0.3f })];
        CollectionAssert.AreEqual(new[] { 1, 2 }, Sample(cuda, [.. byRank.SelectMany(_ => logits)], byRank).Tokens.Distinct().Order().ToArray());
        CollectionAssert.AreEqual(new[] { 1, 2 }, Sample(cuda, [.. byMass.SelectMany(_ => logits)], byMass).Tokens.Distinct().Order().ToArray());
        // Of three likely tokens and many ties far below them, top-k takes the first ties; top-p then cuts among those it took.
        wide[400] = wide[500] = wide[600] = 1;
        SamplingRow[] both = [.. byRank.Select(row => row with { TopK = 8, TopP = 0.95f })];
        HashSet<int> wanted = Candidates(wide, both[0]);
        CollectionAssert.AreEquivalent(new[] { 0, 1, 2, 3, 4, 400, 500, 600 }, Candidates(wide, both[0] with { TopP = 1 }).ToArray());
        Assert.IsTrue(wanted.IsSubsetOf([0, 1, 2, 3, 4, 400, 500, 600]));
        CollectionAssert.AreEquivalent(wanted.ToArray(), Sample(cuda, [.. both.SelectMany(_ => wide)], both).Tokens.Distinct().ToArray());
    }

    [TestMethod]
    public void TopPOverAFlatLargeVocabularyKeepsTheFirstIds()
    {
        using CudaBackend cuda = CudaDevice.Open();
        SamplingRow[] rows = [.. Enumerable.Range(0, 12).Select(i => Row(topP: 0.5f, position: (uint)i))];
        CollectionAssert.AreEqual(rows.Select(row => (int)(Uniform(row) * 2500)).ToArray(), Sample(cuda, new float[12 * 5000], rows).Tokens);
    }

    [TestMethod]
    public void EveryPartOfTheCounterAndTheSeedMatters()
    {
        using CudaBackend cuda = CudaDevice.Open();
        SamplingRow row = Row();
        int[] tokens = Sample(cuda, new float[8 << 14], row, row, row with { SeedLow = 8 }, row with { SeedHigh = 8 }, row with { Problem = 8 }, row with { Step = 8 }, row with { Rollout = 8 },
            row with { Position = 8 }).Tokens;
        Assert.AreEqual(tokens[0], tokens[1]);
        Assert.HasCount(7, tokens.Distinct());
    }

    [TestMethod]
    public void ADrawIsTheInverseTransformOfItsPhiloxNumber()
    {
        using CudaBackend cuda = CudaDevice.Open();
        SamplingRow[] rows = [.. Enumerable.Range(0, 40).Select(i => Row(position: (uint)i))];
        CollectionAssert.AreEqual(rows.Select(row => (int)(Uniform(row) * 1024)).ToArray(), Sample(cuda, new float[40 * 1024], rows).Tokens);
    }

    private static unsafe double Uniform(SamplingRow row)
    {
        uint* counter = stackalloc uint[4] { row.Problem, row.Step, row.Rollout, row.Position }, key = stackalloc uint[2] { row.SeedLow, row.SeedHigh }, words = stackalloc uint[4];
        NativeMethods.elm_philox(counter, key, words);
        return (((ulong)(words[0] >> 5) << 26) + (words[1] >> 6)) / 9007199254740992.0;
    }

    /// <summary>The CPU's token and log-probability for the same logits; another token only where the uniform number falls on the border of two tokens, within the rounding of float sums.</summary>
    [TestMethod]
    [DataRow(1, 1)]
    [DataRow(7, 12)]
    [DataRow(128, 12)]
    [DataRow(129, 12)]
    [DataRow(1000, 24)]
    [DataRow(4100, 12)]
    [DataRow(8191, 12)]
    [DataRow(152064, 4)]
    public void DrawsAreThoseOfTheCpu(int vocabulary, int draws)
    {
        using CudaBackend cuda = CudaDevice.Open();
        using CpuBackend cpu = new(2);
        (float Temperature, int TopK, float TopP, float MinP)[] settings =
        [
            (1, 0, 1, 0), (0.8f, 0, 0.95f, 0), (1, 50, 1, 0), (1.5f, 0, 1, 0.01f), (1, 40, 0.9f, 0.02f), (0, 0, 1, 0), (3, 0, 0.999f, 0), (1, 3000, 1, 0), (2, 3000, 0.99f, 0), (0.05f, 0, 0.5f, 0),
            (1, 1, 1, 0), (1, 0, 0.99999f, 0),
        ];
        SamplingRow[] rows = [.. Enumerable.Range(0, draws).Select(i =>
            Row(settings[i % settings.Length].Temperature, settings[i % settings.Length].TopK, settings[i % settings.Length].TopP, settings[i % settings.Length].MinP, (uint)i))];
        float[] logits = Normal(vocabulary, (long)draws * vocabulary, 3);
        // Masked tokens, and logits on a coarse grid, which tie.
        for (int i = 0; i < logits.Length; i += 3)
            logits[i] = MathF.Round(logits[i] * 4) / 4;
        for (int i = 0; i < logits.Length; i += 5)
            logits[i] = i % 10 == 0 && vocabulary > 1 ? float.NegativeInfinity : logits[i];
        (int[] wanted, float[] wantedLogProbs) = Sample(cpu, logits, rows);
        (int[] got, float[] gotLogProbs) = Sample(cuda, logits, rows);
        for (int i = 0; i < draws; i++)
        {
            float[] row = logits[(i * vocabulary)..((i + 1) * vocabulary)];
            if (wanted[i] == got[i])
                Assert.AreEqual(wantedLogProbs[i], gotLogProbs[i], 4e-6 * (1 + Math.Abs(wantedLogProbs[i])), $"draw {i}");
            else
                Assert.IsTrue(OnABorder(row, rows[i], wanted[i], got[i]), $"draw {i} of {vocabulary} is {got[i]}, on the CPU {wanted[i]}");
        }
    }

    private static bool OnABorder(float[] logits, SamplingRow row, int first, int second)
    {
        double[] p = Reference.Softmax(Doubles(logits), row.Temperature).P;
        HashSet<int> candidates = Candidates(logits, row);
        double mass = candidates.Sum(v => p[v]), below = candidates.Where(v => v < Math.Max(first, second)).Sum(v => p[v]);
        return candidates.Contains(first) && candidates.Contains(second) && Math.Abs(below / mass - Uniform(row)) < 1e-6;
    }

    [TestMethod]
    public void ADrawDoesNotDependOnItsBatch()
    {
        using CudaBackend cuda = CudaDevice.Open();
        float[] logits = Normal(1, 5 * 999);
        SamplingRow[] rows = [Row(), Row(topK: 5), Row(topP: 0.5f), Row(2, position: 4), Row(0)];
        (int[] tokens, float[] logprobs) = Sample(cuda, logits, rows);
        for (int i = 0; i < rows.Length; i++)
        {
            (int[] token, float[] logprob) = Sample(cuda, logits[(i * 999)..((i + 1) * 999)], rows[i]);
            Assert.AreEqual(tokens[i], token[0]);
            SameBits(logprobs.AsSpan(i, 1), logprob, $"row {i}");
        }
    }

    [TestMethod]
    public void NoRowsAndNoVocabularyAreAllowed()
    {
        using CudaBackend cuda = CudaDevice.Open();
        cuda.Sample(cuda.Blank(0, 5), cuda.Put(Array.Empty<SamplingRow>()), cuda.Put([], 1, 0), cuda.Blank(1, 0));
        CollectionAssert.AreEqual(new[] { -1, -1 }, Sample(cuda, [], Row(), Row(0)).Tokens);
    }

    [TestMethod]
    public void WrongShapesAreRefused()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor logits = cuda.Blank(2, 4), rows = cuda.Put(new SamplingRow[2]), two = cuda.Put([0, 0], 1, 2), probabilities = cuda.Blank(1, 2);
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Sample(logits, rows, two, two));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Sample(logits, rows.Slice(0, 1), two, probabilities));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Sample(cuda.Blank(1, 1 << 20), rows.Slice(0, 1), two.Reshape(2, 1).Slice(0, 1), probabilities.Reshape(2, 1).Slice(0, 1)));
        ArgumentException named = Assert.ThrowsExactly<ArgumentException>(() => cuda.AdvanceDecode(new DecodeLoop(cuda, 2, 3, [5]).State with { Queries = two }, two, probabilities));
        StringAssert.Contains(named.Message, "Queries");
    }

    /// <summary>A decode loop's state on the device and, written out once more, on the host.</summary>
    private sealed class DecodeLoop
    {
        private readonly IBackend backend;
        private readonly int m, steps;
        private readonly int[] endTokens;

        public DecodeLoop(IBackend backend, int m, int steps, int[] endTokens)
        {
            (this.backend, this.m, this.steps, this.endTokens) = (backend, m, steps, endTokens);
            Tokens = [.. Enumerable.Range(100, m)];
            Positions = [.. Enumerable.Range(20, m)];
            Slots = [.. Enumerable.Range(0, m).Select(i => 50 * i)];
            Queries = [.. Enumerable.Range(0, 2 * m)];
            Sampling = [.. Enumerable.Range(0, m).Select(i => Row(position: (uint)i))];
            Left = [.. Enumerable.Range(0, m).Select(i => i % 5)];
            StopsAtEnd = [.. Enumerable.Range(0, m).Select(i => i / 2 % 2)];
            HistoryTokens = [.. Enumerable.Repeat(-7, steps * (m + 1))];
            HistoryLogProbs = new float[steps * (m + 1)];
            State = new DecodeState(backend.Put(Tokens, 1, m), backend.Put(Positions, 1, m), backend.Put(Slots, 1, m), backend.Put(Queries, m, 2), backend.Put(Sampling), backend.Put(Left, 1, m),
                backend.Put(StopsAtEnd, 1, m), backend.Put(endTokens, 1, endTokens.Length), backend.Put([0], 1, 1), backend.Put(HistoryTokens, steps, m + 1),
                backend.Put(HistoryLogProbs, steps, m + 1));
        }

        public DecodeState State { get; }
        private int[] Tokens { get; }
        private int[] Positions { get; }
        private int[] Slots { get; }
        private int[] Queries { get; }
        private SamplingRow[] Sampling { get; }
        private int[] Left { get; }
        private int[] StopsAtEnd { get; }
        private int[] HistoryTokens { get; }
        private float[] HistoryLogProbs { get; }

        /// <summary>What the contract says of a step.</summary>
        public void Expect(int step, int[] drawn, float[] logprobs)
        {
            for (int i = 0; i < m; i++)
            {
                if (step < steps)
                    (HistoryTokens[step * (m + 1) + i], HistoryLogProbs[step * (m + 1) + i]) = Left[i] == 0 ? (-2, 0) : (drawn[i], logprobs[i]);
                if (Left[i] == 0)
                    continue;
                if (drawn[i] < 0 || (StopsAtEnd[i] == 1 && endTokens.Contains(drawn[i])) || Left[i] == 1)
                {
                    (Left[i], Slots[i]) = (0, -1);
                    continue;
                }
                Left[i]--;
                Tokens[i] = drawn[i];
                Positions[i]++;
                Slots[i]++;
                Queries[2 * i + 1]++;
                Sampling[i].Position++;
            }
        }

        public void Compare(int step)
        {
            CollectionAssert.AreEqual(Tokens, backend.GetInts(State.Tokens), "tokens");
            CollectionAssert.AreEqual(Positions, backend.GetInts(State.Positions), "positions");
            CollectionAssert.AreEqual(Slots, backend.GetInts(State.Slots), "slots");
            CollectionAssert.AreEqual(Queries, backend.GetInts(State.Queries), "queries");
            CollectionAssert.AreEqual(MemoryMarshal.Cast<SamplingRow, int>(Sampling).ToArray(), backend.GetInts(State.Sampling), "sampling");
            CollectionAssert.AreEqual(Left, backend.GetInts(State.Left), "left");
            CollectionAssert.AreEqual(new[] { step }, backend.GetInts(State.Step), "step");
            CollectionAssert.AreEqual(HistoryTokens, backend.GetInts(State.HistoryTokens), "history");
            SameBits(HistoryLogProbs, backend.Get(State.HistoryLogProbs), "history of log-probabilities");
        }
    }

    [TestMethod]
    [DataRow(0, new int[0])]
    [DataRow(1, new[] { 3 })]
    [DataRow(11, new int[0])]
    [DataRow(300, new[] { 3, 5 })]
    public void AdvanceDecodeFollowsItsContract(int m, int[] endTokens)
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int steps = 5;
        DecodeLoop loop = new(cuda, m, steps, endTokens);
        Random random = new(m);
        // One step more than the history has room for: it moves the sequences and records nothing.
        for (int step = 0; step <= steps; step++)
        {
            int[] drawn = [.. Enumerable.Range(0, m).Select(_ => random.Next(-1, 8))];
            float[] logprobs = Normal(step, m);
            cuda.AdvanceDecode(loop.State, cuda.Put(drawn, 1, m), cuda.Put(logprobs, 1, m));
            loop.Expect(step, drawn, logprobs);
            loop.Compare(step + 1);
        }
    }

    /// <summary>One captured step, launched again and again, draws what one call after the other draws: positions are the device's own.</summary>
    [TestMethod]
    public void ADecodeLoopRunsAsAGraph()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int m = 11, vocabulary = 300, steps = 5;
        Tensor logits = cuda.Put(Normal(1, m * vocabulary), m, vocabulary), tokens = cuda.Put(new int[m], 1, m), logprobs = cuda.Blank(1, m);
        DecodeState captured = new DecodeLoop(cuda, m, steps, [3]).State, called = new DecodeLoop(cuda, m, steps, [3]).State;
        void Step(in DecodeState state)
        {
            cuda.Sample(logits, state.Sampling, tokens, logprobs);
            cuda.AdvanceDecode(state, tokens, logprobs);
        }
        for (int step = 0; step < steps; step++)
            Step(called);
        using (IGraph graph = cuda.Capture(() => Step(captured)))
            for (int step = 0; step < steps; step++)
                graph.Launch();
        CollectionAssert.AreEqual(cuda.GetInts(called.HistoryTokens), cuda.GetInts(captured.HistoryTokens));
        SameBits(cuda.Get(called.HistoryLogProbs), cuda.Get(captured.HistoryLogProbs), "log-probabilities");
        CollectionAssert.AreEqual(cuda.GetInts(called.Sampling), cuda.GetInts(captured.Sampling));
        CollectionAssert.AreEqual(new int[m], cuda.GetInts(captured.Left));
        Assert.IsGreaterThan(2, cuda.GetInts(captured.HistoryTokens).Where(token => token >= 0).Distinct().Count());
    }

    [TestMethod]
    public void NoCallAllocatesManagedMemory()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor logits = cuda.Put(Normal(1, 20), 2, 10), rows = cuda.Put([Row(), Row()]), tokens = cuda.Put([0, 0], 1, 2), logprobs = cuda.Blank(1, 2);
        DecodeState state = new DecodeLoop(cuda, 2, 4, [3]).State;
        cuda.Sample(logits, rows, tokens, logprobs);
        cuda.AdvanceDecode(state, tokens, logprobs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        cuda.Sample(logits, rows, tokens, logprobs);
        cuda.AdvanceDecode(state, tokens, logprobs);
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
