using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Adopted weights, which the first product packs: the same bits as of plain ones, the same values, and what becomes of the
/// memory.</summary>
[TestClass]
public sealed class PackedWeightTests
{
    private const int PanelRows = 16, BlockColumns = 128;
    private static readonly string[] Kinds = ["normal", "spread", "any exponent"];

    private static IEnumerable<object[]> Machines => Paths.SelectMany(path => new[] { 1, 2, 3 }.Select(threads => new object[] { path, threads }));

    /// <summary>
    /// Weights [rows, columns]: normal ones; a few powers of two with some outliers in every second block, zero and subnormal ones among
    /// them, which bf16 keeps as exceptions; any exponent that the type has.
    /// </summary>
    private static float[] Weights(string kind, int rows, int columns, ElementType type, int seed = 2)
    {
        float[] values = Normal(seed, (long)rows * columns);
        if (kind == "normal")
            return values;
        bool half = type == ElementType.F16;
        float[] outliers = half ? [0, -3e-7f, 3e-3f, -6e4f, 2e4f] : [1e-40f, -4e-39f, 1e-15f, -1e8f, 3e20f];
        Random random = new(seed);
        for (int i = 0; i < values.Length; i++)
        {
            int row = i / columns, column = i % columns, place = column % BlockColumns * PanelRows + row % PanelRows;
            int exponent = kind == "spread" ? random.Next(-14, 0) : half ? random.Next(-24, 15) : random.Next(-130, 100);
            values[i] = MathF.CopySign(MathF.ScaleB(1 + random.NextSingle() * 0.9f, exponent), values[i]);
            if (kind == "spread" && (row / PanelRows + column / BlockColumns) % 2 == 0 && place % 409 == 100)
                values[i] = outliers[place / 409];
        }
        return values;
    }

    /// <summary>A matrix of 16-bit elements in its own buffer.</summary>
    private static Tensor PutBits(CpuBackend cpu, ushort[] bits, int rows, int columns, ElementType type)
    {
        Tensor tensor = cpu.Allocate(bits.Length * 2L).As(type, rows, columns);
        cpu.Upload<ushort>(bits, tensor);
        return tensor;
    }

    [TestMethod, DynamicData(nameof(Machines))]
    public void AdoptedWeightsGiveTheBitsOfPlainOnesForAnyBatch(string path, int threads)
    {
        using CpuBackend cpu = new(threads, path);
        foreach ((int most, int n, int k) in new[] { (250, 2, 1), (5, 6, 0), (5, 0, 5), (60, 15, 127), (13, 16, 128), (30, 17, 129), (13, 33, 255), (8, 9, 1000), (100, 48, 40),
            (50, 70, 270), (3, 310, 270) })
            foreach (ElementType type in FloatTypes)
                foreach (string kind in Kinds)
                {
                    Tensor plain = cpu.Put(Weights(kind, n, k, type), n, k, type, 1), adopted = cpu.Adopt(plain);
                    Tensor x = cpu.Put(Normal(4, most * k), most, k), dy = cpu.Put(Normal(5, most * n), most, n), bias = cpu.Put(Normal(3, n), 1, n, type, 1),
                        before = cpu.Put(Normal(6, most * n), most, n), dbefore = cpu.Put(Normal(7, most * k), most, k);
                    (string Name, Tensor Bias, Tensor Before)[] forward = [("", default, default), (" with a bias", bias, default), (" added", bias, before)];
                    (string Name, Tensor Before)[] backward = [("", default), (" added", dbefore)];
                    float[][] wanted = [.. forward.Select(f => Linear(cpu, x, plain, f.Bias, f.Before))];
                    float[][] dwanted = [.. backward.Select(b => LinearBackward(cpu, dy, plain, b.Before))];
                    int next = 0;
                    foreach (int m in new[] { 0, 1, 1, 1, 2, 3, 4, 7, 12, 24, 49, most, most, most }.Where(m => m <= most))
                    {
                        string what = $"{kind} {type} {m}x{n}x{k}";
                        int first = most - m, way = next++ % 3;
                        (string name, Tensor withBias, Tensor held) = forward[way];
                        SameBits(wanted[way].AsSpan(first * n), Linear(cpu, x.Slice(first, m), adopted, withBias, held.IsPresent ? held.Slice(first, m) : default), what + name);
                        (name, held) = backward[way % 2];
                        SameBits(dwanted[way % 2].AsSpan(first * k), LinearBackward(cpu, dy.Slice(first, m), adopted, held.IsPresent ? held.Slice(first, m) : default),
                            what + " backward" + name);
                    }
                }
    }

