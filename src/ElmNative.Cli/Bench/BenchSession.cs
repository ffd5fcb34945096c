using System.Globalization;
using ElmNative.Cli.Output;
using ElmNative.Cli.Verbs;
using ElmNative.Compute;

namespace ElmNative.Cli.Bench;

/// <summary>What every kind of benchmark shares: how often to run, how to print, when to stop.</summary>
/// <param name="Format">how results are printed</param>
/// <param name="Runs">runs that count, after one that warms up</param>
/// <param name="Cancellation">honoured between runs</param>
internal sealed record BenchSession(BenchFormat Format, int Runs, CancellationToken Cancellation)
{
    /// <summary>The command line that gives these figures again.</summary>
    public static string Command { get; } = "elmn " + string.Join(' ', Environment.GetCommandLineArgs().Skip(1).Select(Quote));

    /// <summary>An empty report of some columns.</summary>
    public BenchReport Report(params BenchColumn[] columns) => new(Format, columns);

    /// <summary>Adds the program, the machine and the command to a report and prints it on standard output.</summary>
    public void Print(BenchReport report, string device)
    {
        report.Fact("program", $"elmn {ProgramVersion.Text}");
        report.Fact("machine", $"{InfoVerb.ProcessorName()}, {device}");
        report.Fact("command", Command);
        report.Write(Console.Out);
    }

    /// <summary>Says on standard error what is being measured.</summary>
    public static void Progress(FormattableString line) => Terminal.Note(line.ToString(CultureInfo.InvariantCulture));

    /// <summary>Numbers of an option's list.</summary>
    /// <exception cref="ElmException">not a comma-separated list of whole numbers in the range</exception>
    public static int[] List(string option, string text, int least, int most)
    {
        string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
        int[] numbers = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
            if (!int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]) || numbers[i] < least || numbers[i] > most)
                throw new ElmException($"{option} is '{text}': it must be numbers from {least} to {most} with commas between them");
        return numbers;
    }

    private static string Quote(string argument) =>
        argument.Length > 0 && argument.All(c => char.IsLetterOrDigit(c) || "-_./,:=+@%".Contains(c)) ? argument : $"'{argument.Replace("'", "'\\''")}'";
}
