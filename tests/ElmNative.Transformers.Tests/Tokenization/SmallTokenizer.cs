using System.Text;
using System.Text.Json.Nodes;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>A byte-level tokenizer made on the spot: the 256 bytes and the merges that a small text suggests.</summary>
internal static class SmallTokenizer
{
    public const string LlamaPattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private const string Corpus =
        "The quick brown fox jumps over the lazy dog. the then there them these other mother, brother and father of others. The quick dogs jumped. abababab abab aaaa aaaaaaaa 123 123456 é é 中文 中文  \n\n  \n ,,, ...";

    private static readonly List<(byte[] Left, byte[] Right)> Merges = Train(120);

    /// <summary>Number of merges.</summary>
    public static int MergeCount => Merges.Count;

    /// <summary>The merges, most frequent pairs first.</summary>
    private static List<(byte[], byte[])> Train(int count)
    {
        List<(byte[] Left, byte[] Right)> merges = [];
        List<byte[]> symbols = [.. Encoding.UTF8.GetBytes(Corpus).Select(value => new[] { value })];
        for (int round = 0; round < count; round++)
        {
            var best = Enumerable.Range(0, symbols.Count - 1)
                .GroupBy(i => Convert.ToHexString(symbols[i]) + "," + Convert.ToHexString(symbols[i + 1]))
                .OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal).First();
            if (best.Count() == 1)
                break;
            (byte[] left, byte[] right) = (symbols[best.First()], symbols[best.First() + 1]);
            merges.Add((left, right));
            for (int i = 0; i + 1 < symbols.Count; i++)
                if (symbols[i].AsSpan().SequenceEqual(left) && symbols[i + 1].AsSpan().SequenceEqual(right))
                {
                    symbols[i] = [.. left, .. right];
                    symbols.RemoveAt(i + 1);
                }
        }
        return merges;
    }

    /// <summary>The file, with a change made to it.</summary>
    public static JsonObject Json(Action<JsonObject>? change = null)
    {
        JsonObject vocabulary = [];
        JsonArray merges = [];
        for (int value = 0; value < 256; value++)
            vocabulary[ByteLevel.ToText([(byte)value])] = value;
        foreach ((byte[] left, byte[] right) in Merges)
        {
            merges.Add($"{ByteLevel.ToText(left)} {ByteLevel.ToText(right)}");
            vocabulary.TryAdd(ByteLevel.ToText([.. left, .. right]), vocabulary.Count);
        }
        JsonObject json = new()
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(Added(vocabulary.Count, "<|end|>", special: true), Added(vocabulary.Count + 1, "<tool>")),
            ["normalizer"] = new JsonObject { ["type"] = "NFC" },
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(Split(LlamaPattern, "Isolated"), ByteLevelStep()),
            },
            ["post_processor"] = new JsonObject { ["type"] = "ByteLevel" },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject { ["type"] = "BPE", ["ignore_merges"] = false, ["vocab"] = vocabulary, ["merges"] = merges },
        };
        change?.Invoke(json);
        return json;
    }

    public static BytePairTokenizer Load(Action<JsonObject>? change = null, string config = "{}")
    {
        using TemplateFolder folder = new(config);
        folder.Write("tokenizer.json", Json(change).ToJsonString());
        return BytePairTokenizer.Load(folder.Path);
    }

    public static JsonObject Added(
        int id, string content, bool special = false, bool lstrip = false, bool rstrip = false, bool singleWord = false, bool normalized = false) => new()
        {
            ["id"] = id,
            ["content"] = content,
            ["special"] = special,
            ["lstrip"] = lstrip,
            ["rstrip"] = rstrip,
            ["single_word"] = singleWord,
            ["normalized"] = normalized,
        };

    public static JsonObject Split(string pattern, string behavior, bool invert = false) => new()
    {
        ["type"] = "Split",
        ["pattern"] = new JsonObject { ["Regex"] = pattern },
        ["behavior"] = behavior,
        ["invert"] = invert,
    };

    public static JsonObject ByteLevelStep(bool prefix = false, bool regex = false) =>
        new() { ["type"] = "ByteLevel", ["add_prefix_space"] = prefix, ["use_regex"] = regex };

    public static void SetPreTokenizer(JsonObject json, params JsonNode[] steps) =>
        json["pre_tokenizer"] = new JsonObject { ["type"] = "Sequence", ["pretokenizers"] = new JsonArray(steps) };
}
