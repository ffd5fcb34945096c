using System.Reflection;
using CommandLine;
using CommandLine.Text;
using ElmNative.Cli.Output;
using ElmNative.Cli.Verbs;
using ElmNative.Compute;

namespace ElmNative.Cli;

/// <summary>
/// <c>elmn</c>: finds the verb, runs it, and turns what goes wrong into one sentence on standard error. Exit codes: 0 done, 1 it failed,
/// 2 the command line is wrong, 130 interrupted.
/// </summary>
internal static class Program
{
    private const int Failed = 1, Misused = 2, Interrupted = 130;

    public static int Main(string[] args)
    {
        using CancellationTokenSource interrupt = new();
        Console.CancelKeyPress += (_, e) =>
        {
            e.Cancel = !interrupt.IsCancellationRequested;
            interrupt.Cancel();
        };
        try
        {
            return Run(args, interrupt.Token);
        }
        catch (ElmException e)
        {
            Terminal.Error(e.Message);
            return Failed;
        }
        catch (OperationCanceledException)
        {
            Terminal.Error("interrupted; the same command goes on from here");
            return Interrupted;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Terminal.Error(e.Message);
            return Failed;
        }
    }

    private static int Run(string[] args, CancellationToken cancellation)
    {
        using Parser parser = new(settings =>
        {
            settings.HelpWriter = null;
            settings.CaseInsensitiveEnumValues = true;
            settings.ParsingCulture = System.Globalization.CultureInfo.InvariantCulture;
        });
        ParserResult<object> result = parser.ParseArguments<StreamOptions, TrainOptions, GenerateOptions, ChatOptions, MemoryOptions, ScoreOptions, GradeOptions, TokenizeOptions, VerifyOptions, BenchOptions, InfoOptions>(args);
        return result.MapResult(
            (StreamOptions options) => StreamVerb.Run(options, cancellation),
            (TrainOptions options) => TrainVerb.Run(options, cancellation),
            (GenerateOptions options) => GenerateVerb.Run(options, cancellation),
            (ChatOptions options) => ChatVerb.Run(options, cancellation),
            (MemoryOptions options) => MemoryVerb.Run(options),
            (ScoreOptions options) => ScoreVerb.Run(options),
            (GradeOptions options) => GradeVerb.Run(options),
            (TokenizeOptions options) => TokenizeVerb.Run(options),
            (VerifyOptions options) => VerifyVerb.Run(options),
            (BenchOptions options) => BenchVerb.Run(options, cancellation),
            (InfoOptions options) => InfoVerb.Run(options),
            errors => Explain(result, errors.ToArray()));
    }

    /// <summary>Help on standard output when it was asked for; what is wrong, and where help is, on standard error otherwise.</summary>
    private static int Explain(ParserResult<object> result, Error[] errors)
    {
        if (errors.Any(e => e.Tag == ErrorType.VersionRequestedError))
        {
            Console.Out.WriteLine($"elmn {ProgramVersion.Text}");
            return 0;
        }
        string? verb = result.TypeInfo.Current.GetCustomAttribute<VerbAttribute>()?.Name;
        if (errors.Any(e => e.Tag is ErrorType.HelpRequestedError or ErrorType.HelpVerbRequestedError))
        {
            Console.Out.WriteLine(Help(result, verbs: verb is null));
            return 0;
        }
        if (errors.Any(e => e.Tag == ErrorType.NoVerbSelectedError))
            Console.Error.WriteLine(Help(result, verbs: true));
        SentenceBuilder sentences = SentenceBuilder.Create();
        foreach (string line in HelpText.RenderParsingErrorsTextAsLines(result, sentences.FormatError, sentences.FormatMutuallyExclusiveSetErrors, 0))
            Terminal.Error(line);
        Console.Error.WriteLine($"see: elmn {(verb is null ? "" : verb + " ")}--help");
        return Misused;
    }

    private static HelpText Help(ParserResult<object> result, bool verbs) => HelpText.AutoBuild(result, help =>
    {
        help.Heading = $"elmn {ProgramVersion.Text}: a frozen language model that learns from its own attempts";
        help.Copyright = "";
        help.AdditionalNewLineAfterOption = false;
        help.AddEnumValuesToHelpText = false;
        help.AutoVersion = false;
        help.MaximumDisplayWidth = Terminal.Width;
        return help;
    }, e => e, verbsIndex: verbs);
}
