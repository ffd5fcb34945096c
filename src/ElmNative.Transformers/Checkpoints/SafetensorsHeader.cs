using System.Text.Json;
using System.Text.Unicode;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>What the header says of one tensor. Offsets count from the start of the data section.</summary>
internal sealed record SafetensorsEntry(string Name, string Type, long[] Shape, long Start, long End);

/// <summary>
/// The header of a safetensors file: a little-endian 64-bit length, then so many bytes of JSON, then the data section.
/// Checked strictly, as the format asks: the tensors cover the data section without overlap and without a hole.
/// </summary>
internal sealed class SafetensorsHeader
{
    /// <summary>The format's limit on the JSON's length.</summary>
    public const int MaxBytes = 100_000_000;

    private const int MaxDimensions = 32;

    private readonly Dictionary<string, SafetensorsEntry> entries = [];
    private readonly Dictionary<string, string> metadata = [];
    private readonly string path;

    private SafetensorsHeader(string path) => this.path = path;

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, SafetensorsEntry> Entries => entries;

    /// <summary>The text of <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata => metadata;

    /// <summary>Checks the length at the head of a file and returns it.</summary>
    /// <exception cref="ElmException">the length cannot be right for a file of that size</exception>
    public static int CheckLength(ulong headerBytes, long fileBytes, string path)
    {
        if (headerBytes > (ulong)(fileBytes - 8))
            throw Sentences.Damaged(path, $"says that its header has {headerBytes} bytes, but only {fileBytes - 8} follow");
        if (headerBytes > MaxBytes)
            throw Sentences.Damaged(path, $"has a header of {headerBytes} bytes, and a safetensors header has at most {MaxBytes}");
        if (headerBytes < 2)
            throw Sentences.Damaged(path, $"has a header of {headerBytes} bytes, too short for a JSON object");
        return (int)headerBytes;
    }

    /// <summary>Reads and checks the JSON of a header that is followed by <paramref name="dataBytes"/> bytes.</summary>
    /// <exception cref="ElmException">anything that the format forbids; names the file and the tensor</exception>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long dataBytes, string path)
    {
        SafetensorsHeader header = new(path);
        if (!Utf8.IsValid(json))
            throw Sentences.Damaged(path, "has a header that is not UTF-8 text");
        if (json.IsEmpty || json[0] != (byte)'{')
            throw Sentences.Damaged(path, "has a header that does not start with a brace");
        try
        {
            header.ReadObject(json);
        }
        catch (JsonException error)
        {
            throw Sentences.Damaged(path, $"has a header that is not valid JSON (byte {error.BytePositionInLine ?? 0})");
        }
        catch (InvalidOperationException)
        {
            // An escape such as \ud800 that stands for half a character.
            throw Sentences.Damaged(path, "has a header with text that is not valid Unicode");
        }
        header.CheckCover(dataBytes);
        return header;
    }

    private void ReadObject(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = 8 });
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name == "__metadata__")
                ReadMetadata(ref reader);
            else if (!entries.TryAdd(name, ReadEntry(ref reader, name)))
                throw Sentences.Damaged(path, $"has the tensor {Sentences.Quote(name)} twice");
        }
        // Only white space may follow the object; anything else makes this throw.
        reader.Read();
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Null)
            return;
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Sentences.Damaged(path, "has a __metadata__ that is not an object");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
                throw Sentences.Damaged(path, $"has a __metadata__ entry {Sentences.Quote(key)} that is not text");
            if (!metadata.TryAdd(key, reader.GetString()!))
                throw Sentences.Damaged(path, $"has the __metadata__ entry {Sentences.Quote(key)} twice");
        }
    }

    private SafetensorsEntry ReadEntry(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Bad(name, "is not described by an object");
        string? type = null;
        long[]? shape = null, offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("dtype"u8))
            {
                reader.Read();
                if (type is not null || reader.TokenType != JsonTokenType.String)
                    throw Bad(name, "must have one dtype, which is text");
                type = reader.GetString()!;
            }
            else if (reader.ValueTextEquals("shape"u8))
            {
                if (shape is not null)
                    throw Bad(name, "has two shapes");
                shape = ReadCounts(ref reader, name, "shape", MaxDimensions);
            }
            else if (reader.ValueTextEquals("data_offsets"u8))
            {
                if (offsets is not null)
                    throw Bad(name, "has data_offsets twice");
                offsets = ReadCounts(ref reader, name, "data_offsets", 2);
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }
        if (type is null || shape is null || offsets is null)
            throw Bad(name, $"has no {(type is null ? "dtype" : shape is null ? "shape" : "data_offsets")}");
        if (offsets.Length != 2 || offsets[1] < offsets[0])
            throw Bad(name, "must have two data_offsets, a start and an end not before it");
        CheckSize(name, type, shape, offsets[1] - offsets[0]);
        return new SafetensorsEntry(name, type, shape, offsets[0], offsets[1]);
    }

    private long[] ReadCounts(ref Utf8JsonReader reader, string name, string key, int most)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Bad(name, $"has a {key} that is not a list");
        List<long> counts = [];
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long count) || count < 0)
                throw Bad(name, $"has a {key} with an entry that is not a whole number from 0 to 2^63 - 1");
            if (counts.Count == most)
                throw Bad(name, $"has a {key} of more than {most} numbers");
            counts.Add(count);
        }
        return [.. counts];
    }

    private void CheckSize(string name, string type, long[] shape, long bytes)
    {
        int bits = SafetensorsTypes.Bits(type);
        if (bits == 0)
            throw Bad(name, $"has the dtype {Sentences.Quote(type)}, which safetensors does not know");
        Int128 size = bits;
        foreach (long dimension in shape)
        {
            // A product of two 63-bit numbers fits an Int128; past 2^63 bits no file could hold it.
            size *= dimension;
            if (size > long.MaxValue)
                throw Bad(name, $"has the shape {Sentences.Shape(shape)}, larger than any file");
        }
        if (size % 8 != 0 || size / 8 != bytes)
            throw Bad(name, $"has the shape {Sentences.Shape(shape)} of {type}, which takes {size / 8} bytes, but its data_offsets span {bytes}");
    }

    private void CheckCover(long dataBytes)
    {
        SafetensorsEntry[] byOffset = [.. entries.Values];
        Array.Sort(byOffset, (a, b) => a.Start != b.Start ? a.Start.CompareTo(b.Start) : a.End.CompareTo(b.End));
        long covered = 0;
        string before = "";
        foreach (SafetensorsEntry entry in byOffset)
        {
            if (entry.End > dataBytes)
                throw Bad(entry.Name, $"ends at byte {entry.End} of a data section that has {dataBytes}");
            if (entry.Start < covered)
                throw Bad(entry.Name, $"overlaps the tensor {Sentences.Quote(before)}");
            if (entry.Start > covered)
                throw Bad(entry.Name, $"starts at byte {entry.Start} of the data section, after a hole of {entry.Start - covered} bytes that no tensor covers");
            covered = entry.End;
            before = entry.Name;
        }
        if (covered != dataBytes)
            throw Sentences.Damaged(path, $"has {dataBytes - covered} bytes after its last tensor that no tensor covers");
    }

    private ElmException Bad(string name, string what) => Sentences.Damaged(path, $"is not a valid safetensors file, as the tensor {Sentences.Quote(name)} {what}");
}
