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
            TestContext.WriteLine($"miss {miss.Tier} {miss.Kind} {miss.Id}: {miss.Expected} expected, {miss.Found} found; {miss.Case}  ({miss.Why})  BECAUSE {Explain(miss)}");
        return report;
    }

    /// <summary>Why the checker differs from a label that does not bind it.</summary>
    private static string Explain(GradingCase miss) => miss switch
    {
        { Tier: "core" } => "of a fault in the checker",
        _ when miss.Why.Contains("rounding") || miss.Case.Contains("0.33") => "a rounded decimal is not the exact value: it must agree to 1e-6",
        _ when miss.Why.Contains("decimal comma") => "a comma parts list members or thousands, never decimals",
        _ when miss.Tier == "disputed" => "the peers contradict each other, and the label is not this project's rule",
        _ when miss.Why.Contains("double-escaped") => "the box of the text never closes",
        _ when miss.Why.Contains("prose") || miss.Case.Contains("bum") || miss.Case.Contains("not it's") || miss.Case.Contains("Cecile") =>
            "running text is read after \"answer is\", as its last formula, or not at all",
        _ when miss.Case.Contains("boxed") => "boxes are one list only when nothing but connecting words stands between them, and commas bind as \"and\" does",
        _ when miss.Case.Contains("\\sum") => "sums with variable limits are compared by spelling",
        _ when miss.Case.Contains("\\zzz") => "an unknown command makes the answer unreadable",
        _ when miss.Case.Contains("\\$") => "an equation between two numbers that differ states nothing",
        _ => "of a rule that the checker does not have: the last of several boxes counts, and a sentence is not parsed",
    };
}
