using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Transformers.Tokenization;

/// <summary>The added tokens of a folder: those of tokenizer.json, and over them those of tokenizer_config.json.</summary>
internal static class AddedTokenList
{
    private const int LongestContent = 4096;

    /// <summary>Reads them; contents and ids are unique.</summary>
    /// <exception cref="ElmException">a file is malformed or two tokens want one id</exception>
    public static AddedToken[] Read(string folder, TokenizerFile file)
    {
        OrderedDictionary<string, AddedToken> tokens = new(StringComparer.Ordinal);
        if (file.AddedTokens is { ValueKind: not JsonValueKind.Array })
            throw new ElmException($"{file.FilePath}: \"added_tokens\" must be a list.");
        foreach (JsonElement item in file.AddedTokens?.EnumerateArray() ?? default)
            Add(tokens, item, TokenizerJson.Member(item, "id"), file, file.FilePath);
        string config = Path.Combine(folder, "tokenizer_config.json");
        if (File.Exists(config))
            TokenizerJson.Guard(config, () =>
            {
                using JsonDocument document = JsonDocument.Parse(TokenizerJson.Read(config));
                if (TokenizerJson.Member(document.RootElement, "added_tokens_decoder") is { ValueKind: JsonValueKind.Object } listed)
                    foreach (JsonProperty item in listed.EnumerateObject())
                    {
                        using JsonDocument id = JsonDocument.Parse(item.Name);
                        Add(tokens, item.Value, id.RootElement, file, config);
                    }
                return 0;
            });
        Dictionary<int, string> owners = [];
        foreach (AddedToken token in tokens.Values)
        {
            bool foreign = file.Vocabulary.TryGetBytes(token.Id, out _) && file.Vocabulary.FindText(token.Content) != token.Id;
            if (foreign || !owners.TryAdd(token.Id, token.Content))
                throw new ElmException($"{file.FilePath}: the added token \"{token.Content}\" has the id {token.Id} of another token.");
        }
        return [.. tokens.Values];
    }

    private static void Add(OrderedDictionary<string, AddedToken> tokens, JsonElement item, JsonElement? id, TokenizerFile file, string path)
    {
        string place = $"{path}, added token", content = TokenizerJson.Text(item, "content", place);
        if (content.Length == 0)
            return;
        if (content.Length > LongestContent)
            throw new ElmException($"{place}: its content is longer than {LongestContent} characters.");
        bool special = TokenizerJson.Flag(item, "special", false, place);
        // A token of the model's vocabulary keeps its id there, whatever the list says.
        int? known = tokens.TryGetValue(content, out AddedToken? earlier) ? earlier.Id : file.Vocabulary.FindText(content);
        int given = id is { } value ? TokenizerJson.Id(value, place) : known ?? throw new ElmException($"{place} \"{content}\" has no id.");
        if (given > file.Length)
            throw new ElmException($"{place} \"{content}\" has the id {given}, beyond any table of this file.");
        tokens[content] = new AddedToken(
            known ?? given,
            content,
            TokenizerJson.Flag(item, "single_word", false, place),
            TokenizerJson.Flag(item, "lstrip", false, place),
            TokenizerJson.Flag(item, "rstrip", false, place),
            TokenizerJson.Flag(item, "normalized", !special, place),
            special);
    }
}
