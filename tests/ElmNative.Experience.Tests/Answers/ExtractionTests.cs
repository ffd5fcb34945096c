using ElmNative.Experience.Answers;

namespace ElmNative.Experience.Tests.Answers;

[TestClass]
public sealed class ExtractionTests
{
    private static readonly AnswerChecker Checker = new();

    [TestMethod]
    [DataRow("so \\boxed{1} and \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}")]
    [DataRow("\\boxed{\\{1,2\\}}", "\\{1,2\\}")]
    [DataRow("\\boxed{3} then \\boxed{4", "3")]
    [DataRow("\\boxed{ x }", "x")]
    [DataRow("no answer here", null)]
    public void The_last_balanced_box_is_the_answer(string response, string? answer)
    {
        Assert.AreEqual(answer, Checker.Extract(response));
    }
}
