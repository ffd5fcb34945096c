using ElmNative.Compute;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tests.Models;
using static ElmNative.Transformers.Tests.Models.SmallModels;

namespace ElmNative.Transformers.Tests.Generation;

[TestClass]
public class GeneratorTests
{
    private static GenerationRequest[] Requests(LanguageModel model) =>
    [
        new(SoftPrompt(model, 20, 1), Ids(model, 11, 1), 3, 40, new SamplingSettings(1f), new RandomKey(5, 0, 2)),
        new([], Ids(model, 4, 2), 1, 25, SamplingSettings.Greedy, default),
        new(SoftPrompt(model, 2, 3), Ids(model, 1, 3), 4, 60, new SamplingSettings(0.6f, TopK: 50, TopP: 0.9f, MinP: 0.01f), new RandomKey(1UL << 40, 9, 0)),
        new([], Ids(model, 30, 4), 2, 1, new SamplingSettings(1.3f), new RandomKey(7, 1, 1)),
    ];

    private static void AssertSame(Completion expected, Completion actual)
    {
        CollectionAssert.AreEqual(expected.Tokens, actual.Tokens);
        CollectionAssert.AreEqual(expected.LogProbs, actual.LogProbs);
        Assert.AreEqual(expected.Ended, actual.Ended);
    }

    [TestMethod]
    public void TheBatchChangesNoBitOfACompletion() => With(Repository.TinyMath, 2, model =>
    {
        GenerationRequest[] requests = Requests(model);
        Completion[][] together = new Generator(model).Generate(requests);
        Completion[][] inTurn = new Generator(model) { KeyValueBudget = 1 }.Generate(requests);
        for (int r = 0; r < requests.Length; r++)
        {
            Completion[] alone = new Generator(model).Generate([requests[r]])[0];
            Completion[] fewer = new Generator(model).Generate([requests[r] with { Count = 1 }])[0];
            AssertSame(together[r][0], fewer[0]);
            for (int i = 0; i < requests[r].Count; i++)
            {
                AssertSame(alone[i], together[r][i]);
                AssertSame(alone[i], inTurn[r][i]);
            }
        }
    });

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    [DataRow(3)]
    public void ThreadsChangeNoBit(int threads)
    {
        Completion[][]? expected = null;
        With(Repository.TinyMath, 1, model => expected = new Generator(model).Generate(Requests(model)));
        With(Repository.TinyMath, threads, model =>
        {
            Completion[][] actual = new Generator(model).Generate(Requests(model));
            for (int r = 0; r < actual.Length; r++)
                for (int i = 0; i < actual[r].Length; i++)
                    AssertSame(expected![r][i], actual[r][i]);
        });
    }

    /// <summary>The trainer's forward recomputes exactly the log-probabilities that the sampler reported: the largest difference is 0.</summary>
    [TestMethod]
    public void SampledLogProbsAreThoseThatTheTrainerRecomputes() => With(Repository.TinyMath, 2, model =>
    {
        foreach (GenerationRequest request in Requests(model))
        {
            Completion[] completions = new Generator(model).Generate([request])[0];
            float temperature = request.Sampling.Temperature == 0 ? 1 : request.Sampling.Temperature;
            using PackedPass pass = model.Forward([new(request.SoftPrompt, request.PromptIds, completions.Select(c => c.Tokens).ToArray())], temperature, keepForBackward: false);
            for (int i = 0; i < completions.Length; i++)
                CollectionAssert.AreEqual(completions[i].LogProbs, pass.LogProbs[0][i]);
        }
    });

    [TestMethod]
    public void CachedDecodingIsFullRecomputation() => With(Repository.Golden("llama-tiny/model"), 2, model =>
    {
        int[] prompt = Ids(model, 6, 1);
        int[] greedy = new Generator(model).Generate([new([], prompt, 1, 24, SamplingSettings.Greedy, default)])[0][0].Tokens;
        Assert.IsNotEmpty(greedy);
        for (int i = 0; i < greedy.Length; i++)
        {
            float[] logits = model.Trace([.. prompt, .. greedy[..i]]).Logits;
            Span<float> last = logits.AsSpan(logits.Length - model.Config.VocabularySize);
            Assert.AreEqual(System.Numerics.Tensors.TensorPrimitives.IndexOfMax<float>(last), greedy[i], $"token {i}");
        }
    });

    [TestMethod]
    public void SeedProblemStepAndRolloutEachMakeAnotherDraw() => With(Repository.TinyMath, 2, model =>
    {
        int[] prompt = Ids(model, 5, 1);
        int[] Draw(RandomKey key, int rollout) =>
            new Generator(model).Generate([new([], prompt, rollout + 1, 30, new SamplingSettings(1.5f), key)])[0][rollout].Tokens;
        int[] first = Draw(new RandomKey(1, 2, 3), 0);
        CollectionAssert.AreEqual(first, Draw(new RandomKey(1, 2, 3), 0));
        foreach ((RandomKey key, int rollout) in new[]
            { (new RandomKey(2, 2, 3), 0), (new RandomKey(1 + (1UL << 32), 2, 3), 0), (new RandomKey(1, 3, 3), 0), (new RandomKey(1, 2, 4), 0), (new RandomKey(1, 2, 3), 1) })
            CollectionAssert.AreNotEqual(first, Draw(key, rollout));
    });

