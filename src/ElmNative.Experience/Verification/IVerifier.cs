using ElmNative.Experience.Protocols;
using ElmNative.Transformers.Generation;

namespace ElmNative.Experience.Verification;

/// <summary>A response to a problem.</summary>
/// <param name="Completion">its tokens</param>
/// <param name="Text">its text</param>
/// <param name="Answer">the answer that it states, or null</param>
public sealed record Response(Completion Completion, string Text, string? Answer);

/// <summary>Responses to one problem that are to be compared.</summary>
/// <param name="Problem">the problem</param>
/// <param name="PromptIds">its prompt, without any memory</param>
/// <param name="Responses">the responses</param>
public sealed record VerifierQuery(Problem Problem, int[] PromptIds, IReadOnlyList<Response> Responses);

/// <summary>
/// Says which of several responses to trust. Scores are comparable within a query only; higher is better. A query's scores do not depend on
/// the queries beside it.
/// </summary>
public interface IVerifier
{
    /// <summary>The name that reports and settings carry.</summary>
    string Name { get; }

    /// <summary>True when it looks at the true answer, so that its figures are an upper bound and no result.</summary>
    bool NeedsTruth { get; }

    /// <summary>Scores every response of every query: [query][response].</summary>
    double[][] Score(IReadOnlyList<VerifierQuery> queries);
}
