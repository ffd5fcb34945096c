using ElmNative.Compute;
using ElmNative.Experience.Answers;

namespace ElmNative.Experience.Tests.Answers;

[TestClass]
public sealed class GradingFilesTests
{
    private static readonly AnswerChecker Checker = new();

    [TestMethod]
    public void Responses_are_graded_line_by_line()
    {
        string file = Write("""
            {"id": "a", "gold": "\\frac{1}{2}", "response": "so \\boxed{0.5}"}

            {"answer": 7, "completion": "\\boxed{8}"}
            {"answer": "reasoning\n#### 1,200", "response": "no box"}
            """);
        GradedResponse[] graded = [.. ResponseGrader.Run(file, Checker)];
        Assert.HasCount(3, graded);
        Assert.AreEqual(new GradedResponse("a", "\\frac{1}{2}", "0.5", true, "the same value"), graded[0]);
        Assert.AreEqual(new GradedResponse("3", "7", "8", false, "different values"), graded[1]);
        Assert.AreEqual(new GradedResponse("4", "1200", null, false, "the response states no answer"), graded[2]);
    }

    [TestMethod]
    public void A_replay_reports_the_disagreements_by_tier_and_kind()
    {
        string file = Write("""
            {"id": "1", "gold": "1", "pred": "1.0", "equal": true, "kind": "integer", "tier": "core"}
            {"id": "2", "gold": "1", "pred": "2", "equal": true, "kind": "integer", "tier": "core", "note": "wrong on purpose"}
            {"id": "3", "gold": "x", "pred": "y", "equal": false, "kind": "expression", "tier": "extended"}
            """);
        GradingReport report = GradingReplay.Run(file, Checker);
        Assert.AreEqual(GradingSubject.Equivalence, report.Subject);
        Assert.AreEqual("2", report.Misses.Single().Id);
        StringAssert.Contains(report.Misses.Single().Why, "wrong on purpose");
        CollectionAssert.AreEqual(new[] { new GradingTally("core", "integer", 2, 1), new GradingTally("extended", "expression", 1, 1) }, report.Tallies.ToArray());
    }

    [TestMethod]
    public void Faulty_files_are_named_with_their_line()
    {
        Assert.Contains("does not exist", Assert.ThrowsExactly<ElmException>(() => GradingReplay.Run("missing.jsonl", Checker)).Message);
        Assert.Contains("line 2 is not JSON", Fault("{\"id\": \"1\", \"gold\": \"1\", \"pred\": \"1\", \"equal\": true}\n{"));
        Assert.Contains("line 1: expected the fields", Fault("{\"a\": 1}"));
        Assert.Contains("line 1: a field", Fault("{\"gold\": 1, \"pred\": \"1\", \"equal\": true, \"id\": \"1\"}"));
        Assert.Contains("has no cases", Fault("\n"));
        Assert.Contains("is not a JSON object", Fault("[1]"));
        string noResponse = Write("{\"gold\": \"1\"}");
        Assert.Contains("line 1 has no response", Assert.ThrowsExactly<ElmException>(() => ResponseGrader.Run(noResponse, Checker).ToArray()).Message);

        static string Fault(string text)
        {
            string file = Write(text);
            return Assert.ThrowsExactly<ElmException>(() => GradingReplay.Run(file, Checker)).Message;
        }
    }

    private static string Write(string text)
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("grading").FullName, "cases.jsonl");
        File.WriteAllText(file, text);
        return file;
    }
}
