using System.Text;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>Pieces of error sentences. Text from a file is shortened and stripped of control characters before it is shown.</summary>
internal static class Sentences
{
    private const int LongestQuote = 120;

    /// <summary>A name from a file, in quotes.</summary>
    public static string Quote(string name)
    {
        StringBuilder text = new("\"");
        foreach (char c in name.AsSpan(0, Math.Min(name.Length, LongestQuote)))
            text.Append(char.IsControl(c) || char.IsSurrogate(c) ? '?' : c);
        return text.Append(name.Length > LongestQuote ? "...\"" : "\"").ToString();
    }

    /// <summary>A shape as <c>[2, 3]</c>; -1 shows as <c>any</c>.</summary>
    public static string Shape(ReadOnlySpan<long> shape)
    {
        StringBuilder text = new("[");
        for (int i = 0; i < shape.Length; i++)
            text.Append(i == 0 ? "" : ", ").Append(shape[i] < 0 ? "any" : shape[i].ToString());
        return text.Append(']').ToString();
    }

    /// <summary>The error for bytes that cannot be what a writer wrote: a damaged or incomplete file.</summary>
    public static ElmException Damaged(string path, string what) => new($"{path} {what}: the file is damaged or incomplete, so fetch or write it again");

    /// <summary>True for what opening, reading or writing a file throws when the file system refuses.</summary>
    public static bool IsFileError(Exception error) => error is IOException or UnauthorizedAccessException or NotSupportedException;

    /// <summary>The error for a file that exists but cannot be read.</summary>
    public static ElmException Unreadable(string path, Exception cause) =>
        new($"{path} cannot be read ({cause.Message.TrimEnd('.')}): check that it is a file that you may read", cause);
}
