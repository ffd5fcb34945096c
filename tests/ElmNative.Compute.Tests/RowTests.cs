using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Copies, gathers, norms, rotary embedding, SwiGLU.</summary>
[TestClass]
public sealed class RowTests
{
    private static readonly (int M, int D)[] Sizes = [(0, 4), (1, 1), (3, 15), (2, 16), (5, 17), (7, 130), (300, 64)];

    [TestMethod]
    public void ZeroCopyAndAdd()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int d) in Sizes)
            foreach (ElementType type in FloatTypes)
            {
                float[] x = Normal(1, m * d), before = Normal(2, m * d);
                Tensor source = cpu.Put(x, m, d, type, 1), y = cpu.Blank(m, d);
                cpu.Copy(source, y);
                double[] wanted = Rounded(x, type);
                Near(wanted, cpu.Get(y), 0, $"copy of {type} {m}x{d}");
                Tensor sum = cpu.Put(before, m, d);
                cpu.Add(y, sum);
                Near([.. wanted.Zip(before, (a, b) => (double)((float)a + b))], cpu.Get(sum), 0, "sum");
                cpu.Zero(sum);
                SameBits(new float[m * d], cpu.Get(sum), "zero");
            }
    }

    [TestMethod]
    public void ScaleRowsMultipliesAndEmptiesRowsOfScaleZero()
    {
        foreach (string path in Paths)
            foreach (int threads in new[] { 1, 3 })
            {
                using CpuBackend cpu = new(threads, path);
                foreach ((int m, int d) in new[] { (0, 4), (4, 0), (1, 1), (3, 15), (2, 16), (5, 17), (7, 131), (900, 64) })
                {
                    (float[] scales, float[] before, float[] wanted) = ScaledRows(m, d);
                    Tensor x = cpu.Put(before, m, d);
                    cpu.ScaleRows(cpu.Put(scales, 1, m), x);
                    SameBits(wanted, cpu.Get(x), $"{path} with {threads} threads, {m}x{d}");
                }
            }
    }

    /// <summary>Scales, some of them 0; rows, those of scale 0 with infinities and NaN; and what they become.</summary>
    internal static (float[] Scales, float[] Before, float[] Wanted) ScaledRows(int m, int d)
    {
        float[] scales = Normal(1, m), before = Normal(2, (long)m * d);
        float[] special = [float.PositiveInfinity, float.NaN, float.NegativeInfinity];
        for (int i = 0; i < m; i++)
            if (i % 3 == 2)
            {
                scales[i] = i % 2 == 0 ? 0f : -0f;
                for (int j = 0; j < d; j++)
                    before[i * d + j] = special[j % 3];
            }
        return (scales, before, [.. before.Select((x, at) => scales[at / d] == 0 ? 0f : scales[at / d] * x)]);
    }

    [TestMethod]
    public void CopyWidensEveryStoredValueExactly()
    {
        ushort[] all = [.. Enumerable.Range(0, 1 << 16).Select(i => (ushort)i)];
        foreach (string path in Paths)
        {
            using CpuBackend cpu = new(1, path);
            Tensor source = cpu.Allocate(1 << 17).As(ElementType.F16, 1, 1 << 16), y = cpu.Blank(1, 1 << 16);
            cpu.Upload<ushort>(all, source);
            cpu.Copy(source, y);
            SameBits([.. all.Select(x => (float)BitConverter.UInt16BitsToHalf(x))], cpu.Get(y), $"{path} f16");
            cpu.Copy(new Tensor(source.Buffer!, 0, ElementType.BF16, 1, 1 << 16), y);
            SameBits([.. all.Select(x => BitConverter.Int32BitsToSingle(x << 16))], cpu.Get(y), $"{path} bf16");
        }
    }

    [TestMethod]
    public void GatherSkipsNegativeIndices()
    {
        using CpuBackend cpu = new(2);
        foreach (ElementType type in FloatTypes)
        {
            float[] table = Normal(1, 6 * 19), before = Normal(2, 4 * 19);
            Tensor y = cpu.Put(before, 4, 19);
            cpu.GatherRows(cpu.Put(table, 6, 19, type, 1), cpu.Put([5, -1, 0, 5], 1, 4), y);
            double[] rounded = Rounded(table, type);
            Near([.. rounded[95..114], .. before[19..38].Select(x => (double)x), .. rounded[0..19], .. rounded[95..114]], cpu.Get(y), 0,
                $"{type}");
        }
    }

    [TestMethod]
    public void ScatterWritesAndScatterAddAdds()
    {
        using CpuBackend cpu = new(2);
        const int d = 131;
        float[] x = Normal(1, 3 * d), before = Normal(2, 4 * d);
        Tensor source = cpu.Put(x, 3, d), y = cpu.Put(before, 4, d);
        cpu.ScatterRows(source, cpu.Put([3, 0, 1], 1, 3), y);
        SameBits([.. x[d..(2 * d)], .. x[(2 * d)..], .. before[(2 * d)..(3 * d)], .. x[..d]], cpu.Get(y), "scatter");
        y = cpu.Put(before, 4, d);
        cpu.ScatterAddRows(source, cpu.Put([2, 0, 2], 1, 3), y);
        float[] wanted = [.. before];
        for (int j = 0; j < d; j++)
        {
            wanted[j] += x[d + j];
            wanted[2 * d + j] = wanted[2 * d + j] + x[j] + x[2 * d + j];
        }
        SameBits(wanted, cpu.Get(y), "scatter add");
    }

    [TestMethod]
    public void IndicesOutsideTheirTensorAreRefused()
    {
        using CpuBackend cpu = new(1);
        Tensor rows = cpu.Blank(2, 4), outside = cpu.Put([0, 2], 1, 2), negative = cpu.Put([0, -1], 1, 2), table = cpu.Blank(2, 4);
        Assert.ThrowsExactly<ArgumentException>(() => cpu.GatherRows(rows, outside, rows));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.ScatterRows(rows, negative, rows));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.ScatterAddRows(rows, outside, rows));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Rotary(rows, outside, table, 4, false, rows));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.RotaryStore(rows, rows, rows, cpu.Put([0, 1], 1, 2), table, 4, outside, rows, rows));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.PoolHeads(rows, cpu.Put([1, 2], 1, 2), 4, cpu.Blank(1, 4)));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.LogProbs(rows, table, outside, 1, cpu.Blank(1, 2), default, default));
    }

    [TestMethod]
    public void WrongShapesAndTypesAreRefused()
    {
        using CpuBackend cpu = new(1);
        Tensor x = cpu.Blank(2, 4), wide = cpu.Blank(2, 5), half = cpu.Put(new float[8], 2, 4, ElementType.F16);
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Add(wide, x));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Add(half, x));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Add(default, x));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.ScaleRows(cpu.Blank(1, 3), x));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.ScaleRows(cpu.Blank(1, 2), half));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.LogProbs(x, x, cpu.Put([0, 0], 1, 2), 1, cpu.Blank(1, 2), default, wide));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Linear(x, wide, default, x, false));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.RmsNorm(x, wide, 0, x));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Copy(x, half));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Upload<float>(new float[7], x));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Download(x, new float[9]));
        ArgumentException named = Assert.ThrowsExactly<ArgumentException>(() => cpu.SwiGlu(x, wide, x));
        StringAssert.Contains(named.Message, "up is F32 [2, 5], but must be F32 [2, 4]");
    }

    [TestMethod]
    public void RmsNormAndItsGradientMatchTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int d) in Sizes)
            foreach (ElementType type in FloatTypes)
            {
                float[] x = Normal(1, m * d), weight = Normal(2, d), dy = Normal(3, m * d), before = Normal(4, m * d);
                Tensor xt = cpu.Put(x, m, d), wt = cpu.Put(weight, 1, d, type, 1), y = cpu.Blank(m, d), dx = cpu.Put(before, m, d);
                cpu.RmsNorm(xt, wt, 1e-5f, y);
                Near(Reference.RmsNorm(Doubles(x), Rounded(weight, type), 1e-5, m, d), cpu.Get(y), 1e-6, $"{type} {m}x{d}");
                cpu.RmsNormBackward(xt, wt, 1e-5f, cpu.Put(dy, m, d), dx);
                double[] gradient = Reference.RmsNormBackward(Doubles(x), Rounded(weight, type), 1e-5, Doubles(dy), m, d);
                Near([.. gradient.Zip(before, (a, b) => a + b)], cpu.Get(dx), 4e-6, $"{type} {m}x{d} gradient",
                    1 + gradient.Select(Math.Abs).Append(0).Max());
                cpu.RmsNorm(xt, wt, 1e-5f, xt);
                SameBits(cpu.Get(y), cpu.Get(xt), "in place");
            }
    }

    [TestMethod]
    public void RotaryTurnsAndTurnsBack()
    {
        using CpuBackend cpu = new(2);
        foreach ((int heads, int headSize) in new[] { (1, 2), (3, 24), (2, 32), (2, 64), (1, 90) })
        {
            const int m = 5, positionsKnown = 9;
            int columns = heads * headSize;
            int[] positions = [8, 0, 3, 3, 1];
            float[] x = Normal(1, m * columns), table = new float[positionsKnown * headSize];
            for (int p = 0; p < positionsKnown; p++)
                for (int j = 0; j < headSize / 2; j++)
                    (table[p * headSize + headSize / 2 + j], table[p * headSize + j]) =
                        MathF.SinCos(p * MathF.Pow(100, -2f * j / headSize));
            Tensor xt = cpu.Put(x, m, columns), pt = cpu.Put(positions, 1, m), tt = cpu.Put(table, positionsKnown, headSize),
                y = cpu.Blank(m, columns);
            foreach (bool inverse in new[] { false, true })
            {
                cpu.Rotary(xt, pt, tt, headSize, inverse, y);
                Near(Reference.Rotary(Doubles(x), positions, Doubles(table), headSize, inverse, columns), cpu.Get(y), 5e-7,
                    $"{heads}x{headSize}");
            }
            cpu.Rotary(xt, pt, tt, headSize, false, y);
            Tensor slotted = cpu.Put(new float[7 * columns], 7, columns), values = cpu.Put(new float[7 * columns], 7, columns), query = cpu.Put(x, m, columns);
            cpu.RotaryStore(query, xt, xt, pt, tt, headSize, cpu.Put([6, 5, 2, 1, 0], 1, m), slotted, values);
            float[] plain = cpu.Get(y), moved = cpu.Get(slotted);
            SameBits(plain, cpu.Get(query), "queries in place");
            SameBits(x.AsSpan(0, columns), cpu.Get(values).AsSpan(6 * columns, columns), "value in slot 6");
            SameBits(plain.AsSpan(0, columns), moved.AsSpan(6 * columns, columns), "slot 6");
            SameBits(plain.AsSpan(3 * columns, columns), moved.AsSpan(columns, columns), "slot 1");
            SameBits(new float[columns], moved.AsSpan(3 * columns, columns), "untouched slot");
            Tensor skipping = cpu.Put(x, m, columns), skipped = cpu.Put(new float[7 * columns], 7, columns), skippedValues = cpu.Put(new float[7 * columns], 7, columns);
            cpu.RotaryStore(skipping, xt, xt, pt, tt, headSize, cpu.Put([6, -1, 2, int.MinValue, 0], 1, m), skipped, skippedValues);
            SameBits(plain, cpu.Get(skipping), "queries of rows that store nothing are turned too");
            foreach (int slot in Enumerable.Range(0, 7))
            {
                bool stored = slot is 6 or 2 or 0;
                SameBits(stored ? moved.AsSpan(slot * columns, columns) : new float[columns], cpu.Get(skipped).AsSpan(slot * columns, columns), $"key in slot {slot}");
                SameBits(stored ? cpu.Get(values).AsSpan(slot * columns, columns) : new float[columns], cpu.Get(skippedValues).AsSpan(slot * columns, columns), $"value in slot {slot}");
            }
            cpu.Rotary(y, pt, tt, headSize, true, y);
            Near(Doubles(x), cpu.Get(y), 1e-6, "there and back, in place");
        }
    }

    [TestMethod]
    public void SwiGluAndItsGradientMatchTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int d) in Sizes)
        {
            float[] gate = Normal(1, m * d, 3), up = Normal(2, m * d), dy = Normal(3, m * d);
            Tensor g = cpu.Put(gate, m, d), u = cpu.Put(up, m, d), y = cpu.Blank(m, d), dgate = cpu.Blank(m, d), dup = cpu.Blank(m, d),
                dyt = cpu.Put(dy, m, d);
            cpu.SwiGlu(g, u, y);
            Near(Reference.SwiGlu(Doubles(gate), Doubles(up)), cpu.Get(y), 5e-7, $"{m}x{d}");
            cpu.SwiGluBackward(g, u, dyt, dgate, dup);
            (double[] wantedGate, double[] wantedUp) = Reference.SwiGluBackward(Doubles(gate), Doubles(up), Doubles(dy));
            Near(wantedGate, cpu.Get(dgate), 2e-6, "dgate");
            Near(wantedUp, cpu.Get(dup), 5e-7, "dup");
            cpu.SwiGluBackward(g, u, dyt, dyt, u);
            SameBits(cpu.Get(dgate), cpu.Get(dyt), "dgate in place of dy");
            SameBits(cpu.Get(dup), cpu.Get(u), "dup in place of up");
            u = cpu.Put(up, m, d);
            cpu.SwiGlu(g, u, g);
            SameBits(cpu.Get(y), cpu.Get(g), "in place");
        }
    }

    [TestMethod]
    public void SwiGluOfExtremeGatesStaysFinite()
    {
        using CpuBackend cpu = new(1);
        Tensor gate = cpu.Put([-200f, -100f, -89f, 0f, 100f, 3e38f], 1, 6), ones = cpu.Put([1f, 1f, 1f, 1f, 1f, 1f], 1, 6);
        Tensor y = cpu.Blank(1, 6), dgate = cpu.Blank(1, 6), dup = cpu.Blank(1, 6);
        cpu.SwiGlu(gate, ones, y);
        Near([0, 0, 0, 0, 100, 3e38], cpu.Get(y), 1e-6, "y");
        cpu.SwiGluBackward(gate, ones, ones, dgate, dup);
        Near([0, 0, 0, 0.5, 1, 1], cpu.Get(dgate), 1e-6, "dgate");
        Near([0, 0, 0, 0, 100, 3e38], cpu.Get(dup), 1e-6, "dup");
    }
}
