using System.Runtime.CompilerServices;
using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Transformers.Tokenization;

/// <summary>Reads the "model" of tokenizer.json, whose vocabulary and merges are nearly all of the file, without building a document.</summary>
internal ref struct TokenizerModel
{
    private readonly string file;
    private readonly int fileLength;
    private readonly Dictionary<string, JsonElement> settings = [];
    private Vocabulary? vocabulary;
    private MergeTable? merges;

    private TokenizerModel(string file, int fileLength)
    {
        this.file = file;
        this.fileLength = fileLength;
    }

    /// <summary>Reads the model.</summary>
    /// <param name="reader">at the value of "model"; afterwards at its end</param>
    /// <param name="file">for error messages</param>
    /// <param name="fileLength">bytes of the file: a bound for ids, so that no id makes tables larger than the file warrants</param>
    /// <param name="vocabulary">the tokens</param>
    /// <returns>the encoder</returns>
    /// <exception cref="ElmException">malformed or unsupported</exception>
    public static BytePairMerger Read(ref Utf8JsonReader reader, string file, int fileLength, out Vocabulary vocabulary)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new ElmException($"{file}: \"model\" must be an object.");
        TokenizerModel model = new(file, fileLength);
        Utf8JsonReader waiting = default;
        bool mergesWait = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            switch (name)
            {
                case "vocab" when reader.TokenType == JsonTokenType.StartObject:
                    model.ReadVocabulary(ref reader);
                    break;
                case "merges" when reader.TokenType == JsonTokenType.StartArray:
                    if (model.vocabulary is not null)
                    {
                        model.ReadMerges(ref reader);
                        break;
                    }
                    waiting = reader;
                    mergesWait = true;
                    reader.Skip();
                    break;
                case "vocab" or "merges":
                    reader.Skip();
                    break;
                default:
                    model.settings[name] = JsonElement.ParseValue(ref reader);
                    break;
            }
        }
        model.CheckSettings();
        if (model.vocabulary is not { Count: > 0 })
            throw new ElmException($"{file} has no vocabulary; download the tokenizer again.");
        if (mergesWait)
            model.ReadMerges(ref waiting);
        vocabulary = model.vocabulary;
        return model.Build();
    }

    private readonly void CheckSettings()
    {
        string type = settings.TryGetValue("type", out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()!
            : "BPE";
        if (type != "BPE")
            throw new ElmException($"{file}: the model \"{type}\" is not supported by elmn, which reads byte-level BPE.");
        foreach (string affix in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
            if (settings.TryGetValue(affix, out value) && value.ValueKind == JsonValueKind.String && value.GetString()!.Length > 0)
                throw new ElmException($"{file}: a model with \"{affix}\" is not supported by elmn.");
        if (settings.TryGetValue("dropout", out value) && value.ValueKind == JsonValueKind.Number && value.GetDouble() != 0)
            throw new ElmException($"{file}: a model with \"dropout\" encodes at random, which elmn does not support.");
    }

    private readonly BytePairMerger Build()
    {
        int unknown = -1;
        if (settings.TryGetValue("unk_token", out JsonElement value) && value.ValueKind == JsonValueKind.String)
            unknown = vocabulary!.FindText(value.GetString()!) ??
                throw new ElmException($"{file}: the unknown token \"{value.GetString()}\" is not in the vocabulary.");
        BytePairMerger merger = new(vocabulary!, merges ?? new MergeTable(0), Flag("ignore_merges"), unknown, Flag("fuse_unk"));
        if (Flag("byte_fallback") && !merger.CoversAllBytes)
            throw new ElmException($"{file}: a byte-level model with \"byte_fallback\" must have a token for each byte.");
        return merger;
    }

    private readonly bool Flag(string name) => settings.TryGetValue(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ReadVocabulary(ref Utf8JsonReader reader)
    {
        if (vocabulary is not null)
            throw new ElmException($"{file} has two vocabularies; download the tokenizer again.");
        vocabulary = new Vocabulary(fileLength / 32);
        byte[] buffer = new byte[256];
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            ReadOnlySpan<byte> text = Unescaped(ref reader, ref buffer);
            // The translation is never longer than the text; it may overwrite it, since it reads ahead of what it writes.
            if (buffer.Length < text.Length)
                buffer = new byte[text.Length * 2];
            int length = ByteLevel.ToBytes(text, buffer);
            string? foreign = length < 0 ? reader.GetString() : null;
            reader.Read();
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out int id) || id < 0 || id > fileLength)
                throw new ElmException($"{file}: the vocabulary has an id that is no whole number from 0 to {fileLength}.");
            if (foreign is null ? !vocabulary.TryAdd(buffer.AsSpan(0, length), id) : !vocabulary.TryAddForeign(foreign, id))
                throw new ElmException($"{file}: the vocabulary has the id {id} or its token twice.");
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ReadMerges(ref Utf8JsonReader reader)
    {
        if (merges is not null)
            throw new ElmException($"{file} has two lists of merges; download the tokenizer again.");
        merges = new MergeTable(fileLength / 32);
        byte[] joined = new byte[512], buffer = new byte[512];
        int rank = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            int left, right;
            if (reader.TokenType == JsonTokenType.String)
            {
                ReadOnlySpan<byte> text = Unescaped(ref reader, ref buffer);
                if (text.StartsWith("#version"u8))
                    continue;
                int space = text.IndexOf((byte)' ');
                if (space < 0 || text[(space + 1)..].Contains((byte)' '))
                    throw new ElmException($"{file}: merge {rank + 1} is not two tokens with a space between them.");
                Reserve(ref joined, text.Length, 0);
                left = ByteLevel.ToBytes(text[..space], joined);
                right = left < 0 ? -1 : ByteLevel.ToBytes(text[(space + 1)..], joined.AsSpan(left));
            }
            else if (reader.TokenType == JsonTokenType.StartArray)
            {
                left = ReadHalf(ref reader, ref joined, ref buffer, 0, rank);
                right = ReadHalf(ref reader, ref joined, ref buffer, Math.Max(left, 0), rank);
                if (!reader.Read() || reader.TokenType != JsonTokenType.EndArray)
                    throw new ElmException($"{file}: merge {rank + 1} is not a pair of tokens.");
            }
            else
                throw new ElmException($"{file}: merge {rank + 1} is not a pair of tokens.");
            // A merge with a character outside the byte alphabet can never apply.
            if (left >= 0 && right >= 0)
                AddMerge(joined, left, right, rank);
            rank++;
        }
    }

    private readonly void AddMerge(byte[] joined, int left, int right, int rank)
    {
        int first = vocabulary!.Find(joined.AsSpan(0, left)), second = vocabulary.Find(joined.AsSpan(left, right));
        int whole = vocabulary.Find(joined.AsSpan(0, left + right));
        if (first < 0 || second < 0 || whole < 0)
            throw new ElmException($"{file}: merge {rank + 1} has a token that is not in the vocabulary.");
        merges!.Add(first, second, rank, whole);
    }

    /// <summary>Reads one token of a merge that is written as a list, to an offset of the buffer; returns its length or -1.</summary>
    private readonly int ReadHalf(ref Utf8JsonReader reader, ref byte[] joined, ref byte[] buffer, int offset, int rank)
    {
        if (!reader.Read() || reader.TokenType != JsonTokenType.String)
            throw new ElmException($"{file}: merge {rank + 1} is not a pair of tokens.");
        ReadOnlySpan<byte> text = Unescaped(ref reader, ref buffer);
        Reserve(ref joined, text.Length, offset);
        return ByteLevel.ToBytes(text, joined.AsSpan(offset));
    }

    private static void Reserve(ref byte[] buffer, int length, int keep)
    {
        if (buffer.Length < keep + length)
            Array.Resize(ref buffer, 2 * (keep + length));
    }

    /// <summary>The reader's string or property name without JSON's escapes.</summary>
    private static ReadOnlySpan<byte> Unescaped(ref Utf8JsonReader reader, ref byte[] buffer)
    {
        if (!reader.ValueIsEscaped)
            return reader.ValueSpan;
        if (buffer.Length < reader.ValueSpan.Length)
            buffer = new byte[reader.ValueSpan.Length * 2];
        return buffer.AsSpan(0, reader.CopyString(buffer));
    }
}
