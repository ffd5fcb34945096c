using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;
using static ElmNative.Transformers.Tests.Models.SmallModels;

namespace ElmNative.Transformers.Tests.Models;

/// <summary>
/// Folders in the exact names and shapes of released models, with random weights in shards: they load, generate, and take a training step. Widths are the
/// released ones; layers and vocabulary are cut so that the test stays short.
/// </summary>
[TestClass]
public class RandomModelTests
{
    private static string Cut(string config, int layers, int vocabulary)
    {
        string cut = System.Text.RegularExpressions.Regex.Replace(config, "\"num_hidden_layers\": \\d+", $"\"num_hidden_layers\": {layers}");
        cut = System.Text.RegularExpressions.Regex.Replace(cut, "\"vocab_size\": \\d+", $"\"vocab_size\": {vocabulary}");
        return System.Text.RegularExpressions.Regex.Replace(cut, "\"eos_token_id\": (\\d+|\\[[^]]*\\])", "\"eos_token_id\": [5, 6]");
    }

    [TestMethod]
    [DataRow(ModelShapes.Qwen25Half, ElementType.BF16)]
    [DataRow(ModelShapes.Llama32One, ElementType.BF16)]
    [DataRow(ModelShapes.Llama32One, ElementType.F16)]
    public void ReleasedShapesLoadGenerateAndTrain(string config, ElementType type)
    {
        string folder = Directory.CreateTempSubdirectory("elm-random-").FullName;
        try
        {
            new RandomCheckpoint { Config = Cut(config, 2, 1000), Type = type, Shards = 3, Seed = 3 }.Write(folder);
            Assert.IsTrue(File.Exists(Path.Combine(folder, "model.safetensors.index.json")));
            With(folder, 2, model =>
            {
                float[] memory = SoftPrompt(model, 20, 1);
                Completion[] completions = new Generator(model).Generate(
                    [new(memory, Ids(model, 12, 2), 3, 16, new SamplingSettings(1f), new RandomKey(1, 0, 0))])[0];
                using PackedPass pass = model.Forward([new(memory, Ids(model, 12, 2), completions.Select(c => c.Tokens).ToArray())], 1f, keepForBackward: true);
                for (int i = 0; i < completions.Length; i++)
                    CollectionAssert.AreEqual(completions[i].LogProbs, pass.LogProbs[0][i]);
                float[] gradient = pass.Backward([pass.LogProbs[0].Select(l => l.Select(_ => 0.1f).ToArray()).ToArray()])[0];
                Assert.IsTrue(gradient.All(float.IsFinite) && gradient.Any(g => g != 0));
            });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
