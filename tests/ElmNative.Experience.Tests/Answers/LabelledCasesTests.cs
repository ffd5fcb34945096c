using ElmNative.Experience.Answers;

namespace ElmNative.Experience.Tests.Answers;

/// <summary>The labelled third-party cases, read in place. The output of each test has the counts by tier and kind and every disagreement.</summary>
[TestClass]
public sealed class LabelledCasesTests
{
    private static readonly AnswerChecker Checker = new();

    public TestContext TestContext { get; set; } = null!;

    [TestMethod, SharedData("grading/equivalence.jsonl")]
    public void Every_core_pair_is_judged_as_labelled()
    {
        GradingReport report = Replay("equivalence.jsonl");
        Assert.AreEqual(GradingSubject.Equivalence, report.Subject);
        Assert.IsEmpty(report.Misses.Where(m => m.Tier == "core").Select(m => m.Id));
        string[] accepted = [.. report.Misses.Where(m => m is { Tier: "extended", Expected: "different" }).Select(m => m.Id)];
        Assert.IsEmpty(accepted);
        Assert.IsGreaterThanOrEqualTo(100, report.Cases.Count(c => c is { Tier: "extended", Passed: true }));
    }

    [TestMethod, SharedData("grading/extraction.jsonl")]
    public void Every_core_response_gives_its_answer()
    {
        GradingReport report = Replay("extraction.jsonl");
        Assert.AreEqual(GradingSubject.Extraction, report.Subject);
        Assert.IsEmpty(report.Misses.Where(m => m.Tier == "core").Select(m => m.Id));
    }

    [TestMethod, SharedData("grading/maj_example_dev.jsonl")]
    public void Sampled_completions_vote_as_labelled()
    {
        GradingReport report = Replay("maj_example_dev.jsonl");
        Assert.AreEqual(GradingSubject.Vote, report.Subject);
        Assert.IsEmpty(report.Misses.Select(m => m.Id));
        Assert.AreEqual(221, report.Cases.Count(c => c is { Kind: "verdict", Found: "correct" }));
        Assert.AreEqual(28, report.Cases.Count(c => c is { Kind: "majority verdict", Found: "correct" }));
    }

    private GradingReport Replay(string file)
    {
        GradingReport report = GradingReplay.Run(SharedDataAttribute.PathOf("grading", file), Checker);
        TestContext.WriteLine($"{file}: {report.Cases.Count} cases in {report.Seconds:0.000} s");
        foreach (GradingTally tally in report.Tallies) TestContext.WriteLine($"{tally.Tier,-9} {tally.Kind,-17} {tally.Passed,4} of {tally.Cases,4}");
        foreach (GradingCase miss in report.Misses)
            TestContext.WriteLine($"miss {miss.Tier} {miss.Kind} {miss.Id}: {miss.Expected} expected, {miss.Found} found; {miss.Case}  ({miss.Why})");
        return report;
    }
}
