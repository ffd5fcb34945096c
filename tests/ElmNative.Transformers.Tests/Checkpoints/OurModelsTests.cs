using System.Buffers.Binary;
using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>The project's own small models open and have the shapes, types and values that they were written with.</summary>
[TestClass]
public sealed class OurModelsTests
{
    [TestMethod]
    public void TinyMathHasItsShapes()
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.PathOf("bench", "models", "tiny-math", "model"));
        ModelConfig config = checkpoint.Config;
        Assert.AreEqual(("Qwen2ForCausalLM", "qwen2"), (config.Architecture, config.ModelType));
        Assert.AreEqual((128, 256, 4, 4), (config.HiddenSize, config.IntermediateSize, config.Layers, config.QueryHeads));
        Assert.AreEqual((2, 32, 719, 1024), (config.KeyHeads, config.HeadSize, config.VocabularySize, config.MaxPositions));
        Assert.IsTrue(config.TiedHead && config.AttentionBias && !config.QueryKeyNorm);
        CollectionAssert.AreEqual(new[] { 717 }, config.EndTokens.ToArray());
        Assert.IsFalse(checkpoint.Has("lm_head.weight"));
        Assert.AreEqual(684032, CheckAllTensors(checkpoint, ElementType.BF16));
    }

    [TestMethod]
    public void TinyMathRewardModelHasItsHead()
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.PathOf("bench", "models", "tiny-math", "prm"));
        Assert.AreEqual("Qwen2ForProcessRewardModel", checkpoint.Config.Architecture);
        Assert.AreEqual(2 * 128 * 2, checkpoint.Get("score.2.weight", 2, 128).Bytes);
        CheckAllTensors(checkpoint, ElementType.BF16);
    }

    [TestMethod]
    public void LlamaTinyHasAnUntiedHeadAndScaledFrequencies()
    {
        using Checkpoint checkpoint = Checkpoint.Open(Repository.PathOf("tests", "golden", "llama-tiny", "model"));
        ModelConfig config = checkpoint.Config;
        Assert.AreEqual(("LlamaForCausalLM", "llama"), (config.Architecture, config.ModelType));
        Assert.IsTrue(!config.TiedHead && !config.AttentionBias);
        Assert.AreEqual(331 * 96 * 4, checkpoint.Get("lm_head.weight", 331, 96).Bytes);
        Assert.HasCount(12, config.RotaryFrequencies);
        Assert.AreEqual(1, config.RotaryFrequencies[0]);
        Assert.AreEqual(Math.Pow(500000, -22.0 / 24) / 8, config.RotaryFrequencies[11], 1e-18);
        CheckAllTensors(checkpoint, ElementType.F32);
    }

    [TestMethod, SharedData("golden/qwen2-tiny-sharded")]
    public void ShardsOpenAsOneModel()
    {
        using Checkpoint checkpoint = Checkpoint.Open(SharedDataAttribute.PathOf("golden", "qwen2-tiny-sharded", "model"));
        Assert.AreEqual((112, 7, 1, 16), (checkpoint.Config.HiddenSize, checkpoint.Config.QueryHeads, checkpoint.Config.KeyHeads, checkpoint.Config.HeadSize));
        Assert.AreEqual(851232 / 2, CheckAllTensors(checkpoint, ElementType.F16));
        Assert.HasCount(3, checkpoint.Names.Select(checkpoint.FileOf).Distinct().ToArray());
    }

    [TestMethod]
    [DataRow("bench/models/tiny-math/model/model.safetensors")]
    [DataRow("tests/golden/llama-tiny/model/model.safetensors")]
    [DataRow("tests/golden/llama-tiny/policy.safetensors")]
    public void ValuesAreTheFilesBytes(string file)
    {
        byte[] bytes = File.ReadAllBytes(Repository.PathOf(file));
        int header = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        using JsonDocument json = JsonDocument.Parse(bytes.AsMemory(8, header));
        using SafetensorsFile mapped = SafetensorsFile.Open(Repository.PathOf(file));
        Assert.AreEqual("pt", mapped.Metadata["format"]);
        int compared = 0;
        foreach (JsonProperty tensor in json.RootElement.EnumerateObject().Where(tensor => tensor.Name != "__metadata__"))
        {
            int start = 8 + header + tensor.Value.GetProperty("data_offsets")[0].GetInt32();
            string type = tensor.Value.GetProperty("dtype").GetString()!;
            if (type == "I32")
            {
                int[] integers = mapped.ReadI32(tensor.Name);
                for (int i = 0; i < integers.Length; i++)
                    Assert.AreEqual(BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(start + 4 * i)), integers[i]);
                compared += integers.Length;
                continue;
            }
            float[] values = mapped.ReadF32(tensor.Name);
            for (int i = 0; i < values.Length; i++)
            {
                uint bits = type == "F32" ? BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(start + 4 * i))
                    : (uint)BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(start + 2 * i)) << 16;
                if (bits != BitConverter.SingleToUInt32Bits(values[i]))
                    Assert.Fail($"{tensor.Name}[{i}]");
            }
            compared += values.Length;
        }
        Assert.IsGreaterThan(1000, compared);
    }

    /// <summary>The stored tensors are exactly those that the config asks for; returns the number of parameters.</summary>
    private static long CheckAllTensors(Checkpoint checkpoint, ElementType type)
    {
        long parameters = 0;
        IReadOnlyList<(string Name, long[] Shape)> expected = RandomCheckpoint.TensorsOf(checkpoint.Config);
        CollectionAssert.AreEquivalent(expected.Select(tensor => tensor.Name).ToArray(), checkpoint.Names.ToArray());
        foreach ((string name, long[] shape) in expected)
        {
            StoredTensor tensor = checkpoint.Get(name, shape);
            Assert.AreEqual(type, tensor.Type);
            Assert.AreEqual(-1, WeightCheck.FirstNonFinite(tensor));
            parameters += tensor.Count;
        }
        return parameters;
    }
}
