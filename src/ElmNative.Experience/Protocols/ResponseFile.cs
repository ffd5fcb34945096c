using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Experience.Protocols;

/// <summary>A response to a problem, as data for scoring.</summary>
/// <param name="Problem">text of the problem</param>
/// <param name="Response">text of the response</param>
public sealed record ResponseLine(string Problem, string Response);

/// <summary>JSON Lines with <c>problem</c> and <c>response</c>.</summary>
public static class ResponseFile
{
    /// <summary>Reads all lines; empty ones are passed over.</summary>
    /// <exception cref="ElmException">missing, empty, or a malformed line: gives its number</exception>
    public static IReadOnlyList<ResponseLine> Read(string path)
    {
        if (!File.Exists(path))
            throw new ElmException($"{path} does not exist: name a JSON Lines file with problem and response");
        List<ResponseLine> lines = [];
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
                continue;
            try
            {
                using JsonDocument json = JsonDocument.Parse(line);
                lines.Add(new ResponseLine(Text(json.RootElement, "problem"), Text(json.RootElement, "response")));
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
            {
                throw new ElmException($"{path}, line {number}: not an object with the texts problem and response; correct it", e);
            }
        }
        return lines.Count > 0 ? lines : throw new ElmException($"{path} has no line: it needs at least one object with problem and response");
    }

    private static string Text(JsonElement line, string name) => line.GetProperty(name).GetString() ?? throw new KeyNotFoundException(name);
}
