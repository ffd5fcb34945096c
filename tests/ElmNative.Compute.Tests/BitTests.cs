using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Runs a test only on a machine with an instruction path; elsewhere it counts as skipped.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NeedsPathAttribute : ConditionBaseAttribute
{
    private readonly string path;

    public NeedsPathAttribute(string path) : base(ConditionMode.Include)
    {
        this.path = path;
        IgnoreMessage = $"this processor lacks {path}";
    }

    public override string GroupName => $"path {path}";

    public override bool IsConditionMet => Paths.Contains(path);
}

/// <summary>What must not change a bit: the instruction path, the number of threads, the rows of a batch, where keys lie in the
/// store.</summary>
[TestClass]
public sealed class BitTests
{
    private static readonly Lazy<Dictionary<string, float[]>> Scalar = new(() =>
    {
        using CpuBackend cpu = new(1, "scalar");
        return EveryOperation.Run(cpu);
    });

    private static void SameAsScalar(int threads, string path)
    {
        using CpuBackend cpu = new(threads, path);
        foreach ((string name, float[] values) in EveryOperation.Run(cpu))
            SameBits(Scalar.Value[name], values, $"{name} on {path} with {threads} threads");
    }

    [TestMethod, NeedsPath("avx2")]
    public void Avx2GivesTheBitsOfTheScalarPath() => SameAsScalar(1, "avx2");

    [TestMethod, NeedsPath("avx512")]
    public void Avx512GivesTheBitsOfTheScalarPath() => SameAsScalar(1, "avx512");

    [TestMethod]
    public void TwoThreadsGiveTheBitsOfOne() => SameAsScalar(2, Paths[^1]);

    [TestMethod]
    public void ThreeThreadsGiveTheBitsOfOne() => SameAsScalar(3, Paths[^1]);

    [TestMethod]
    public void TheScalarPathGivesTheSameBitsWithTwoThreads() => SameAsScalar(2, "scalar");

    [TestMethod]
    public void ARowOfADenseProductDoesNotDependOnItsBatch()
    {
        using CpuBackend cpu = new(2);
        foreach (ElementType type in FloatTypes)
            foreach ((int n, int k) in new[] { (71, 40), (300, 130), (9, 900) })
            {
                const int most = 300;
                Tensor x = cpu.Put(Normal(1, most * k), most, k), dy = cpu.Put(Normal(2, most * n), most, n),
                    w = cpu.Put(Normal(3, n * k), n, k, type, 1);
                Tensor y = cpu.Blank(most, n), dx = cpu.Blank(most, k), somey = cpu.Blank(most, n), somedx = cpu.Blank(most, k);
                cpu.Linear(x, w, default, y, false);
                cpu.LinearBackward(dy, w, dx, false);
                foreach ((int start, int count) in new[] { (0, 1), (299, 1), (7, 2), (3, 5), (1, 6), (2, 8), (20, 11), (20, 12), (9, 29),
                    (1, 299) })
                {
                    cpu.Linear(x.Slice(start, count), w, default, somey.Slice(0, count), false);
                    SameBits(cpu.Get(y.Slice(start, count)), cpu.Get(somey.Slice(0, count)), $"{count} rows forward, {type}");
                    cpu.LinearBackward(dy.Slice(start, count), w, somedx.Slice(0, count), false);
                    SameBits(cpu.Get(dx.Slice(start, count)), cpu.Get(somedx.Slice(0, count)), $"{count} rows backward, {type}");
                }
            }
    }

