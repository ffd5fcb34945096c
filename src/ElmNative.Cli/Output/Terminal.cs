using Spectre.Console;

namespace ElmNative.Cli.Output;

/// <summary>Where words go: results on standard output, everything else on standard error; colours and moving parts only on a terminal.</summary>
internal static class Terminal
{
    /// <summary>Standard error as a Spectre console.</summary>
    public static IAnsiConsole Progress { get; } = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });

    /// <summary>Standard output as a Spectre console.</summary>
    public static IAnsiConsole Results { get; } = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) });

    /// <summary>True when standard error is a terminal, so that a progress line may move.</summary>
    public static bool IsLive => !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";

    /// <summary>Columns to lay text out in.</summary>
    public static int Width => Console.IsOutputRedirected ? 120 : Math.Clamp(Results.Profile.Width, 80, 160);

    /// <summary>One sentence about what went wrong.</summary>
    public static void Error(string sentence) => Console.Error.WriteLine($"elmn: {sentence}");

    /// <summary>One line about what goes on.</summary>
    public static void Note(string line) => Console.Error.WriteLine(line);
}