    [TestMethod]
    public void CompletionsStopAtTheEndTokenOrAtTheirLimit() => With(Repository.TinyMath, 2, model =>
    {
        Completion[] completions = new Generator(model).Generate([new([], Ids(model, 5, 1), 40, 30, new SamplingSettings(1f), default)])[0];
        Assert.IsTrue(completions.Any(c => c.Ended) && completions.Any(c => !c.Ended), "the case should have both kinds");
        foreach (Completion completion in completions)
        {
            int end = Array.FindIndex(completion.Tokens, token => model.EndTokens.Contains(token));
            Assert.AreEqual(completion.Ended ? completion.Tokens.Length - 1 : -1, end);
            Assert.IsTrue(completion.Ended || completion.Tokens.Length == 30);
            Assert.HasCount(completion.Tokens.Length, completion.LogProbs);
        }
    });

    [TestMethod]
    public void TheContextLimitsACompletionAndRefusesALongPrompt() => WithRandom(Qwen2Half, ElementType.F16, model =>
    {
        Completion[][] full = new Generator(model).Generate([new([], Ids(model, 90, 1), 1, 1000, SamplingSettings.Greedy, default)]);
        Assert.IsTrue(full[0][0].Ended || full[0][0].Tokens.Length == 96 - 90 + 1);
        ElmException refusal = Assert.ThrowsExactly<ElmException>(
            () => new Generator(model).Generate([new(SoftPrompt(model, 20, 1), Ids(model, 76, 1), 1, 5, SamplingSettings.Greedy, default)]));
        StringAssert.Contains(refusal.Message, "96 positions");
        Assert.ThrowsExactly<ElmException>(() => new Generator(model).Generate([new([], [], 1, 5, SamplingSettings.Greedy, default)]));
    });

    [TestMethod]
    public void TokensArriveAsTheyAreDrawn() => With(Repository.TinyMath, 2, model =>
    {
        Dictionary<(int, int), List<int>> seen = [];
        int counted = 0;
        Generator generator = new(model)
        {
            KeyValueBudget = 1,
            TokenArrived = (request, rollout, token) => (seen.TryGetValue((request, rollout), out List<int>? list) ? list : seen[(request, rollout)] = []).Add(token),
            TokensGenerated = tokens => counted += tokens,
        };
        Completion[][] completions = generator.Generate(Requests(model));
        Assert.AreEqual(completions.Sum(group => group.Sum(c => c.Tokens.Length)), counted);
        for (int r = 0; r < completions.Length; r++)
            for (int i = 0; i < completions[r].Length; i++)
                CollectionAssert.AreEqual(completions[r][i].Tokens, seen[(r, i)]);
    });

    /// <summary>
    /// Between two decode steps in which no completion ends, not one byte is allocated on the managed heap (from the second generation on: the first one loads code).
    /// </summary>
    [TestMethod]
    public void AStepAllocatesNothing() => With(Repository.TinyMath, 2, model =>
    {
        long[] allocated = new long[200];
        int[] drawn = new int[200];
        int step = 0;
        Generator generator = new(model)
        {
            TokensGenerated = tokens =>
            {
                drawn[step] = tokens;
                allocated[step++] = GC.GetAllocatedBytesForCurrentThread();
            },
        };
        GenerationRequest request = new(SoftPrompt(model, 20, 1), Ids(model, 20, 1), 16, 100, new SamplingSettings(1f, 40, 0.95f, 0.02f), default);
        generator.Generate([request]);
        step = 0;
        generator.Generate([request]);
        int quiet = 0;
        for (int i = 3; i < step; i++)
            if (drawn[i] == drawn[i - 1] && i + 1 < step && drawn[i + 1] == drawn[i])
            {
                Assert.AreEqual(0L, allocated[i] - allocated[i - 1], $"step {i}");
                quiet++;
            }
        Assert.IsGreaterThan(10, quiet, "the case should have steps in which nothing ends");
    });

    [TestMethod]
    public void CancellationEndsARun() => With(Repository.TinyMath, 2, model =>
    {
        using CancellationTokenSource source = new();
        Generator generator = new(model) { TokensGenerated = _ => source.Cancel() };
        Assert.ThrowsExactly<OperationCanceledException>(() => generator.Generate(Requests(model), source.Token));
        Assert.HasCount(4, new Generator(model).Generate(Requests(model)), "the model is usable afterwards");
    });
}
