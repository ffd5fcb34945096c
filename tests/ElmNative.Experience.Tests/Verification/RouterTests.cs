using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Tests.Support;
using ElmNative.Experience.Verification;
using ElmNative.Transformers.Generation;

namespace ElmNative.Experience.Tests.Verification;

[TestClass]
public sealed class RouterTests
{
    private static readonly AnswerChecker Checker = new();

    [TestMethod]
    [DataRow("5", "5", 0.0, 9.0, Route.Same, "5")]
    [DataRow("0.5", @"\frac{1}{2}", 0.0, 9.0, Route.Same, "0.5")]
    [DataRow("5", "6", 1.0, 2.0, Route.Memory, "6")]
    [DataRow("5", "6", 2.0, 1.0, Route.Plain, "5")]
    [DataRow("5", "6", 1.0, 1.0, Route.Plain, "5")]
    [DataRow("5", null, 1.0, 2.0, Route.Memory, null)]
    [DataRow(null, null, 1.0, 2.0, Route.Memory, null)]
    [DataRow(null, null, 1.0, 1.0, Route.Plain, null)]
    [DataRow("5", "6", 1.0, double.NaN, Route.Plain, "5")]
    public void Agreement_is_returned_and_a_dispute_goes_to_the_verifier(string? plain, string? memory, double plainScore, double memoryScore, Route route, string? answer)
    {
        FixedVerifier verifier = new(plainScore, memoryScore);
        Decision decision = new Router(Checker, verifier).Decide([Case(plain, memory)])[0];
        Assert.AreEqual(route, decision.Route);
        Assert.AreEqual(answer, decision.Answer);
        Assert.AreEqual(route == Route.Same ? 0 : 1, verifier.Asked);
        Assert.AreEqual(route == Route.Same ? null : plainScore, decision.PlainScore);
        Assert.AreEqual(route == Route.Same || double.IsNaN(memoryScore) ? null : memoryScore, decision.MemoryScore);
    }

    [TestMethod]
    public void Without_a_memory_the_plain_answer_is_returned_and_the_verifier_not_asked()
    {
        FixedVerifier verifier = new(0, 1);
        Decision decision = new Router(Checker, verifier).Decide([Case("5", "6") with { Memory = null }])[0];
        Assert.AreEqual(new Decision(Route.Plain, "5"), decision);
        Assert.AreEqual(0, verifier.Asked);
    }

    [TestMethod]
    public void Without_a_verifier_the_memory_is_trusted()
    {
        Decision[] decisions = new Router(Checker, null).Decide([Case("5", "6"), Case("5", "5")]);
        Assert.AreEqual(new Decision(Route.Memory, "6"), decisions[0]);
        Assert.AreEqual(new Decision(Route.Same, "5"), decisions[1]);
    }

    [TestMethod]
    public void The_oracle_prefers_the_true_answer_and_needs_one()
    {
        OracleVerifier oracle = new(Checker);
        Assert.AreEqual(Route.Memory, new Router(Checker, oracle).Decide([Case("5", "6")])[0].Route);
        Assert.AreEqual(Route.Plain, new Router(Checker, oracle).Decide([Case("6", "5")])[0].Route);
        Assert.IsTrue(oracle.NeedsTruth);
        Assert.ThrowsExactly<ElmException>(() => oracle.Score([new VerifierQuery(new Problem("q"), [1], [Case("5", "6").Plain])]));
    }

    [TestMethod]
    public void Likelihood_is_the_mean_log_probability_without_a_memory()
    {
        FakePolicy policy = new();
        RoutingCase @case = Case("5", "1234");
        double[] scores = new LikelihoodVerifier(policy).Score([new VerifierQuery(@case.Problem, @case.PromptIds, [@case.Plain, @case.Memory!])])[0];
        using var pass = policy.Forward([new([], @case.PromptIds, [@case.Memory!.Completion.Tokens])], 1, false);
        Assert.AreEqual(pass.LogProbs[0][0].Average(v => (double)v), scores[1], 1e-12);
        Assert.AreNotEqual(scores[0], scores[1]);
    }

    private static RoutingCase Case(string? plain, string? memory) => new(new Problem("q", Answer: "6"), [1, 2, 3], Response(plain), Response(memory));

    private static Response Response(string? answer)
    {
        string text = answer ?? "none";
        int[] tokens = [.. text.Select(c => (int)c), FakePolicy.EndToken];
        return new Response(new Completion(tokens, new float[tokens.Length], true), text, answer);
    }

    private sealed class FixedVerifier(double plain, double memory) : IVerifier
    {
        public int Asked { get; private set; }
        public string Name => "fixed";
        public bool NeedsTruth => false;

        public double[][] Score(IReadOnlyList<VerifierQuery> queries)
        {
            Asked += queries.Count;
            return [.. queries.Select(_ => new[] { plain, memory })];
        }
    }
}
