using Spectre.Console;

namespace ElmNative.Cli.Output;

/// <summary>Where words go: results on standard output, everything else on standard error; colours and moving parts only on a terminal.</summary>
internal static class Terminal
{
    private const int RedirectedWidth = 200;

    /// <summary>Standard error as a Spectre console.</summary>
    public static IAnsiConsole Progress { get; } = Open(Console.Error, Console.IsErrorRedirected);

    /// <summary>Standard output as a Spectre console.</summary>
    public static IAnsiConsole Results { get; } = Open(Console.Out, Console.IsOutputRedirected);

    /// <summary>True when standard error is a terminal, so that a progress line may move.</summary>
    public static bool IsLive => !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";

    /// <summary>Columns to lay text out in.</summary>
    public static int Width => Console.IsOutputRedirected ? 120 : Math.Clamp(Results.Profile.Width, 80, 160);

    /// <summary>One sentence about what went wrong.</summary>
    public static void Error(string sentence) => Console.Error.WriteLine($"elmn: {sentence}");

    /// <summary>One line about what goes on.</summary>
    public static void Note(string line) => Console.Error.WriteLine(line);

    /// <summary>Puts a text in place of the moving line of a terminal; nothing where standard error is none.</summary>
    public static void Overwrite(string text)
    {
        if (IsLive)
            Console.Error.Write($"\r{text}\e[K");
    }

    /// <summary>A file or a pipe gets plain text in lines that are never wrapped, whatever the environment says of colours.</summary>
    private static IAnsiConsole Open(TextWriter writer, bool redirected)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = redirected ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = redirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = redirected ? InteractionSupport.No : InteractionSupport.Detect,
        });
        if (redirected)
            console.Profile.Width = RedirectedWidth;
        return console;
    }
}
