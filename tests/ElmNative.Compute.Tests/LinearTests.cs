using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

[TestClass]
public sealed class LinearTests
{
    private static readonly (int M, int N, int K)[] Sizes =
    [
        (0, 5, 7), (1, 1, 1), (1, 9, 16), (1, 23, 100), (2, 4, 15), (3, 13, 24), (5, 7, 33), (7, 0, 5), (6, 8, 0), (8, 70, 48), (11, 6, 17),
        (12, 5, 31), (13, 70, 40), (25, 129, 130), (250, 67, 65), (4, 6, 1200),
    ];

    [TestMethod]
    public void LinearMatchesTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int n, int k) in Sizes)
            foreach (ElementType type in FloatTypes)
                foreach (int shift in new[] { 0, 1, 2 })
                {
                    float[] x = Normal(1, m * k), w = Normal(2, n * k), bias = Normal(3, n), before = Normal(4, m * n);
                    Tensor xt = cpu.Put(x, m, k), wt = cpu.Put(w, n, k, type, shift), bt = cpu.Put(bias, 1, n, type, shift),
                        yt = cpu.Blank(m, n);
                    string what = $"{type} {m}x{n}x{k} shift {shift}";
                    double[] plain = Reference.Linear(Doubles(x), Rounded(w, type), null, m, n, k);
                    double[] biased = Reference.Linear(Doubles(x), Rounded(w, type), Rounded(bias, type), m, n, k);
                    double scale = Math.Sqrt(k + 1);
                    cpu.Linear(xt, wt, default, yt, false);
                    Near(plain, cpu.Get(yt), 1e-6, what, scale);
                    cpu.Linear(xt, wt, bt, yt, false);
                    Near(biased, cpu.Get(yt), 1e-6, what, scale);
                    yt = cpu.Put(before, m, n);
                    cpu.Linear(xt, wt, bt, yt, true);
                    Near([.. biased.Zip(before, (a, b) => a + b)], cpu.Get(yt), 1e-6, what, scale);
                }
    }

    [TestMethod]
    public void LinearBackwardMatchesTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int n, int k) in Sizes)
            foreach (ElementType type in FloatTypes)
                foreach (int shift in new[] { 0, 1 })
                {
                    float[] dy = Normal(1, m * n), w = Normal(2, n * k), before = Normal(4, m * k);
                    Tensor dyt = cpu.Put(dy, m, n), wt = cpu.Put(w, n, k, type, shift), dxt = cpu.Blank(m, k);
                    string what = $"{type} {m}x{n}x{k} shift {shift}";
                    double[] wanted = Reference.LinearBackward(Doubles(dy), Rounded(w, type), m, n, k);
                    cpu.LinearBackward(dyt, wt, dxt, false);
                    Near(wanted, cpu.Get(dxt), 2e-6, what, Math.Sqrt(n + 1));
                    dxt = cpu.Put(before, m, k);
                    cpu.LinearBackward(dyt, wt, dxt, true);
                    Near([.. wanted.Zip(before, (a, b) => a + b)], cpu.Get(dxt), 2e-6, what, Math.Sqrt(n + 1));
                }
    }

    [TestMethod]
    public void LongSumsSpanSeveralTiles()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int n, int k) in new[] { (14, 1100, 70), (30, 9, 7000) })
        {
            float[] x = Normal(1, m * k), dy = Normal(5, m * n), w = Normal(2, n * k);
            Tensor wt = cpu.Put(w, n, k, ElementType.BF16), yt = cpu.Blank(m, n), dxt = cpu.Blank(m, k);
            cpu.Linear(cpu.Put(x, m, k), wt, default, yt, false);
            Near(Reference.Linear(Doubles(x), Rounded(w, ElementType.BF16), null, m, n, k), cpu.Get(yt), 1e-6, "forward", Math.Sqrt(k));
            cpu.LinearBackward(cpu.Put(dy, m, n), wt, dxt, false);
            Near(Reference.LinearBackward(Doubles(dy), Rounded(w, ElementType.BF16), m, n, k), cpu.Get(dxt), 2e-6, "backward",
                Math.Sqrt(n));
        }
    }

    [TestMethod]
    public void ProjectionsHaveTheBitsOfLinearLayersOneByOne()
    {
        foreach (int threads in new[] { 1, 3 })
        {
            using CpuBackend cpu = new(threads);
            foreach (int m in new[] { 0, 1, 3, 8, 25, 250 })
                foreach (bool adopted in new[] { false, true })
                {
                    int k = 130;
                    int[] sizes = [96, 17, 0, 1, 48];
                    Tensor x = cpu.Put(Normal(1, m * k), m, k);
                    Tensor[] weights = [.. sizes.Select((n, i) => cpu.Put(Normal(2 + i, n * k), n, k, FloatTypes[i % 3])).Select(stored => adopted && stored.Rows > 0 ? cpu.Adopt(stored) : stored)];
                    Tensor[] biases = [.. sizes.Select((n, i) => i % 2 == 0 ? cpu.Put(Normal(9 + i, n), 1, n, ElementType.BF16) : default)];
                    Tensor[] alone = [.. sizes.Select(n => cpu.Blank(m, n))], together = [.. sizes.Select(n => cpu.Blank(m, n))];
                    for (int i = 0; i < sizes.Length; i++)
                        cpu.Linear(x, weights[i], biases[i], alone[i], accumulate: false);
                    cpu.Project(x, [.. sizes.Select((_, i) => new Projection(weights[i], biases[i], together[i]))]);
                    for (int i = 0; i < sizes.Length; i++)
                        SameBits(cpu.Get(alone[i]), cpu.Get(together[i]), $"projection {i} of {m} rows, adopted {adopted}, {threads} threads");
                    cpu.Project(x, []);
                }
        }
    }

    [TestMethod]
    public void MoreThanEightProjectionsAreRefused()
    {
        using CpuBackend cpu = new(1);
        Tensor x = cpu.Blank(2, 3), weight = cpu.Blank(4, 3), y = cpu.Blank(2, 4);
        Projection[] many = [.. Enumerable.Repeat(new Projection(weight, default, y), 9)];
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Project(x, many));
        Assert.ThrowsExactly<ArgumentException>(() => cpu.Project(x, [new(weight, default, cpu.Blank(2, 5))]));
    }
}
