using ElmNative.Experience.Learning;

namespace ElmNative.Experience.Tests.Learning;

[TestClass]
public sealed class PolicyLossTests
{
    private static readonly double[] Old = [-1.1, -0.4, -2.3];

    [TestMethod]
    [DataRow(1.0, 1.3, true)]
    [DataRow(-1.0, 0.7, true)]
    [DataRow(1.0, 0.7, false)]
    [DataRow(-1.0, 1.3, false)]
    [DataRow(1.0, 1.1, false)]
    [DataRow(-1.0, 0.9, false)]
    public void Gradient_of_the_reward_part_is_zero_where_the_ratio_is_clipped(double advantage, double ratio, bool clipped)
    {
        float[][] old = [[-1.25f]], current = [[-1.25f + (float)Math.Log(ratio)]];
        PolicyLossResult result = new PolicyLoss(MaxTokens: 1).Compute(current, old, null, [advantage]);
        double exact = Math.Exp((double)current[0][0] - old[0][0]);
        Assert.AreEqual(clipped ? 0 : -advantage * exact, result.DLogProbs[0][0], 1e-6);
        Assert.AreEqual(clipped ? 1.0 : 0.0, result.ClipFraction);
        Assert.AreEqual(-Math.Min(exact * advantage, Math.Clamp(exact, 0.8, 1.2) * advantage), result.Loss, 1e-12);
    }

    [TestMethod]
    [DataRow(0.0, false)]
    [DataRow(0.04, false)]
    [DataRow(0.0, true)]
    [DataRow(0.3, true)]
    public void Gradient_matches_central_differences(double beta, bool withOld)
    {
        // Ragged group of three; values are multiples of 2^-12, so that the shifts are exact in float32.
        float[][] logProbs = [[-0.5f, -1.25f], [-2f, -0.125f, -0.75f], [-3.5f]];
        float[][] reference = [[-0.75f, -1f], [-1.5f, -0.25f, -0.5f], [-3f]];
        float[][]? old = withOld ? [[-0.5f, -1f], [-2.125f, -0.125f, -0.75f], [-3.25f]] : null;
        double[] advantages = [0.9352, -0.9352, 0.3];
        PolicyLoss loss = new(MaxTokens: 7, beta);
        // With the ratio fixed at 1 the value does not move with the log-probabilities; the gradient is that of the ratio's definition with old = the values themselves.
        float[][] anchor = old ?? logProbs;
        PolicyLossResult result = loss.Compute(logProbs, old, reference, advantages);
        const float h = 1f / 4096;
        for (int i = 0; i < logProbs.Length; i++)
            for (int t = 0; t < logProbs[i].Length; t++)
            {
                double slope = (Shifted(i, t, h) - Shifted(i, t, -h)) / (2.0 * h);
                Assert.AreEqual(slope, result.DLogProbs[i][t], 1e-7, $"completion {i}, token {t}");
            }

        double Shifted(int completion, int token, float by)
        {
            float[][] moved = [.. logProbs.Select(c => (float[])c.Clone())];
            moved[completion][token] += by;
            return loss.Compute(moved, anchor, reference, advantages).Loss;
        }
    }

    [TestMethod]
    public void At_ratio_one_the_value_is_the_length_weighted_advantage()
    {
        float[][] logProbs = [[-1f, -2f, -3f], [-1f]];
        PolicyLossResult result = new PolicyLoss(MaxTokens: 10).Compute(logProbs, null, null, [0.5, -0.5]);
        Assert.AreEqual(-(0.5 * 3 - 0.5 * 1) / (2 * 10), result.Loss, 1e-15);
        Assert.IsNull(result.Kl);
    }

    [TestMethod]
    public void Doubling_the_length_limit_halves_loss_and_gradient()
    {
        float[][] logProbs = [[-1f, -2f, -3f], [-1f]], reference = [[-2f, -2f, -1f], [-1.5f]];
        PolicyLossResult one = new PolicyLoss(10, 0.1).Compute(logProbs, null, reference, [0.5, -0.5]);
        PolicyLossResult two = new PolicyLoss(20, 0.1).Compute(logProbs, null, reference, [0.5, -0.5]);
        Assert.AreEqual(one.Loss / 2, two.Loss, 1e-15);
        Assert.AreEqual(one.DLogProbs[0][1] / 2, two.DLogProbs[0][1], 1e-9);
        Assert.AreEqual(one.Kl, two.Kl);
    }

    [TestMethod]
    public void The_policy_as_its_own_reference_has_no_divergence_and_no_gradient_from_it()
    {
        float[][] logProbs = [[.. Old.Select(v => (float)v)]];
        PolicyLossResult result = new PolicyLoss(10, Beta: 5).Compute(logProbs, null, logProbs, [0.0]);
        Assert.AreEqual(0.0, result.Kl);
        Assert.AreEqual(0.0, result.Loss);
        foreach (float value in result.DLogProbs[0])
            Assert.AreEqual(0f, value);
    }

    [TestMethod]
    public void Supervised_loss_is_the_mean_negative_log_probability()
    {
        (double loss, float[] gradient) = SftLoss.Compute([-1f, -2f, -4f, -5f]);
        Assert.AreEqual(3.0, loss);
        CollectionAssert.AreEqual(new[] { -0.25f, -0.25f, -0.25f, -0.25f }, gradient);
    }
}