    [TestMethod]
    public void ARowOfTheHeadDoesNotDependOnItsBatch()
    {
        using CpuBackend cpu = new(2);
        const int m = 250, vocabulary = 5000, d = 24;
        Tensor hidden = cpu.Put(Normal(1, m * d), m, d), weight = cpu.Put(Normal(2, vocabulary * d), vocabulary, d, ElementType.BF16),
            targets = cpu.Put([.. Enumerable.Range(0, m)], 1, m);
        Tensor logprobs = cpu.Blank(1, m), entropy = cpu.Blank(1, m), gradient = cpu.Blank(m, d);
        cpu.LogProbs(hidden, weight, targets, 0.8f, logprobs, entropy, gradient);
        Tensor p = cpu.Blank(1, 1), e = cpu.Blank(1, 1), row = cpu.Blank(1, d);
        for (int i = 0; i < m; i += 17)
        {
            Tensor target = targets.Reshape(m, 1).Slice(i, 1);
            cpu.LogProbs(hidden.Slice(i, 1), weight, target, 0.8f, p, e, row);
            SameBits(cpu.Get(logprobs.Reshape(m, 1).Slice(i, 1)), cpu.Get(p), "log-probability");
            SameBits(cpu.Get(entropy.Reshape(m, 1).Slice(i, 1)), cpu.Get(e), "entropy");
            SameBits(cpu.Get(gradient.Slice(i, 1)), cpu.Get(row), "gradient");
        }
    }

    [TestMethod]
    public void SampleReportsTheLogProbsOfTheHead()
    {
        using CpuBackend cpu = new(2);
        const int m = 50, d = 48;
        foreach (int vocabulary in new[] { 719, 5003 })
            foreach (float temperature in new[] { 1f, 0.6f, 1.7f })
            {
                Tensor hidden = cpu.Put(Normal(1, m * d), m, d),
                    weight = cpu.Put(Normal(2, vocabulary * d, 0.3), vocabulary, d, ElementType.BF16);
                Tensor logits = cpu.Blank(m, vocabulary), tokens = cpu.Put(new int[m], 1, m), sampled = cpu.Blank(1, m),
                    recomputed = cpu.Blank(1, m);
                SamplingRow[] rows = [.. Enumerable.Range(0, m).Select(i =>
                    new SamplingRow { Temperature = temperature, TopP = 0.95f, TopK = 50, Position = (uint)i })];
                // The decode steps that led here had few rows; the head sees all at once.
                for (int i = 0; i < m; i += 5)
                    cpu.Linear(hidden.Slice(i, 5), weight, default, logits.Slice(i, 5), false);
                cpu.Sample(logits, cpu.Put(rows), tokens, sampled);
                cpu.LogProbs(hidden, weight, tokens, temperature, recomputed, default, default);
                SameBits(cpu.Get(sampled), cpu.Get(recomputed), $"temperature {temperature}");
            }
    }

    [TestMethod]
    public void DecodeAndPackedPrefillGiveTheSameAttention()
    {
        using CpuBackend cpu = new(2);
        foreach (AttentionShape shape in new AttentionShape[] { new(4, 2, 32, 0.17f), new(2, 2, 24, 0.2f), new(3, 1, 64, 0.125f) })
        {
            TestPlan plan = TestPlan.Packed([(21, -1), (35, 0), (6, 0), (9, 1)]);
            int m = plan.Rows, width = shape.QueryHeads * shape.HeadSize, keyWidth = shape.KeyHeads * shape.HeadSize;
            float[] q = Normal(1, m * width), k = Normal(2, m * keyWidth), v = Normal(3, m * keyWidth);
            Tensor qt = cpu.Put(q, m, width), y = cpu.Blank(m, width), logSumExp = cpu.Blank(m, shape.QueryHeads);
            cpu.Attention(plan.On(cpu), shape, qt, cpu.Put(k, m, keyWidth), cpu.Put(v, m, keyWidth), y, logSumExp);

            // The same rows in a cache of three times the size, each segment elsewhere; every query alone.
            int store = 3 * m, place = store;
            int[] segments = [.. plan.Segments], slots = new int[m];
            for (int s = 0; s < segments.Length / 3; s++)
            {
                place -= segments[3 * s + 1] + 5;
                for (int i = 0; i < segments[3 * s + 1]; i++)
                    slots[segments[3 * s] + i] = place + i;
                segments[3 * s] = place;
            }
            Tensor keys = cpu.Blank(store, keyWidth), values = cpu.Blank(store, keyWidth), slotTensor = cpu.Put(slots, 1, m);
            cpu.ScatterRows(cpu.Put(k, m, keyWidth), slotTensor, keys);
            cpu.ScatterRows(cpu.Put(v, m, keyWidth), slotTensor, values);
            Tensor one = cpu.Blank(1, width), oneLog = cpu.Blank(1, shape.QueryHeads),
                segmentTensor = cpu.Put(segments, segments.Length / 3, 3);
            for (int i = 0; i < m; i++)
            {
                AttentionPlan alone = new(segmentTensor, cpu.Put(plan.Queries[(2 * i)..(2 * i + 2)], 1, 2), default, plan.MaxContext + 100);
                cpu.Attention(alone, shape, qt.Slice(i, 1), keys, values, one, oneLog);
                SameBits(cpu.Get(y.Slice(i, 1)), cpu.Get(one), $"row {i} of {shape}");
                SameBits(cpu.Get(logSumExp.Slice(i, 1)), cpu.Get(oneLog), $"log sum {i} of {shape}");
            }
        }
    }

