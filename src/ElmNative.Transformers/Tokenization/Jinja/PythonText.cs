using System.Globalization;
using System.Text;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Python's functions on strings. Positions count code points, as Python's do.</summary>
internal static class PythonText
{
    /// <summary>Number of code points.</summary>
    public static int Length(string text)
    {
        int pairs = 0;
        for (int i = 0; i + 1 < text.Length; i++)
            if (char.IsHighSurrogate(text[i]) && char.IsLowSurrogate(text[i + 1]))
            {
                pairs++;
                i++;
            }
        return text.Length - pairs;
    }

    /// <summary>The code points, each as a string; unpaired surrogates stay.</summary>
    public static List<string> Characters(string text)
    {
        List<string> characters = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            bool pair = char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]);
            characters.Add(pair ? text.Substring(i++, 2) : text[i].ToString());
        }
        return characters;
    }

    /// <summary>str.strip; white space where no characters are given.</summary>
    public static string Strip(string text, string? characters) => StripLeft(StripRight(text, characters), characters);

    /// <summary>str.lstrip.</summary>
    public static string StripLeft(string text, string? characters)
    {
        int start = 0;
        while (start < text.Length && IsStripped(text[start], characters))
            start++;
        return text[start..];
    }

    /// <summary>str.rstrip.</summary>
    public static string StripRight(string text, string? characters)
    {
        int end = text.Length;
        while (end > 0 && IsStripped(text[end - 1], characters))
            end--;
        return text[..end];
    }

    /// <summary>str.split and str.rsplit.</summary>
    /// <param name="text">the text</param>
    /// <param name="separator">not empty, or null for runs of white space</param>
    /// <param name="most">most cuts; negative for no bound</param>
    /// <param name="fromRight">cut from the end</param>
    public static List<string> Split(string text, string? separator, long most, bool fromRight)
    {
        if (most < 0)
            most = long.MaxValue;
        List<string> parts = separator is null ? SplitSpaces(text, most, fromRight) : SplitAt(text, separator, most, fromRight);
        if (fromRight)
            parts.Reverse();
        return parts;
    }

    /// <summary>str.splitlines without the line ends.</summary>
    public static List<string> Lines(string text)
    {
        List<string> lines = [];
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] is not ('\n' or '\r' or '\v' or '\f' or '\x1c' or '\x1d' or '\x1e' or '\x85' or '\u2028' or '\u2029'))
                continue;
            lines.Add(text[start..i]);
            if (text[i] == '\r' && i + 1 < text.Length && text[i + 1] == '\n')
                i++;
            start = i + 1;
        }
        if (start < text.Length)
            lines.Add(text[start..]);
        return lines;
    }

    /// <summary>str.title: each letter after a non-letter in upper case, the others in lower case.</summary>
    public static string Title(string text)
    {
        StringBuilder result = new(text.Length);
        bool inWord = false;
        foreach (char character in text)
        {
            result.Append(inWord ? char.ToLowerInvariant(character) : char.ToUpperInvariant(character));
            inWord = char.IsLetter(character);
        }
        return result.ToString();
    }

    /// <summary>str.capitalize: the first character in upper case, the rest in lower case.</summary>
    public static string Capitalize(string text) => text.Length == 0 ? text : Upper(text[..FirstLength(text)]) + Lower(text[FirstLength(text)..]);

    /// <summary>str.upper; the sharp s becomes SS.</summary>
    public static string Upper(string text) => text.ToUpperInvariant().Replace("ß", "SS", StringComparison.Ordinal);

    /// <summary>str.lower.</summary>
    public static string Lower(string text) => text.ToLowerInvariant();

    /// <summary>repr of a string.</summary>
    public static string Quoted(string text)
    {
        char quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        StringBuilder result = new(text.Length + 2);
        result.Append(quote);
        foreach (string character in Characters(text))
        {
            int point = character.Length == 2 ? char.ConvertToUtf32(character, 0) : character[0];
            if (point == quote || point == '\\')
                result.Append('\\').Append(character);
            else if (point is '\n' or '\r' or '\t')
                result.Append('\\').Append(point == '\n' ? 'n' : point == '\r' ? 'r' : 't');
            else if (point == ' ' || IsPrintable(CharacterClasses.Category(point)))
                result.Append(character);
            else
                result.Append(point < 256 ? $"\\x{point:x2}" : point < 65536 ? $"\\u{point:x4}" : $"\\U{point:x8}");
        }
        return result.Append(quote).ToString();
    }

    /// <summary>repr of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on.</summary>
    public static string Float(double value)
    {
        if (!double.IsFinite(value))
            return double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        string shortest = value.ToString("E16", CultureInfo.InvariantCulture);
        string round = value.ToString("R", CultureInfo.InvariantCulture);
        // "R" has the shortest digits; the place of the point comes from the exponent of the long form.
        string digits = new([.. round.Split('E')[0].Where(char.IsAsciiDigit)]);
        digits = digits.TrimStart('0').TrimEnd('0');
        if (digits.Length == 0)
            return double.IsNegative(value) ? "-0.0" : "0.0";
        int exponent = round.Contains('E')
            ? int.Parse(round.Split('E')[1], CultureInfo.InvariantCulture)
            : int.Parse(shortest.Split('E')[1], CultureInfo.InvariantCulture);
        string sign = value < 0 ? "-" : "";
        if (exponent is < -4 or >= 16)
            return $"{sign}{digits[0]}{(digits.Length > 1 ? "." + digits[1..] : "")}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
        if (exponent < 0)
            return $"{sign}0.{new string('0', -exponent - 1)}{digits}";
        return digits.Length <= exponent + 1
            ? $"{sign}{digits.PadRight(exponent + 1, '0')}.0"
            : $"{sign}{digits[..(exponent + 1)]}.{digits[(exponent + 1)..]}";
    }

    /// <summary>Compares by code points.</summary>
    public static int Compare(string left, string right)
    {
        int common = left.AsSpan().CommonPrefixLength(right);
        if (common == left.Length || common == right.Length)
            return left.Length.CompareTo(right.Length);
        char a = left[common], b = right[common];
        // Surrogates stand for code points above all others.
        return char.IsSurrogate(a) == char.IsSurrogate(b) ? a.CompareTo(b) : char.IsSurrogate(a) ? 1 : -1;
    }

    /// <summary>The string is not empty and all its characters pass a test.</summary>
    public static bool All(string text, Func<char, bool> test) => text.Length > 0 && text.All(test);

    private static bool IsStripped(char character, string? characters) =>
        characters is null ? CharacterClasses.IsPythonSpace(character) : characters.Contains(character);

    private static int FirstLength(string text) => text.Length > 1 && char.IsSurrogatePair(text[0], text[1]) ? 2 : 1;

    private static bool IsPrintable(UnicodeCategory category) => category is not (UnicodeCategory.Control or UnicodeCategory.Format or
        UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator or
        UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);

    private static List<string> SplitAt(string text, string separator, long most, bool fromRight)
    {
        List<string> parts = [];
        int start = 0, end = text.Length;
        while (parts.Count < most)
        {
            int found = fromRight
                ? text.AsSpan(0, end).LastIndexOf(separator)
                : text.IndexOf(separator, start, StringComparison.Ordinal);
            if (found < 0)
                break;
            parts.Add(fromRight ? text[(found + separator.Length)..end] : text[start..found]);
            (start, end) = fromRight ? (0, found) : (found + separator.Length, text.Length);
        }
        parts.Add(text[start..end]);
        return parts;
    }

    private static List<string> SplitSpaces(string text, long most, bool fromRight)
    {
        List<string> parts = [];
        int start = 0, end = text.Length;
        while (true)
        {
            while (start < end && CharacterClasses.IsPythonSpace(text[fromRight ? end - 1 : start]))
                _ = fromRight ? end-- : start++;
            if (start == end)
                return parts;
            if (parts.Count == most)
            {
                parts.Add(text[start..end]);
                return parts;
            }
            int cut = fromRight ? end : start;
            if (fromRight)
                while (cut > start && !CharacterClasses.IsPythonSpace(text[cut - 1]))
                    cut--;
            else
                while (cut < end && !CharacterClasses.IsPythonSpace(text[cut]))
                    cut++;
            parts.Add(fromRight ? text[cut..end] : text[start..cut]);
            (start, end) = fromRight ? (start, cut) : (cut, end);
        }
    }
}
