using ElmNative.Compute;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Generation.Scheduling;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tests.Models;
using static ElmNative.Transformers.Tests.Models.SmallModels;

namespace ElmNative.Transformers.Tests.Generation;

/// <summary>Who decodes beside whom, and that it changes nothing.</summary>
[TestClass]
public class SchedulerTests
{
    /// <summary>Requests of mixed prefixes, group sizes and lengths.</summary>
    private static GenerationRequest[] Requests(LanguageModel model) => Enumerable.Range(0, 12)
        .Select(i => new GenerationRequest(i % 3 == 0 ? [] : SoftPrompt(model, 3 * i, i), Ids(model, 1 + 7 * i % 23, i), 1 + i % 5, 1 + 11 * i % 37,
            i % 4 == 3 ? SamplingSettings.Greedy : new SamplingSettings(0.7f + 0.1f * i, TopK: i % 2 * 50), new RandomKey(3, (uint)i, 1)))
        .ToArray();

    private static GenerationRequest FixedLength(LanguageModel model, int count, int tokens, int seed) =>
        new([], Ids(model, 5 + seed, seed), count, tokens, new SamplingSettings(1f), new RandomKey(1, (uint)seed, 0)) { IgnoreEndTokens = true };

    private static void AssertSame(Completion[][] expected, Completion[][] actual)
    {
        Assert.HasCount(expected.Length, actual);
        for (int r = 0; r < expected.Length; r++)
        {
            Assert.HasCount(expected[r].Length, actual[r]);
            for (int i = 0; i < expected[r].Length; i++)
            {
                CollectionAssert.AreEqual(expected[r][i].Tokens, actual[r][i].Tokens, $"request {r}, rollout {i}");
                CollectionAssert.AreEqual(expected[r][i].LogProbs, actual[r][i].LogProbs, $"request {r}, rollout {i}");
                Assert.AreEqual(expected[r][i].Ended, actual[r][i].Ended);
            }
        }
    }

    /// <summary>The number of tokens of each step.</summary>
    private static (Completion[][] Completions, List<int> Drawn) Watch(LanguageModel model, int maxSequences, long budget, params GenerationRequest[] requests)
    {
        List<int> drawn = [];
        Generator generator = new(model) { MaxSequences = maxSequences, KeyValueBudget = budget, TokensGenerated = drawn.Add };
        return (generator.Generate(requests), drawn);
    }

    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    [DataRow(3)]
    [DataRow(7)]
    [DataRow(20)]
    public void PlacesAndBudgetChangeNoBit(int maxSequences) => With(Repository.TinyMath, 2, model =>
    {
        GenerationRequest[] requests = Requests(model);
        Completion[][] expected = new Generator(model) { MaxSequences = int.MaxValue }.Generate(requests);
        foreach (long slots in new long[] { 0, 100, 180, 400, 1 << 20 })
        {
            (Completion[][] actual, List<int> drawn) = Watch(model, maxSequences, slots * SlotStore.BytesPerSlot(model), requests);
            AssertSame(expected, actual);
            Assert.IsLessThanOrEqualTo(maxSequences, drawn.Max());
            Assert.AreEqual(expected.Sum(group => group.Sum(c => c.Tokens.Length)), drawn.Sum());
        }
    });

    [TestMethod]
    [DataRow(3, 0)]
    [DataRow(5, 300)]
    [DataRow(1000, 100000)]
    public void TheOrderOfRequestsChangesNoBit(int maxSequences, int slots) => With(Repository.TinyMath, 2, model =>
    {
        GenerationRequest[] requests = Requests(model);
        Completion[][] expected = new Generator(model).Generate(requests);
        Random random = new(4);
        int[] order = Enumerable.Range(0, requests.Length).ToArray();
        for (int i = 0; i < 3; i++)
        {
            random.Shuffle(order);
            (Completion[][] actual, _) = Watch(model, maxSequences, slots * SlotStore.BytesPerSlot(model), order.Select(r => requests[r]).ToArray());
            AssertSame(order.Select(r => expected[r]).ToArray(), actual);
        }
    });

    /// <summary>A place that becomes free is taken in the next step, across requests, as long as anyone waits.</summary>
    [TestMethod]
    public void TheBatchStaysFull() => With(Repository.TinyMath, 2, model =>
    {
        int[] lengths = [9, 4, 17, 2, 1, 30, 6];
        (Completion[][] completions, List<int> drawn) = Watch(model, 5, 1L << 30, lengths.Select((tokens, i) => FixedLength(model, 3, tokens, i)).ToArray());
        // the same queue with nothing but lengths
        Queue<int> waiting = new(lengths.SelectMany(tokens => Enumerable.Repeat(tokens, 3)));
        List<int> places = [], expected = [];
        while (waiting.Count > 0 || places.Count > 0)
        {
            while (places.Count < 5 && waiting.TryDequeue(out int tokens))
                places.Add(tokens);
            expected.Add(places.Count);
            places = places.Select(left => left - 1).Where(left => left > 0).ToList();
        }
        CollectionAssert.AreEqual(expected, drawn);
        for (int r = 0; r < lengths.Length; r++)
            Assert.IsTrue(completions[r].All(c => c.Tokens.Length == lengths[r] && !c.Ended));
    });

