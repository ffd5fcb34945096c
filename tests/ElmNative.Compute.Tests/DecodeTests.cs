using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>The step of a decode loop, and uniform values.</summary>
[TestClass]
public sealed class DecodeTests
{
    [TestMethod]
    [DataRow(0, 1)]
    [DataRow(1, 5)]
    [DataRow(7, 3)]
    [DataRow(64, 9)]
    [DataRow(301, 4)]
    public void SequencesAdvanceAsStated(int m, int steps)
    {
        using CpuBackend cpu = new(1);
        DecodeLoop loop = new(cpu, m, steps, [3, 8]);
        for (int step = 0; step < steps; step++)
            loop.Step();
        Assert.ThrowsExactly<ArgumentException>(() => cpu.AdvanceDecode(loop.State, cpu.Put(new int[m], 1, m), cpu.Blank(1, m)), "the history is full");
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
