using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Generation.Scheduling;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tests.Models;
using static ElmNative.Transformers.Tests.Models.SmallModels;

namespace ElmNative.Transformers.Tests.Generation;

/// <summary>Decoding as on a device: several steps between two looks, rows padded to buckets, captured graphs. It changes no completion.</summary>
[TestClass]
public class WindowTests
{
    private sealed record Run(Completion[][] Completions, Dictionary<(int, int), List<int>> Arrived, List<int> Drawn);

    private static void With(ElementType activations, int window, Action<LanguageModel, ContractBackend> action)
    {
        using ContractBackend backend = new(new CpuBackend(2), activations, window);
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(Repository.TinyMath, backend);
        action(model, backend);
        Assert.AreEqual(0, backend.Alive, "graphs that nobody disposed");
    }

    private static Run Generate(ElementType activations, int window, int maxSequences, int slots, Func<LanguageModel, GenerationRequest[]> requests)
    {
        Run? result = null;
        With(activations, window, (model, _) =>
        {
            Dictionary<(int, int), List<int>> arrived = [];
            List<int> drawn = [];
            Generator generator = new(model)
            {
                MaxSequences = maxSequences,
                KeyValueBudget = slots * SlotStore.BytesPerSlot(model),
                TokenArrived = (request, rollout, token) => (arrived.TryGetValue((request, rollout), out List<int>? list) ? list : arrived[(request, rollout)] = []).Add(token),
                TokensGenerated = drawn.Add,
            };
            result = new Run(generator.Generate(requests(model)), arrived, drawn);
        });
        return result!;
    }

    private static void AssertSame(Run expected, Run actual)
    {
        for (int r = 0; r < expected.Completions.Length; r++)
            for (int i = 0; i < expected.Completions[r].Length; i++)
            {
                Completion wanted = expected.Completions[r][i], got = actual.Completions[r][i];
                CollectionAssert.AreEqual(wanted.Tokens, got.Tokens, $"request {r}, rollout {i}");
                CollectionAssert.AreEqual(wanted.LogProbs, got.LogProbs, $"request {r}, rollout {i}");
                Assert.AreEqual(wanted.Ended, got.Ended);
                CollectionAssert.AreEqual(wanted.Tokens, actual.Arrived[(r, i)]);
            }
        Assert.AreEqual(expected.Drawn.Sum(), actual.Drawn.Sum());
    }

    /// <summary>Mixed prefixes, group sizes and lengths: from one token, which is never fed, over ends within a window to several windows.</summary>
    private static GenerationRequest[] Mixed(LanguageModel model) => Enumerable.Range(0, 9)
        .Select(i => new GenerationRequest(i % 3 == 0 ? [] : SoftPrompt(model, 3 * i, i), Ids(model, 1 + 7 * i % 23, i), 1 + i % 5, 1 + 11 * i % 37,
            i % 4 == 3 ? SamplingSettings.Greedy : new SamplingSettings(0.7f + 0.1f * i, TopK: i % 2 * 50), new RandomKey(3, (uint)i, 1)) { IgnoreEndTokens = i == 4 })
        .ToArray();

    private static GenerationRequest FixedLength(LanguageModel model, int count, int tokens, int seed) =>
        new([], Ids(model, 5 + seed, seed), count, tokens, new SamplingSettings(1f), new RandomKey(1, (uint)seed, 0)) { IgnoreEndTokens = true };

    [TestMethod]
    [DataRow(ElementType.F32, 8, 3, 100)]
    [DataRow(ElementType.F32, 8, 9, 1 << 20)]
    [DataRow(ElementType.F32, 3, 1000, 200)]
    [DataRow(ElementType.F32, 8, 1000, 1 << 20)]
    [DataRow(ElementType.BF16, 8, 5, 200)]
    public void WindowsAndBucketsChangeNoBit(ElementType activations, int window, int maxSequences, int slots)
    {
        Run expected = Generate(activations, 1, int.MaxValue, 1 << 20, Mixed), actual = Generate(activations, window, maxSequences, slots, Mixed);
        AssertSame(expected, actual);
        Assert.IsTrue(expected.Completions.Any(group => group.Any(c => c.Ended && c.Tokens.Length % window != 0)), "something should end within a window");
    }

    /// <summary>Window 1 of the decorator is what the plain processor does.</summary>
    [TestMethod]
    public void TheDecoratorItselfChangesNoBit()
    {
        Run decorated = Generate(ElementType.F32, 8, 7, 1 << 20, Mixed);
        SmallModels.With(Repository.TinyMath, 2, model =>
        {
            List<int> drawn = [];
            Dictionary<(int, int), List<int>> arrived = decorated.Arrived;
            AssertSame(new Run(new Generator(model) { TokensGenerated = drawn.Add }.Generate(Mixed(model)), arrived, drawn), decorated);
        });
    }

    /// <summary>Tokens come step by step and, within a step, in the order of the rows, as they do without windows.</summary>
    [TestMethod]
    public void TokensOfAWindowArriveInTheOrderOfTheirSteps()
    {
        static List<(int, int, int)> Arrivals(int window)
        {
            List<(int, int, int)> arrivals = [];
            With(ElementType.F32, window, (model, _) =>
                new Generator(model) { TokenArrived = (request, rollout, token) => arrivals.Add((request, rollout, token)) }.Generate([FixedLength(model, 3, 11, 0), FixedLength(model, 2, 5, 1), FixedLength(model, 1, 20, 2)]));
            return arrivals;
        }
        CollectionAssert.AreEqual(Arrivals(1), Arrivals(8));
    }

