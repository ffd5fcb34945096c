using ElmNative.Compute;
using ElmNative.Experience.Answers;

namespace ElmNative.Experience.Verification;

/// <summary>
/// An upper bound, not a method: 1 for a response with the true answer, else 0. What it reaches is what a perfect verifier would.
/// </summary>
public sealed class OracleVerifier(IAnswerChecker checker) : IVerifier
{
    /// <inheritdoc/>
    public string Name => "oracle";

    /// <inheritdoc/>
    public bool NeedsTruth => true;

    /// <inheritdoc/>
    /// <exception cref="ElmException">a problem without an answer</exception>
    public double[][] Score(IReadOnlyList<VerifierQuery> queries) =>
        [.. queries.Select(query => query.Responses
            .Select(r => r.Answer is not null && checker.Same(r.Answer, Truth(query)) ? 1.0 : 0.0).ToArray())];

    private static string Truth(VerifierQuery query) => query.Problem.Answer
        ?? throw new ElmException($"the oracle verifier needs the true answer, and a problem has none: \"{query.Problem.Text}\"");
}
