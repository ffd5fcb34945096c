using System.Runtime.InteropServices;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Sequences that decode, in random states: on a backend and, written out once more, on the host.</summary>
internal sealed class DecodeLoop
{
    private const int Nothing = -2, Untouched = 77, SpareColumns = 3;

    private readonly IBackend backend;
    private readonly int m, steps, columns;
    private readonly Random random;
    private readonly int[] endTokens, tokens, positions, slots, queries, left, stopsAtEnd, historyTokens;
    private readonly SamplingRow[] sampling;
    private readonly float[] historyLogProbs;
    private int step;

    /// <summary>m sequences with up to 5 tokens left, and a history of some steps that is wider than m.</summary>
    public DecodeLoop(IBackend backend, int m, int steps, int[] endTokens)
    {
        (this.backend, this.m, this.steps, this.endTokens, columns, random) = (backend, m, steps, endTokens, m + SpareColumns, new Random(m));
        (tokens, positions, slots, left, stopsAtEnd) = (Draw(m, 0, 9), Draw(m, 0, 99), Draw(m, -1, 99), Draw(m, 0, 6), Draw(m, 0, 2));
        queries = Draw(2 * m, 0, 99);
        sampling = [.. Enumerable.Range(0, m).Select(i => new SamplingRow { Temperature = 0.5f, TopP = 1, SeedLow = (uint)i, Rollout = 4, Position = uint.MaxValue - 2 + (uint)(i % 5) })];
        historyTokens = [.. Enumerable.Repeat(Untouched, steps * columns)];
        historyLogProbs = [.. Enumerable.Repeat(float.NaN, steps * columns)];
        State = new DecodeState(backend.Put(tokens, 1, m), backend.Put(positions, 1, m), backend.Put(slots, 1, m), backend.Put(queries, m, 2), backend.Put(sampling), backend.Put(left, 1, m),
            backend.Put(stopsAtEnd, 1, m), backend.Put(endTokens, 1, endTokens.Length), backend.Put([0], 1, 1), backend.Put(historyTokens, steps, columns),
            backend.Put(historyLogProbs, steps, columns));
    }

    /// <summary>The state on the backend.</summary>
    public DecodeState State { get; }

    /// <summary>A step with random tokens, -1 among them, and what the contract says of it. A step that the history has no room for moves the sequences and records nothing.</summary>
    public void Step()
    {
        int[] drawn = Draw(m, -1, 12);
        float[] logprobs = Normal(step, m);
        backend.AdvanceDecode(State, backend.Put(drawn, 1, m), backend.Put(logprobs, 1, m));
        for (int i = 0; i < m; i++)
            Expect(i, drawn[i], logprobs[i]);
        step++;
        CollectionAssert.AreEqual(tokens, backend.GetInts(State.Tokens), "tokens");
        CollectionAssert.AreEqual(positions, backend.GetInts(State.Positions), "positions");
        CollectionAssert.AreEqual(slots, backend.GetInts(State.Slots), "slots");
        CollectionAssert.AreEqual(queries, backend.GetInts(State.Queries), "queries");
        CollectionAssert.AreEqual(MemoryMarshal.Cast<SamplingRow, int>(sampling).ToArray(), backend.GetInts(State.Sampling), "sampling");
        CollectionAssert.AreEqual(left, backend.GetInts(State.Left), "left");
        CollectionAssert.AreEqual(stopsAtEnd, backend.GetInts(State.StopsAtEnd), "stops at the end");
        CollectionAssert.AreEqual(new[] { step }, backend.GetInts(State.Step), "step");
        CollectionAssert.AreEqual(historyTokens, backend.GetInts(State.HistoryTokens), "history");
        SameBits(historyLogProbs, backend.Get(State.HistoryLogProbs), "history of log-probabilities");
    }

    private void Expect(int i, int token, float logprob)
    {
        bool runs = left[i] > 0, over = token < 0 || left[i] == 1 || (stopsAtEnd[i] == 1 && endTokens.Contains(token));
        if (step < steps)
            (historyTokens[step * columns + i], historyLogProbs[step * columns + i]) = runs ? (token, logprob) : (Nothing, 0);
        if (!runs)
            return;
        left[i] = over ? 0 : left[i] - 1;
        slots[i] = over ? -1 : slots[i] + 1;
        if (over)
            return;
        tokens[i] = token;
        positions[i]++;
        queries[2 * i + 1]++;
        sampling[i].Position++;
    }

    private int[] Draw(int count, int least, int limit) => [.. Enumerable.Range(0, count).Select(_ => random.Next(least, limit))];
}
