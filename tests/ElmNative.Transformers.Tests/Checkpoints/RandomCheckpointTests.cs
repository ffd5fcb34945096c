using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Tokenization;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>Random checkpoints have the names, shapes and statistics of real ones.</summary>
[TestClass]
public sealed class RandomCheckpointTests
{
    private readonly TemporaryFolder folder = new();

    [TestCleanup]
    public void Clean() => folder.Dispose();

    [TestMethod]
    [DataRow(ModelShapes.Qwen25Half, 494_032_768L, 290, "model.layers.23.self_attn.v_proj.bias")]
    [DataRow(ModelShapes.Qwen25OneAndAHalf, 1_543_714_304L, 338, "model.layers.27.self_attn.v_proj.bias")]
    [DataRow(ModelShapes.Qwen25MathSeven, 7_615_616_512L, 339, "lm_head.weight")]
    [DataRow(ModelShapes.Llama32One, 1_235_814_400L, 146, "model.layers.15.mlp.down_proj.weight")]
    [DataRow(ModelShapes.Llama31Eight, 8_030_261_248L, 291, "lm_head.weight")]
    public void ReleasedShapesHaveTheirParameters(string config, long parameters, int tensors, string name)
    {
        IReadOnlyList<(string Name, long[] Shape)> all = RandomCheckpoint.TensorsOf(Config(config));
        Assert.AreEqual(parameters, all.Sum(tensor => tensor.Shape.Aggregate(1L, (a, b) => a * b)));
        Assert.HasCount(tensors, all);
        Assert.IsTrue(all.Any(tensor => tensor.Name == name));
    }

