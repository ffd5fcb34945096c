using System.Text;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>A model folder in one file or in shards, of one type or several, and what is refused.</summary>
[TestClass]
public sealed class CheckpointTests
{
    private readonly TemporaryFolder folder = new();

    [TestCleanup]
    public void Clean() => folder.Dispose();

    [TestMethod]
    public void OneFileOfSeveralTypes()
    {
        folder.Write("config.json", TinyConfig);
        SafetensorsWriter.Write(folder.PathOf("model.safetensors"),
            [TensorToWrite.BF16("a", new ushort[] { 0x3F80 }, 1), TensorToWrite.F16("b", new[] { (Half)2 }, 1), TensorToWrite.F32("c", new[] { 3f }, 1), TensorToWrite.I32("d", new[] { 4 }, 1)]);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Root);
        Assert.AreEqual(folder.Root, checkpoint.Folder);
        Assert.AreEqual((ElementType.BF16, ElementType.F16, ElementType.F32), (checkpoint.Get("a", 1).Type, checkpoint.Get("b", 1).Type, checkpoint.Get("c", 1).Type));
        Assert.IsTrue(checkpoint.Has("d") && !checkpoint.Has("e"));
        Refused(() => checkpoint.Get("d", 1), folder.PathOf("model.safetensors"), "\"d\"", "I32", "convert");
        Refused(() => checkpoint.Get("c", 2), folder.PathOf("model.safetensors"), "\"c\"", "[1]", "[2]");
        Refused(() => checkpoint.Get("e", 2), folder.PathOf("model.safetensors"), "\"e\"");
    }

    [TestMethod]
    public void ShardsAndOneFileAreTheSameModel()
    {
        string one = folder.PathOf("one"), three = folder.PathOf("three");
        new RandomCheckpoint { Config = TinyConfig, Seed = 5 }.Write(one);
        new RandomCheckpoint { Config = TinyConfig, Seed = 5, Shards = 3 }.Write(three);
        Assert.HasCount(3, Directory.GetFiles(three, "*.safetensors"));
        using Checkpoint a = Checkpoint.Open(one), b = Checkpoint.Open(three);
        CollectionAssert.AreEquivalent(a.Names.ToArray(), b.Names.ToArray());
        Assert.AreEqual(a.Fingerprint, b.Fingerprint);
        Refused(() => b.Get("none", 2), "model.safetensors.index.json", "\"none\"");
        Refused(() => b.Get("lm_head.weight", 2, 2), "model-00003-of-00003.safetensors", "\"lm_head.weight\"", "[11, 8]");
    }

    [TestMethod]
    public void BadIndexes()
    {
        folder.Write("config.json", TinyConfig);
        Refused(() => Checkpoint.Open(folder.Root), folder.Root, "neither");
        folder.Write("pytorch_model.bin", "x");
        Refused(() => Checkpoint.Open(folder.Root), "convert");
        SafetensorsWriter.Write(folder.PathOf("part.safetensors"), [TensorToWrite.F32("w", new float[1], 1)]);
        foreach ((string index, string part) in new[]
        {
            ("{", "not valid JSON"),
            ("{}", "no weight_map"),
            ("""{"weight_map": []}""", "weight_map must be an object"),
            ("""{"weight_map": {}}""", "empty weight_map"),
            ("""{"weight_map": {"w": 1}}""", "w must be text"),
            ("""{"weight_map": {"w": "gone.safetensors"}}""", "gone.safetensors does not exist"),
            ("""{"weight_map": {"v": "part.safetensors"}}""", "part.safetensors has no tensor \"v\""),
            ("""{"weight_map": {"w": "../part.safetensors"}}""", "plain name"),
            ("""{"weight_map": {"w": "/etc/part.safetensors"}}""", "plain name"),
            ("""{"weight_map": {"w": "..\\part.safetensors"}}""", "plain name"),
            ("""{"weight_map": {"w": "C:part.safetensors"}}""", "plain name"),
            ("""{"weight_map": {"w": "a\u0000.safetensors"}}""", "plain name"),
            ("""{"weight_map": {"w": ".."}}""", "plain name"),
            ("""{"weight_map": {"w": "config.json"}}""", "plain name"),
            ("""{"weight_map": {"w": ""}}""", "plain name"),
            ("""{"weight_map": {"w": "part.safetensors", "w": "part.safetensors"}}""", "not valid JSON"),
        })
        {
            folder.Write("model.safetensors.index.json", index);
            Refused(() => Checkpoint.Open(folder.Root), "model.safetensors.index.json", part);
        }
        folder.Write("model.safetensors.index.json", """{"weight_map": {"w": "part.safetensors"}}""");
        using (Checkpoint checkpoint = Checkpoint.Open(folder.Root))
            Assert.AreEqual(4, checkpoint.Get("w", 1).Bytes);
        folder.Write("part.safetensors", "cut");
        Refused(() => Checkpoint.Open(folder.Root), folder.PathOf("part.safetensors"), "3 bytes");
    }

    [TestMethod]
    public void ABiasThatTheDecoderWouldIgnoreIsRefused()
    {
        folder.Write("config.json", TinyConfig);
        SafetensorsWriter.Write(folder.PathOf("model.safetensors"), [TensorToWrite.F32("model.layers.0.self_attn.o_proj.bias", new float[8], 8)]);
        Refused(() => Checkpoint.Open(folder.Root), "model.safetensors", "model.layers.0.self_attn.o_proj.bias");
    }

    [TestMethod]
    public void AnyChangeInASmallModelChangesItsFingerprint()
    {
        RandomCheckpoint model = new() { Config = TinyConfig };
        HashSet<string> seen = [];
        void Add(Action change)
        {
            change();
            using Checkpoint checkpoint = Checkpoint.Open(folder.Root);
            Assert.HasCount(64, checkpoint.Fingerprint);
            Assert.IsTrue(seen.Add(checkpoint.Fingerprint));
        }
        Add(() => model.Write(folder.Root));
        model.Write(folder.PathOf("again"));
        using (Checkpoint again = Checkpoint.Open(folder.PathOf("again")))
            Assert.Contains(again.Fingerprint, seen);
        byte[] weights = File.ReadAllBytes(folder.PathOf("model.safetensors"));
        foreach (int at in (int[])[weights.Length - 1, weights.Length - 700])
            Add(() =>
            {
                byte[] changed = [.. weights];
                changed[at] ^= 1;
                folder.Write("model.safetensors", changed);
            });
        Add(() => folder.Write("model.safetensors", Encoding.Latin1.GetBytes(Encoding.Latin1.GetString(weights).Replace("\"lm_head.weight\"", "\"lm_hEad.weight\""))));
        Add(() => folder.Write("model.safetensors", Encoding.Latin1.GetBytes(Encoding.Latin1.GetString(weights).Replace("\"BF16\"", "\"I16\" "))));
        folder.Write("model.safetensors", weights);
        Add(() => folder.Write("config.json", TinyConfig.Replace("10000.0", "10001.0")));
        (model with { Seed = 1 }).Write(folder.PathOf("other"));
        using Checkpoint other = Checkpoint.Open(folder.PathOf("other"));
        Assert.DoesNotContain(other.Fingerprint, seen);
    }
}
