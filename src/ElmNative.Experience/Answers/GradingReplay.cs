using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Experience.Answers;

/// <summary>What a file of labelled cases is about.</summary>
public enum GradingSubject
{
    /// <summary>Pairs of answers with a verdict: fields gold, pred, equal.</summary>
    Equivalence,

    /// <summary>Responses with their answer: fields text, answer.</summary>
    Extraction,

    /// <summary>Problems with completions, their verdicts and the majority: fields gold, completions, classes, majority_answer.</summary>
    Vote,
}

/// <summary>One labelled case and what the checker makes of it.</summary>
/// <param name="Id">The case's id.</param>
/// <param name="Tier">How binding the label is: core, extended or disputed.</param>
/// <param name="Kind">The kind of answer, or of search.</param>
/// <param name="Passed">Whether the checker agrees with the label.</param>
/// <param name="Expected">The label.</param>
/// <param name="Found">The checker's result.</param>
/// <param name="Case">The case in short, for people.</param>
/// <param name="Why">The rule that decided, and the label's note where it has one.</param>
public sealed record GradingCase(string Id, string Tier, string Kind, bool Passed, string Expected, string Found, string Case, string Why);

/// <summary>The number of cases of one tier and kind, and how many of them pass.</summary>
public sealed record GradingTally(string Tier, string Kind, int Cases, int Passed);

/// <summary>The outcome of replaying one file.</summary>
/// <param name="File">The file.</param>
/// <param name="Subject">What it is about.</param>
/// <param name="Cases">Every case in file order.</param>
/// <param name="Seconds">The time that the checker took.</param>
public sealed record GradingReport(string File, GradingSubject Subject, IReadOnlyList<GradingCase> Cases, double Seconds)
{
    /// <summary>The cases that disagree with their labels.</summary>
    public IEnumerable<GradingCase> Misses => Cases.Where(c => !c.Passed);

    /// <summary>The counts by tier and kind.</summary>
    public IReadOnlyList<GradingTally> Tallies =>
    [
        .. Cases.GroupBy(c => (c.Tier, c.Kind)).OrderBy(g => g.Key).Select(g => new GradingTally(g.Key.Tier, g.Key.Kind, g.Count(), g.Count(c => c.Passed))),
    ];
}

/// <summary>Replays files of labelled cases (JSON Lines) through a checker: `elmn verify --grading FILE`.</summary>
public static class GradingReplay
{
    /// <summary>Replays a file; the fields of its first line say what it is about.</summary>
    /// <exception cref="ElmException">The file is missing, or a line is not a case.</exception>
    public static GradingReport Run(string file, AnswerChecker checker)
    {
        long ticks = 0;
        List<GradingCase> cases = [];
        GradingSubject? subject = null;
        foreach ((int number, JsonElement line) in GradingFiles.Lines(file))
        {
            subject ??= SubjectOf(line)
                ?? throw new ElmException($"{file} line {number}: expected the fields gold, pred and equal, or text and answer, or gold and completions; give a file of labelled grading cases.");
            long start = System.Diagnostics.Stopwatch.GetTimestamp();
            try
            {
                if (subject == GradingSubject.Equivalence) cases.Add(Pair(line, checker));
                else if (subject == GradingSubject.Extraction) cases.Add(Extract(line, checker));
                else cases.AddRange(Vote(line, checker));
            }
            catch (Exception broken) when (broken is KeyNotFoundException or InvalidOperationException)
            {
                throw new ElmException($"{file} line {number}: a field of the case is missing or has another type ({broken.Message}); correct the line.", broken);
            }
            ticks += System.Diagnostics.Stopwatch.GetTimestamp() - start;
        }
        if (subject is null) throw new ElmException($"{file} has no cases; give a file of labelled grading cases.");
        return new GradingReport(file, subject.Value, cases, ticks / (double)System.Diagnostics.Stopwatch.Frequency);
    }

    private static GradingSubject? SubjectOf(JsonElement line)
    {
        if (line.TryGetProperty("pred", out _) && line.TryGetProperty("equal", out _)) return GradingSubject.Equivalence;
        if (line.TryGetProperty("completions", out _)) return GradingSubject.Vote;
        return line.TryGetProperty("text", out _) && line.TryGetProperty("answer", out _) ? GradingSubject.Extraction : null;
    }

    private static GradingCase Pair(JsonElement line, AnswerChecker checker)
    {
        (string gold, string pred) = (Text(line, "gold"), Text(line, "pred"));
        bool expected = line.GetProperty("equal").GetBoolean();
        AnswerVerdict verdict = checker.Compare(gold, pred);
        string why = Optional(line, "note") is { } note ? $"{verdict.Why}; label: {note}" : verdict.Why;
        return new GradingCase(Text(line, "id"), Optional(line, "tier") ?? "core", Optional(line, "kind") ?? "-", verdict.Same == expected,
            expected ? "equal" : "different", verdict.Same ? "equal" : "different", $"{Shorten(gold)}  |  {Shorten(pred)}", why);
    }

