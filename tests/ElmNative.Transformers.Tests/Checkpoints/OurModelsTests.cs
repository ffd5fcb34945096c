using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>The project's own small models open and have the shapes, types and values that they were written with.</summary>
[TestClass]
public sealed class OurModelsTests
{
    [TestMethod, SharedData("tiny-math/model")]
    public void TinyMathOpens()
    {
        using Checkpoint checkpoint = Checkpoint.Open(SharedDataAttribute.PathOf("tiny-math", "model"));
        ModelConfig config = checkpoint.Config;
        Assert.AreEqual(("Qwen2ForCausalLM", "qwen2"), (config.Architecture, config.ModelType));
        Assert.AreEqual((128, 256, 4, 4, 2, 32, 719, 1024), (config.HiddenSize, config.IntermediateSize, config.Layers, config.QueryHeads,
            config.KeyHeads, config.HeadSize, config.VocabularySize, config.MaxPositions));
        Assert.IsTrue(config.TiedHead && config.AttentionBias && !config.QueryKeyNorm);
        CollectionAssert.AreEqual(new[] { 717 }, config.EndTokens.ToArray());
        StoredTensor embedding = checkpoint.Get("model.embed_tokens.weight", 719, 128);
        Assert.AreEqual((ElementType.BF16, 719 * 128 * 2L), (embedding.Type, embedding.Bytes));
        Assert.IsFalse(checkpoint.Has("lm_head.weight"));
        Assert.AreEqual(684032, checkpoint.Names.Sum(name => SafetensorsNames(checkpoint, name)));
    }

    private static long SafetensorsNames(Checkpoint checkpoint, string name)
    {
        using SafetensorsFile file = SafetensorsFile.Open(checkpoint.FileOf(name));
        return file.Get(name).Count;
    }
}