    [TestMethod]
    [DataRow(ElementType.BF16, 1)]
    [DataRow(ElementType.F16, 2)]
    [DataRow(ElementType.F32, 5)]
    public void TheRewardModelIsWrittenInEveryType(ElementType type, int shards)
    {
        RandomCheckpoint model = new() { Config = ModelShapes.SmallPrm, Type = type, Shards = shards, Seed = 7, ByteTokenizer = true };
        model.Write(folder.Root);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Root);
        foreach ((string name, long[] shape) in RandomCheckpoint.TensorsOf(checkpoint.Config))
            Assert.AreEqual(type, checkpoint.Get(name, shape).Type);
        using SafetensorsFile head = SafetensorsFile.Open(checkpoint.FileOf("score.0.weight"));
        float[] values = head.ReadF32("score.0.weight", 224, 224);
        double mean = values.Average(value => (double)value), deviation = Math.Sqrt(values.Average(value => (value - mean) * (value - mean)));
        Assert.AreEqual(0, mean, 0.02 * 5 / 224);
        Assert.AreEqual(0.02, deviation, 0.0003);
        // Of a normal distribution 68.3 % lie within one deviation and 95.4 % within two.
        Assert.AreEqual(0.683, values.Count(value => Math.Abs(value) < 0.02) / (double)values.Length, 0.01);
        Assert.AreEqual(0.954, values.Count(value => Math.Abs(value) < 0.04) / (double)values.Length, 0.005);
        using SafetensorsFile norm = SafetensorsFile.Open(checkpoint.FileOf("model.norm.weight"));
        Assert.IsTrue(norm.ReadF32("model.norm.weight", 224).All(value => value == 1));
        Assert.HasCount(shards, Directory.GetFiles(folder.Root, "*.safetensors"));
        long largest = Directory.GetFiles(folder.Root, "*.safetensors").Max(file => new FileInfo(file).Length);
        Assert.IsLessThan(2 * RandomCheckpoint.TensorsOf(checkpoint.Config).Sum(tensor => tensor.Shape.Aggregate(1L, (a, b) => a * b)) * type.Size() / shards + 20000, largest);
    }

    [TestMethod]
    public void SeedsAreRepeatableAndTypesAgree()
    {
        float[] Embedding(string name, RandomCheckpoint model)
        {
            model.Write(folder.PathOf(name));
            using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder.PathOf(name), "model.safetensors"));
            return file.ReadF32("model.embed_tokens.weight", 11, 8);
        }
        RandomCheckpoint wide = new() { Config = TinyConfig, Type = ElementType.F32 };
        float[] values = Embedding("a", wide);
        CollectionAssert.AreEqual(values, Embedding("b", wide));
        CollectionAssert.AreNotEqual(values, Embedding("c", wide with { Seed = 1 }));
        float[] brain = Embedding("d", wide with { Type = ElementType.BF16 }), half = Embedding("e", wide with { Type = ElementType.F16 });
        for (int i = 0; i < values.Length; i++)
        {
            Assert.AreEqual(values[i], brain[i], Math.Abs(values[i]) / 256);
            Assert.AreEqual((float)(Half)values[i], half[i]);
        }
    }

    [TestMethod]
    [DataRow("LlamaForCausalLM", "llama", "", 3 + 2 * 9)]
    [DataRow("Qwen3ForCausalLM", "qwen3", ", \"head_dim\": 6", 3 + 2 * 11)]
    [DataRow("MistralForCausalLM", "mistral", "", 3 + 2 * 9)]
    [DataRow("Qwen2ForCausalLM", "qwen2", "", 3 + 2 * 12)]
    public void EveryFamilyHasItsTensors(string architecture, string modelType, string extra, int tensors)
    {
        new RandomCheckpoint { Config = TinyConfig.Replace("Qwen2ForCausalLM", architecture).Replace("\"qwen2\"", $"\"{modelType}\"{extra}") }.Write(folder.Root);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Root);
        Assert.AreEqual(architecture, checkpoint.Config.Architecture);
        Assert.AreEqual(tensors, checkpoint.Names.Count());
    }

    [TestMethod]
    public void TheByteTokenizerHasEveryByteAndEveryIdOnce()
    {
        new RandomCheckpoint { Config = ModelShapes.SmallPrm, ByteTokenizer = true }.Write(folder.Root);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(folder.PathOf("tokenizer.json")));
        JsonProperty[] vocabulary = [.. json.RootElement.GetProperty("model").GetProperty("vocab").EnumerateObject()];
        const int size = 2048;
        // 256 to 258 are the special tokens, which are no part of it.
        int[] ids = [.. Enumerable.Range(0, 256), .. Enumerable.Range(259, size - 259)];
        CollectionAssert.AreEqual(ids, vocabulary.Select(piece => piece.Value.GetInt32()).ToArray());
        Assert.HasCount(ids.Length, vocabulary.Select(piece => piece.Name).Distinct().ToArray());
        Assert.IsTrue(vocabulary[..256].All(piece => piece.Name.Length == 1));
        BytePairTokenizer tokenizer = BytePairTokenizer.Load(folder.Root);
        Assert.AreEqual(size, tokenizer.VocabularySize);
        Assert.AreEqual("A<2000>", tokenizer.Decode([65, 2000], skipSpecialTokens: true));
        CollectionAssert.AreEqual("A<2000>".Select(c => (int)c).ToArray(), tokenizer.Encode("A<2000>", addSpecialTokens: false));
        // A space is U+0120 and a newline U+010A in every byte-level vocabulary.
        Assert.AreEqual((32, 10, 65), (Id("Ġ"), Id("Ċ"), Id("A")));
        int Id(string piece) => vocabulary.Single(entry => entry.Name == piece).Value.GetInt32();
        Refused(() => new RandomCheckpoint { Config = TinyConfig, ByteTokenizer = true }.Write(folder.PathOf("small")), "vocab_size", "259");
    }

    [TestMethod]
    public void AFolderWithWeightsIsNotTouchedAndAFailedOneIsLeftEmpty()
    {
        RandomCheckpoint model = new() { Config = ModelShapes.SmallPrm, ByteTokenizer = true };
        string taken = folder.Write("model.safetensors", "mine");
        Refused(() => model.Write(folder.Root), folder.Root, "already");
        Assert.AreEqual("mine", File.ReadAllText(taken));
        // A folder in the place of the config, which is written last, makes the very last step fail.
        Directory.CreateDirectory(folder.PathOf("b/config.json"));
        Refused(() => model.Write(folder.PathOf("b")), folder.PathOf("b/config.json"), "cannot be written");
        Assert.HasCount(0, Directory.GetFiles(folder.PathOf("b")));
    }

    [TestMethod]
    public void UnwritableFolderIsASentence()
    {
        string file = folder.Write("file", "x");
        Refused(() => new RandomCheckpoint { Config = TinyConfig }.Write(Path.Combine(file, "model")), file);
    }
}
