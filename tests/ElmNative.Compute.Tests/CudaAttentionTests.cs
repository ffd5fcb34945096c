using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

[TestClass]
public sealed partial class CudaAttentionTests
{
    /// <summary>Every tile size, heads that fill no tile, groups of 1, 2, 7 and more than a block's rows.</summary>
    private static readonly AttentionShape[] Shapes =
    [
        new(4, 2, 32, 0.1767767f), new(2, 2, 24, 0.2f), new(7, 1, 64, 0.125f), new(3, 3, 2, 1f), new(2, 1, 128, 0.0883883f), new(1, 1, 256, 0.0625f), new(1, 1, 200, 0.07f), new(2, 2, 96, 0.1f),
    ];

    [TestMethod]
    public void AttentionOfPackedRowsMatchesTheReference()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (TestPlan plan in TestPlan.All)
            foreach (AttentionShape shape in Shapes)
                Check(cuda, plan.On(cuda), plan.Segments, plan.Queries, shape, plan.Rows, $"{plan.Rows} rows, {shape}");
    }

    [TestMethod]
    public void RowsThatAreNotAlignedMatchTheReference()
    {
        using CudaBackend cuda = CudaDevice.Open();
        TestPlan plan = TestPlan.All[2];
        AttentionShape shape = new(4, 2, 32, 0.17f);
        Check(cuda, plan.On(cuda), plan.Segments, plan.Queries, shape, plan.Rows, "packed", shift: 2);
        Check(cuda, plan.On(cuda) with { Trees = default }, plan.Segments, plan.Queries, shape, plan.Rows, "few", shift: 2);
    }

    [TestMethod]
    public void BlocksOf128RowsMatchTheReference()
    {
        // Enough tiles and heads for the kernels with two row blocks a warp: twice the multiprocessors, with two tiles a head.
        using CudaBackend cuda = CudaDevice.Open();
        int heads = cuda.Multiprocessors;
        TestPlan plan = TestPlan.Packed([(70, -1), (40, 0), (3, 1), (30, 0)]);
        foreach (int size in new[] { 32, 64, 96, 128 })
            Check(cuda, plan.On(cuda), plan.Segments, plan.Queries, new AttentionShape(heads, 1, size, 1 / MathF.Sqrt(size)), plan.Rows, $"size {size}");
    }

    [TestMethod]
    public void PrefillIntoAScatteredStoreMatchesTheReference()
    {
        // Two prompts, packed; their keys lie elsewhere in the store, the second before the first.
        using CudaBackend cuda = CudaDevice.Open();
        int[] segments = [90, 37, -1, 3, 70, -1];
        List<int> queries = [];
        for (int s = 0; s < 2; s++)
            for (int i = 1; i <= segments[3 * s + 1]; i++)
                queries.AddRange([s, i]);
        AttentionPlan plan = new(cuda.Put(segments, 2, 3), cuda.Put([.. queries], queries.Count / 2, 2), cuda.Put([0, 37, 37, 70], 2, 2), 70);
        foreach (AttentionShape shape in new AttentionShape[] { new(4, 2, 64, 0.125f), new(2, 1, 24, 0.2f) })
            Check(cuda, plan, segments, [.. queries], shape, 140, $"{shape}");
    }

    [TestMethod]
    [DataRow(1, 1, 32)]
    [DataRow(7, 1, 64)]
    [DataRow(4, 2, 128)]
    [DataRow(2, 1, 256)]
    [DataRow(70, 1, 32)]
    [DataRow(3, 1, 24)]
    [DataRow(2, 2, 200)]
    [DataRow(2, 1, 96)]
    public void DecodeMatchesTheReference(int queryHeads, int keyHeads, int size)
    {
        using CudaBackend cuda = CudaDevice.Open();
        DecodePlan plan = new([(0, 1), (1, 3), (70, 8), (130, 17), (33, 0)], seed: 7, capacity: 40);
        AttentionShape shape = new(queryHeads, keyHeads, size, 1 / MathF.Sqrt(size));
        Check(cuda, plan.On(cuda, 400), plan.Segments, plan.Queries, shape, plan.StoreRows, $"{shape}");
    }

    [TestMethod, StandIn]
    public void WhereSharedMemoryIsShortDecodeTakesNarrowerTiles() => StandIn.With("ELM_EMULATION_CAPABILITY", "86", () =>
    {
        using CudaBackend cuda = CudaDevice.Open();
        DecodePlan plan = new([(0, 1), (1, 3), (130, 17)], seed: 8, capacity: 70);
        AttentionShape shape = new(4, 2, 128, 0.1f);
        Check(cuda, plan.On(cuda, 400), plan.Segments, plan.Queries, shape, plan.StoreRows, $"{shape}");
        Assert.Contains("attention_decode_256 needs ", Assert.ThrowsExactly<ElmException>(() =>
            Check(cuda, plan.On(cuda, 400), plan.Segments, plan.Queries, new AttentionShape(1, 1, 256, 0.1f), plan.StoreRows, "heads of 256")).Message);
    });

    [TestMethod]
    public void DecodeFollowsAGrowingContext()
    {
        // The visible rows grow in device memory, past pieces and tiles; the plan's largest context stays what a captured graph was made for.
        using CudaBackend cuda = CudaDevice.Open();
        DecodePlan plan = new([(60, 3), (5, 2)], seed: 3, capacity: 300);
        AttentionShape shape = new(4, 2, 64, 0.125f);
        foreach (int visible in new[] { 1, 2, 63, 64, 65, 129, 300 })
        {
            for (int i = 0; i < plan.Queries.Length / 2 - 1; i++)
                plan.Queries[2 * i + 1] = i == 1 ? 0 : visible;
            Check(cuda, plan.On(cuda, 360), plan.Segments, plan.Queries, shape, plan.StoreRows, $"{visible} visible rows");
        }
    }

    [TestMethod]
    public void LongContextsCrossPieces()
    {
        using CudaBackend cuda = CudaDevice.Open();
        DecodePlan plan = new([(450, 9)], seed: 5, capacity: 150);
        foreach (AttentionShape shape in new AttentionShape[] { new(2, 1, 64, 0.3f), new(2, 2, 128, 0.2f) })
        {
            Check(cuda, plan.On(cuda, 600), plan.Segments, plan.Queries, shape, plan.StoreRows, $"decode {shape}");
            // room for a context a thousand times as long: pieces of the largest size, and most slots unused
            Check(cuda, plan.On(cuda, 600_000), plan.Segments, plan.Queries, shape, plan.StoreRows, $"decode with room {shape}");
            Check(cuda, plan.On(cuda, 600) with { Trees = cuda.Put([0, 9], 1, 2) }, plan.Segments, plan.Queries, shape, plan.StoreRows, $"prefill {shape}");
        }
    }

    [TestMethod]
    public void PlansOfAnyFormDecode()
    {
        // Chains of three, several rows of one segment, rows of one parent that do not lie together, more queries than a block plans at once.
        using CudaBackend cuda = CudaDevice.Open();
        AttentionShape shape = new(4, 2, 32, 0.2f);
        foreach (TestPlan packed in TestPlan.All)
        {
            Check(cuda, packed.On(cuda) with { Trees = default }, packed.Segments, packed.Queries, shape, packed.Rows, $"{packed.Rows} rows");
            int[] order = [.. Enumerable.Range(0, packed.Rows).OrderBy(i => i * 37 % packed.Rows)];
            int[] queries = [.. order.SelectMany(i => packed.Queries[(2 * i)..(2 * i + 2)])];
            AttentionPlan plan = new(cuda.Put(packed.Segments, packed.Segments.Length / 3, 3), cuda.Put(queries, packed.Rows, 2), default, packed.MaxContext);
            Check(cuda, plan, packed.Segments, queries, shape, packed.Rows, $"{packed.Rows} rows in another order");
            Check(cuda, plan with { Trees = cuda.Put([0, packed.Rows], 1, 2) }, packed.Segments, queries, shape, packed.Rows, $"{packed.Rows} rows in another order, prefill");
        }
        DecodePlan many = new([(9, 150), (20, 150)], seed: 1, capacity: 3);
        Check(cuda, many.On(cuda, 23), many.Segments, many.Queries, new AttentionShape(1, 1, 32, 0.2f), many.StoreRows, "300 sequences");
    }

    [TestMethod]
    public void DecodeAndPrefillAgree()
    {
        using CudaBackend cuda = CudaDevice.Open();
        TestPlan plan = TestPlan.All[3];
        AttentionShape shape = new(4, 2, 64, 0.125f);
        Inputs inputs = new(cuda, shape, plan.Rows, plan.Rows, 0);
        (float[] y, float[] log) = inputs.Attend(plan.On(cuda));
        (float[] fewY, float[] fewLog) = inputs.Attend(plan.On(cuda) with { Trees = default });
        // Both round the same probabilities, relative to other largest scores, and then y: at most one unit in the last place of y and of each weight apart.
        (_, double[] bound, _, _) = Expected(plan.Segments, plan.Queries, shape, inputs);
        for (int i = 0; i < y.Length; i++)
            Assert.IsLessThanOrEqualTo(2 * bound[i], Math.Abs(y[i] - fewY[i]), $"element {i}");
        Near(Doubles(log), fewLog, 1e-5, "log sum");
    }

    [TestMethod]
    public void AQueryWithoutRowsGivesZeros()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (bool trees in new[] { false, true })
            foreach (int size in new[] { 24, 32 })
            {
                AttentionPlan plan = new(cuda.Put([0, 2, -1, 2, 0, -1], 2, 3), cuda.Put([0, 0, 0, 2, 1, 0], 3, 2), trees ? cuda.Put([0, 3], 1, 2) : default, 2);
                Tensor rows = cuda.Put(Normal(1, 3 * size), 3, size, ElementType.BF16), y = cuda.Nothing(3, size, ElementType.BF16), logSumExp = cuda.Blank(3, 1);
                cuda.Attention(plan, new AttentionShape(1, 1, size, 1), rows, rows, rows, y, logSumExp);
                float[] got = cuda.Read(y), log = cuda.Get(logSumExp);
                SameBits(new float[size], got.AsSpan(0, size), "first row");
                SameBits(new float[size], got.AsSpan(2 * size, size), "last row");
                Assert.AreEqual(float.NegativeInfinity, log[0]);
                Assert.IsTrue(float.IsFinite(log[1]));
                Assert.AreEqual(float.NegativeInfinity, log[2]);
            }
    }

    [TestMethod]
    public void NoRowsAreNoWork()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor none = cuda.Nothing(0, 32, ElementType.BF16), segments = cuda.Put([], 0, 3), queries = cuda.Put([], 0, 2);
        foreach (Tensor trees in new[] { default, cuda.Put([], 0, 2) })
            cuda.Attention(new AttentionPlan(segments, queries, trees, 0), new AttentionShape(1, 1, 32, 1), none, none, none, none, default);
    }

    [TestMethod]
    [DataRow(new[] { 0, 5, -1 }, new[] { 0, 1 }, DisplayName = "segment outside the store")]
    [DataRow(new[] { -1, 2, -1 }, new[] { 0, 1 }, DisplayName = "segment before the store")]
    [DataRow(new[] { 0, 2, 0 }, new[] { 0, 1 }, DisplayName = "parent not before")]
    [DataRow(new[] { 0, 2, -1 }, new[] { 2, 1 }, DisplayName = "no such segment")]
    [DataRow(new[] { 0, 2, -1 }, new[] { -1, 1 }, DisplayName = "no segment")]
    [DataRow(new[] { 0, 2, -1 }, new[] { 0, 3 }, DisplayName = "more rows than the segment has")]
    [DataRow(new[] { 0, 4, -1 }, new[] { 0, 4 }, DisplayName = "more rows than the largest context")]
    public void AWrongQueryGivesNaNAndDisturbsNoOther(int[] segment, int[] query)
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (bool trees in new[] { false, true })
        {
            AttentionPlan plan = new(cuda.Put([.. segment, 0, 2, -1], 2, 3), cuda.Put([1, 2, .. query, 1, 1], 3, 2), trees ? cuda.Put([0, 3], 1, 2) : default, 2);
            Tensor rows = cuda.Put(Normal(1, 4 * 32), 4, 32, ElementType.BF16), y = cuda.Nothing(3, 32, ElementType.BF16), logSumExp = cuda.Blank(3, 1);
            cuda.Attention(plan, new AttentionShape(1, 1, 32, 1), rows.Slice(0, 3), rows, rows, y, logSumExp);
            float[] got = cuda.Read(y), log = cuda.Get(logSumExp);
            Assert.IsTrue(got.Skip(32).Take(32).All(float.IsNaN));
            Assert.IsTrue(float.IsNaN(log[1]));
            Assert.IsTrue(got.Take(32).Concat(got.Skip(64)).All(float.IsFinite));
        }
    }

    [TestMethod]
    public void ALaunchGivesTheSameBitsAndAllocatesNothing()
    {
        using CudaBackend cuda = CudaDevice.Open();
        AttentionShape shape = new(6, 2, 64, 0.125f);
        TestPlan packed = TestPlan.All[1];
        DecodePlan decode = new([(70, 4), (10, 2)], seed: 2, capacity: 80);
        foreach ((AttentionPlan plan, int rows, int store) in new[] { (packed.On(cuda), packed.Rows, packed.Rows), (decode.On(cuda, 150), decode.Queries.Length / 2, decode.StoreRows) })
        {
            Inputs inputs = new(cuda, shape, rows, store, 0);
            Tensor y = cuda.Nothing(rows, inputs.Q.Columns, ElementType.BF16), log = cuda.Blank(rows, shape.QueryHeads);
            cuda.Attention(plan, shape, inputs.Q, inputs.K, inputs.V, y, log);
            float[] first = cuda.Read(y), firstLog = cuda.Get(log);
            long before = GC.GetAllocatedBytesForCurrentThread();
            cuda.Attention(plan, shape, inputs.Q, inputs.K, inputs.V, y, log);
            Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
            SameBits(first, cuda.Read(y), "y");
            SameBits(firstLog, cuda.Get(log), "log sum");
        }
    }

    [TestMethod]
    public void GradientsMatchTheReference()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (TestPlan plan in TestPlan.All)
            foreach (AttentionShape shape in Shapes)
                CheckBackward(cuda, plan, shape, $"{plan.Rows} rows, {shape}");
    }

    [TestMethod]
    public void GradientsOfRootsAloneMatchTheReference()
    {
        // Without children the query heads of a key head are added up in one block, where the blocks suffice.
        using CudaBackend cuda = CudaDevice.Open();
        TestPlan plan = TestPlan.Packed([(150, -1)], [(1, -1)], [(100, -1)], [(60, -1)]);
        foreach (AttentionShape shape in new AttentionShape[] { new(4, 2, 32, 0.2f), new(6, 2, 24, 0.2f) })
            CheckBackward(cuda, plan, shape, $"{shape}");
    }

    [TestMethod]
    public void GradientsOfRowsThatAreNotAlignedMatchTheReference()
    {
        using CudaBackend cuda = CudaDevice.Open();
        CheckBackward(cuda, TestPlan.All[2], new AttentionShape(4, 2, 32, 0.17f), "not aligned", shift: 2);
    }

    [TestMethod]
    public void GradientsAreTheSlopesOfAttention()
    {
        // The loss sum(dy * y) along a random direction of q, k and v, by a central difference of the reference in double precision.
        using CudaBackend cuda = CudaDevice.Open();
        TestPlan plan = TestPlan.All[1];
        AttentionShape shape = new(4, 2, 32, 0.2f);
        Inputs x = new(cuda, shape, plan.Rows, plan.Rows, 0);
        (float[] dq, float[] dk, float[] dv, double[] dy) = x.Differentiate(plan);
        foreach ((double[] values, float[] gradient) in new[] { (x.Query, dq), (x.Key, dk), (x.Value, dv) })
        {
            const double Step = 1e-4;
            double[] direction = Doubles(Normal(9, values.Length)), start = [.. values];
            double[] losses = new double[2];
            for (int side = 0; side < 2; side++)
            {
                for (int i = 0; i < values.Length; i++)
                    values[i] = start[i] + (side == 0 ? -Step : Step) * direction[i];
                losses[side] = Expected(plan.Segments, plan.Queries, shape, x).Y.Zip(dy, (a, b) => a * b).Sum();
            }
            start.CopyTo(values, 0);
            double slope = (losses[1] - losses[0]) / (2 * Step), got = 0, size = 0;
            for (int i = 0; i < values.Length; i++)
            {
                got += gradient[i] * direction[i];
                size += gradient[i] * direction[i] * gradient[i] * direction[i];
            }
            // Each element's error is independent and at most a few units of 2^-8 of it.
            Assert.AreEqual(slope, got, 4 * Math.Sqrt(size) / 256, "slope");
        }
    }

    [TestMethod]
    public void KeysThatNobodySeesHaveNoGradient()
    {
        // Rows 3 and 4 of the store belong to no segment; queries 3 to 5 see nothing, or do not fit the plan.
        using CudaBackend cuda = CudaDevice.Open();
        AttentionShape shape = new(2, 1, 32, 0.2f);
        AttentionPlan plan = new(cuda.Put([0, 3, -1, 5, 1, 0], 2, 3), cuda.Put([0, 1, 0, 2, 0, 3, 0, 0, 0, 9, 1, 2], 6, 2), cuda.Put([0, 6], 1, 2), 4);
        Inputs x = new(cuda, shape, 6, 6, 0);
        Tensor y = cuda.Nothing(6, 64, ElementType.BF16), log = cuda.Blank(6, 2), dq = cuda.Nothing(6, 64, ElementType.BF16), dk = cuda.Nothing(6, 32, ElementType.BF16), dv = cuda.Nothing(6, 32, ElementType.BF16);
        cuda.Attention(plan, shape, x.Q, x.K, x.V, y, log);
        cuda.AttentionBackward(plan, shape, x.Q, x.K, x.V, y, log, x.Q, dq, dk, dv);
        SameBits(new float[3 * 64], cuda.Read(dq).AsSpan(3 * 64), "dq");
        SameBits(new float[3 * 32], cuda.Read(dk).AsSpan(3 * 32), "dk");
        SameBits(new float[3 * 32], cuda.Read(dv).AsSpan(3 * 32), "dv");
        Assert.IsTrue(cuda.Read(dv).Take(3 * 32).All(value => float.IsFinite(value) && value != 0));
    }

    [TestMethod]
    public void GradientsHaveTheSameBitsAndAllocateNothing()
    {
        using CudaBackend cuda = CudaDevice.Open();
        AttentionShape shape = new(6, 2, 64, 0.125f);
        TestPlan packed = TestPlan.All[1];
        AttentionPlan plan = packed.On(cuda);
        Inputs x = new(cuda, shape, packed.Rows, packed.Rows, 0);
        Tensor y = cuda.Nothing(packed.Rows, x.Q.Columns, ElementType.BF16), log = cuda.Blank(packed.Rows, shape.QueryHeads);
        Tensor dq = cuda.Nothing(packed.Rows, x.Q.Columns, ElementType.BF16), dk = cuda.Nothing(packed.Rows, x.K.Columns, ElementType.BF16), dv = cuda.Nothing(packed.Rows, x.K.Columns, ElementType.BF16);
        cuda.Attention(plan, shape, x.Q, x.K, x.V, y, log);
        cuda.AttentionBackward(plan, shape, x.Q, x.K, x.V, y, log, x.Q, dq, dk, dv);
        float[][] first = [cuda.Read(dq), cuda.Read(dk), cuda.Read(dv)];
        long before = GC.GetAllocatedBytesForCurrentThread();
        cuda.AttentionBackward(plan, shape, x.Q, x.K, x.V, y, log, x.Q, dq, dk, dv);
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
        SameBits(first[0], cuda.Read(dq), "dq");
        SameBits(first[1], cuda.Read(dk), "dk");
        SameBits(first[2], cuda.Read(dv), "dv");
    }

    [TestMethod]
    public void WrongShapesAreRefused()
    {
        using CudaBackend cuda = CudaDevice.Open();
        AttentionPlan plan = new(cuda.Put([0, 2, -1], 1, 3), cuda.Put([0, 1, 0, 2], 2, 2), default, 2);
        Tensor x = cuda.Nothing(2, 32, ElementType.BF16), wide = cuda.Nothing(2, 512, ElementType.BF16), floats = cuda.Blank(2, 32);
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Attention(plan, new AttentionShape(3, 2, 32, 1), x, x, x, x, default));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Attention(plan, new AttentionShape(1, 1, 32, 0), x, x, x, x, default));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Attention(plan, new AttentionShape(1, 1, 16, 1), x, x, x, x, default));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Attention(plan, new AttentionShape(1, 1, 32, 1), x, x, x, floats, default));
        Assert.ThrowsExactly<ElmException>(() => cuda.Attention(plan, new AttentionShape(1, 1, 512, 1), wide, wide, wide, wide, default));
    }
}
