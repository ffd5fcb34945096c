using ElmNative.Experience.Verification;

namespace ElmNative.Experience.Tests.Verification;

[TestClass]
public class ProcessRewardVerifierTests
{
    [TestMethod]
    [DataRow(StepAggregation.Product, 0.06)]
    [DataRow(StepAggregation.Min, 0.2)]
    [DataRow(StepAggregation.Last, 0.6)]
    [DataRow(StepAggregation.Mean, 0.43333333333333335)]
    public void StepScoresBecomeOne(StepAggregation aggregation, double expected) =>
        Assert.AreEqual(expected, ProcessRewardVerifier.Aggregate([0.5, 0.2, 0.6], aggregation), 1e-12);

    [TestMethod]
    public void AProductOfManyStaysANumber()
    {
        double tiny = ProcessRewardVerifier.Aggregate([0, 0.5], StepAggregation.Product);
        Assert.IsGreaterThan(0.0, tiny);
        Assert.IsLessThan(ProcessRewardVerifier.Aggregate([1e-6, 0.5], StepAggregation.Product), tiny);
    }
}