    [TestMethod, DynamicData(nameof(Machines))]
    public void AnAdoptedHeadGivesTheBitsOfAPlainOne(string path, int threads)
    {
        using CpuBackend cpu = new(threads, path);
        // The last is shared by threads.
        foreach ((int m, int n, int k) in new[] { (0, 17, 5), (1, 2, 1), (1, 719, 33), (2, 129, 130), (3, 70, 270), (13, 719, 33), (100, 37, 24), (110, 2001, 5) })
            foreach (ElementType type in FloatTypes)
                foreach (string kind in Kinds.Where(kind => kind != "any exponent"))
                {
                    Tensor hidden = cpu.Put(Normal(1, m * k), m, k), plain = cpu.Put(Weights(kind, n, k, type), n, k, type, 1), adopted = cpu.Adopt(plain),
                        targets = cpu.Put([.. Enumerable.Range(0, m).Select(i => i * 5 % n)], 1, m);
                    float[][] Head(Tensor weight)
                    {
                        Tensor logprobs = cpu.Blank(1, m), alone = cpu.Blank(1, m), entropy = cpu.Blank(1, m), gradient = cpu.Blank(m, k);
                        cpu.LogProbs(hidden, weight, targets, 0.7f, logprobs, entropy, gradient);
                        cpu.LogProbs(hidden, weight, targets, 0.7f, alone, default, default);
                        return [cpu.Get(logprobs), cpu.Get(entropy), cpu.Get(alone), cpu.Get(gradient)];
                    }
                    foreach ((float[] wanted, float[] got) in Head(plain).Zip(Head(adopted)))
                        SameBits(wanted, got, $"{kind} {type} {m}x{n}x{k}");
                }
    }