    /// <summary>While nobody comes or goes the host uploads nothing and downloads twice a window; each bucket is captured once, on its second step.</summary>
    [TestMethod]
    public void AQuietWindowCostsTwoDownloads() => With(ElementType.F32, 8, (model, backend) =>
    {
        List<(int Uploads, int Downloads, int Captures, int Launches)> seen = [];
        Generator generator = new(model) { TokensGenerated = _ => seen.Add((backend.Uploads, backend.Downloads, backend.Captures, backend.Launches)) };
        generator.Generate([FixedLength(model, 5, 40, 0)]);
        Assert.HasCount(40, seen);
        for (int step = 8; step < 40; step++)
        {
            Assert.AreEqual(seen[0].Uploads, seen[step].Uploads, $"step {step}");
            Assert.AreEqual(seen[0].Downloads + 2 * (step / 8), seen[step].Downloads, $"step {step}");
        }
        // the first step draws only, the second brings the memory to size, the third is captured
        Assert.AreEqual(1, seen[^1].Captures);
        Assert.AreEqual(38, seen[^1].Launches);
    });

    /// <summary>A prompt that grows beyond a context bucket, and a batch that shrinks through its buckets, take a graph for each.</summary>
    [TestMethod]
    public void EachBucketHasItsGraph() => With(ElementType.F32, 8, (model, backend) =>
    {
        GenerationRequest[] requests = [FixedLength(model, 3, 100, 2), FixedLength(model, 6, 30, 1) with { SoftPrompt = SoftPrompt(model, 230, 1) }];
        AssertSame(Generate(ElementType.F32, 1, 100, 1 << 20, _ => requests), Generate(ElementType.F32, 8, 100, 1 << 20, _ => requests));
        new Generator(model).Generate(requests);
        // 16 rows within 256 positions, then within 512; 4 rows within 256
        Assert.AreEqual(3, backend.Captures);
    });

    [TestMethod]
    [DataRow(1, 0)]
    [DataRow(11, 2)]
    [DataRow(16, 1)]
    [DataRow(19, 0)]
    public void NaNWithinAWindowEndsTheRunWhereItIs(int step, int row)
    {
        static (List<int> Tokens, string Message) Broken(int window, int step, int row)
        {
            List<int> tokens = [];
            string message = "";
            With(ElementType.F32, window, (model, backend) =>
            {
                int draws = 0;
                backend.BeforeSample = logits =>
                {
                    if (draws++ == step)
                        unsafe
                        {
                            ((float*)logits.Slice(row, 1).Address)[5] = float.NaN;
                        }
                };
                Generator generator = new(model) { TokenArrived = (_, _, token) => tokens.Add(token) };
                message = Assert.ThrowsExactly<ElmException>(() => generator.Generate([FixedLength(model, 3, 30, 1)])).Message;
                backend.BeforeSample = null;
                Assert.HasCount(30, generator.Generate([FixedLength(model, 1, 30, 1)])[0][0].Tokens, "the model is usable afterwards");
            });
            return (tokens, message);
        }
        (List<int> expected, string sentence) = Broken(1, step, row);
        (List<int> actual, string sameSentence) = Broken(8, step, row);
        Assert.AreEqual(3 * step + row + 30, expected.Count);
        CollectionAssert.AreEqual(expected, actual);
        Assert.AreEqual(sentence, sameSentence);
        StringAssert.Contains(sentence, "NaN");
    }

    /// <summary>With BF16 activations too, what was sampled is what the trainer recomputes over packed rows: to the bit, since the processor's sums do not depend on the batch.</summary>
    [TestMethod]
    public void SampledLogProbsAreThoseThatTheTrainerRecomputes() => With(ElementType.BF16, 8, (model, _) =>
    {
        foreach (GenerationRequest request in Mixed(model).Take(6))
        {
            Completion[] completions = new Generator(model).Generate([request])[0];
            float temperature = request.Sampling.Temperature == 0 ? 1 : request.Sampling.Temperature;
            using PackedPass pass = model.Forward([new(request.SoftPrompt, request.PromptIds, completions.Select(c => c.Tokens).ToArray())], temperature, keepForBackward: false);
            for (int i = 0; i < completions.Length; i++)
                CollectionAssert.AreEqual(completions[i].LogProbs, pass.LogProbs[0][i]);
        }
    });

    [TestMethod]
    public void BucketsHoldTheirSequencesAndWasteLittle()
    {
        int before = 0;
        for (int sequences = 1; sequences <= 2000; sequences++)
        {
            int rows = DecodeBuckets.Rows(sequences);
            Assert.IsTrue(rows >= sequences && rows >= before && rows - sequences < Math.Max(8, Math.Min(64, sequences)), $"{sequences} sequences in {rows} rows");
            Assert.AreEqual(rows, DecodeBuckets.Rows(rows));
            before = rows;
        }
        CollectionAssert.AreEqual(new[] { 1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 320 }, Enumerable.Range(1, 320).Select(DecodeBuckets.Rows).Distinct().ToArray());
        Assert.AreEqual(256, DecodeBuckets.Context(1));
        Assert.AreEqual(512, DecodeBuckets.Context(257));
        Assert.AreEqual(512, DecodeBuckets.Context(512));
    }
}