    private static GradingCase Extract(JsonElement line, AnswerChecker checker)
    {
        string text = Text(line, "text");
        string mode = Optional(line, "mode") ?? "boxed";
        string? expected = line.GetProperty("answer").GetString();
        string? found = mode switch
        {
            "boxed" => checker.Extract(text),
            "final" => Extraction.AfterPhrase(text),
            "last-number" => Extraction.LastNumber(text),
            "gsm8k" => Extraction.AfterHashes(text),
            "choice" => Extraction.ChoiceLetter(text),
            _ => throw new InvalidOperationException($"unknown mode {mode}"),
        };
        return new GradingCase(Text(line, "id"), Optional(line, "tier") ?? "core", mode, found?.Trim() == expected?.Trim(),
            expected ?? "(none)", found ?? "(none)", Shorten(text), Optional(line, "note") ?? "");
    }

    /// <summary>A problem gives a case for each extracted answer, each verdict, each class of the vote, and the majority.</summary>
    private static IEnumerable<GradingCase> Vote(JsonElement line, AnswerChecker checker)
    {
        string id = Text(line, "id"), gold = Text(line, "gold");
        List<string?> answers = [];
        foreach (JsonElement completion in line.GetProperty("completions").EnumerateArray())
        {
            string? answer = checker.Extract(Text(completion, "text"));
            string? boxed = Optional(completion, "boxed");
            string place = $"{id}/{answers.Count}";
            yield return new GradingCase(place, "core", "extracted", answer?.Trim() == boxed?.Trim(), boxed ?? "(none)", answer ?? "(none)", Shorten(gold), "");
            AnswerVerdict verdict = answer is null ? new AnswerVerdict(false, "no answer") : checker.Compare(gold, answer);
            bool correct = completion.GetProperty("correct").GetBoolean();
            yield return new GradingCase(place, "core", "verdict", verdict.Same == correct, Say(correct), Say(verdict.Same), $"{gold}  |  {answer}", verdict.Why);
            answers.Add(answer);
        }
        VoteResult vote = MajorityVote.Count(answers, checker);
        JsonElement[] classes = [.. line.GetProperty("classes").EnumerateArray()];
        string expected = string.Join(", ", classes.Select(c => $"{Text(c, "answer")} x {c.GetProperty("count").GetInt32()}"));
        string found = string.Join(", ", vote.Representatives.Select((answer, i) => $"{answer} x {vote.Counts[i]}"));
        yield return new GradingCase(id, "core", "classes", expected == found, expected, found, Shorten(gold), "");
        string label = Text(line, "majority_answer");
        yield return new GradingCase(id, "core", "majority", vote.Label == label && vote.Winner >= 0 && vote.Counts[vote.Winner] == line.GetProperty("majority_count").GetInt32(),
            label, vote.Label ?? "(none)", Shorten(gold), "");
        bool right = line.GetProperty("majority_correct").GetBoolean();
        bool isRight = vote.Label is not null && checker.Same(gold, vote.Label);
        yield return new GradingCase(id, "core", "majority verdict", right == isRight, Say(right), Say(isRight), Shorten(gold), "");
    }

    private static string Say(bool correct) => correct ? "correct" : "wrong";

    private static string Text(JsonElement line, string field) => line.GetProperty(field).GetString() ?? throw new InvalidOperationException($"{field} is null");

    private static string? Optional(JsonElement line, string field) =>
        line.TryGetProperty(field, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static string Shorten(string text)
    {
        string flat = text.ReplaceLineEndings(" ");
        return flat.Length <= 160 ? flat : $"{flat[..60]} ... {flat[^90..]}";
    }
}

/// <summary>Reads JSON Lines files.</summary>
internal static class GradingFiles
{
    /// <summary>The objects of a file with their line numbers; blank lines are skipped.</summary>
    public static IEnumerable<(int Number, JsonElement Line)> Lines(string file)
    {
        if (!File.Exists(file)) throw new ElmException($"{file} does not exist; give the path of a JSON Lines file.");
        int number = 0;
        foreach (string text in File.ReadLines(file))
        {
            number++;
            if (string.IsNullOrWhiteSpace(text)) continue;
            JsonElement line;
            try
            {
                using JsonDocument document = JsonDocument.Parse(text);
                line = document.RootElement.Clone();
            }
            catch (JsonException broken)
            {
                throw new ElmException($"{file} line {number} is not JSON: {broken.Message}", broken);
            }
            if (line.ValueKind != JsonValueKind.Object) throw new ElmException($"{file} line {number} is not a JSON object; give one object per line.");
            yield return (number, line);
        }
    }
}
