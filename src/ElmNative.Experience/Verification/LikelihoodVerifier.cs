using ElmNative.Experience.Learning;
using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Verification;

/// <summary>
/// A baseline verifier: the mean log-probability of a response's tokens under the frozen model without any memory, at temperature 1. It
/// leans towards what the model would have said anyway.
/// </summary>
public sealed class LikelihoodVerifier(IPolicy policy) : IVerifier
{
    /// <inheritdoc/>
    public string Name => "likelihood";

    /// <inheritdoc/>
    public bool NeedsTruth => false;

    /// <inheritdoc/>
    public double[][] Score(IReadOnlyList<VerifierQuery> queries)
    {
        if (queries.Count == 0)
            return [];
        using IPolicyPass pass = policy.Forward(
            [.. queries.Select(q => new PackedTree([], q.PromptIds, [.. q.Responses.Select(r => r.Completion.Tokens)]))],
            temperature: 1, keepForBackward: false);
        return Array.ConvertAll(pass.LogProbs, tree => Array.ConvertAll(tree, Mean));
    }

    private static double Mean(float[] logProbs)
    {
        double sum = 0;
        foreach (float logProb in logProbs)
            sum += logProb;
        return sum / logProbs.Length;
    }
}
