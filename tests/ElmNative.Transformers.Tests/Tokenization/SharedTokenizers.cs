using System.Text.Json;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>The third-party tokenizers of the shared folder, loaded once.</summary>
internal static class SharedTokenizers
{
    private static readonly Dictionary<string, BytePairTokenizer> Loaded = [];

    public static BytePairTokenizer Get(string name)
    {
        if (!Loaded.TryGetValue(name, out BytePairTokenizer? tokenizer))
            Loaded.Add(name, tokenizer = BytePairTokenizer.Load(SharedDataAttribute.PathOf("tokenizers", name)));
        return tokenizer;
    }

    /// <summary>The lines of a vector file in the shared data, as JSON.</summary>
    public static IEnumerable<JsonElement> Lines(params string[] path) => LinesOf(SharedDataAttribute.PathOf(path));

    /// <summary>The lines of a file, as JSON.</summary>
    public static IEnumerable<JsonElement> LinesOf(string file)
    {
        foreach (string line in File.ReadLines(file))
        {
            using JsonDocument document = JsonDocument.Parse(line);
            yield return document.RootElement.Clone();
        }
    }

    public static int[] Ids(JsonElement line, string name) => [.. line.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];
}
