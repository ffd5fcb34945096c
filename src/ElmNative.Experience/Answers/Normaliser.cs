using System.Text;

namespace ElmNative.Experience.Answers;

/// <summary>
/// The normal form of an answer as a string, for votes over exact strings as in published work: the MATH rules (layout, fraction and root
/// shorthands, thousands separators, a leading "x="), without the deletion of unit words that also deletes variables.
/// </summary>
internal static class Normaliser
{
    private const int Longest = 4096;

    private static readonly string[] Dropped =
        ["\n", "\r", "\\!", "\\,", "\\;", "\\:", "\\ ", "\\left", "\\right", "\\$", "$", "\\%", "%", "^\\circ", "^{\\circ}", "~", "\\quad"];

    private static readonly string[] TextCommands = ["\\text{", "\\mathrm{", "\\mbox{", "\\textbf{", "\\mathbf{"];

    /// <summary>The normal form.</summary>
    public static string Normalise(string answer)
    {
        string text = answer.Trim();
        if (text.Length > Longest) return text;
        foreach (string layout in Dropped) text = text.Replace(layout, "", StringComparison.Ordinal);
        text = text.Replace("\\dfrac", "\\frac", StringComparison.Ordinal).Replace("\\tfrac", "\\frac", StringComparison.Ordinal).Replace("{,}", ",", StringComparison.Ordinal);
        text = WithoutText(text.Trim().TrimEnd('.'));
        int equals = text.IndexOf('=');
        if (equals is > 0 and <= 2 && text.IndexOf('=', equals + 1) < 0) text = text[(equals + 1)..];
        text = text.Replace(" ", "", StringComparison.Ordinal);
        text = Braced(Braced(text, "\\sqrt", 1), "\\frac", 2);
        if (WithoutThousands(text) is { } number) text = number;
        int slash = text.IndexOf('/');
        if (slash > 0 && IsInteger(text[..slash]) && IsInteger(text[(slash + 1)..])) text = $"\\frac{{{text[..slash]}}}{{{text[(slash + 1)..]}}}";
        if (text.StartsWith('.')) text = "0" + text;
        if (text.EndsWith(".0", StringComparison.Ordinal) && IsInteger(text[..^2])) text = text[..^2];
        if (IsInteger(text)) text = (text[0] == '-' ? "-" : "") + (text.TrimStart('-').TrimStart('0') is { Length: > 0 } digits ? digits : "0");
        return text.All(c => char.IsLetter(c)) ? text.ToLowerInvariant() : text;
    }

    private static bool IsInteger(string text) => text.Length > 0 && text.AsSpan(text[0] == '-' ? 1 : 0) is { Length: > 0 } digits && !digits.ContainsAnyExceptInRange('0', '9');

    private static string WithoutText(string text)
    {
        foreach (string command in TextCommands)
        {
            int at = text.LastIndexOf(command, StringComparison.Ordinal);
            if (at < 0 || Extraction.ClosingBrace(text, at + command.Length) != text.Length - 1) continue;
            return at == 0 ? text[command.Length..^1].Trim() : text[..at].Trim();
        }
        return text;
    }

    /// <summary>Puts single characters after a command into braces: \frac12 becomes \frac{1}{2}.</summary>
    private static string Braced(string text, string command, int arguments)
    {
        StringBuilder result = new();
        for (int i = 0; i < text.Length; i++)
        {
            if (string.CompareOrdinal(text, i, command, 0, command.Length) != 0)
            {
                result.Append(text[i]);
                continue;
            }
            result.Append(command);
            i += command.Length;
            for (int a = 0; a < arguments && i < text.Length; a++)
            {
                int close = text[i] == '{' ? Extraction.ClosingBrace(text, i + 1) : -1;
                if (close >= 0)
                {
                    result.Append(text, i, close - i + 1);
                    i = close + 1;
                }
                else if (char.IsLetterOrDigit(text[i]))
                {
                    result.Append('{').Append(text[i++]).Append('}');
                }
                else
                {
                    break;
                }
            }
            i--;
        }
        return result.ToString();
    }

    private static string? WithoutThousands(string text)
    {
        string[] groups = text.TrimStart('-').Split(',');
        if (groups.Length < 2 || groups[0].Length is 0 or > 3 || !groups[0].All(char.IsAsciiDigit)) return null;
        for (int i = 1; i < groups.Length; i++)
        {
            string group = i == groups.Length - 1 ? groups[i].Split('.')[0] : groups[i];
            if (group.Length != 3 || !group.All(char.IsAsciiDigit)) return null;
        }
        return text.Replace(",", "", StringComparison.Ordinal);
    }
}