    /// <summary>A large batch is topped up when a sixteenth of its places is free: so few stay empty while others wait.</summary>
    [TestMethod]
    public void ALargeBatchIsToppedUpInGroups() => With(Repository.TinyMath, 2, model =>
    {
        (_, List<int> drawn) = Watch(model, 64, 1L << 30, Enumerable.Range(0, 150).Select(i => FixedLength(model, 1, 3 + i * i % 41, i % 20)).ToArray());
        int lastFull = drawn.LastIndexOf(64);
        int[] risen = Enumerable.Range(1, lastFull).Where(i => drawn[i] > drawn[i - 1]).ToArray();
        Assert.IsGreaterThan(3, risen.Length, "the batch should be topped up several times");
        Assert.IsTrue(risen.All(i => drawn[i] == 64), string.Join(" ", drawn));
        Assert.IsTrue(drawn.Take(lastFull).All(n => n > 60), string.Join(" ", drawn));
        Assert.IsTrue(drawn.Take(lastFull).Any(n => n < 64), "a place or two should wait at times");
    });

    /// <summary>A budget of so many slots lets in as many sequences as fit; a request beyond it runs one rollout at a time.</summary>
    [TestMethod]
    [DataRow(0, 1)]
    [DataRow(5 + 9, 1)]
    [DataRow(5 + 3 * 9 - 1, 2)]
    [DataRow(5 + 3 * 9, 3)]
    [DataRow(1000, 4)]
    public void TheBudgetBoundsTheBatch(int slots, int expected) => With(Repository.TinyMath, 2, model =>
    {
        (_, List<int> drawn) = Watch(model, 100, slots * SlotStore.BytesPerSlot(model), FixedLength(model, 4, 10, 0));
        Assert.AreEqual(expected, drawn.Max());
        Assert.AreEqual(expected, drawn[0]);
        Assert.HasCount((4 + expected - 1) / expected * 10, drawn);
    });

    [TestMethod]
    public void EndTokensCanBeIgnored() => With(Repository.TinyMath, 2, model =>
    {
        GenerationRequest request = new([], Ids(model, 5, 1), 10, 50, new SamplingSettings(1f), default);
        Completion[] stopped = new Generator(model).Generate([request])[0], whole = new Generator(model).Generate([request with { IgnoreEndTokens = true }])[0];
        Assert.IsTrue(stopped.Any(c => c.Ended && c.Tokens.Length < 50), "some should end early");
        for (int i = 0; i < stopped.Length; i++)
        {
            Assert.HasCount(50, whole[i].Tokens);
            Assert.IsFalse(whole[i].Ended);
            CollectionAssert.AreEqual(stopped[i].Tokens, whole[i].Tokens[..stopped[i].Tokens.Length]);
        }
    });

    /// <summary>Waiting rollouts cost nothing: a step in which nobody comes or goes allocates no managed memory.</summary>
    [TestMethod]
    public void AStepWithOthersWaitingAllocatesNothing() => With(Repository.TinyMath, 2, model =>
    {
        const int tokens = 12;
        long[] allocated = new long[10 * tokens];
        int step = 0;
        Generator generator = new(model) { MaxSequences = 4, TokensGenerated = _ => allocated[step++] = GC.GetAllocatedBytesForCurrentThread() };
        GenerationRequest[] requests = Enumerable.Range(0, 5).Select(i => FixedLength(model, 3, tokens, i)).ToArray();
        generator.Generate(requests);
        step = 0;
        generator.Generate(requests);
        Assert.AreEqual(4 * tokens, step, "15 rollouts in fours");
        for (int i = 1; i < step; i++)
            if (i % tokens is not 0 and not tokens - 1)
                Assert.AreEqual(0L, allocated[i] - allocated[i - 1], $"step {i}");
    });

    [TestMethod]
    public void NaNLogitsOfALatecomerEndTheRun() => With(Repository.TinyMath, 2, model =>
    {
        GenerationRequest good = FixedLength(model, 2, 5, 1);
        GenerationRequest bad = good with { SoftPrompt = Enumerable.Repeat(float.NaN, model.HiddenSize).ToArray() };
        List<int> seen = [];
        Generator generator = new(model) { MaxSequences = 2, TokenArrived = (request, _, _) => seen.Add(request) };
        ElmException error = Assert.ThrowsExactly<ElmException>(() => generator.Generate([good, bad]));
        StringAssert.Contains(error.Message, "NaN");
        Assert.AreEqual(10, seen.Count(request => request == 0), "the request before it ran to its end");
        AssertSame(new Generator(model).Generate([good]), generator.Generate([good]));
    });

    [TestMethod]
    public void CancellationReachesWaitingRequests() => With(Repository.TinyMath, 2, model =>
    {
        using CancellationTokenSource source = new();
        int drawn = 0;
        Generator generator = new(model)
        {
            MaxSequences = 2,
            TokensGenerated = tokens =>
            {
                drawn += tokens;
                if (drawn >= 14)
                    source.Cancel();
            },
        };
        GenerationRequest[] requests = [FixedLength(model, 2, 7, 1), FixedLength(model, 2, 7, 2)];
        Assert.ThrowsExactly<OperationCanceledException>(() => generator.Generate(requests, source.Token));
        Assert.AreEqual(14, drawn);
    });

    [TestMethod]
    public void NoRequestsGiveNothingAndNoPlacesAreRefused() => With(Repository.TinyMath, 2, model =>
    {
        Assert.IsEmpty(new Generator(model).Generate([]));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => new Generator(model) { MaxSequences = 0 });
    });
}
