using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>The gradients of the double-precision reference against central differences of its forward formulas.</summary>
[TestClass]
public sealed class ReferenceTests
{
    /// <summary>Compares a gradient with the differences of sum(dy * forward(x)) along every coordinate.</summary>
    private static void Check(double[] x, double[] gradient, double[] dy, Func<double[], double[]> forward, string what)
    {
        const double step = 1e-5;
        double Loss() => forward(x).Zip(dy, (a, b) => a * b).Sum();
        for (int i = 0; i < x.Length; i++)
        {
            double at = x[i];
            x[i] = at + step;
            double above = Loss();
            x[i] = at - step;
            double below = Loss();
            x[i] = at;
            Assert.AreEqual((above - below) / (2 * step), gradient[i], 1e-7 * (1 + Math.Abs(gradient[i])), $"{what}, element {i}");
        }
    }

    private static double[] Draw(int seed, int count) => Doubles(Normal(seed, count));

    [TestMethod]
    public void LinearAndRmsNorm()
    {
        double[] x = Draw(1, 12), w = Draw(2, 20), dy = Draw(3, 15);
        Check(x, Reference.LinearBackward(dy, w, 3, 5, 4), dy, v => Reference.Linear(v, w, null, 3, 5, 4), "linear");
        double[] weight = Draw(4, 4), dn = Draw(5, 12);
        Check(x, Reference.RmsNormBackward(x, weight, 1e-3, dn, 3, 4), dn, v => Reference.RmsNorm(v, weight, 1e-3, 3, 4), "norm");
    }

    [TestMethod]
    public void RotaryAndSwiGlu()
    {
        double[] x = Draw(1, 16), dy = Draw(2, 16), table = [.. Enumerable.Range(0, 2).SelectMany(p =>
            new[] { Math.Cos(p), Math.Cos(p / 9.0), Math.Sin(p), Math.Sin(p / 9.0) })];
        Check(x, Reference.Rotary(dy, [0, 1], table, 4, true, 8), dy, v => Reference.Rotary(v, [0, 1], table, 4, false, 8), "rotary");
        double[] up = Draw(3, 16);
        (double[] dgate, double[] dup) = Reference.SwiGluBackward(x, up, dy);
        Check(x, dgate, dy, v => Reference.SwiGlu(v, up), "gate");
        Check(up, dup, dy, v => Reference.SwiGlu(x, v), "up");
    }

    [TestMethod]
    public void LogProbs()
    {
        double[] hidden = Draw(1, 9), w = Draw(2, 15), dy = Draw(3, 3);
        int[] targets = [4, 0, 4];
        Check(hidden, [.. Reference.LogProbsGradient(hidden, w, targets, 0.7, 5, 3).Select((x, i) => dy[i / 3] * x)], dy, v =>
            Reference.LogProbs(v, w, targets, 0.7, 5, 3).LogProbs, "hidden");
    }

    [TestMethod]
    public void Attention()
    {
        TestPlan plan = TestPlan.Packed([(3, -1), (2, 0), (2, 0)], [(2, -1)]);
        AttentionShape shape = new(4, 2, 2, 0.7f);
        double[] q = Draw(1, plan.Rows * 8), k = Draw(2, plan.Rows * 4), v = Draw(3, plan.Rows * 4), dy = Draw(4, plan.Rows * 8);
        (double[] dq, double[] dk, double[] dv) = Reference.AttentionBackward(plan.Segments, plan.Queries, shape, q, k, v, dy);
        Check(q, dq, dy, x => Reference.Attention(plan.Segments, plan.Queries, shape, x, k, v).Y, "q");
        Check(k, dk, dy, x => Reference.Attention(plan.Segments, plan.Queries, shape, q, x, v).Y, "k");
        Check(v, dv, dy, x => Reference.Attention(plan.Segments, plan.Queries, shape, q, k, x).Y, "v");
    }
}