    [TestMethod]
    public void ATreesGradientDoesNotDependOnTheOtherTrees()
    {
        using CpuBackend cpu = new(2);
        AttentionShape shape = new(4, 2, 32, 0.17f);
        (int, int)[] first = [(9, -1), (14, 0)], second = [(30, -1), (5, 0), (18, 0)];
        float[][] together = Backward(cpu, TestPlan.Packed(first, second), shape, 0),
            alone = Backward(cpu, TestPlan.Packed(second), shape, 23);
        for (int i = 0; i < 3; i++)
            SameBits(together[i].AsSpan(together[i].Length - alone[i].Length), alone[i], "second tree");
    }

    /// <summary>dq, dk and dv of a plan whose rows are rows [first, ...) of a fixed sequence.</summary>
    private static float[][] Backward(CpuBackend cpu, TestPlan plan, AttentionShape shape, int first)
    {
        int m = plan.Rows, width = shape.QueryHeads * shape.HeadSize, keyWidth = shape.KeyHeads * shape.HeadSize;
        Tensor Rows(int seed, int columns) => cpu.Put(Normal(seed, 100 * columns), 100, columns).Slice(first, m);
        Tensor q = Rows(1, width), k = Rows(2, keyWidth), v = Rows(3, keyWidth), y = cpu.Blank(m, width),
            logSumExp = cpu.Blank(m, shape.QueryHeads);
        Tensor dq = cpu.Blank(m, width), dk = cpu.Blank(m, keyWidth), dv = cpu.Blank(m, keyWidth);
        AttentionPlan native = plan.On(cpu);
        cpu.Attention(native, shape, q, k, v, y, logSumExp);
        cpu.AttentionBackward(native, shape, q, k, v, y, logSumExp, Rows(4, width), dq, dk, dv);
        return [cpu.Get(dq), cpu.Get(dk), cpu.Get(dv)];
    }

    [TestMethod]
    public void ManySmallJobsInARowKeepTheirBits()
    {
        using CpuBackend many = new(4), one = new(1);
        const int m = 64, k = 64, n = 256;
        float[] x = Normal(1, m * k), w = Normal(2, n * k);
        Tensor wanted = one.Blank(m, n), xt = many.Put(x, m, k), wt = many.Put(w, n, k), y = many.Blank(m, n);
        one.Linear(one.Put(x, m, k), one.Put(w, n, k), default, wanted, false);
        float[] bits = one.Get(wanted);
        for (int i = 0; i < 300; i++)
        {
            many.Zero(y);
            many.Linear(xt, wt, default, y, false);
            SameBits(bits, many.Get(y), $"call {i}");
            if (i % 100 == 99)
                Thread.Sleep(2); // long enough for the workers to fall asleep
        }
    }
}
