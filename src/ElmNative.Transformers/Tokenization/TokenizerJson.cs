using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Transformers.Tokenization;

/// <summary>Reading of JSON files beside a model, with errors that name the file and the field.</summary>
internal static class TokenizerJson
{
    /// <summary>Bytes of a file, without a byte order mark.</summary>
    /// <exception cref="ElmException">it cannot be read</exception>
    public static ReadOnlyMemory<byte> Read(string path)
    {
        try
        {
            byte[] bytes = File.ReadAllBytes(path);
            return bytes.AsSpan().StartsWith("\uFEFF"u8) ? bytes.AsMemory(3) : bytes;
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ElmException($"{path} does not exist; point at a folder that has it.", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ElmException($"{path} cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Runs a reader of JSON; what System.Text.Json finds wrong becomes an error that names the file.</summary>
    public static T Guard<T>(string path, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException)
        {
            string what = error is JsonException json && json.LineNumber is { } line ? $" near line {line + 1}" : "";
            throw new ElmException($"{path} is not a valid JSON file of its kind{what}; download it again.", error);
        }
    }

    /// <summary>The member with a name, or null where it is absent or null.</summary>
    public static JsonElement? Member(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement value) &&
        value.ValueKind != JsonValueKind.Null
            ? value
            : null;

    /// <summary>A string member.</summary>
    /// <exception cref="ElmException">absent or no string</exception>
    public static string Text(JsonElement element, string name, string place) =>
        Member(element, name) is { ValueKind: JsonValueKind.String } value
            ? value.GetString()!
            : throw new ElmException($"{place}: \"{name}\" must be a string.");

    /// <summary>A true-or-false member.</summary>
    /// <exception cref="ElmException">of another kind</exception>
    public static bool Flag(JsonElement element, string name, bool absent, string place) => Member(element, name) switch
    {
        null => absent,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        _ => throw new ElmException($"{place}: \"{name}\" must be true or false."),
    };

    /// <summary>The items of a list member.</summary>
    /// <exception cref="ElmException">absent or no list</exception>
    public static JsonElement.ArrayEnumerator List(JsonElement element, string name, string place) =>
        Member(element, name) is { ValueKind: JsonValueKind.Array } value
            ? value.EnumerateArray()
            : throw new ElmException($"{place}: \"{name}\" must be a list.");

    /// <summary>A number that can be a token id.</summary>
    /// <exception cref="ElmException">no such number</exception>
    public static int Id(JsonElement value, string place) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int id) && id >= 0
            ? id
            : throw new ElmException($"{place}: a token id must be a whole number that is not negative.");
}