    [TestMethod]
    public void ProductsOfAdoptedWeightsMatchTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int n, int k) in new[] { (1, 17, 129), (2, 16, 128), (3, 33, 255), (1, 70, 300), (8, 31, 127), (30, 50, 260), (13, 270, 33) })
            foreach (ElementType type in FloatTypes)
                foreach (string kind in Kinds)
                {
                    float[] x = Normal(1, m * k), dy = Normal(3, m * n), bias = Normal(4, n), weights = Weights(kind, n, k, type);
                    double[] w = Rounded(weights, type), sizes = [.. w.Select(Math.Abs)];
                    Tensor adopted = cpu.Adopt(cpu.Put(weights, n, k, type, 1)), bt = cpu.Put(bias, 1, n, type);
                    string what = $"{kind} {type} {m}x{n}x{k}";
                    Bounded(Reference.Linear(Doubles(x), w, Rounded(bias, type), m, n, k), Linear(cpu, cpu.Put(x, m, k), adopted, bt, default),
                        Reference.Linear([.. x.Select(v => Math.Abs((double)v))], sizes, [.. Rounded(bias, type).Select(Math.Abs)], m, n, k), k, what);
                    Bounded(Reference.LinearBackward(Doubles(dy), w, m, n, k), LinearBackward(cpu, cpu.Put(dy, m, n), adopted, default),
                        Reference.LinearBackward([.. dy.Select(v => Math.Abs((double)v))], sizes, m, n, k), n, what + " backward");
                }
    }

    /// <summary>Fails where a sum of so many terms is further off than its roundings can bring it; sizes: the sums of the terms' magnitudes.</summary>
    private static void Bounded(double[] wanted, float[] got, double[] sizes, int terms, string what)
    {
        double roundings = Math.Min(terms, BlockColumns) + terms / BlockColumns + 2;
        for (int i = 0; i < wanted.Length; i++)
            if (!(Math.Abs(got[i] - wanted[i]) <= roundings * (sizes[i] * Math.ScaleB(1, -24) + float.Epsilon)))
                Assert.Fail($"{what}: element {i} is {got[i]:R}, but should be {wanted[i]:R}");
    }

    [TestMethod]
    public void EveryStoredValueComesBackFromAPackedWeight()
    {
        const int columns = 256;
        foreach (string path in Paths)
        {
            using CpuBackend cpu = new(1, path);
            // In the order of their bits 16 rows have 16 high bytes; some pairs that change places are exceptions; in any order most would be.
            ushort[] ordered = [.. Enumerable.Range(0, 65536).Select(i => (ushort)i).Where(bits => (bits & 0x7F80) != 0x7F80)], swapped = [.. ordered], shuffled = [.. ordered];
            for (int i = 777; i < ordered.Length / 2; i += 999)
                (swapped[i], swapped[^i]) = (swapped[^i], swapped[i]);
            new Random(3).Shuffle(shuffled);
            long least = ComesBack(cpu, ordered, ElementType.BF16), some = ComesBack(cpu, swapped, ElementType.BF16), most = ComesBack(cpu, shuffled, ElementType.BF16);
            Assert.IsInRange(ordered.Length * 1.5, ordered.Length * 1.53, least);
            Assert.IsInRange(least + 4 * 60, least + 4 * 66, some);
            Assert.IsInRange(ordered.Length * 2.0, ordered.Length * 2.01, most);
            ushort[] halves = [.. Enumerable.Range(0, 65536).Select(i => (ushort)i).Where(bits => (bits & 0x7C00) != 0x7C00)];
            ComesBack(cpu, halves, ElementType.F16);
        }

        // The product of a unit row with the weight is a column of it, the gradient of a unit row a row of it: exactly, since all other terms are zeros.
        static long ComesBack(CpuBackend cpu, ushort[] bits, ElementType type)
        {
            int rows = bits.Length / columns;
            float[] values = [.. bits.Select(b => type == ElementType.F16 ? (float)BitConverter.UInt16BitsToHalf(b) : BitConverter.Int32BitsToSingle(b << 16))];
            Tensor adopted = cpu.Adopt(PutBits(cpu, bits, rows, columns, type)), units = cpu.Put(Unit(columns), columns, columns);
            foreach (int m in new[] { 1, 2, 3, 8, 32, columns })
                for (int first = 0; first + m <= columns; first += m)
                {
                    float[] y = Linear(cpu, units.Slice(first, m), adopted, default, default);
                    for (int i = 0; i < y.Length; i++)
                        if (y[i] != values[i % rows * columns + first + i / rows])
                            Assert.Fail($"{type}: {values[i % rows * columns + first + i / rows]:R} of row {i % rows} comes back as {y[i]:R} to {m} rows");
                }
            float[] dx = LinearBackward(cpu, cpu.Put(Unit(rows), rows, rows), adopted, default);
            for (int i = 0; i < dx.Length; i++)
                if (dx[i] != values[i])
                    Assert.Fail($"{type}: {values[i]:R} comes back as {dx[i]:R} from the gradient");
            return adopted.Buffer!.ProductBytes;
        }
    }

    private static float[] Unit(int size)
    {
        float[] unit = new float[size * size];
        for (int i = 0; i < size; i++)
            unit[i * size + i] = 1;
        return unit;
    }

    [TestMethod]
    public void InfinitiesComeThroughAsInPlainWeights()
    {
        const int m = 3, n = 40, k = 300;
        foreach (string path in Paths)
        {
            using CpuBackend cpu = new(2, path);
            foreach (ElementType type in FloatTypes)
                foreach (string kind in Kinds)
                {
                    float[] x = Normal(1, m * k), weights = Weights(kind, n, k, type);
                    weights[5 * k + 7] = float.PositiveInfinity;
                    weights[20 * k + 299] = float.NegativeInfinity;
                    (weights[33 * k + 128], weights[33 * k + 3]) = (float.PositiveInfinity, float.NegativeInfinity);
                    Tensor plain = cpu.Put(weights, n, k, type), adopted = cpu.Adopt(plain);
                    foreach (int rows in new[] { 1, 2, 3 })
                    {
                        Tensor some = cpu.Put(x, m, k).Slice(0, rows);
                        float[] got = Linear(cpu, some, adopted, default, default);
                        SameBits(Linear(cpu, some, plain, default, default), got, $"{kind} {type}");
                        double[] wanted = Reference.Linear(Doubles(x), Rounded(weights, type), null, rows, n, k);
                        for (int i = 0; i < got.Length; i++)
                            Assert.AreEqual(double.IsFinite(wanted[i]) ? 0 : wanted[i], float.IsFinite(got[i]) ? 0 : got[i], $"{kind} {type} element {i}");
                    }
                    Tensor dy = cpu.Put(Normal(3, m * n), m, n);
                    SameBits(LinearBackward(cpu, dy, plain, default), LinearBackward(cpu, dy, adopted, default), $"{kind} {type} backward");
                }
        }
    }

    [TestMethod]
    public void LookUpsReadAPackedWeightAsStored()
    {
        using CpuBackend cpu = new(2);
        const int n = 50, k = 135;
        foreach (ElementType type in FloatTypes)
            foreach (string kind in Kinds)
            {
                float[] weights = Weights(kind, n, k, type);
                Tensor adopted = cpu.Adopt(cpu.Put(weights, n, k, type, 1)), rows = cpu.Blank(4, k);
                Linear(cpu, cpu.Put(Normal(1, k), 1, k), adopted, default, default);
                int[] indices = [49, 0, 17, 17];
                cpu.GatherRows(adopted, cpu.Put(indices, 1, 4), rows);
                double[] stored = Rounded(weights, type);
                SameBits([.. indices.SelectMany(i => stored[(i * k)..((i + 1) * k)]).Select(v => (float)v)], cpu.Get(rows), $"{kind} {type}");
            }
    }

    [TestMethod]
    public void PartsAndOtherViewsOfAPackedWeightAreReadAsStored()
    {
        using CpuBackend cpu = new(2);
        const int n = 48, k = 60, m = 5;
        foreach (ElementType type in FloatTypes)
        {
            Tensor plain = cpu.Put(Normal(2, n * k), n, k, type), adopted = cpu.Adopt(plain), twin = type == ElementType.BF16 ? plain.Buffer!.As(ElementType.F16, n, k) : plain;
            Linear(cpu, cpu.Put(Normal(1, k), 1, k), adopted, default, default);
            foreach ((string what, Tensor wanted, Tensor view) in new[]
            {
                ("the first rows", plain.Slice(0, 20), adopted.Slice(0, 20)), ("rows between", plain.Slice(7, 33), adopted.Slice(7, 33)),
                ("one row", plain.Slice(47, 1), adopted.Slice(47, 1)), ("no row", plain.Slice(3, 0), adopted.Slice(3, 0)), ("all rows", plain, adopted.Slice(0, n)),
                ("wider rows", plain.Reshape(24, 120), adopted.Reshape(24, 120)), ("narrower rows", plain.Reshape(60, 48), adopted.Reshape(60, 48)),
                ("one long row", plain.Reshape(1, n * k), adopted.Reshape(1, n * k)), ("another type", twin, new Tensor(adopted.Buffer!, 0, twin.Type, n, k)),
            })
            {
                Tensor x = cpu.Put(Normal(3, m * view.Columns), m, view.Columns), dy = cpu.Put(Normal(4, m * view.Rows), m, view.Rows);
                SameBits(Linear(cpu, x, wanted, default, default), Linear(cpu, x, view, default, default), $"{what}, {type}");
                SameBits(LinearBackward(cpu, dy, wanted, default), LinearBackward(cpu, dy, view, default), $"{what} backward, {type}");
            }
        }
    }

    [TestMethod]
    public void AWeightThatOneBackendPackedServesTheOthers()
    {
        const int m = 3, n = 40, k = 300;
        using CpuBackend first = new(3);
        foreach (ElementType type in FloatTypes)
        {
            Tensor plain = first.Put(Weights("spread", n, k, type), n, k, type), adopted = first.Adopt(plain), x = first.Put(Normal(1, m * k), m, k);
            float[] wanted = Linear(first, x, plain, default, default);
            SameBits(wanted, Linear(first, x, adopted, default, default), first.Description);
            foreach (string path in Paths)
            {
                using CpuBackend other = new(1, path);
                SameBits(wanted, Linear(other, x, adopted, default, default), $"packed by {first.Description}, used by {other.Description}");
            }
        }
    }

    [TestMethod]
    public void TheFirstProductPacksAndADisposedWeightIsRefused()
    {
        using CpuBackend cpu = new(2);
        const int n = 160, k = 1024;
        foreach (ElementType type in FloatTypes)
        {
            Tensor stored = cpu.Put(Normal(2, n * k), n, k, type), adopted = cpu.Adopt(stored), x = cpu.Put(Normal(1, k), 1, k), y = cpu.Blank(1, n);
            DeviceBuffer buffer = adopted.Buffer!;
            Assert.AreEqual(stored.Bytes, buffer.ProductBytes);
            cpu.Linear(x, adopted, default, y, accumulate: false);
            long packed = buffer.ProductBytes;
            if (type == ElementType.BF16)
                Assert.IsInRange(stored.Bytes * 0.75, stored.Bytes * 0.76, packed);
            else
                Assert.IsInRange(stored.Bytes, stored.Bytes + 4096, packed);
            cpu.LinearBackward(y, adopted, x, accumulate: false);
            Assert.AreEqual(packed, buffer.ProductBytes);

            buffer.Dispose();
            buffer.Dispose();
            Assert.AreEqual(0, buffer.Address);
            Assert.AreEqual(stored.Bytes, buffer.ProductBytes, "the packed copy is still there");
            Assert.ThrowsExactly<ObjectDisposedException>(() => cpu.Linear(x, adopted, default, y, false));
            Assert.ThrowsExactly<ObjectDisposedException>(() => cpu.LinearBackward(y, adopted, x, false));
            Tensor target = cpu.Put([3], 1, 1), one = cpu.Put([1f], 1, 1);
            Assert.ThrowsExactly<ObjectDisposedException>(() => cpu.LogProbs(x, adopted, target, 1, one, default, default));
        }
    }

    [TestMethod]
    public void DisposedWeightsGiveTheirPackedCopiesBack()
    {
        using CpuBackend cpu = new(1);
        const int n = 1024, k = 2048, times = 48;
        Tensor stored = cpu.Put(Normal(2, n * k), n, k, ElementType.BF16), x = cpu.Put(Normal(1, k), 1, k), y = cpu.Blank(1, n);
        long packed = 0, before = 0;
        for (int i = 0; i < times; i++)
        {
            if (i == 4)
                before = Environment.WorkingSet;
            Tensor adopted = cpu.Adopt(stored);
            cpu.Linear(x, adopted, default, y, accumulate: false);
            packed = adopted.Buffer!.ProductBytes;
            adopted.Buffer.Dispose();
        }
        Assert.IsLessThan(packed * times / 2, Environment.WorkingSet - before);
    }

    [TestMethod]
    public void OnlyTheFirstProductAllocatesManagedMemory()
    {
        using CpuBackend cpu = new(2);
        const int m = 20, n = 70, k = 130;
        foreach (ElementType type in FloatTypes)
        {
            Tensor adopted = cpu.Adopt(cpu.Put(Weights("spread", n, k, type), n, k, type)), x = cpu.Put(Normal(1, m * k), m, k), y = cpu.Blank(m, n), dx = cpu.Blank(m, k),
                row = cpu.Put(Normal(3, m), 1, m), entropy = cpu.Blank(1, m), targets = cpu.Put(new int[m], 1, m);
            void All()
            {
                cpu.Linear(x, adopted, default, y, accumulate: false);
                cpu.Linear(x.Slice(0, 1), adopted, default, y.Slice(0, 1), accumulate: true);
                cpu.Linear(x, adopted.Slice(3, n - 3), default, y.Reshape(n, m).Slice(0, n - 3).Reshape(m, n - 3), accumulate: false);
                cpu.LinearBackward(y, adopted, dx, accumulate: false);
                cpu.LogProbs(x, adopted, targets, 1, row, entropy, dx);
                cpu.GatherRows(adopted, targets, dx);
            }
            All();
            All();
            long before = GC.GetAllocatedBytesForCurrentThread();
            All();
            Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread(), $"{type}");
        }
    }

    /// <summary>y = x W^T + bias, or that added to <paramref name="before"/>.</summary>
    private static float[] Linear(CpuBackend cpu, Tensor x, Tensor weight, Tensor bias, Tensor before)
    {
        Tensor y = before.IsPresent ? cpu.Put(cpu.Get(before), before.Rows, before.Columns) : cpu.Blank(x.Rows, weight.Rows);
        cpu.Linear(x, weight, bias, y, before.IsPresent);
        return Taken(cpu, y);
    }

    /// <summary>dx = dy W, or that added to <paramref name="before"/>.</summary>
    private static float[] LinearBackward(CpuBackend cpu, Tensor dy, Tensor weight, Tensor before)
    {
        Tensor dx = before.IsPresent ? cpu.Put(cpu.Get(before), before.Rows, before.Columns) : cpu.Blank(dy.Rows, weight.Columns);
        cpu.LinearBackward(dy, weight, dx, before.IsPresent);
        return Taken(cpu, dx);
    }

    private static float[] Taken(CpuBackend cpu, Tensor x)
    {
        float[] values = cpu.Get(x);
        x.Buffer!.Dispose();
        return values;
    }
}
