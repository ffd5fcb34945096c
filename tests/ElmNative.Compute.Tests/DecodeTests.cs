using System.Runtime.InteropServices;
using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>The step of a decode loop, and uniform values.</summary>
[TestClass]
public sealed class DecodeTests
{
    private const int Nothing = -2;

    /// <summary>What a sequence does with a drawn token, written down once more: a random walk of several steps against it.</summary>
    [TestMethod]
    [DataRow(0, 1)]
    [DataRow(1, 5)]
    [DataRow(7, 3)]
    [DataRow(64, 9)]
    [DataRow(301, 4)]
    public void SequencesAdvanceAsStated(int m, int steps)
    {
        using CpuBackend cpu = new(1);
        Random random = new(m);
        int[] Draw(int least, int limit) => [.. Enumerable.Range(0, m).Select(_ => random.Next(least, limit))];
        int columns = m + 3;
        int[] tokens = Draw(0, 9), positions = Draw(0, 99), slots = Draw(-1, 99), segments = Draw(0, 9), visible = Draw(0, 99), left = Draw(0, 6), stops = Draw(0, 2), ends = [3, 8];
        SamplingRow[] sampling = [.. Enumerable.Range(0, m).Select(i => new SamplingRow { Temperature = 0.5f, SeedLow = (uint)i, Rollout = 4, Position = uint.MaxValue - 2 + (uint)(i % 5) })];
        int[] queries = [.. Enumerable.Range(0, 2 * m).Select(i => i % 2 == 0 ? segments[i / 2] : visible[i / 2])];
        DecodeState state = new(cpu.Put(tokens, 1, m), cpu.Put(positions, 1, m), cpu.Put(slots, 1, m), cpu.Put(queries, m, 2), cpu.Put(sampling), cpu.Put(left, 1, m), cpu.Put(stops, 1, m),
            cpu.Put(ends, 1, ends.Length), cpu.Put([0], 1, 1), cpu.Put(Enumerable.Repeat(77, steps * columns).ToArray(), steps, columns), cpu.Blank(steps, columns));
        for (int step = 0; step < steps; step++)
        {
            int[] drawn = Draw(-1, 12);
            float[] logProbs = Normal(step, m);
            cpu.AdvanceDecode(state, cpu.Put(drawn, 1, m), cpu.Put(logProbs, 1, m));
            int[] recorded = cpu.GetInts(state.HistoryTokens.Slice(step, 1));
            float[] recordedLogProbs = cpu.Get(state.HistoryLogProbs.Slice(step, 1));
            for (int i = 0; i < m; i++)
            {
                bool runs = left[i] > 0;
                Assert.AreEqual(runs ? drawn[i] : Nothing, recorded[i], $"step {step}, row {i}");
                Assert.AreEqual(runs ? logProbs[i] : 0, recordedLogProbs[i]);
                if (!runs)
                    continue;
                bool over = drawn[i] < 0 || left[i] == 1 || (stops[i] == 1 && ends.Contains(drawn[i]));
                left[i] = over ? 0 : left[i] - 1;
                slots[i] = over ? -1 : slots[i] + 1;
                if (over)
                    continue;
                tokens[i] = drawn[i];
                positions[i]++;
                visible[i]++;
                sampling[i].Position++;
            }
            Assert.IsTrue(recorded[m..].All(token => token == 77) && recordedLogProbs[m..].All(float.IsNaN), "columns beyond the sequences stay as they are");
            CollectionAssert.AreEqual(tokens, cpu.GetInts(state.Tokens));
            CollectionAssert.AreEqual(positions, cpu.GetInts(state.Positions));
            CollectionAssert.AreEqual(slots, cpu.GetInts(state.Slots));
            CollectionAssert.AreEqual(left, cpu.GetInts(state.Left));
            CollectionAssert.AreEqual(stops, cpu.GetInts(state.StopsAtEnd));
            CollectionAssert.AreEqual(Enumerable.Range(0, 2 * m).Select(i => i % 2 == 0 ? segments[i / 2] : visible[i / 2]).ToArray(), cpu.GetInts(state.Queries));
            CollectionAssert.AreEqual(MemoryMarshal.Cast<SamplingRow, int>(sampling).ToArray(), cpu.GetInts(state.Sampling));
            CollectionAssert.AreEqual(new[] { step + 1 }, cpu.GetInts(state.Step));
        }
        Assert.ThrowsExactly<ArgumentException>(() => cpu.AdvanceDecode(state, cpu.Put(Draw(0, 1), 1, m), cpu.Blank(1, m)), "the history is full");
    }

