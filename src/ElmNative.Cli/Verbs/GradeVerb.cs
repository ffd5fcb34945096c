using System.Text.Json;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Answers;

namespace ElmNative.Cli.Verbs;

[Verb("grade", HelpText = "Grade responses against gold answers, and say why.")]
internal sealed class GradeOptions
{
    [Option("data", Required = true, MetaValue = "FILE", HelpText = "A JSON object a line with gold (or answer) and response.")]
    public string Data { get; set; } = "";

    [Option("box", MetaValue = "last|first", Default = BoxChoice.Last, HelpText = "Which boxed answer of a response counts.")]
    public BoxChoice Box { get; set; }

    [Option("fallback", MetaValue = "none|phrase|phraseThenNumber|ttrl", Default = ExtractionFallback.None, HelpText = "Where to look when a response has no box.")]
    public ExtractionFallback Fallback { get; set; }

    [Option("tolerance", MetaValue = "X", Default = 1e-6, HelpText = "Relative difference up to which a decimal stands for a fraction or an irrational number.")]
    public double Tolerance { get; set; }

    [Option("json", HelpText = "Print JSON lines.")]
    public bool Json { get; set; }
}

/// <summary><c>elmn grade</c>: a line a response: verdict, gold, what was found, the rule that decided; then the share that is right.</summary>
internal static class GradeVerb
{
    public static int Run(GradeOptions options)
    {
        if (options.Tolerance is not (> 0 and < 0.01))
            throw new ElmException("--tolerance must be above 0 and below 0.01");
        AnswerChecker checker = new(new AnswerCheckerOptions(options.Box, options.Fallback, options.Tolerance));
        int right = 0, total = 0;
        foreach (GradedResponse graded in ResponseGrader.Run(options.Data, checker))
        {
            total++;
            right += graded.Correct ? 1 : 0;
            Console.Out.WriteLine(options.Json
                ? JsonSerializer.Serialize(graded, CliJson.Default.GradedResponse)
                : $"{graded.Id,-12} {(graded.Correct ? "right" : "wrong")}  gold {OneLine(graded.Gold)}  found {OneLine(graded.Extracted ?? "none")}  ({graded.Why})");
        }
        if (total == 0)
            throw new ElmException($"{options.Data} has no line: it needs at least one object with gold and response");
        Terminal.Note(FormattableString.Invariant($"{right} of {total} right ({(double)right / total:0.0000})"));
        return 0;
    }

    private static string OneLine(string text)
    {
        string flat = text.ReplaceLineEndings(" ");
        return flat.Length <= 80 ? flat : flat[..79] + "…";
    }
}
