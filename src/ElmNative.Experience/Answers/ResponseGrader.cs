using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Experience.Answers;

/// <summary>One graded response.</summary>
/// <param name="Id">The line's id, or its line number.</param>
/// <param name="Gold">The gold answer.</param>
/// <param name="Extracted">The answer found in the response, or null.</param>
/// <param name="Correct">Whether the two are the same.</param>
/// <param name="Why">The rule that decided.</param>
public sealed record GradedResponse(string Id, string Gold, string? Extracted, bool Correct, string Why);

/// <summary>Grades a file of responses with gold answers: `elmn grade --data FILE`.</summary>
public static class ResponseGrader
{
    private static readonly string[] GoldFields = ["gold", "answer"];

    private static readonly string[] ResponseFields = ["response", "completion", "prediction", "pred", "text"];

    /// <summary>
    /// Grades every line of a JSON Lines file with a gold answer (field gold or answer; a GSM8K solution with #### is accepted) and a response
    /// (field response, completion, prediction, pred or text).
    /// </summary>
    /// <exception cref="ElmException">The file is missing, or a line lacks one of the two.</exception>
    public static IEnumerable<GradedResponse> Run(string file, AnswerChecker checker)
    {
        foreach ((int number, JsonElement line) in GradingFiles.Lines(file))
        {
            string gold = Field(line, GoldFields) ?? throw new ElmException($"{file} line {number} has no gold answer; give it in a field named gold or answer.");
            string response = Field(line, ResponseFields) ?? throw new ElmException($"{file} line {number} has no response; give it in a field named response.");
            string id = Field(line, ["id"]) ?? number.ToString(System.Globalization.CultureInfo.InvariantCulture);
            yield return Grade(id, gold, response, checker);
        }
    }

    /// <summary>Grades one response.</summary>
    public static GradedResponse Grade(string id, string gold, string response, AnswerChecker checker)
    {
        gold = Extraction.AfterHashes(gold) ?? gold;
        string? extracted = checker.Extract(response);
        if (string.IsNullOrWhiteSpace(extracted)) return new GradedResponse(id, gold, extracted, false, "the response states no answer");
        AnswerVerdict verdict = checker.Compare(gold, extracted);
        return new GradedResponse(id, gold, extracted, verdict.Same, verdict.Why);
    }

    private static string? Field(JsonElement line, string[] names)
    {
        foreach (string name in names)
        {
            if (!line.TryGetProperty(name, out JsonElement value)) continue;
            if (value.ValueKind == JsonValueKind.String) return value.GetString();
            if (value.ValueKind == JsonValueKind.Number) return value.GetRawText();
        }
        return null;
    }
}
