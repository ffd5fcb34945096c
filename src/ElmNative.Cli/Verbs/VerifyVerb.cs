using System.Globalization;
using System.Text.Json;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Golden;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tokenization;
using Spectre.Console;

namespace ElmNative.Cli.Verbs;

[Verb("verify", HelpText = "Replay golden values of an independent implementation, or vectors of a tokenizer, a template, a grader.")]
internal sealed class VerifyOptions : ModelOptions
{
    [Option("golden", MetaValue = "DIR", HelpText = "Folder with forward, policy, keys, adamw .safetensors and greedy.jsonl.")]
    public string? Golden { get; set; }

    [Option("tokens", MetaValue = "FILE", HelpText = "JSON Lines with text and ids.")]
    public string? Tokens { get; set; }

    [Option("special", HelpText = "With --tokens: let the tokenizer add its special tokens.")]
    public bool Special { get; set; }

    [Option("chat", MetaValue = "FILE", HelpText = "JSON Lines with messages, add_generation_prompt and text.")]
    public string? Chat { get; set; }

    [Option("grading", MetaValue = "FILE", HelpText = "JSON Lines of labelled grading cases: pairs, extractions, or votes. Cases of tier core must agree.")]
    public string? Grading { get; set; }
}

/// <summary><c>elmn verify</c>: a row for each golden tensor, a count for each file of vectors; exit code 1 if anything differs.</summary>
internal static class VerifyVerb
{
    public static int Run(VerifyOptions options)
    {
        if (options.Golden is null && options.Tokens is null && options.Chat is null && options.Grading is null)
            throw new ElmException("nothing to verify: give --golden DIR, --tokens FILE, --chat FILE or --grading FILE");
        List<string> failures = [];
        if (options.Golden is { } golden && Values(options, golden) is int failed and > 0)
            failures.Add($"{failed} golden values of {golden} are not met");
        if (options.Tokens is { } tokens)
            Count(tokens, TextReplay.Tokens(tokens, BytePairTokenizer.Load(options.ModelFolder), options.Special), options.Json, failures);
        if (options.Chat is { } chat)
            Count(chat, TextReplay.Chat(chat, ChatTemplate.Load(options.ModelFolder) ?? throw new ElmException($"{options.ModelFolder} has no chat template")), options.Json, failures);
        if (options.Grading is { } grading)
            Grade(GradingReplay.Run(grading, new AnswerChecker()), options.Json, failures);
        return failures.Count == 0 ? 0 : throw new ElmException(string.Join("; ", failures) + ": see above");
    }

    private static int Values(VerifyOptions options, string golden)
    {
        using IBackend backend = options.OpenBackend();
        options.PlanFolder(backend);
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(options.ModelFolder, backend, ModelOptions.ProgressOn(backend));
        List<GoldenRow> rows = [];
        Table table = new Table().Border(TableBorder.Simple).AddColumns("value", "count", "max abs", "max rel", "rel L2", "tolerance", "");
        foreach (int column in new[] { 1, 2, 3, 4, 5 })
            table.Columns[column].RightAligned();
        foreach (GoldenRow row in GoldenReplay.Replay(model, golden))
        {
            rows.Add(row);
            table.AddRow(row.Name, $"{row.Count}", Number(row.MaxAbsolute), Number(row.MaxRelative), Number(row.RelativeL2), $"{row.Bar}",
                row.Passed ? "[green]PASS[/]" : "[red]FAIL[/]");
            if (options.Json)
                Console.Out.WriteLine(JsonSerializer.Serialize(
                    new VerifiedValue(row.Name, row.Count, Finite(row.MaxAbsolute), Finite(row.MaxRelative), Finite(row.RelativeL2), row.Bar.Limit, row.Bar.IsAbsolute, row.Passed),
                    CliJson.Default.VerifiedValue));
        }
        int failed = rows.Count(row => !row.Passed);
        if (!options.Json)
        {
            Terminal.Results.Write(table);
            Console.Out.WriteLine($"{rows.Count - failed} of {rows.Count} values within tolerance ({backend.Description})");
        }
        return failed;
    }

    private static void Count(string file, ReplayCount count, bool json, List<string> failures)
    {
        if (json)
            Console.Out.WriteLine(JsonSerializer.Serialize(new VerifiedLines(file, count.Matched, count.Total), CliJson.Default.VerifiedLines));
        else
            Console.Out.WriteLine($"{file}: {count.Matched} of {count.Total} lines equal");
        foreach (Mismatch mismatch in count.Mismatches)
            Terminal.Note($"  line {mismatch.Line}\n    expected {mismatch.Expected}\n    got      {mismatch.Actual}");
        if (count.Matched < count.Total)
            failures.Add($"{count.Total - count.Matched} lines of {file} differ");
    }

    private static void Grade(GradingReport report, bool json, List<string> failures)
    {
        const int shown = 10;
        foreach (GradingTally tally in report.Tallies)
            if (json)
                Console.Out.WriteLine(JsonSerializer.Serialize(tally, CliJson.Default.GradingTally));
            else
                Console.Out.WriteLine($"{tally.Tier,-9} {tally.Kind,-18} {tally.Passed,4} of {tally.Cases}");
        if (!json)
            Console.Out.WriteLine(FormattableString.Invariant($"{report.File}: {report.Cases.Count - report.Misses.Count()} of {report.Cases.Count} cases agree, in {report.Seconds:0.00} s"));
        foreach (GradingCase miss in report.Misses.Take(shown))
            Terminal.Note($"  {miss.Id} ({miss.Tier}) {miss.Case}\n    expected {miss.Expected}, found {miss.Found}: {miss.Why}");
        if (report.Misses.Count(miss => miss.Tier == "core") is int core and > 0)
            failures.Add($"{core} core cases of {report.File} differ");
    }

    private static string Number(double value) => value == 0 ? "0" : value.ToString("0.0e+00", CultureInfo.InvariantCulture);

    private static double? Finite(double value) => double.IsFinite(value) ? value : null;
}
