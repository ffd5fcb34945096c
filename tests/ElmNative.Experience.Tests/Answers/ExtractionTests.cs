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

    [TestMethod]
    [DataRow("\\fbox{7}", "7")]
    [DataRow("\\boxed{3} and \\fbox{4}", "3")]
    [DataRow("\\boxed 5 apples", "5")]
    [DataRow("$\\boxed\\frac{1}{2}$", "\\frac{1}{2}")]
    [DataRow("\\boxed-12,", "-12")]
    [DataRow("\\boxed{\\text{a \\} b}}", "\\text{a \\} b}")]
    [DataRow("\\boxed{\\boxed{\\boxed{9}}}", "9")]
    [DataRow("\\boxedx{5}", null)]
    [DataRow("boxed{5}", null)]
    [DataRow("\\boxed{5", null)]
    [DataRow("\\boxed", null)]
    [DataRow("\\boxed{}", "")]
    public void Boxes_have_several_forms(string response, string? answer)
    {
        Assert.AreEqual(answer, Checker.Extract(response));
    }

    [TestMethod]
    public void The_first_box_can_be_asked_for()
    {
        AnswerChecker first = new(new AnswerCheckerOptions(Box: BoxChoice.First));
        Assert.AreEqual("1", first.Extract("\\boxed{1} then \\boxed{2}"));
        Assert.AreEqual("1", first.Extract("\\boxed{\\boxed{1}} then \\boxed{2}"));
        Assert.AreEqual("2", first.Extract("\\boxed{1 then \\boxed{2}"));
    }

    [TestMethod]
    [DataRow("So the answer is 12.", "12", "12")]
    [DataRow("The final answer is $\\frac{3}{4}$. I hope it is correct.", "\\frac{3}{4}", "\\frac{3}{4}")]
    [DataRow("We get 3 apples, then 1,250 in all", null, "1250")]
    [DataRow("It is -5.5 degrees.", null, "-5.5")]
    [DataRow("nothing", null, null)]
    [DataRow("\\boxed{1} so the answer is 2", "1", "1")]
    public void Phrases_and_last_numbers_are_options(string response, string? phrase, string? number)
    {
        Assert.AreEqual(phrase, Extraction.Find(response, fallback: ExtractionFallback.Phrase));
        Assert.AreEqual(number, Extraction.Find(response, fallback: ExtractionFallback.PhraseThenNumber));
        Assert.AreEqual(Checker.Extract(response), response.Contains("boxed") ? "1" : null);
    }

    [TestMethod]
    [DataRow("\\boxed{42", "42")]
    [DataRow("\\boxed{5} or \\boxed{6", "6")]
    [DataRow("$\\boxed 5$ ok", "5")]
    [DataRow("final answer is $7$. I hope it is correct. \\boxed{8}", "7")]
    [DataRow("So he answer is: 9.", "9")]
    [DataRow("12 and 13", "13")]
    [DataRow("none", null)]
    public void The_published_rule_is_an_option(string response, string? answer)
    {
        Assert.AreEqual(answer, Extraction.Find(response, fallback: ExtractionFallback.Ttrl));
    }

    [TestMethod]
    [DataRow("The answer is (B).", "B")]
    [DataRow("I think it is C, not D", "C")]
    [DataRow("A. Because B is wrong", "A")]
    [DataRow("A good answer would be D", "D")]
    [DataRow("It cannot be A, so the answer is D", "D")]
    [DataRow("none of these", null)]
    public void Options_are_found_in_running_text(string response, string? letter)
    {
        Assert.AreEqual(letter, Extraction.ChoiceLetter(response));
    }

    [TestMethod]
    public void Gsm8k_answers_follow_the_hashes()
    {
        Assert.AreEqual("1450000", Extraction.AfterHashes("a\n#### 1,450,000\n"));
        Assert.IsNull(Extraction.AfterHashes("18"));
        Assert.IsNull(Extraction.AfterHashes("18 ####"));
    }
}
