using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

[TestClass]
public sealed class AttentionTests
{
    private static readonly AttentionShape[] Shapes =
    [
        new(4, 2, 32, 0.1767767f), new(2, 2, 24, 0.2f), new(7, 1, 64, 0.125f), new(3, 3, 2, 1f), new(2, 1, 128, 0.0883883f),
            new(1, 1, 256, 0.0625f),
    ];

    [TestMethod]
    public void AttentionMatchesTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach (TestPlan plan in TestPlan.All)
            foreach (AttentionShape shape in Shapes)
            {
                int width = shape.QueryHeads * shape.HeadSize, keyWidth = shape.KeyHeads * shape.HeadSize;
                float[] q = Normal(1, plan.Rows * width), k = Normal(2, plan.Rows * keyWidth), v = Normal(3, plan.Rows * keyWidth);
                Tensor y = cpu.Blank(plan.Rows, width), logSumExp = cpu.Blank(plan.Rows, shape.QueryHeads);
                cpu.Attention(plan.On(cpu), shape, cpu.Put(q, plan.Rows, width), cpu.Put(k, plan.Rows, keyWidth),
                    cpu.Put(v, plan.Rows, keyWidth), y, logSumExp);
                (double[] wanted, double[] wantedLog) = Reference.Attention(plan.Segments, plan.Queries, shape, Doubles(q), Doubles(k),
                    Doubles(v));
                Near(wanted, cpu.Get(y), 2e-6, $"{shape}");
                Near(wantedLog, cpu.Get(logSumExp), 2e-6, $"{shape} log sum");
            }
    }

    [TestMethod]
    public void AttentionBackwardMatchesTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach (TestPlan plan in TestPlan.All)
            foreach (AttentionShape shape in Shapes)
            {
                int width = shape.QueryHeads * shape.HeadSize, keyWidth = shape.KeyHeads * shape.HeadSize, m = plan.Rows;
                float[] q = Normal(1, m * width), k = Normal(2, m * keyWidth), v = Normal(3, m * keyWidth), dy = Normal(4, m * width);
                Tensor qt = cpu.Put(q, m, width), kt = cpu.Put(k, m, keyWidth), vt = cpu.Put(v, m, keyWidth), y = cpu.Blank(m, width),
                    logSumExp = cpu.Blank(m, shape.QueryHeads);
                Tensor dq = cpu.Blank(m, width), dk = cpu.Blank(m, keyWidth), dv = cpu.Blank(m, keyWidth);
                AttentionPlan native = plan.On(cpu);
                cpu.Attention(native, shape, qt, kt, vt, y, logSumExp);
                cpu.AttentionBackward(native, shape, qt, kt, vt, y, logSumExp, cpu.Put(dy, m, width), dq, dk, dv);
                (double[] wantedQ, double[] wantedK, double[] wantedV) =
                    Reference.AttentionBackward(plan.Segments, plan.Queries, shape, Doubles(q), Doubles(k), Doubles(v), Doubles(dy));
                Near(wantedQ, cpu.Get(dq), 5e-6, $"{shape} dq");
                Near(wantedK, cpu.Get(dk), 5e-6, $"{shape} dk");
                Near(wantedV, cpu.Get(dv), 5e-6, $"{shape} dv");
            }
    }

    [TestMethod]
    public void AQueryWithoutRowsGivesZeros()
    {
        using CpuBackend cpu = new(1);
        AttentionPlan plan = new(cpu.Put([0, 2, -1], 1, 3), cpu.Put([0, 0, 0, 2], 2, 2), default, 2);
        Tensor rows = cpu.Put(Normal(1, 2 * 24), 2, 24), y = cpu.Blank(2, 24), logSumExp = cpu.Blank(2, 1);
        cpu.Attention(plan, new AttentionShape(1, 1, 24, 1), rows, rows, rows, y, logSumExp);
        SameBits(new float[24], cpu.Get(y).AsSpan(0, 24), "y");
        Assert.AreEqual(float.NegativeInfinity, cpu.Get(logSumExp)[0]);
    }

    [TestMethod]
    [DataRow(new[] { 0, 5, -1 }, new[] { 0, 1, 0, 1 }, DisplayName = "segment outside the store")]
    [DataRow(new[] { 0, 2, 0 }, new[] { 0, 1, 0, 1 }, DisplayName = "parent not before")]
    [DataRow(new[] { 0, 2, -1 }, new[] { 1, 1, 0, 1 }, DisplayName = "no such segment")]
    [DataRow(new[] { 0, 2, -1 }, new[] { 0, 3, 0, 1 }, DisplayName = "more rows than the segment has")]
    [DataRow(new[] { 0, 2, -1, 0, 2, 0 }, new[] { 1, 2, 0, 1 }, DisplayName = "more rows than the largest context")]
    public void AWrongPlanIsRefused(int[] segments, int[] queries)
    {
        using CpuBackend cpu = new(1);
        AttentionPlan plan = new(cpu.Put(segments, segments.Length / 3, 3), cpu.Put(queries, 2, 2), default, 2);
        Tensor rows = cpu.Put(Normal(1, 2 * 24), 2, 24), y = cpu.Blank(2, 24);
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Attention(plan, new AttentionShape(1, 1, 24, 1), rows, rows, rows, y, default));
    }
}
