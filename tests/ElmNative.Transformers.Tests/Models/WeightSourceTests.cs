using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;
using static ElmNative.Transformers.Tests.Models.SmallModels;

namespace ElmNative.Transformers.Tests.Models;

/// <summary>Where weights come from, and what is told while they come.</summary>
[TestClass]
public class WeightSourceTests
{
    private static float[] Values(LanguageModel model, Tensor tensor)
    {
        using DeviceBuffer wide = model.Backend.Allocate(tensor.Count * sizeof(float));
        Tensor values = wide.As(ElementType.F32, tensor.Rows, tensor.Columns);
        model.Backend.Copy(tensor, values);
        float[] result = new float[tensor.Count];
        model.Backend.Download<float>(values, result);
        return result;
    }

    [TestMethod]
    public void RandomWeightsGenerateAndTrain()
    {
        using CpuBackend backend = new(2);
        using LanguageModel model = LanguageModel.Random(ModelShapes.Parse(Qwen3, "qwen3"), backend, seed: 3);
        Assert.ThrowsExactly<ElmException>(() => model.Tokenizer.Encode("text", true));
        float[] memory = SoftPrompt(model, 4, 1);
        Completion[] completions = new Generator(model).Generate([new(memory, Ids(model, 12, 2), 3, 16, new SamplingSettings(1f), new RandomKey(1, 0, 0)) { IgnoreEndTokens = true }])[0];
        using PackedPass pass = model.Forward([new(memory, Ids(model, 12, 2), completions.Select(c => c.Tokens).ToArray())], 1f, keepForBackward: true);
        for (int i = 0; i < completions.Length; i++)
            CollectionAssert.AreEqual(completions[i].LogProbs, pass.LogProbs[0][i]);
        float[] gradient = pass.Backward([pass.LogProbs[0].Select(l => l.Select(_ => 0.1f).ToArray()).ToArray()])[0];
        Assert.IsTrue(gradient.All(float.IsFinite) && gradient.Any(g => g != 0));
    }

    [TestMethod]
    public void RandomWeightsHaveTheirMomentsAndDependOnTheSeed()
    {
        using CpuBackend backend = new(1);
        ModelConfig config = ModelShapes.Parse(Qwen2Half, "qwen2");
        using LanguageModel first = LanguageModel.Random(config, backend, 3), again = LanguageModel.Random(config, backend, 3), other = LanguageModel.Random(config, backend, 4);
        float[] embedding = Values(first, first.Weights.Embedding);
        CollectionAssert.AreEqual(embedding, Values(again, again.Weights.Embedding));
        CollectionAssert.AreNotEqual(embedding, Values(other, other.Weights.Embedding));
        CollectionAssert.AreNotEqual(Values(first, first.Weights.Layers[0].Query), Values(first, first.Weights.Layers[1].Query));
        Assert.AreEqual(first.Fingerprint, again.Fingerprint);
        Assert.AreNotEqual(first.Fingerprint, other.Fingerprint);
        // the mean square of n uniform values has the relative deviation sqrt(4 / (5 n))
        Assert.AreEqual(0.02, first.EmbeddingRms, 0.02 * 2.5 * Math.Sqrt(0.8 / embedding.Length));
        Assert.IsTrue(Values(first, first.Weights.Layers[1].InputNorm).All(v => v == 1) && Values(first, first.Weights.FinalNorm).All(v => v == 1));
        Assert.IsTrue(Values(first, first.Weights.Layers[1].KeyBias).All(v => v == 0));
        Assert.AreEqual(first.Weights.Embedding, first.Weights.Head, "the head is tied");
    }

    [TestMethod]
    public void ProgressEndsWithAllBytes()
    {
        using CpuBackend backend = new(1);
        List<(long Done, long Total)> random = [], stored = [];
        using (LanguageModel.Random(ModelShapes.Parse(Qwen3, "qwen3"), backend, progress: (done, total) => random.Add((done, total))))
        using (LanguageModel.LoadWithoutTokenizer(Repository.TinyMath, backend, (done, total) => stored.Add((done, total))))
        {
            foreach (List<(long Done, long Total)> told in new[] { random, stored })
            {
                Assert.IsTrue(told.Zip(told.Skip(1)).All(pair => pair.First.Done < pair.Second.Done && pair.First.Total == pair.Second.Total));
                Assert.AreEqual(told[^1].Total, told[^1].Done);
            }
            using Checkpoint checkpoint = Checkpoint.Open(Repository.TinyMath);
            Assert.AreEqual(RandomCheckpoint.TensorsOf(checkpoint.Config).Sum(tensor => checkpoint.Get(tensor.Name, tensor.Shape).Bytes), stored[^1].Total);
        }
    }

    [TestMethod]
    public void ShapesHaveNames()
    {
        Assert.AreEqual(28, ModelShapes.Config("qwen2.5-math-7b").Layers);
        Assert.AreEqual(8, ModelShapes.Config("llama-3.1-8b").KeyHeads);
        foreach (string name in ModelShapes.Names)
            Assert.AreEqual(0, ModelShapes.Config(name).HiddenSize % 32);
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => ModelShapes.Config("gpt-5")).Message, "qwen2.5-math-7b");
        using CpuBackend backend = new(1);
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => LanguageModel.Random(ModelShapes.Config("prm-small"), backend)).Message, "process reward model");
    }
}
