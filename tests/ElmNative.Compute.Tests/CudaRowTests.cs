using ElmNative.Compute.Cpu;
using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Copies, gathers, norms, rotary embedding, SwiGLU on the GPU. Inputs of type BF16 are rounded before the reference sees them; tolerances as <see cref="Activations"/> says.</summary>
[TestClass]
public sealed class CudaRowTests
{
    /// <summary>Rows of one warp and rows of a block, in aligned runs and not.</summary>
    private static readonly (int M, int D)[] Sizes = [(0, 4), (1, 1), (3, 15), (2, 16), (5, 17), (7, 130), (40, 64), (3, 515), (2, 600), (2, 8192)];

    [TestMethod]
    public void CopyRoundsBetweenTypes()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach ((int m, int d) in new[] { (0, 4), (1, 1), (3, 15), (2, 16), (7, 130), (300, 64) })
            foreach (ElementType from in FloatTypes)
                foreach (ElementType to in Activations.Types)
                    foreach (int shift in new[] { 0, 4 })
                    {
                        float[] x = Normal(1, m * d);
                        Tensor y = cuda.Nothing(m, d, to);
                        cuda.Copy(cuda.Put(x, m, d, from, shift), y);
                        float[] exact = [.. Rounded(x, from).Select(value => (float)value)];
                        Values.Near(Rounded(exact, to), cuda.Read(y), 0, $"{from} to {to}, {m}x{d}");
                    }
    }

    [TestMethod]
    public void ScaleRowsMultipliesAndEmptiesRowsOfScaleZero()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach ((int m, int d) in new[] { (0, 4), (4, 0), (1, 1), (3, 15), (4, 16), (5, 17), (7, 130), (40, 64), (3, 2056), (3, 5003) })
        {
            (float[] scales, float[] before, float[] wanted) = RowTests.ScaledRows(m, d);
            Tensor x = cuda.Put(before, m, d);
            cuda.ScaleRows(cuda.Put(scales, 1, m), x);
            SameBits(wanted, cuda.Get(x), $"{m}x{d}");
        }
    }

    [TestMethod]
    public void CopyWidensEveryStoredValueExactlyAndKeepsEveryBitWithinAType()
    {
        using CudaBackend cuda = CudaDevice.Open();
        ushort[] all = [.. Enumerable.Range(0, 1 << 16).Select(i => (ushort)i)];
        Tensor source = cuda.Allocate(1 << 17).As(ElementType.F16, 1, 1 << 16), y = cuda.Blank(1, 1 << 16);
        cuda.Upload<ushort>(all, source);
        cuda.Copy(source, y);
        SameBits([.. all.Select(x => (float)BitConverter.UInt16BitsToHalf(x))], cuda.Get(y), "f16");
        Tensor halves = new(source.Buffer!, 0, ElementType.BF16, 1, 1 << 16), kept = cuda.Nothing(1, 1 << 16, ElementType.BF16);
        cuda.Copy(halves, y);
        SameBits([.. all.Select(x => BitConverter.Int32BitsToSingle(x << 16))], cuda.Get(y), "bf16");
        cuda.Copy(halves, kept);
        ushort[] copied = new ushort[1 << 16];
        cuda.Download<ushort>(kept, copied);
        CollectionAssert.AreEqual(all, copied);
        int[] integers = [int.MinValue, -1, 0, 0x7fa00001, int.MaxValue];
        Tensor ints = cuda.Put(new int[5], 1, 5);
        cuda.Copy(cuda.Put(integers, 1, 5), ints);
        CollectionAssert.AreEqual(integers, cuda.GetInts(ints));
    }

    [TestMethod]
    public void CopyToHalvesRoundsToTheNearestEven()
    {
        using CudaBackend cuda = CudaDevice.Open();
        // Between two neighbours of BF16: just under, at, and just over the middle, above an even and above an odd neighbour; and the ends of the range.
        uint[] bits = [0x3f807fff, 0x3f808000, 0x3f808001, 0x3f817fff, 0x3f818000, 0x3f818001, 0xbf818000, 0x7f7fffff, 0x7f800000, 0xff800000, 0x00000001, 0x80000000];
        ushort[] wanted = [0x3f80, 0x3f80, 0x3f81, 0x3f81, 0x3f82, 0x3f82, 0xbf82, 0x7f80, 0x7f80, 0xff80, 0x0000, 0x8000];
        Tensor y = cuda.Nothing(1, bits.Length, ElementType.BF16);
        cuda.Copy(cuda.Put(Array.ConvertAll(bits, BitConverter.UInt32BitsToSingle), 1, bits.Length), y);
        ushort[] got = new ushort[bits.Length];
        cuda.Download<ushort>(y, got);
        CollectionAssert.AreEqual(wanted, got);
    }

    [TestMethod]
    public void GatherSkipsIndicesOutsideItsSource()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (ElementType from in FloatTypes)
            foreach (ElementType to in Activations.Types)
                foreach (int d in new[] { 19, 24, 2056 })
                {
                    float[] table = Normal(1, 6 * d), before = Normal(2, 5 * d);
                    Tensor y = cuda.Put(before, 5, d, to);
                    cuda.GatherRows(cuda.Put(table, 6, d, from), cuda.Put([5, -1, 0, 5, 6], 1, 5), y);
                    double[] rounded = Rounded([.. Rounded(table, from).Select(x => (float)x)], to), old = Rounded(before, to);
                    Values.Near([.. rounded[(5 * d)..], .. old[d..(2 * d)], .. rounded[..d], .. rounded[(5 * d)..], .. old[(4 * d)..]], cuda.Read(y), 0, $"{from} to {to}, {d}");
                }
    }

    [TestMethod]
    public void ScatterWrites()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (ElementType type in Activations.Types)
            foreach (int d in new[] { 131, 136 })
            {
                float[] x = Normal(1, 4 * d), before = Normal(2, 4 * d);
                Tensor y = cuda.Put(before, 4, d, type);
                cuda.ScatterRows(cuda.Put(x, 4, d, type), cuda.Put([3, 0, -1, 4], 1, 4), y);
                double[] rounded = Rounded(x, type), old = Rounded(before, type);
                Values.Near([.. rounded[d..(2 * d)], .. old[d..(3 * d)], .. rounded[..d]], cuda.Read(y), 0, $"{type} {d}");
            }
    }

    [TestMethod]
    public void ScatterAddAddsRepeatsInRisingOrder()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach ((int m, int n, int d) in new[] { (0, 3, 8), (3, 4, 131), (600, 3, 20), (9, 2, 1030), (9, 2, 1032) })
        {
            Random random = new(m);
            float[] x = Normal(1, m * d), before = Normal(2, n * d);
            int[] indices = [.. Enumerable.Range(0, m).Select(_ => random.Next(-1, n + 1))];
            Tensor y = cuda.Put(before, n, d);
            cuda.ScatterAddRows(cuda.Put(x, m, d), cuda.Put(indices, 1, m), y);
            float[] wanted = [.. before];
            for (int i = 0; i < m; i++)
                for (int j = 0; j < d && indices[i] >= 0 && indices[i] < n; j++)
                    wanted[indices[i] * d + j] += x[i * d + j];
            SameBits(wanted, cuda.Get(y), $"{m} rows into {n}x{d}");
        }
    }

    [TestMethod]
    public void WrongShapesAndTypesAreRefused()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Blank(2, 4), wide = cuda.Nothing(2, 5, ElementType.BF16), half = cuda.Nothing(2, 4, ElementType.BF16), stored = cuda.Put(new float[8], 2, 4, ElementType.F16),
            indices = cuda.Put([0, 1], 1, 2);
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Copy(x, stored));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Copy(x, wide));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Copy(x, indices.Reshape(2, 1)));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.ScaleRows(cuda.Blank(1, 3), x));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.ScaleRows(cuda.Blank(1, 2), half));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.GatherRows(x, indices, stored));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.ScatterRows(x, indices, half));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.ScatterAddRows(half, indices, x));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.RmsNorm(x, wide, 0, x));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.RmsNorm(default, x, 0, x));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Rotary(x, indices, x, 4, false, x));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.RotaryStore(half, half, half, indices, x, 4, indices, half, wide));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.FillUniform(indices, 0, 1));
        ArgumentException named = Assert.ThrowsExactly<ArgumentException>(() => cuda.SwiGlu(half, wide, half));
        StringAssert.Contains(named.Message, "up is BF16 [2, 5], but must be BF16 [2, 4]");
    }

    /// <summary>The sum of d squares in single precision is off by some 1e-6 of itself for these d, and so is the norm; the gradient's two sums likewise.</summary>
    [TestMethod]
    public void RmsNormAndItsGradientMatchTheReference()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach ((int m, int d) in Sizes)
            foreach (ElementType input in Activations.Types)
                foreach (ElementType output in Activations.Types)
                {
                    ElementType weightType = FloatTypes[(d + (int)input) % 3];
                    string what = $"{input} to {output}, weight {weightType}, {m}x{d}";
                    float[] x = Normal(1, m * d), weight = Normal(2, d), dy = Normal(3, m * d), before = Normal(4, m * d);
                    Tensor xt = cuda.Put(x, m, d, input), wt = cuda.Put(weight, 1, d, weightType), y = cuda.Nothing(m, d, output);
                    cuda.RmsNorm(xt, wt, 1e-5f, y);
                    Activations.Near(Reference.RmsNorm(Rounded(x, input), Rounded(weight, weightType), 1e-5, m, d), cuda.Read(y), output, 1e-6, what);
                    foreach (ElementType change in Activations.Types)
                    {
                        Tensor dx = cuda.Put(before, m, d, change);
                        cuda.RmsNormBackward(xt, wt, 1e-5f, cuda.Put(dy, m, d, output), dx);
                        double[] gradient = Reference.RmsNormBackward(Rounded(x, input), Rounded(weight, weightType), 1e-5, Rounded(dy, output), m, d);
                        Activations.Near([.. gradient.Zip(Rounded(before, change), (a, b) => a + b)], cuda.Read(dx), change, 4e-6, $"{what}, gradient in {change}",
                            1 + gradient.Select(Math.Abs).Append(0).Max());
                    }
                    if (input != output)
                        continue;
                    cuda.RmsNorm(xt, wt, 1e-5f, xt);
                    SameBits(cuda.Read(y), cuda.Read(xt), $"{what} in place");
                }
    }

    [TestMethod]
    public void ARowIsNormalizedAlikeInEveryBatch()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (int d in new[] { 128, 1024 })
        {
            Tensor x = cuda.Put(Normal(1, 20 * d), 20, d), weight = cuda.Put(Normal(2, d), 1, d), y = cuda.Blank(20, d), one = cuda.Blank(1, d);
            cuda.RmsNorm(x, weight, 1e-6f, y);
            cuda.RmsNorm(x.Slice(13, 1), weight, 1e-6f, one);
            SameBits(cuda.Get(y.Slice(13, 1)), cuda.Get(one), $"{d}");
        }
    }

    /// <summary>Two products and a sum of values near 1: a few units of 2^-24.</summary>
    [TestMethod]
    public void RotaryTurnsAndStores()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach ((int heads, int keyHeads, int headSize) in new[] { (1, 1, 2), (3, 1, 24), (2, 2, 32), (4, 2, 128), (1, 1, 90) })
        {
            const int m = 5, positionsKnown = 9;
            int columns = heads * headSize, keyColumns = keyHeads * headSize;
            int[] positions = [8, 0, 3, 3, 1], slots = [6, 5, -1, 1, 7];
            float[] q = Normal(1, m * columns), k = Normal(2, m * keyColumns), v = Normal(3, m * keyColumns), table = Table(positionsKnown, headSize);
            Tensor qt = cuda.Put(q, m, columns, ElementType.BF16), pt = cuda.Put(positions, 1, m), tt = cuda.Put(table, positionsKnown, headSize), y = cuda.Nothing(m, columns, ElementType.BF16);
            foreach (bool inverse in new[] { true, false })
            {
                cuda.Rotary(qt, pt, tt, headSize, inverse, y);
                Activations.Near(Reference.Rotary(Rounded(q, ElementType.BF16), positions, Doubles(table), headSize, inverse, columns), cuda.Read(y), ElementType.BF16, 5e-7, $"{heads}x{headSize}");
            }
            float[] before = Normal(4, 7 * keyColumns);
            Tensor keys = cuda.Put(before, 7, keyColumns, ElementType.BF16), values = cuda.Put(before, 7, keyColumns, ElementType.BF16), kt = cuda.Put(k, m, keyColumns, ElementType.BF16),
                vt = cuda.Put(v, m, keyColumns, ElementType.BF16);
            cuda.RotaryStore(qt, kt, vt, pt, tt, headSize, cuda.Put(slots, 1, m), keys, values);
            SameBits(cuda.Read(y), cuda.Read(qt), "queries in place");
            SameBits([.. Rounded(k, ElementType.BF16).Select(x => (float)x)], cuda.Read(kt), "keys stay");
            Tensor turned = cuda.Nothing(m, keyColumns, ElementType.BF16);
            cuda.Rotary(kt, pt, tt, headSize, false, turned);
            float[] turnedKeys = cuda.Read(turned), givenValues = cuda.Read(vt), wantedKeys = [.. Rounded(before, ElementType.BF16).Select(x => (float)x)], wantedValues = [.. wantedKeys];
            for (int i = 0; i < m; i++)
                if (slots[i] is >= 0 and < 7)
                {
                    Array.Copy(turnedKeys, i * keyColumns, wantedKeys, slots[i] * keyColumns, keyColumns);
                    Array.Copy(givenValues, i * keyColumns, wantedValues, slots[i] * keyColumns, keyColumns);
                }
            SameBits(wantedKeys, cuda.Read(keys), "stored keys");
            SameBits(wantedValues, cuda.Read(values), "stored values");
            cuda.Rotary(turned, pt, tt, headSize, true, turned);
            // There and back: two roundings, each of a pair whose length is that of the pair it began with.
            Values.Near(Rounded(k, ElementType.BF16), cuda.Read(turned), 4 * Activations.Rounding, "there and back, in place");
        }
    }

    [TestMethod]
    public void ARowOfUnknownPositionIsPassedOver()
    {
        using CudaBackend cuda = CudaDevice.Open();
        float[] x = [1, 2, 3, 4, 5, 6];
        Tensor q = cuda.Put(x, 3, 2, ElementType.BF16), k = cuda.Put(x, 3, 2, ElementType.BF16), positions = cuda.Put([2, -1, 0], 1, 3), table = cuda.Put(Table(2, 2), 2, 2),
            keys = cuda.Put(new float[6], 3, 2, ElementType.BF16), values = cuda.Put(new float[6], 3, 2, ElementType.BF16);
        cuda.RotaryStore(q, k, k, positions, table, 2, cuda.Put([0, 1, 2], 1, 3), keys, values);
        SameBits(x, cuda.Read(q), "position 0 turns by nothing");
        SameBits([0, 0, 0, 0, 5, 6], cuda.Read(keys), "keys");
        SameBits([0, 0, 0, 0, 5, 6], cuda.Read(values), "values");
        cuda.Rotary(q, positions, table, 2, false, q);
        SameBits(x, cuda.Read(q), "alone");
    }

    /// <summary>The approximate power of two and a division: 5e-7; the slope adds a difference.</summary>
    [TestMethod]
    public void SwiGluAndItsGradientMatchTheReference()
    {
        const ElementType A = ElementType.BF16;
        using CudaBackend cuda = CudaDevice.Open();
        foreach ((int m, int d) in new[] { (0, 4), (1, 1), (3, 15), (2, 16), (7, 130), (90, 64) })
        {
            float[] gate = Normal(1, m * d, 3), up = Normal(2, m * d), dy = Normal(3, m * d);
            double[] exactGate = Rounded(gate, A), exactUp = Rounded(up, A), exactDy = Rounded(dy, A);
            Tensor g = cuda.Put(gate, m, d, A), u = cuda.Put(up, m, d, A), dyt = cuda.Put(dy, m, d, A), y = cuda.Nothing(m, d, A), dgate = cuda.Nothing(m, d, A), dup = cuda.Nothing(m, d, A);
            cuda.SwiGlu(g, u, y);
            Activations.Near(Reference.SwiGlu(exactGate, exactUp), cuda.Read(y), A, 5e-7, $"{m}x{d}");
            cuda.SwiGluBackward(g, u, dyt, dgate, dup);
            (double[] wantedGate, double[] wantedUp) = Reference.SwiGluBackward(exactGate, exactUp, exactDy);
            Activations.Near(wantedGate, cuda.Read(dgate), A, 2e-6, "dgate");
            Activations.Near(wantedUp, cuda.Read(dup), A, 5e-7, "dup");
            cuda.SwiGluBackward(g, u, dyt, dyt, u);
            SameBits(cuda.Read(dgate), cuda.Read(dyt), "dgate in place of dy");
            SameBits(cuda.Read(dup), cuda.Read(u), "dup in place of up");
            u = cuda.Put(up, m, d, A);
            dyt = cuda.Put(dy, m, d, A);
            cuda.SwiGluBackward(g, u, dyt, g, dyt);
            SameBits(cuda.Read(dgate), cuda.Read(g), "dgate in place of gate");
            SameBits(cuda.Read(dup), cuda.Read(dyt), "dup in place of dy");
            g = cuda.Put(gate, m, d, A);
            cuda.SwiGlu(g, u, g);
            SameBits(cuda.Read(y), cuda.Read(g), "in place");
        }
    }

    [TestMethod]
    public void SwiGluOfExtremeGatesStaysFinite()
    {
        const ElementType A = ElementType.BF16;
        using CudaBackend cuda = CudaDevice.Open();
        float[] gates = [-3e38f, -200f, -100f, -89f, 0f, 100f, 3e38f, 1f];
        double[] exact = Rounded(gates, A);
        Tensor gate = cuda.Put(gates, 1, 8, A), ones = cuda.Put([1f, 1f, 1f, 1f, 1f, 1f, 1f, 1f], 1, 8, A), y = cuda.Nothing(1, 8, A), dgate = cuda.Nothing(1, 8, A), dup = cuda.Nothing(1, 8, A);
        cuda.SwiGlu(gate, ones, y);
        double one = 1 / (1 + Math.Exp(-1));
        Activations.Near([0, 0, 0, 0, 0, 100, exact[6], one], cuda.Read(y), A, 1e-6, "y");
        cuda.SwiGluBackward(gate, ones, ones, dgate, dup);
        Activations.Near([0, 0, 0, 0, 0.5, 1, 1, one * (2 - one)], cuda.Read(dgate), A, 1e-6, "dgate");
        Activations.Near([0, 0, 0, 0, 0, 100, exact[6], one], cuda.Read(dup), A, 1e-6, "dup");
    }

    [TestMethod]
    public unsafe void FillUniformIsAFunctionOfSeedAndPlace()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const ulong seed = 0x123456789ABCDEF0;
        const float magnitude = 0.0375f;
        uint* key = stackalloc uint[2] { unchecked((uint)seed), (uint)(seed >> 32) }, counter = stackalloc uint[4], words = stackalloc uint[4];
        foreach (ElementType type in FloatTypes)
            foreach (int count in new[] { 0, 1, 1027 })
            {
                Tensor x = cuda.Put(new float[count], 1, count, type);
                cuda.FillUniform(x, seed, magnitude);
                float[] wanted = new float[count];
                for (int i = 0; i < count; i++)
                {
                    counter[0] = (uint)i / 4;
                    NativeMethods.elm_philox(counter, key, words);
                    wanted[i] = ((int)(words[i % 4] >> 8) - (1 << 23)) * (1f / (1 << 23)) * magnitude;
                }
                Tensor wide = cuda.Blank(1, count);
                cuda.Copy(x, wide);
                SameBits([.. Rounded(wanted, type).Select(v => (float)v)], cuda.Get(wide), $"{type} {count}");
            }
    }

    [TestMethod]
    public void FillUniformRoundsToHalfPrecisionLikeTheHost()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (float magnitude in new[] { 1e-7f, 1e-4f, 3f, 1e5f })
        {
            Tensor single = cuda.Blank(1, 4001), half = cuda.Put(new float[4001], 1, 4001, ElementType.F16), wide = cuda.Blank(1, 4001);
            cuda.FillUniform(single, 5, magnitude);
            cuda.FillUniform(half, 5, magnitude);
            cuda.Copy(half, wide);
            SameBits([.. cuda.Get(single).Select(x => (float)(Half)x)], cuda.Get(wide), $"{magnitude}");
        }
    }

    [TestMethod]
    public void NoCallAllocatesManagedMemory()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Blank(2, 8), half = cuda.Nothing(2, 8, ElementType.BF16), k = cuda.Nothing(2, 8, ElementType.BF16), keys = cuda.Nothing(2, 8, ElementType.BF16),
            values = cuda.Nothing(2, 8, ElementType.BF16), weight = cuda.Blank(1, 8), indices = cuda.Put([0, 1], 1, 2), pooled = cuda.Blank(1, 8), range = indices.Reshape(1, 2);
        void All()
        {
            cuda.Copy(x, half);
            cuda.GatherRows(x, indices, half);
            cuda.ScaleRows(pooled.Reshape(8, 1).Slice(0, 2).Reshape(1, 2), x);
            cuda.ScatterRows(x, indices, x);
            cuda.ScatterAddRows(x, indices, x);
            cuda.RmsNorm(x, weight, 1e-6f, half);
            cuda.RmsNormBackward(x, weight, 1e-6f, half, x);
            cuda.Rotary(half, indices, x, 8, false, half);
            cuda.RotaryStore(half, k, k, indices, x, 8, indices, keys, values);
            cuda.SwiGlu(half, half, half);
            cuda.SwiGluBackward(half, half, half, half, half);
            cuda.FillUniform(x, 1, 1);
            cuda.PoolHeads(half, range, 8, pooled);
        }
        All();
        long before = GC.GetAllocatedBytesForCurrentThread();
        All();
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private static float[] Table(int positions, int headSize)
    {
        float[] table = new float[positions * headSize];
        for (int p = 0; p < positions; p++)
            for (int j = 0; j < headSize / 2; j++)
                (table[p * headSize + headSize / 2 + j], table[p * headSize + j]) = MathF.SinCos(p * MathF.Pow(100, -2f * j / headSize));
        return table;
    }
}
