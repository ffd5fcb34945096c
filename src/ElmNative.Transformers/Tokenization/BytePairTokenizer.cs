using System.Text;
using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization;

/// <summary>
/// A byte-level BPE tokenizer as Hugging Face's tokenizer.json describes it: added tokens, normaliser, pre-tokenizer, merges,
/// post-processor and ByteLevel decoder. Encoding takes time linear in the text but for very long words, which take n log n.
/// </summary>
public sealed class BytePairTokenizer : ITokenizer
{
    private readonly string file;
    private readonly Vocabulary vocabulary;
    private readonly BytePairMerger merger;
    private readonly Normalizer? normalizer;
    private readonly PreTokenizer preTokenizer;
    private readonly PostProcessor postProcessor;
    private readonly AddedTokenFinder literalTokens;
    private readonly AddedTokenFinder? normalizedTokens;
    private readonly Dictionary<string, int> addedIds = new(StringComparer.Ordinal);
    private readonly HashSet<int> special = [];

    private BytePairTokenizer(string folder, string file)
    {
        this.file = file;
        TokenizerFile content = TokenizerFile.Read(file);
        (vocabulary, merger) = (content.Vocabulary, content.Merger);
        normalizer = TokenizerComponents.Normalizer(content.Normalizer, file);
        preTokenizer = TokenizerComponents.PreTokenizer(content.PreTokenizer, file);
        TokenizerComponents.CheckDecoder(content.Decoder, file);
        AddedToken[] added = AddedTokenList.Read(folder, content);
        foreach (AddedToken token in added)
        {
            addedIds[token.Content] = token.Id;
            vocabulary.TryAddDecoded(ByteLevel.Decoded(token.Content), token.Id);
            if (token.Special)
                special.Add(token.Id);
        }
        literalTokens = new AddedTokenFinder(added.Where(token => !token.Normalized).Select(token => (token, Utf8.From(token.Content))));
        if (added.Any(token => token.Normalized))
            normalizedTokens = new AddedTokenFinder(added.Where(token => token.Normalized)
                .Select(token => (token, normalizer?.Apply(Utf8.From(token.Content)) ?? Utf8.From(token.Content))));
        postProcessor = TokenizerComponents.PostProcessor(content.PostProcessor, file, vocabulary.Size);
    }

    /// <summary>Loads tokenizer.json of a folder, and tokenizer_config.json where it is there.</summary>
    /// <param name="folder">a model folder as Hugging Face writes it</param>
    /// <exception cref="ElmException">a file is missing, malformed, or asks for what is not supported</exception>
    public static BytePairTokenizer Load(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        string file = Path.Combine(folder, "tokenizer.json");
        return TokenizerJson.Guard(file, () => new BytePairTokenizer(folder, file));
    }

    /// <inheritdoc/>
    public int VocabularySize => vocabulary.Size;

    /// <inheritdoc/>
    public int[] Encode(string text, bool addSpecialTokens)
    {
        ArgumentNullException.ThrowIfNull(text);
        List<int> ids = new(text.Length / 4 + 8);
        if (addSpecialTokens)
            ids.AddRange(postProcessor.Before);
        byte[] bytes = Utf8.From(text);
        List<TextPart> parts = [], inner = [];
        Pieces pieces = new();
        literalTokens.Split(bytes, parts);
        foreach (TextPart part in parts)
        {
            if (part.Id >= 0)
                ids.Add(part.Id);
            else
                EncodeText(bytes, part, inner, pieces, ids);
        }
        if (addSpecialTokens)
            ids.AddRange(postProcessor.After);
        return [.. ids];
    }

    /// <inheritdoc/>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens)
    {
        byte[] bytes = new byte[Math.Max(64, ids.Length * 6)];
        int count = 0;
        foreach (int id in ids)
        {
            ReadOnlySpan<byte> token = BytesOf(id, skipSpecialTokens);
            if (count + token.Length > bytes.Length)
                Array.Resize(ref bytes, Math.Max(bytes.Length * 2, count + token.Length));
            token.CopyTo(bytes.AsSpan(count));
            count += token.Length;
        }
        return Encoding.UTF8.GetString(bytes, 0, count);
    }

    /// <inheritdoc/>
    public int? IdOf(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return addedIds.TryGetValue(token, out int id) ? id : vocabulary.FindText(token);
    }

    /// <inheritdoc/>
    public ITokenStream Stream(bool skipSpecialTokens) => new TokenStream(this, skipSpecialTokens);

    /// <summary>
    /// The bytes that an id decodes to; none for a special token that is left out, and none for an id without a token: models have padding rows beyond their
    /// tokenizer's vocabulary, which a sampler can draw.
    /// </summary>
    internal ReadOnlySpan<byte> BytesOf(int id, bool skipSpecialTokens) =>
        vocabulary.TryGetBytes(id, out ReadOnlySpan<byte> token) && !(skipSpecialTokens && special.Contains(id)) ? token : [];

    private void EncodeText(byte[] text, TextPart part, List<TextPart> inner, Pieces pieces, List<int> ids)
    {
        if (normalizer is not null)
        {
            bool whole = part.Start == 0 && part.End == text.Length;
            text = normalizer.Apply(whole ? text : text[part.Start..part.End]);
            part = new TextPart(-1, 0, text.Length);
        }
        if (normalizedTokens is null)
        {
            EncodeWords(text.AsSpan(part.Start, part.End - part.Start), pieces, ids);
            return;
        }
        inner.Clear();
        normalizedTokens.Split(text.AsSpan(part.Start, part.End - part.Start), inner);
        foreach (TextPart item in inner)
        {
            if (item.Id >= 0)
                ids.Add(item.Id);
            else
                EncodeWords(text.AsSpan(part.Start + item.Start, item.End - item.Start), pieces, ids);
        }
    }

    private void EncodeWords(ReadOnlySpan<byte> text, Pieces pieces, List<int> ids)
    {
        pieces.Reset(text);
        preTokenizer.Apply(pieces);
        ReadOnlySpan<byte> cut = pieces.Text;
        foreach ((int start, int end) in pieces.Spans)
            merger.Encode(cut[start..end], ids);
    }
}
