using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>An object of a JSON file, read with checks. Every error names the file and the key. A key set to null counts as absent.</summary>
internal readonly struct JsonSection
{
    private readonly string path;
    private readonly string prefix;
    private readonly JsonElement element;

    private JsonSection(string path, string prefix, JsonElement element)
    {
        this.path = path;
        this.prefix = prefix;
        this.element = element;
    }

    /// <summary>Reads a file whose root is an object.</summary>
    /// <param name="path">the file</param>
    /// <param name="maxBytes">a longer file is refused</param>
    /// <exception cref="ElmException">missing, unreadable, too long, not JSON, or not an object</exception>
    public static JsonSection Load(string path, long maxBytes)
    {
        byte[] text;
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
            if (stream.Length > maxBytes)
                throw new ElmException($"{path} has {stream.Length} bytes, more than the {maxBytes} that such a file may have: check that it is the right file");
            text = new byte[stream.Length];
            stream.ReadExactly(text);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ElmException($"{path} does not exist: name a Hugging Face model folder that holds it", error);
        }
        catch (Exception error) when (Sentences.IsFileError(error))
        {
            throw Sentences.Unreadable(path, error);
        }
        return Parse(text, path);
    }

    /// <summary>As <see cref="Load"/>, from bytes already read.</summary>
    public static JsonSection Parse(ReadOnlyMemory<byte> text, string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? new JsonSection(path, "", document.RootElement.Clone())
                : throw new ElmException($"{path} is not a JSON object: fetch or write it again");
        }
        catch (JsonException error)
        {
            throw new ElmException($"{path} is not valid JSON (line {(error.LineNumber ?? 0) + 1}): fetch or write it again", error);
        }
        catch (InvalidOperationException error)
        {
            throw new ElmException($"{path} has a key that is not valid Unicode: fetch or write it again", error);
        }
    }

    /// <summary>True when the key is there and not null.</summary>
    public bool Has(string key) => Find(key) is not null;

    /// <summary>True when the key is there and null.</summary>
    public bool IsNull(string key) => element.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Null;

    /// <summary>The members of the object.</summary>
    public IEnumerable<(string Key, string Value)> TextMembers()
    {
        foreach (JsonProperty member in element.EnumerateObject())
        {
            string key = NameOf(member);
            yield return (key, Text(key, member.Value));
        }
    }

    /// <summary>True when the object has a member.</summary>
    public bool Any() => element.EnumerateObject().Any();

    /// <summary>True when all members are objects themselves, and there is one.</summary>
    public bool IsTableOfObjects() => Any() && element.EnumerateObject().All(member => member.Value.ValueKind == JsonValueKind.Object);

    /// <summary>An object below this one, or null.</summary>
    public JsonSection? Section(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Object } value => new JsonSection(path, prefix + key + ".", value),
        _ => throw Bad(key, "must be an object"),
    };

    /// <summary>Text, or null.</summary>
    public string? Text(string key) => Find(key) is JsonElement value ? Text(key, value) : null;

    /// <summary>The first text of a list, or null when the list is absent or empty.</summary>
    public string? FirstText(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Array } value => value.GetArrayLength() == 0 ? null : Text(key, value[0]),
        _ => throw Bad(key, "must be a list of texts"),
    };

    /// <summary>True when the key is a list that has that text.</summary>
    public bool Lists(string key, string text)
    {
        if (Find(key) is not JsonElement value)
            return false;
        if (value.ValueKind != JsonValueKind.Array)
            throw Bad(key, "must be a list of texts");
        foreach (JsonElement entry in value.EnumerateArray())
            if (Text(key, entry) == text)
                return true;
        return false;
    }

    /// <summary>True or false.</summary>
    public bool Flag(string key, bool otherwise) => Find(key) switch
    {
        null => otherwise,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        _ => throw Bad(key, "must be true or false"),
    };

    /// <summary>A whole number from 1 to <paramref name="most"/>; without a default it must be there.</summary>
    public int Count(string key, int most, int? otherwise = null)
    {
        if (Find(key) is not JsonElement value)
            return otherwise ?? throw new ElmException($"{path} has no {prefix}{key}: add it, or fetch the file again");
        return Whole(value) is int number && number >= 1 && number <= most
            ? number
            : throw Bad(key, $"must be a whole number from 1 to {most}");
    }

    /// <summary>A finite number in [least, most]; without a default it must be there.</summary>
    public double Number(string key, double least, double most, double? otherwise = null)
    {
        if (Find(key) is not JsonElement value)
            return otherwise ?? throw new ElmException($"{path} has no {prefix}{key}: add it, or fetch the file again");
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= least && number <= most
            ? number
            : throw Bad(key, $"must be a number from {least} to {most}");
    }

    /// <summary>Whole numbers in [0, limit) given as one number or a list of them; null when absent.</summary>
    public int[]? Ids(string key, int limit)
    {
        if (Find(key) is not JsonElement value)
            return null;
        if (value.ValueKind == JsonValueKind.Array)
        {
            List<int> ids = [];
            foreach (JsonElement entry in value.EnumerateArray())
                ids.Add(Id(key, entry, limit));
            return [.. ids];
        }
        return [Id(key, value, limit)];
    }

    /// <summary>The error that a key of this object is wrong; <paramref name="what"/> reads on from the key's name.</summary>
    public ElmException Bad(string key, string what) => new($"{path}: {prefix}{key} {what}{(Find(key) is JsonElement value ? $" (it is {Shown(value)})" : "")}");

    private int Id(string key, JsonElement value, int limit) => Whole(value) is int id && id >= 0 && id < limit
        ? id
        : throw Bad(key, $"must hold token ids from 0 to {limit - 1}");

    // Some writers put 2.0 where a whole number is meant.
    private static int? Whole(JsonElement value) => value.ValueKind != JsonValueKind.Number ? null
        : value.TryGetInt32(out int number) ? number
        : value.TryGetDouble(out double real) && real == Math.Floor(real) && Math.Abs(real) <= int.MaxValue ? (int)real
        : null;

    private JsonElement? Find(string key) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private string Text(string key, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.String)
            throw Bad(key, "must be text");
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw new ElmException($"{path}: {prefix}{key} has text that is not valid Unicode");
        }
    }

    private string NameOf(JsonProperty member)
    {
        try
        {
            return member.Name;
        }
        catch (InvalidOperationException)
        {
            throw new ElmException($"{path} has a key that is not valid Unicode: fetch or write it again");
        }
    }

    private static string Shown(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        _ => Sentences.Quote(value.GetRawText()).Trim('"') is { Length: > 0 } text ? text : "empty",
    };
}
