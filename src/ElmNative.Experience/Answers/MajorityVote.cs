namespace ElmNative.Experience.Answers;

/// <summary>How a vote decides that two completions gave one answer.</summary>
public enum VoteRule
{
    /// <summary>Answers are grouped by the checker's equivalence, each against the first-seen answer of a class; a completion without an answer has no vote.</summary>
    Equivalence,

    /// <summary>
    /// The rule of TTRL (`ttt_metrics.py`): answers are grouped as exact strings after a normal form of the spelling, and the empty string of a
    /// completion without an answer votes like any other.
    /// </summary>
    ExactString,
}

/// <summary>The outcome of a vote among the completions of one group.</summary>
/// <param name="Label">The first-seen answer of the largest class; null where no answer won.</param>
/// <param name="Ratio">Votes of the winning class over all completions, those without an answer included; 0 where no answer won.</param>
/// <param name="Winner">Index of the winning class, or -1.</param>
/// <param name="Classes">The class of every completion, or -1 for one that had no vote. Classes are numbered in order of first appearance.</param>
/// <param name="Representatives">The first-seen answer of every class.</param>
/// <param name="Counts">The votes of every class.</param>
public sealed record VoteResult(string? Label, double Ratio, int Winner, int[] Classes, string[] Representatives, int[] Counts);

/// <summary>The majority vote that labels a group of completions without a gold answer.</summary>
public static class MajorityVote
{
    /// <summary>
    /// Votes. The largest class wins, the first seen among equals. Null, empty and blank answers are non-answers: they count in the ratio's
    /// denominator, and (except under <see cref="VoteRule.ExactString"/>) never win.
    /// </summary>
    /// <param name="answers">The extracted answer of each completion, in sampling order; null where there was none.</param>
    /// <param name="checker">Decides which answers are the same; unused by the exact-string rule.</param>
    /// <param name="rule">How answers are grouped.</param>
    public static VoteResult Count(IReadOnlyList<string?> answers, IAnswerChecker checker, VoteRule rule = VoteRule.Equivalence)
    {
        int[] classes = new int[answers.Count];
        List<string> representatives = [];
        List<int> counts = [];
        List<string> spellings = [];
        for (int i = 0; i < answers.Count; i++)
        {
            string? answer = answers[i];
            if (rule == VoteRule.Equivalence && string.IsNullOrWhiteSpace(answer))
            {
                classes[i] = -1;
                continue;
            }
            answer ??= "";
            string spelling = rule == VoteRule.ExactString ? Normaliser.Normalise(answer) : "";
            int found = rule == VoteRule.ExactString ? spellings.IndexOf(spelling) : representatives.FindIndex(r => checker.Same(r, answer));
            if (found < 0)
            {
                spellings.Add(spelling);
                found = representatives.Count;
                representatives.Add(answer);
                counts.Add(0);
            }
            classes[i] = found;
            counts[found]++;
        }

        int winner = -1;
        for (int c = 0; c < counts.Count; c++)
            if (winner < 0 || counts[c] > counts[winner]) winner = c;
        string? label = winner < 0 ? null : representatives[winner];
        double ratio = winner < 0 ? 0 : (double)counts[winner] / answers.Count;
        return new VoteResult(label, ratio, winner, classes, [.. representatives], [.. counts]);
    }
}