    [TestMethod]
    public void ADecodeStateOfWrongShapesIsRefused()
    {
        using CpuBackend cpu = new(1);
        Tensor row = cpu.Put([1, 1], 1, 2), queries = cpu.Put(new int[4], 2, 2), sampling = cpu.Put(new SamplingRow[2]), step = cpu.Put([0], 1, 1), history = cpu.Put(new int[2], 1, 2);
        DecodeState good = new(row, row, row, queries, sampling, row, row, row, step, history, cpu.Blank(1, 2));
        Tensor drawn = cpu.Put([1, 1], 1, 2), logProbs = cpu.Blank(1, 2), narrow = cpu.Put([1], 1, 1);
        foreach (DecodeState bad in new[] { good with { Slots = narrow }, good with { Queries = row }, good with { Sampling = queries }, good with { Left = default }, good with { Step = row },
            good with { HistoryTokens = narrow, HistoryLogProbs = cpu.Blank(1, 1) }, good with { HistoryLogProbs = cpu.Blank(2, 2) }, good with { EndTokens = logProbs } })
            Assert.ThrowsExactly<ArgumentException>(() => cpu.AdvanceDecode(bad, drawn, logProbs));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.AdvanceDecode(good, narrow, logProbs));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.AdvanceDecode(good, drawn, drawn));
        cpu.AdvanceDecode(good, drawn, logProbs);
    }

    /// <summary>Each element from the generator's words and the formula, in every type.</summary>
    [TestMethod]
    [DataRow(0, 3)]
    [DataRow(1, 1)]
    [DataRow(1, 7)]
    [DataRow(3, 5)]
    [DataRow(40, 33)]
    public unsafe void UniformValuesFollowTheirFormula(int rows, int columns)
    {
        using CpuBackend cpu = new(2);
        uint* counter = stackalloc uint[4] { 0, 0, 0, 0 }, key = stackalloc uint[2], words = stackalloc uint[4];
        foreach (ElementType type in FloatTypes)
            foreach ((ulong seed, float magnitude) in new[] { (0UL, 1f), (0xFEDC_BA98_7654_3210UL, 0.0173f) })
            {
                Tensor x = cpu.Put(new float[rows * columns], rows, columns, type), wide = cpu.Blank(rows, columns);
                cpu.FillUniform(x, seed, magnitude);
                cpu.Copy(x, wide);
                float[] wanted = new float[rows * columns];
                (key[0], key[1]) = ((uint)seed, (uint)(seed >> 32));
                for (int i = 0; i < wanted.Length; i++)
                {
                    counter[0] = (uint)i / 4;
                    NativeMethods.elm_philox(counter, key, words);
                    wanted[i] = (float)(((words[i % 4] >> 8) / 8388608.0 - 1) * magnitude);
                }
                Near(Rounded(wanted, type), cpu.Get(wide), 0, $"{type} {rows}x{columns}");
            }
        Assert.ThrowsExactly<ArgumentException>(() => cpu.FillUniform(cpu.Put([1], 1, 1), 0, 1));
    }

    [TestMethod]
    public void UniformValuesHaveTheMomentsOfTheirDistribution()
    {
        using CpuBackend cpu = new(1);
        const int count = 1 << 18;
        Tensor x = cpu.Blank(1, count);
        cpu.FillUniform(x, 5, 2);
        float[] values = cpu.Get(x);
        Assert.IsTrue(values.All(v => v is >= -2 and < 2));
        // five deviations: of the mean 2/sqrt(3 n), of the mean square 4 sqrt(4/45 / n)
        Assert.AreEqual(0, values.Average(v => (double)v), 5 * 2 / Math.Sqrt(3.0 * count));
        Assert.AreEqual(4.0 / 3, values.Average(v => (double)v * v), 5 * 4 * Math.Sqrt(4.0 / 45 / count));
    }
}
