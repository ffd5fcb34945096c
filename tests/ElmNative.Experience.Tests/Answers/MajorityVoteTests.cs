using ElmNative.Experience.Answers;

namespace ElmNative.Experience.Tests.Answers;

[TestClass]
public sealed class MajorityVoteTests
{
    private static readonly AnswerChecker Checker = new();

    [TestMethod]
    public void Spellings_of_one_answer_vote_together_under_the_first_spelling()
    {
        VoteResult vote = MajorityVote.Count(["3", "0.5", "\\frac{1}{2}", "3", "1/2"], Checker);
        Assert.AreEqual("0.5", vote.Label);
        Assert.AreEqual(0.6, vote.Ratio);
        CollectionAssert.AreEqual(new[] { 0, 1, 1, 0, 1 }, vote.Classes);
        CollectionAssert.AreEqual(new[] { 2, 3 }, vote.Counts);
        Assert.AreEqual(1, vote.Winner);
    }

    [TestMethod]
    public void A_tie_goes_to_the_answer_seen_first()
    {
        Assert.AreEqual("7", MajorityVote.Count([null, "7", "8", "8", "7"], Checker).Label);
    }

    [TestMethod]
    public void Non_answers_never_win_but_lower_the_ratio()
    {
        VoteResult vote = MajorityVote.Count([null, "", " ", "5"], Checker);
        Assert.AreEqual("5", vote.Label);
        Assert.AreEqual(0.25, vote.Ratio);
        CollectionAssert.AreEqual(new[] { -1, -1, -1, 0 }, vote.Classes);

        VoteResult none = MajorityVote.Count([null, "", null], Checker);
        Assert.IsNull(none.Label);
        Assert.AreEqual(0.0, none.Ratio);
        Assert.AreEqual(-1, none.Winner);
    }

    [TestMethod]
    public void The_exact_string_rule_keeps_spellings_apart_and_lets_the_empty_answer_win()
    {
        Assert.AreEqual("3", MajorityVote.Count(["3", "0.5", "1/2", "x=3.0", "\\frac{2}{4}", "\\frac12", "03"], Checker, VoteRule.ExactString).Label);
        Assert.AreEqual("", MajorityVote.Count(["3", null, ""], Checker, VoteRule.ExactString).Label);
    }

    [TestMethod]
    [DataRow("\\left( 3, \\dfrac{\\pi}{2} \\right)", "(3,\\frac{\\pi}{2})")]
    [DataRow("\\frac12", "\\frac{1}{2}")]
    [DataRow("3/4", "\\frac{3}{4}")]
    [DataRow("\\sqrt2", "\\sqrt{2}")]
    [DataRow("x=5", "5")]
    [DataRow("1{,}234", "1234")]
    [DataRow("025", "25")]
    [DataRow("12.0", "12")]
    [DataRow("\\text{East}", "east")]
    [DataRow("15\\mbox{ cm}", "15")]
    [DataRow("(a+5)(b+2)", "(a+5)(b+2)")]
    [DataRow("1 \\pm \\sqrt{19}", "1\\pm\\sqrt{19}")]
    public void The_normal_form_of_a_spelling_keeps_the_mathematics(string answer, string normal)
    {
        Assert.AreEqual(normal, Normaliser.Normalise(answer));
        Assert.AreEqual(normal, Normaliser.Normalise(normal));
    }

    [TestMethod]
    public void An_empty_group_has_no_label()
    {
        Assert.IsNull(MajorityVote.Count([], Checker).Label);
    }
}
