using System.Reflection;

namespace ElmNative.Cli;

/// <summary>The program's version, with the commit it was built from where the build knew it.</summary>
internal static class ProgramVersion
{
    public static string Text { get; } =
        typeof(ProgramVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion is { } version
            ? version.Split('+') is [var number, { Length: > 8 } commit] ? $"{number}+{commit[..8]}" : version
            : "unknown";
}
