using System.Globalization;
using ElmNative.Experience.Reports;
using Spectre.Console;

namespace ElmNative.Cli.Output;

/// <summary>The closing table of a run, in the shape of lm-eval's, ready to be pasted.</summary>
internal static class SummaryTable
{
    public static void Print(Summary summary, string task, string verifier)
    {
        if (summary.Metrics.Count == 0)
        {
            Console.Out.WriteLine($"{summary.Problems} problems without known answers: nothing to grade; routes: {Routes(summary)}");
            return;
        }
        Table table = new Table().Border(TableBorder.Markdown).AddColumns("Tasks", "n", "Answer", "Metric", "Value", "", "Stderr", "right");
        foreach (int column in new[] { 1, 4, 6, 7 })
            table.Columns[column].RightAligned();
        foreach (Metric metric in summary.Metrics)
            table.AddRow(Markup.Escape(task), $"{metric.Count}", Title(metric.Name, verifier), "acc", Number(metric.Value), "±",
                metric.Stderr is { } error ? Number(error) : "N/A", $"{metric.Correct}");
        Terminal.Results.Write(table);
        Console.Out.WriteLine($"routes: {Routes(summary)}");
        if (summary.RetrievedSameFamily is { } family)
            Console.Out.WriteLine($"retrieved memory is of the same family: {Number(family)}");
        if (summary.MeanMajorityRatio is { } ratio)
            Console.Out.WriteLine($"mean majority ratio in training: {Number(ratio)}{(summary.LabelAccuracy is { } label ? $"; last vote is right: {Number(label)}" : "")}");
        if (verifier == "oracle")
            Console.Out.WriteLine("the routed answers used the oracle verifier, which looks at the truth: an upper bound, not a result");
    }

    private static string Routes(Summary summary) => $"same answer {summary.Routes.Same}, plain {summary.Routes.Plain}, memory {summary.Routes.Memory}";

    private static string Title(string name, string verifier) => name switch
    {
        "memory" => "with retrieved memory",
        "routed" => $"routed ({verifier})",
        "oracle_of_two" => "better of the two (oracle)",
        _ => name,
    };

    private static string Number(double value) => value.ToString("0.0000", CultureInfo.InvariantCulture);
}
