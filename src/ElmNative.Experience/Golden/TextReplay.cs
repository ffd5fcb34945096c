using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Experience.Golden;

/// <summary>How many lines of a file of vectors came out as they should.</summary>
/// <param name="Matched">equal lines</param>
/// <param name="Total">all lines</param>
/// <param name="Mismatches">the first few that differ: line number, what was expected, what came</param>
public sealed record ReplayCount(int Matched, int Total, IReadOnlyList<Mismatch> Mismatches);

/// <summary>A line that differs.</summary>
public sealed record Mismatch(int Line, string Expected, string Actual);

/// <summary>Replays vectors of a tokenizer (<c>text</c>, <c>ids</c>) and of a chat template (<c>messages</c>, <c>add_generation_prompt</c>, <c>text</c>).</summary>
public static class TextReplay
{
    private const int ShownMismatches = 5, ShownLength = 160;

    /// <summary>Encodes every text and compares the ids.</summary>
    /// <exception cref="ElmException">missing, or a malformed line</exception>
    public static ReplayCount Tokens(string path, ITokenizer tokenizer, bool addSpecialTokens) => Replay(path, "text and ids", line =>
    {
        int[] expected = line.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32()).ToArray();
        int[] actual = tokenizer.Encode(Text(line.GetProperty("text")), addSpecialTokens);
        return (actual.AsSpan().SequenceEqual(expected), string.Join(' ', expected), string.Join(' ', actual));
    });

    /// <summary>Renders every conversation and compares the text.</summary>
    /// <exception cref="ElmException">missing, or a malformed line</exception>
    public static ReplayCount Chat(string path, IChatTemplate template) => Replay(path, "messages, add_generation_prompt and text", line =>
    {
        ChatMessage[] messages = line.GetProperty("messages").EnumerateArray()
            .Select(message => new ChatMessage(Text(message.GetProperty("role")), Text(message.GetProperty("content")))).ToArray();
        string expected = Text(line.GetProperty("text")), actual;
        try
        {
            actual = template.Render(messages, line.GetProperty("add_generation_prompt").GetBoolean());
        }
        catch (ElmException e)
        {
            actual = e.Message;
        }
        return (actual == expected, expected, actual);
    });

    private static ReplayCount Replay(string path, string members, Func<JsonElement, (bool Equal, string Expected, string Actual)> check)
    {
        if (!File.Exists(path))
            throw new ElmException($"{path} does not exist: name a JSON Lines file with {members}");
        int matched = 0, total = 0, number = 0;
        List<Mismatch> mismatches = [];
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
                continue;
            total++;
            (bool equal, string expected, string actual) = Check(path, members, number, line, check);
            if (equal)
                matched++;
            else if (mismatches.Count < ShownMismatches)
                mismatches.Add(new Mismatch(number, Shorten(expected), Shorten(actual)));
        }
        return total > 0 ? new ReplayCount(matched, total, mismatches) : throw new ElmException($"{path} has no line: it needs at least one object with {members}");
    }

    private static (bool, string, string) Check(string path, string members, int number, string line, Func<JsonElement, (bool, string, string)> check)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(line);
            return check(json.RootElement);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new ElmException($"{path}, line {number}: not an object with {members}; correct it", e);
        }
    }

    private static string Text(JsonElement element) => element.GetString() ?? throw new InvalidOperationException("a text is null");

    private static string Shorten(string text) => text.Length <= ShownLength ? text : text[..ShownLength] + "...";
}
