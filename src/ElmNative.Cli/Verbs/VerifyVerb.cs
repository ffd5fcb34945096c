using System.Globalization;
using System.Text.Json;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Golden;
using ElmNative.Transformers.Models;
using Spectre.Console;

namespace ElmNative.Cli.Verbs;

[Verb("verify", HelpText = "Replay golden values of an independent implementation on a model.")]
internal sealed class VerifyOptions : ModelOptions
{
    [Option("golden", Required = true, MetaValue = "DIR", HelpText = "Folder with forward, policy, keys, adamw .safetensors and greedy.jsonl.")]
    public string Golden { get; set; } = "";
}

/// <summary><c>elmn verify</c>: a row for each golden tensor; exit code 1 if one fails.</summary>
internal static class VerifyVerb
{
    public static int Run(VerifyOptions options)
    {
        using IBackend backend = options.OpenBackend();
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(options.ModelFolder, backend);
        List<GoldenRow> rows = [];
        Table table = new Table().Border(TableBorder.Simple).AddColumns("value", "count", "max abs", "max rel", "rel L2", "tolerance", "");
        foreach (int column in new[] { 1, 2, 3, 4, 5 })
            table.Columns[column].RightAligned();
        foreach (GoldenRow row in GoldenReplay.Replay(model, options.Golden))
        {
            rows.Add(row);
            table.AddRow(row.Name, $"{row.Count}", Number(row.MaxAbsolute), Number(row.MaxRelative), Number(row.RelativeL2), Number(row.Tolerance),
                row.Passed ? "[green]PASS[/]" : "[red]FAIL[/]");
            if (options.Json)
                Console.Out.WriteLine(JsonSerializer.Serialize(
                    new VerifiedValue(row.Name, row.Count, Finite(row.MaxAbsolute), Finite(row.MaxRelative), Finite(row.RelativeL2), row.Tolerance, row.Passed),
                    CliJson.Default.VerifiedValue));
        }
        int failed = rows.Count(row => !row.Passed);
        if (!options.Json)
        {
            Terminal.Results.Write(table);
            Console.Out.WriteLine($"{rows.Count - failed} of {rows.Count} values within tolerance ({backend.Description})");
        }
        if (failed > 0)
            throw new ElmException($"{failed} of {rows.Count} golden values of {options.Golden} are not met: see the rows marked FAIL");
        return 0;
    }

    private static string Number(double value) => value == 0 ? "0" : value.ToString("0.0e+00", CultureInfo.InvariantCulture);

    private static double? Finite(double value) => double.IsFinite(value) ? value : null;
}
