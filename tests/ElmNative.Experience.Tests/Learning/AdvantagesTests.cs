using ElmNative.Experience.Learning;

namespace ElmNative.Experience.Tests.Learning;

[TestClass]
public sealed class AdvantagesTests
{
    [TestMethod]
    [DataRow(1, 2.4742, -0.3535)]
    [DataRow(2, 1.6198, -0.5399)]
    [DataRow(3, 1.2074, -0.7244)]
    [DataRow(4, 0.9352, -0.9352)]
    [DataRow(5, 0.7244, -1.2074)]
    [DataRow(6, 0.5399, -1.6198)]
    [DataRow(7, 0.3535, -2.4742)]
    public void Scaled_advantages_of_eight_match_the_table(int ones, double right, double wrong)
    {
        double[] advantages = Advantages.Of(Rewards(ones), scaleByStd: true);
        for (int i = 0; i < 8; i++)
            Assert.AreEqual(i < ones ? right : wrong, advantages[i], 0.5e-4);
    }

    [TestMethod]
    [DataRow(0, true)]
    [DataRow(8, true)]
    [DataRow(0, false)]
    [DataRow(8, false)]
    public void Equal_rewards_give_exactly_zero(int ones, bool scale)
    {
        foreach (double advantage in Advantages.Of(Rewards(ones), scale))
            Assert.AreEqual(0.0, advantage);
        // A mean of equal values need not be that value in floating point; the advantages must be 0 all the same.
        foreach (double advantage in Advantages.Of([0.1, 0.1, 0.1], scale))
            Assert.AreEqual(0.0, advantage);
    }

    [TestMethod]
    public void Without_scaling_it_is_the_difference_from_the_mean()
    {
        double[] advantages = Advantages.Of([1, 0, 0, 0], scaleByStd: false);
        CollectionAssert.AreEqual(new[] { 0.75, -0.25, -0.25, -0.25 }, advantages);
    }

    private static double[] Rewards(int ones) => [.. Enumerable.Range(0, 8).Select(i => i < ones ? 1.0 : 0.0)];
}
