using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Tests.Models;

[TestClass]
public class ProcessRewardModelTests
{
    private static readonly string Folder = Repository.PathOf("bench", "models", "tiny-math", "prm");

    private static List<(string Problem, string Response, string[] Steps, double[] Scores)> Golden() =>
        [.. File.ReadLines(Repository.Golden("tiny-math-prm/scores.jsonl")).Select(line =>
        {
            using JsonDocument json = JsonDocument.Parse(line);
            JsonElement row = json.RootElement;
            return (row.GetProperty("problem").GetString()!, row.GetProperty("response").GetString()!,
                row.GetProperty("steps").EnumerateArray().Select(step => step.GetString()!).ToArray(),
                row.GetProperty("scores").EnumerateArray().Select(score => score.GetDouble()).ToArray());
        })];

    [TestMethod]
    public void GoldenScoresAreMet()
    {
        using CpuBackend backend = new(2);
        using ProcessRewardModel model = ProcessRewardModel.Load(Folder, backend);
        List<(string Problem, string Response, string[] Steps, double[] Scores)> golden = Golden();
        double[][] scores = model.Score([.. golden.Select(row => (row.Problem, row.Response))]);
        for (int i = 0; i < golden.Count; i++)
        {
            CollectionAssert.AreEqual(golden[i].Steps, ProcessRewardModel.Steps(golden[i].Response));
            Assert.HasCount(golden[i].Scores.Length, scores[i]);
            for (int s = 0; s < scores[i].Length; s++)
                Assert.AreEqual(golden[i].Scores[s], scores[i][s], 2e-6, $"response {i}, step {s} (the file has six decimals)");
        }
    }

    /// <summary>BF16 activations, as a GPU keeps them: a step's probability moves as its logits may, by 2e-2 of their size.</summary>
    [TestMethod]
    public void GoldenScoresAreNearWithRoundedActivations()
    {
        using ContractBackend backend = new(new CpuBackend(2));
        using ProcessRewardModel model = ProcessRewardModel.Load(Folder, backend);
        List<(string Problem, string Response, string[] Steps, double[] Scores)> golden = Golden();
        double[][] scores = model.Score([.. golden.Select(row => (row.Problem, row.Response))]);
        double squares = 0, errors = 0;
        for (int i = 0; i < golden.Count; i++)
        {
            Assert.HasCount(golden[i].Scores.Length, scores[i]);
            for (int s = 0; s < scores[i].Length; s++)
            {
                squares += golden[i].Scores[s] * golden[i].Scores[s];
                errors += (golden[i].Scores[s] - scores[i][s]) * (golden[i].Scores[s] - scores[i][s]);
            }
        }
        Assert.IsLessThan(2e-2, Math.Sqrt(errors / squares));
    }

    [TestMethod]
    public void AResponsesScoresDoNotDependOnTheOthers()
    {
        using CpuBackend backend = new(2);
        using ProcessRewardModel model = ProcessRewardModel.Load(Folder, backend);
        (string, string)[] responses = [.. Golden().Take(7).Select(row => (row.Problem, row.Response))];
        double[][] together = model.Score(responses);
        for (int i = 0; i < responses.Length; i++)
            CollectionAssert.AreEqual(model.Score([responses[i]])[0], together[i]);
    }

    [TestMethod]
    [DataRow("a\n\n\n\nb", new[] { "a", "b" })]
    [DataRow("one line", new[] { "one line" })]
    [DataRow("  a \n\n b\nc  \r\n\r\nd", new[] { "a", "b\nc", "d" })]
    [DataRow("", new[] { "" })]
    [DataRow("\n\n", new[] { "" })]
    public void StepsAreParagraphs(string response, string[] steps) => CollectionAssert.AreEqual(steps, ProcessRewardModel.Steps(response));

    [TestMethod]
    public void OnlyRewardModelsScoreAndOnlyLanguageModelsTalk()
    {
        using CpuBackend backend = new(1);
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => ProcessRewardModel.Load(Repository.TinyMath, backend)).Message, "Qwen2ForCausalLM");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => LanguageModel.Load(Folder, backend)).Message, "--verifier prm:");
    }

    [TestMethod]
    public void ARewardModelOfTheReleasedLayoutLoadsFromShards()
    {
        string folder = Directory.CreateTempSubdirectory("elm-prm-").FullName;
        try
        {
            new RandomCheckpoint { Config = ModelShapes.SmallPrm, Shards = 3, Seed = 1 }.Write(folder);
            using CpuBackend backend = new(2);
            using LanguageModel body = LanguageModel.Open(folder, backend, withTokenizer: false);
            Assert.IsFalse(body.Weights.Head.IsPresent);
            float[] hidden = body.HiddenAt([[1, 2, 3], [4, 5]], [[0, 2], [1]]);
            Assert.HasCount(3 * body.HiddenSize, hidden);
            Assert.IsTrue(hidden.All(float.IsFinite));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
