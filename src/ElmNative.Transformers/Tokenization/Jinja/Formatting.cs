using System.Globalization;
using System.Text;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Python's string formatting: the operator %, str.format without format specifications, and strftime.</summary>
internal static class Formatting
{
    /// <summary>format % value, with the conversions s, r, d, i, x, f and a width, zero padding and precision.</summary>
    public static string Percent(string format, object? value, Budget budget)
    {
        IReadOnlyList<object?> arguments = value is JinjaList { IsTuple: true } tuple ? tuple.Items : [value];
        StringBuilder result = new();
        int next = 0;
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                result.Append(format[i]);
                continue;
            }
            int start = ++i;
            while (i < format.Length && (char.IsAsciiDigit(format[i]) || format[i] is '.' or '-'))
                i++;
            if (i >= format.Length)
                throw new JinjaError("a format ends inside a conversion");
            if (format[i] == '%')
            {
                result.Append('%');
                continue;
            }
            if (next >= arguments.Count)
                throw new JinjaError("a format has more conversions than arguments");
            string piece = Convert(format[i], format[start..i], arguments[next++], budget);
            budget.TakeText(piece.Length);
            result.Append(piece);
        }
        if (next < arguments.Count && value is not JinjaMap)
            throw new JinjaError("a format has fewer conversions than arguments");
        return result.ToString();
    }

    private static string Convert(char conversion, string flags, object? value, Budget budget)
    {
        string[] parts = flags.TrimStart('-').Split('.');
        if (parts.Length > 2 || !TryRead(parts[0], 0, out int width) || !TryRead(parts.Length > 1 ? parts[1] : "6", 0, out int precision))
            throw new JinjaError($"the conversion '%{flags}{conversion}' is not supported");
        string text = conversion switch
        {
            's' => Operations.Print(value, budget),
            'r' => Operations.Represent(value, budget),
            'd' or 'i' when Operations.IsNumber(value) => Math.Truncate(Operations.ToDouble(value)) is var whole && value is double
                ? whole.ToString("F0", CultureInfo.InvariantCulture)
                : Operations.Print(Operations.Signed(false, value), budget),
            'x' when value is long number => number < 0 ? "-" + (-number).ToString("x") : number.ToString("x"),
            'f' when Operations.IsNumber(value) => Operations.ToDouble(value).ToString($"F{precision}", CultureInfo.InvariantCulture),
            _ => throw new JinjaError($"the conversion '%{flags}{conversion}' cannot take a {Operations.TypeName(value)}"),
        };
        if (conversion is 's' or 'r' && parts.Length > 1 && text.Length > precision)
            text = text[..precision];
        if (flags.StartsWith('-'))
            return text.PadRight(width);
        if (!parts[0].StartsWith('0') || conversion is 's' or 'r')
            return text.PadLeft(width);
        return text.StartsWith('-') ? "-" + text[1..].PadLeft(width - 1, '0') : text.PadLeft(width, '0');
    }

    private static bool TryRead(string digits, int absent, out int value)
    {
        value = absent;
        return digits.Length == 0 || digits.Length <= 3 && int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }

    /// <summary>str.format with {}, {0} and {name}.</summary>
    public static string Braces(string format, Arguments arguments, Budget budget)
    {
        StringBuilder result = new();
        int next = 0;
        for (int i = 0; i < format.Length; i++)
        {
            char letter = format[i];
            if (letter is '{' or '}' && i + 1 < format.Length && format[i + 1] == letter)
                i++;
            else if (letter == '}')
                throw new JinjaError("a format has a '}' without its '{'");
            else if (letter == '{')
            {
                int end = format.IndexOf('}', i);
                string name = end < 0 ? throw new JinjaError("a format has a '{' without its '}'") : format[(i + 1)..end];
                i = end;
                string piece = Operations.Print(Field(name, arguments, ref next), budget);
                budget.TakeText(piece.Length);
                result.Append(piece);
                continue;
            }
            result.Append(letter);
        }
        return result.ToString();
    }

    private static object? Field(string name, Arguments arguments, ref int next)
    {
        if (name.Length == 0)
            name = next++.ToString(CultureInfo.InvariantCulture);
        if (int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int position) && position < arguments.Positional.Count)
            return arguments.Positional[position];
        foreach ((string given, object? value) in arguments.Named)
            if (given == name)
                return value;
        throw new JinjaError($"a format asks for the field '{name}', which is not there or not supported");
    }

    /// <summary>strftime of a date in the C locale.</summary>
    public static string Date(string format, DateTime now)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        StringBuilder result = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 >= format.Length)
            {
                result.Append(format[i]);
                continue;
            }
            // A minus between % and the letter leaves out the padding, as the C library of Linux has it.
            bool bare = format[i + 1] == '-' && i + 2 < format.Length;
            i += bare ? 2 : 1;
            string text = format[i] switch
            {
                'd' => now.ToString("dd", culture),
                'b' or 'h' => now.ToString("MMM", culture),
                'B' => now.ToString("MMMM", culture),
                'Y' => now.ToString("yyyy", culture),
                'y' => now.ToString("yy", culture),
                'm' => now.ToString("MM", culture),
                'H' => now.ToString("HH", culture),
                'I' => now.ToString("hh", culture),
                'M' => now.ToString("mm", culture),
                'S' => now.ToString("ss", culture),
                'p' => now.Hour < 12 ? "AM" : "PM",
                'A' => now.ToString("dddd", culture),
                'a' => now.ToString("ddd", culture),
                'j' => now.DayOfYear.ToString("000", culture),
                'f' => now.ToString("ffffff", culture),
                'F' => now.ToString("yyyy-MM-dd", culture),
                'T' => now.ToString("HH:mm:ss", culture),
                'D' => now.ToString("MM/dd/yy", culture),
                'e' => now.Day.ToString(culture).PadLeft(2),
                'w' => ((int)now.DayOfWeek).ToString(culture),
                'Z' or 'z' => "",
                'n' => "\n",
                't' => "\t",
                '%' => "%",
                char other => throw new JinjaError($"strftime_now does not support '%{other}'"),
            };
            string trimmed = bare ? text.TrimStart('0') : text;
            result.Append(trimmed.Length == 0 && text.Length > 0 ? "0" : trimmed);
        }
        return result.ToString();
    }
}
