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
        Assert.AreEqual("3", MajorityVote.Count(["3", "0.5", "1/2", "3", "\\frac{1}{2}"], Checker, VoteRule.ExactString).Label);
        Assert.AreEqual("", MajorityVote.Count(["3", null, ""], Checker, VoteRule.ExactString).Label);
    }

    [TestMethod]
    public void An_empty_group_has_no_label()
    {
        Assert.IsNull(MajorityVote.Count([], Checker).Label);
    }
}
