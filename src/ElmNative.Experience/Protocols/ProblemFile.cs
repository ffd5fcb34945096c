using System.Security.Cryptography;
using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Experience.Protocols;

/// <summary>The problems of a file.</summary>
/// <param name="Problems">in the order of the file</param>
/// <param name="Hash">SHA-256 of the whole file, hexadecimal</param>
public sealed record ProblemSet(IReadOnlyList<Problem> Problems, string Hash);

/// <summary>
/// Reads JSON Lines: an object a line, with <c>problem</c> (text), and optionally <c>id</c> and <c>answer</c> (text or number) and
/// <c>family</c> (text). Other members are ignored, blank lines are skipped.
/// </summary>
public static class ProblemFile
{
    /// <summary>Reads a file, or its first problems.</summary>
    /// <param name="path">the file</param>
    /// <param name="limit">how many problems to read at most; null for all</param>
    /// <exception cref="ElmException">missing, unreadable or empty file; a malformed line, by its number</exception>
    public static ProblemSet Read(string path, int? limit = null)
    {
        if (limit < 1)
            throw new ElmException($"--limit is {limit}: it must be 1 or more");
        byte[] bytes = Load(path);
        List<Problem> problems = [];
        ReadOnlySpan<byte> mark = [0xEF, 0xBB, 0xBF];
        int start = bytes.AsSpan().StartsWith(mark) ? mark.Length : 0;
        for (int line = 1; start < bytes.Length && problems.Count < (limit ?? int.MaxValue); line++)
        {
            int length = bytes.AsSpan(start).IndexOf((byte)'\n');
            int end = length < 0 ? bytes.Length : start + length;
            if (bytes.AsSpan(start..end).IndexOfAnyExcept(" \t\r"u8) >= 0)
                problems.Add(Parse(bytes.AsMemory(start..end), path, line));
            start = end + 1;
        }
        return problems.Count > 0
            ? new ProblemSet(problems, Convert.ToHexStringLower(SHA256.HashData(bytes)))
            : throw new ElmException($"{path} holds no problems: it needs a JSON object with a \"problem\" on each line");
    }

    private static byte[] Load(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ElmException($"{path} is missing: --data needs a JSON Lines file", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ElmException($"{path} cannot be read: {e.Message}", e);
        }
    }

    private static Problem Parse(ReadOnlyMemory<byte> json, string path, int line)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                throw new ElmException($"{path} line {line} is not a JSON object");
            string? text = Text(root, "problem", numbers: false, path, line);
            if (string.IsNullOrWhiteSpace(text))
                throw new ElmException($"{path} line {line} has no text under \"problem\"");
            return new Problem(text, Text(root, "id", numbers: true, path, line), Text(root, "answer", numbers: true, path, line),
                root.TryGetProperty("family", out JsonElement family) && family.ValueKind == JsonValueKind.String ? family.GetString() : null);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new ElmException($"{path} line {line} is not valid JSON: {e.Message}", e);
        }
    }

    private static string? Text(JsonElement root, string name, bool numbers, string path, int line)
    {
        if (!root.TryGetProperty(name, out JsonElement value))
            return null;
        return value.ValueKind switch
        {
            JsonValueKind.String => value.GetString(),
            JsonValueKind.Null => null,
            JsonValueKind.Number when numbers => value.GetRawText(),
            _ => throw new ElmException($"{path} line {line}: \"{name}\" must be text{(numbers ? " or a number" : "")}"),
        };
    }
}
