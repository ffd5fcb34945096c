using System.Globalization;
using System.Numerics;

namespace ElmNative.Experience.Answers;

/// <summary>
/// The project's answer checker: the last boxed answer of a response, and equality of two answers as written, or as exact rationals.
/// It has no state that a caller can see and may be used by several threads.
/// </summary>
public sealed class AnswerChecker : IAnswerChecker
{
    /// <inheritdoc/>
    public string? Extract(string response)
    {
        const string command = "\\boxed{";
        for (int at = response.LastIndexOf(command, StringComparison.Ordinal); at >= 0;
             at = at == 0 ? -1 : response.LastIndexOf(command, at - 1, StringComparison.Ordinal))
        {
            int depth = 1;
            int start = at + command.Length;
            for (int i = start; i < response.Length; i++)
            {
                if (response[i] == '\\') i++;
                else if (response[i] == '{') depth++;
                else if (response[i] == '}' && --depth == 0) return response[start..i].Trim();
            }
        }
        return null;
    }

    /// <inheritdoc/>
    public bool Same(string left, string right)
    {
        string a = Normal(left), b = Normal(right);
        if (a == b) return true;
        return Fraction(a) is var (an, ad) && Fraction(b) is var (bn, bd) && an * bd == bn * ad;
    }

    private static string Normal(string text)
    {
        text = text.Replace("\\left", "").Replace("\\right", "").Replace("\\!", "").Replace("\\,", "").Replace("\\;", "")
            .Replace("\\$", "").Replace("$", "").Replace("\\%", "").Replace("%", "").Replace("^{\\circ}", "").Replace("^\\circ", "")
            .Replace("dfrac", "frac").Replace("tfrac", "frac").Replace(" ", "").Replace("{,}", ",").Trim('.', '\n', '\r', '\t');
        return text;
    }

    private static (BigInteger, BigInteger)? Fraction(string text)
    {
        if (text.Length > 200) return null;
        int sign = 1;
        if (text.StartsWith('-')) (sign, text) = (-1, text[1..]);
        if (text.StartsWith("\\frac{", StringComparison.Ordinal) && text.EndsWith('}') && text.Split("}{") is [string upper, string lower])
            text = upper["\\frac{".Length..] + "/" + lower[..^1];
        string[] parts = text.Split('/');
        if (parts.Length == 2)
            return Decimal(parts[0]) is var (a, b) && Decimal(parts[1]) is var (c, d) && !c.IsZero ? (sign * a * d, b * c) : null;
        return Decimal(text) is var (n, m) ? (sign * n, m) : null;
    }

    private static (BigInteger, BigInteger)? Decimal(string text)
    {
        string[] groups = text.Split(',');
        if (groups.Length > 1 && groups.Skip(1).All(g => g.Split('.')[0].Length == 3)) text = string.Concat(groups);
        int dot = text.IndexOf('.');
        string digits = dot < 0 ? text : text.Remove(dot, 1);
        if (digits.Length == 0 || !digits.All(char.IsAsciiDigit)) return null;
        return (BigInteger.Parse(digits, CultureInfo.InvariantCulture), dot < 0 ? 1 : BigInteger.Pow(10, text.Length - dot - 1));
    }
}
