using System.Buffers.Binary;
using System.Text;

namespace ElmNative.Cli.Tests;

/// <summary>Whatever is wrong with the input: exit code 1, one sentence that names the culprit, and nothing half-written.</summary>
[TestClass]
public class BadInputTests
{
    private static void Refused(Outcome outcome, params string[] words)
    {
        Assert.AreEqual(1, outcome.ExitCode, outcome.Output + outcome.Errors);
        string[] lines = outcome.Errors.TrimEnd().Split('\n');
        StringAssert.StartsWith(lines[^1], "elmn: ");
        foreach (string word in words)
            StringAssert.Contains(lines[^1], word);
        Assert.DoesNotContain("   at ", outcome.Errors, "a stack trace");
    }

    private static Outcome Stream(Scratch scratch, params string[] more) =>
        Elmn.Run(["stream", "--steps", "1", "--group", "2", "--max-tokens", "20", "--out", scratch.PathOf("run"), .. more]);

    private static void RefusedModel(Scratch scratch, string model, params string[] words)
    {
        Refused(Stream(scratch, "--model", model), words);
        Assert.IsFalse(Directory.Exists(scratch.PathOf("run")), "nothing should be written");
    }

    /// <summary>Rewrites the header of the copy's weights.</summary>
    private static void EditHeader(string model, Func<string, string> edit)
    {
        string path = Path.Combine(model, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(path);
        int length = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        byte[] header = Encoding.UTF8.GetBytes(edit(Encoding.UTF8.GetString(bytes, 8, length)));
        byte[] size = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(size, header.Length);
        File.WriteAllBytes(path, [.. size, .. header, .. bytes.AsSpan(8 + length)]);
    }

    private static string Replace(string text, string old, string with)
    {
        StringAssert.Contains(text, old);
        return text.Replace(old, with);
    }

    [TestMethod]
    public void MissingFoldersAndFiles()
    {
        using Scratch scratch = new();
        RefusedModel(scratch, scratch.PathOf("nowhere"), "nowhere");
        string model = scratch.ModelCopy();
        foreach (string file in new[] { "config.json", "model.safetensors", "tokenizer.json" })
        {
            string path = Path.Combine(model, file), aside = path + ".aside";
            File.Move(path, aside);
            RefusedModel(scratch, model, file.Split('.')[0]);
            File.Move(aside, path);
        }
        Refused(Stream(scratch, "--data", scratch.PathOf("none.jsonl")), "none.jsonl");
        Refused(Elmn.Run("generate", "hello", "--memory", scratch.PathOf("none.safetensors")), "none.safetensors");
        Refused(Elmn.Run("verify", "--golden", scratch.PathOf("nogold")), "nogold");
    }

    [TestMethod]
    public void DamagedWeights()
    {
        using Scratch scratch = new();
        string model = scratch.ModelCopy(), path = Path.Combine(model, "model.safetensors");
        byte[] whole = File.ReadAllBytes(path);

        foreach (int length in new[] { 0, 5, 200, whole.Length / 2, whole.Length - 1 })
        {
            File.WriteAllBytes(path, whole[..length]);
            RefusedModel(scratch, model, "model.safetensors");
        }
        byte[] hugeHeader = [.. whole];
        BinaryPrimitives.WriteInt64LittleEndian(hugeHeader, long.MaxValue / 2);
        File.WriteAllBytes(path, hugeHeader);
        RefusedModel(scratch, model, "model.safetensors", "header");

        (Func<string, string> Edit, string[] Words)[] edits =
        [
            (h => Replace(h, "\"model.norm.weight\": {\"dtype\": \"BF16\", \"shape\": [128]", "\"model.norm.weight\": {\"dtype\": \"BF16\", \"shape\": [64]"), ["model.norm.weight"]),
            (h => Replace(h, "\"model.norm.weight\": {\"dtype\": \"BF16\"", "\"model.norm.weight\": {\"dtype\": \"I16\""), ["model.norm.weight", "I16"]),
            (h => Replace(h, "\"model.norm.weight\"", "\"model.mron.weight\""), ["model.norm.weight"]),
            (h => Replace(h, "\"model.layers.0.self_attn.k_proj.weight\": {\"dtype\": \"BF16\", \"shape\": [64, 128]", "\"model.layers.0.self_attn.k_proj.weight\": {\"dtype\": \"BF16\", \"shape\": [128, 64]"), ["k_proj.weight"]),
            (h => h[..^10], ["model.safetensors"]),
        ];
        foreach ((Func<string, string> edit, string[] words) in edits)
        {
            File.WriteAllBytes(path, whole);
            EditHeader(model, edit);
            RefusedModel(scratch, model, words);
        }
    }

    [TestMethod]
    public void OffsetsOutsideTheFileOrOverlapping()
    {
        using Scratch scratch = new();
        string model = scratch.ModelCopy(), path = Path.Combine(model, "model.safetensors");
        byte[] whole = File.ReadAllBytes(path);
        int length = (int)BinaryPrimitives.ReadInt64LittleEndian(whole);
        string header = Encoding.UTF8.GetString(whole, 8, length);
        System.Text.RegularExpressions.Match place = System.Text.RegularExpressions.Regex.Match(header, "\"model.norm.weight\": \\{[^}]*\"data_offsets\": \\[(\\d+), (\\d+)\\]");
        Assert.IsTrue(place.Success);
        long start = long.Parse(place.Groups[1].Value), end = long.Parse(place.Groups[2].Value);
        foreach ((long from, long to) in new[] { (start + 100_000_000, end + 100_000_000), (start - 64, end - 64), (-256L, 0L), (end, start) })
        {
            File.WriteAllBytes(path, whole);
            EditHeader(model, h => Replace(h, place.Value, place.Value.Replace($"[{start}, {end}]", $"[{from}, {to}]")));
            RefusedModel(scratch, model, "model.safetensors");
        }
    }

    [TestMethod]
    public void WeightsThatAreNotNumbers()
    {
        using Scratch scratch = new();
        string model = scratch.ModelCopy(), path = Path.Combine(model, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(path);
        bytes[^1] = 0x7F;
        bytes[^2] = 0xC0;
        File.WriteAllBytes(path, bytes);
        RefusedModel(scratch, model, "model.", "NaN");
    }

    [TestMethod]
    public void UnknownArchitecturesAndTokenizers()
    {
        using Scratch scratch = new();
        string model = scratch.ModelCopy(), config = Path.Combine(model, "config.json"), tokenizer = Path.Combine(model, "tokenizer.json");
        string text = File.ReadAllText(config);
        File.WriteAllText(config, Replace(text, "Qwen2ForCausalLM", "MambaForCausalLM"));
        RefusedModel(scratch, model, "config.json", "MambaForCausalLM");
        File.WriteAllText(config, text[..50]);
        RefusedModel(scratch, model, "config.json");
        File.WriteAllText(config, text);
        File.WriteAllText(tokenizer, """{"model": {"type": "BPE", "merges": []}}""");
        RefusedModel(scratch, model, "tokenizer.json", "vocab");
    }

    [TestMethod]
    public void BadData()
    {
        using Scratch scratch = new();
        string good = """{"problem": "What is 1 + 1?"}""";
        Refused(Stream(scratch, "--data", scratch.File("empty.jsonl", "")), "empty.jsonl");
        Refused(Stream(scratch, "--data", scratch.File("bad.jsonl", $"{good}\nnot json\n")), "bad.jsonl", "2");
        Refused(Stream(scratch, "--data", scratch.File("missing.jsonl", """{"question": "What?"}""")), "missing.jsonl", "1", "problem");
        string longer = string.Join(' ', Enumerable.Repeat("Rosa had 55 books.", 400));
        Refused(Stream(scratch, "--data", scratch.File("long.jsonl", $$"""{"problem": "{{longer}}"}""")), "context");
        Assert.IsFalse(Directory.Exists(scratch.PathOf("run")) && File.Exists(scratch.PathOf("run", "samples.jsonl")), "nothing should be written");
        Refused(Elmn.Run("generate", longer), "context");
        Refused(Stream(scratch, "--data", scratch.File("plain.jsonl", good), "--verifier", "oracle"), "oracle");
    }

    [TestMethod]
    public void AnOutputThatCannotBeWritten()
    {
        using Scratch scratch = new();
        string file = scratch.File("file", "");
        Refused(Elmn.Run("stream", "--limit", "1", "--steps", "0", "--out", Path.Combine(file, "run")), "file");
        Refused(Elmn.Run("train", "What is 1 + 1?", "--steps", "0", "--out", Path.Combine(file, "memory.safetensors")), "memory.safetensors");
        Outcome occupied = Elmn.Run("stream", "--limit", "1", "--steps", "0", "--out", scratch.Folder);
        Refused(occupied, scratch.Folder);
        Assert.AreEqual("", File.ReadAllText(file), "what was there is left alone");
    }

    /// <summary>A full disk: /dev/full refuses every write.</summary>
    [TestMethod, OSCondition(OperatingSystems.Linux)]
    public void AFullDisk()
    {
        using Scratch scratch = new();
        string folder = scratch.PathOf("run");
        Assert.AreEqual(0, Elmn.Run("stream", "--limit", "1", "--steps", "0", "--out", folder).ExitCode);
        File.Delete(Path.Combine(folder, "samples.jsonl"));
        File.Delete(Path.Combine(folder, "results.json"));
        File.CreateSymbolicLink(Path.Combine(folder, "samples.jsonl"), "/dev/full");
        Refused(Elmn.Run("stream", "--limit", "1", "--steps", "0", "--out", folder), "samples.jsonl");
    }

    [TestMethod]
    public void AMemoryMadeForAnotherModel()
    {
        using Scratch scratch = new();
        string memory = scratch.PathOf("memory.safetensors");
        Assert.AreEqual(0, Elmn.Run("train", "What is 1 + 1?", "--steps", "0", "--out", memory).ExitCode);
        string model = scratch.ModelCopy(), weights = Path.Combine(model, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(weights);
        bytes[^2] ^= 1;
        File.WriteAllBytes(weights, bytes);
        Refused(Elmn.Run("generate", "What is 1 + 1?", "--model", model, "--memory", memory), "memory.safetensors", "another model");
        Refused(Elmn.Run("generate", "What is 1 + 1?", "--memory", weights), "model.safetensors", "not a memory");
    }

    [TestMethod]
    [DataRow("--steps", "-1")]
    [DataRow("--group", "0")]
    [DataRow("--lr", "fast")]
    [DataRow("--temperature", "0")]
    [DataRow("--parallel", "0")]
    [DataRow("--limit", "0")]
    [DataRow("--threads", "-2")]
    [DataRow("--preset", "huge")]
    [DataRow("--activation-memory", "lots")]
    public void SettingsOutOfRange(string option, string value)
    {
        using Scratch scratch = new();
        Refused(Elmn.Run("stream", "--out", scratch.PathOf("run"), option, value), option.TrimStart('-'));
    }
}
