using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Learning;

/// <summary>
/// Splits packed trees into runs whose activations fit a budget, so that many memories may train side by side in bounded memory. Changes no
/// result.
/// </summary>
public static class ActivationBudget
{
    /// <summary>4 GiB.</summary>
    public const long Default = 4L << 30;

    /// <summary>Consecutive runs that cover all trees in order. A tree that does not fit alone is a run of its own.</summary>
    /// <param name="trees">the trees</param>
    /// <param name="policy">says how wide a row is and what it keeps</param>
    /// <param name="bytes">the budget</param>
    public static IEnumerable<Range> Split(IReadOnlyList<PackedTree> trees, IPolicy policy, long bytes)
    {
        int start = 0;
        long used = 0;
        for (int i = 0; i < trees.Count; i++)
        {
            long rows = trees[i].SoftPrompt.Length / policy.HiddenSize + trees[i].PromptIds.Length
                + trees[i].Completions.Sum(c => (long)c.Length);
            long needed = rows * policy.TrainingBytesPerRow;
            if (i > start && used + needed > bytes)
            {
                yield return start..i;
                start = i;
                used = 0;
            }
            used += needed;
        }
        if (start < trees.Count)
            yield return start..trees.Count;
    }
}
