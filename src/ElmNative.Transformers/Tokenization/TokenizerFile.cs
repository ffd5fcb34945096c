using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Transformers.Tokenization;

/// <summary>The parts of a tokenizer.json: the model read, the other components still as JSON (null where absent).</summary>
internal sealed class TokenizerFile
{
    private TokenizerFile(string path, int length) => (FilePath, Length) = (path, length);

    /// <summary>Path of the file.</summary>
    public string FilePath { get; }

    /// <summary>Its bytes; no id may be higher.</summary>
    public int Length { get; }

    /// <summary>The model's tokens.</summary>
    public required Vocabulary Vocabulary { get; init; }

    /// <summary>The model.</summary>
    public required BytePairMerger Merger { get; init; }

    /// <summary>The list of added tokens.</summary>
    public required JsonElement? AddedTokens { get; init; }

    /// <summary>The normaliser.</summary>
    public required JsonElement? Normalizer { get; init; }

    /// <summary>The pre-tokenizer.</summary>
    public required JsonElement? PreTokenizer { get; init; }

    /// <summary>The post-processor.</summary>
    public required JsonElement? PostProcessor { get; init; }

    /// <summary>The decoder.</summary>
    public required JsonElement? Decoder { get; init; }

    /// <summary>Reads the file.</summary>
    /// <exception cref="ElmException">missing, malformed, or without a BPE vocabulary</exception>
    public static TokenizerFile Read(string path)
    {
        ReadOnlyMemory<byte> bytes = TokenizerJson.Read(path);
        return Parse(path, bytes.Span);
    }

    private static TokenizerFile Parse(string path, ReadOnlySpan<byte> bytes)
    {
        Utf8JsonReader reader = new(bytes, new JsonReaderOptions { MaxDepth = 64 });
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            throw new ElmException($"{path} is not a JSON object; download the tokenizer again.");
        Dictionary<string, JsonElement> members = [];
        BytePairMerger? merger = null;
        Vocabulary? vocabulary = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name == "model")
                merger = TokenizerModel.Read(ref reader, path, bytes.Length, out vocabulary);
            else if (name is "added_tokens" or "normalizer" or "pre_tokenizer" or "post_processor" or "decoder")
                members[name] = JsonElement.ParseValue(ref reader);
            else
                reader.Skip();
        }
        if (reader.Read())
            throw new ElmException($"{path} has more than one JSON value; download the tokenizer again.");
        if (merger is null || vocabulary is null)
            throw new ElmException($"{path} has no model and so no vocabulary; download the tokenizer again.");
        return new TokenizerFile(path, bytes.Length)
        {
            Vocabulary = vocabulary,
            Merger = merger,
            AddedTokens = Member("added_tokens"),
            Normalizer = Member("normalizer"),
            PreTokenizer = Member("pre_tokenizer"),
            PostProcessor = Member("post_processor"),
            Decoder = Member("decoder"),
        };

        JsonElement? Member(string name) =>
            members.TryGetValue(name, out JsonElement element) && element.ValueKind != JsonValueKind.Null ? element : null;
    }
}
