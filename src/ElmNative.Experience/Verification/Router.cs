using ElmNative.Experience.Answers;
using ElmNative.Experience.Protocols;

namespace ElmNative.Experience.Verification;

/// <summary>Which response was returned.</summary>
public enum Route
{
    /// <summary>The one without a memory: there was no memory, or the verifier did not prefer the other.</summary>
    Plain,
    /// <summary>The one with the memory.</summary>
    Memory,
    /// <summary>Both gave the same answer.</summary>
    Same,
}

/// <summary>A problem with its two responses.</summary>
/// <param name="Problem">the problem</param>
/// <param name="PromptIds">its prompt</param>
/// <param name="Plain">the response without a memory</param>
/// <param name="Memory">the response with the retrieved memory; null where none was retrieved</param>
public sealed record RoutingCase(Problem Problem, int[] PromptIds, Response Plain, Response? Memory);

/// <summary>What the router settled on.</summary>
/// <param name="Route">which response</param>
/// <param name="Answer">its answer, or null where it states none</param>
/// <param name="PlainScore">the verifier's score of the plain response; null where it was not asked, or the score is no number</param>
/// <param name="MemoryScore">the verifier's score of the memory-aided response</param>
public sealed record Decision(Route Route, string? Answer, double? PlainScore = null, double? MemoryScore = null);

/// <summary>
/// Chooses between the plain and the memory-aided response. Same answer: that answer. Else the verifier's favourite, the plain one on a
/// tie. Two responses that state no answer disagree. Without a verifier the memory-aided response is returned wherever there is one.
/// </summary>
/// <param name="checker">says whether two answers are the same</param>
/// <param name="verifier">settles disagreements; null to trust the memory</param>
public sealed class Router(IAnswerChecker checker, IVerifier? verifier)
{
    /// <summary>Decides every case; one case has no influence on another.</summary>
    public Decision[] Decide(IReadOnlyList<RoutingCase> cases)
    {
        List<int> disputed = [.. Enumerable.Range(0, cases.Count).Where(i => cases[i].Memory is { } memory && !Agree(cases[i].Plain, memory))];
        double[][]? scores = verifier?.Score(
            [.. disputed.Select(i => new VerifierQuery(cases[i].Problem, cases[i].PromptIds, [cases[i].Plain, cases[i].Memory!]))]);
        Decision[] decisions = new Decision[cases.Count];
        for (int i = 0; i < decisions.Length; i++)
            decisions[i] = new Decision(cases[i].Memory is null ? Route.Plain : Route.Same, cases[i].Plain.Answer);
        for (int d = 0; d < disputed.Count; d++)
        {
            RoutingCase @case = cases[disputed[d]];
            bool memoryWins = scores is null || scores[d][1] > scores[d][0];
            decisions[disputed[d]] = new Decision(memoryWins ? Route.Memory : Route.Plain, (memoryWins ? @case.Memory! : @case.Plain).Answer,
                Number(scores?[d][0]), Number(scores?[d][1]));
        }
        return decisions;
    }

    private bool Agree(Response plain, Response memory) =>
        plain.Answer is not null && memory.Answer is not null && checker.Same(plain.Answer, memory.Answer);

    private static double? Number(double? score) => score is { } value && double.IsFinite(value) ? value : null;
}
