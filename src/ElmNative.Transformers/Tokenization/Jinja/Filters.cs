using System.Globalization;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Jinja2's filters, and tojson as Hugging Face has it.</summary>
internal static class Filters
{
    private delegate object? Filter(object? value, Arguments arguments, Interpreter interpreter);

    private static readonly Dictionary<string, Filter> All = new(StringComparer.Ordinal)
    {
        ["abs"] = (value, _, _) => value switch
        {
            double number => (object)Math.Abs(number),
            long number when number == long.MinValue => throw new JinjaError("a whole number grows too large"),
            long number => Math.Abs(number),
            bool truth => truth ? 1L : 0L,
            _ => throw Wrong("abs", value),
        },
        ["attr"] = (value, arguments, _) => Access.Attribute(value, arguments.NeedText(0, "name", "attr")),
        ["capitalize"] = OnText(PythonText.Capitalize),
        ["center"] = (value, arguments, interpreter) => Methods.Pad(Text(value, interpreter), arguments.GetInteger(0, "width", 80), ' ', 0, interpreter.Budget),
        ["count"] = (value, _, _) => Length(value),
        ["d"] = Default,
        ["default"] = Default,
        ["dictsort"] = (value, arguments, interpreter) => SequenceFilters.SortMap(value, arguments, interpreter.Budget),
        ["e"] = Escape,
        ["escape"] = Escape,
        ["first"] = (value, _, interpreter) => Items(value, interpreter) is { Count: > 0 } items ? items[0] : new JinjaUndefined("there is no first item"),
        ["float"] = (value, arguments, _) => ToFloat(value) ?? arguments.Get(0, "default", 0.0),
        ["format"] = (value, arguments, interpreter) => Formatting.Percent(
            Text(value, interpreter), arguments.Named.Count > 0 ? Map(arguments) : new JinjaList(arguments.Positional, isTuple: true), interpreter.Budget),
        ["groupby"] = SequenceFilters.GroupBy,
        ["indent"] = Indent,
        ["int"] = (value, arguments, _) => ToInteger(value, arguments.GetInteger(1, "base", 10)) ?? arguments.Get(0, "default", 0L),
        ["items"] = (value, _, interpreter) => value is JinjaUndefined ? new JinjaList([])
            : value is JinjaMap map ? Methods.Pairs(map, interpreter.Budget) : throw Wrong("items", value),
        ["join"] = Join,
        ["last"] = (value, _, interpreter) => Items(value, interpreter) is { Count: > 0 } items ? items[^1] : new JinjaUndefined("there is no last item"),
        ["length"] = (value, _, _) => Length(value),
        ["list"] = (value, _, interpreter) => SequenceFilters.List(Items(value, interpreter), interpreter.Budget),
        ["lower"] = OnText(PythonText.Lower),
        ["map"] = SequenceFilters.Map,
        ["max"] = (value, arguments, interpreter) => SequenceFilters.Extreme(value, arguments, interpreter, 1),
        ["min"] = (value, arguments, interpreter) => SequenceFilters.Extreme(value, arguments, interpreter, -1),
        ["reject"] = (value, arguments, interpreter) => SequenceFilters.Select(value, arguments, interpreter, byAttribute: false, keep: false),
        ["rejectattr"] = (value, arguments, interpreter) => SequenceFilters.Select(value, arguments, interpreter, byAttribute: true, keep: false),
        ["replace"] = (value, arguments, interpreter) => Methods.Replace(
            Text(value, interpreter), arguments.NeedText(0, "old", "replace"), arguments.NeedText(1, "new", "replace"),
            arguments.Get(2, "count", null) as long? ?? -1, interpreter.Budget),
        ["reverse"] = (value, _, interpreter) => value is string
            ? string.Concat(Items(value, interpreter).Reverse())
            : SequenceFilters.List([.. Items(value, interpreter).Reverse()], interpreter.Budget),
        ["round"] = Round,
        ["safe"] = OnText(text => text),
        ["select"] = (value, arguments, interpreter) => SequenceFilters.Select(value, arguments, interpreter, byAttribute: false, keep: true),
        ["selectattr"] = (value, arguments, interpreter) => SequenceFilters.Select(value, arguments, interpreter, byAttribute: true, keep: true),
        ["sort"] = SequenceFilters.Sort,
        ["string"] = OnText(text => text),
        ["sum"] = SequenceFilters.Sum,
        ["title"] = OnText(TitleWords),
        ["tojson"] = (value, arguments, interpreter) => JsonText.Write(value, arguments, interpreter.Budget),
        ["trim"] = (value, arguments, interpreter) => PythonText.Strip(Text(value, interpreter), arguments.Get(0, "chars", null) as string),
        ["unique"] = SequenceFilters.Unique,
        ["upper"] = OnText(PythonText.Upper),
        ["wordcount"] = (value, _, interpreter) => (long)PythonText.Split(Text(value, interpreter), null, -1, false).Count,
    };

    /// <summary>Applies a filter by name.</summary>
    /// <exception cref="JinjaError">there is no such filter, or it cannot take the value</exception>
    public static object? Apply(string name, object? value, Arguments arguments, Interpreter interpreter)
    {
        if (!All.TryGetValue(name, out Filter? filter))
            throw new JinjaError($"the filter '{name}' is unknown or not supported");
        return filter(value, arguments, interpreter);
    }

    /// <summary>Whether there is a filter with a name.</summary>
    public static bool Exists(string name) => All.ContainsKey(name);

    /// <summary>The items of a value, which must be something to loop over.</summary>
    public static IReadOnlyList<object?> Items(object? value, Interpreter interpreter) => Operations.Iterate(value, interpreter.Budget);

    /// <summary>The length of a string, list or map.</summary>
    public static long Length(object? value) => value switch
    {
        string text => PythonText.Length(text),
        JinjaList list => list.Items.Count,
        JinjaMap map => map.Entries.Count,
        JinjaUndefined => 0,
        _ => throw Wrong("length", value),
    };

    private static Filter OnText(Func<string, string> change) => (value, _, interpreter) =>
    {
        string text = Text(value, interpreter);
        interpreter.Budget.TakeText(text.Length);
        return change(text);
    };

    private static string Text(object? value, Interpreter interpreter)
    {
        string text = Operations.Print(value, interpreter.Budget);
        interpreter.Budget.TakeText(text.Length);
        return text;
    }

    private static JinjaError Wrong(string filter, object? value) => new($"the filter '{filter}' cannot take a {Operations.TypeName(value)}");

    private static object? Default(object? value, Arguments arguments, Interpreter interpreter) =>
        value is JinjaUndefined || Operations.Truth(arguments.Get(1, "boolean", false)) && !Operations.Truth(value)
            ? arguments.Get(0, "default_value", "")
            : value;

    private static object? Escape(object? value, Arguments arguments, Interpreter interpreter) =>
        Text(value, interpreter).Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;").Replace("'", "&#39;").Replace("\"", "&#34;");

    private static JinjaMap Map(Arguments arguments)
    {
        JinjaMap map = new();
        foreach ((string name, object? value) in arguments.Named)
            map.Set(name, value);
        return map;
    }

    private static object? Join(object? value, Arguments arguments, Interpreter interpreter)
    {
        string separator = Operations.Print(arguments.Get(0, "d", ""), interpreter.Budget);
        IEnumerable<object?> items = Items(value, interpreter);
        if (arguments.Get(1, "attribute", null) is { } attribute)
            items = items.Select(SequenceFilters.Getter(attribute, interpreter));
        List<string> texts = [];
        foreach (object? item in items)
        {
            string text = Operations.Print(item, interpreter.Budget);
            interpreter.Budget.TakeText(text.Length + separator.Length);
            texts.Add(text);
        }
        return string.Join(separator, texts);
    }

    private static object? Indent(object? value, Arguments arguments, Interpreter interpreter)
    {
        string text = Text(value, interpreter);
        string indentation = arguments.Get(0, "width", 4L) switch
        {
            string given => given,
            long width when width is >= 0 and <= 1000 => new string(' ', (int)width),
            _ => throw new JinjaError("indent: 'width' must be a small number"),
        };
        bool first = Operations.Truth(arguments.Get(1, "first", false)), blank = Operations.Truth(arguments.Get(2, "blank", false));
        List<string> lines = PythonText.Lines(text + "\n");
        interpreter.Budget.TakeText((long)lines.Count * (indentation.Length + 16));
        for (int i = first ? 0 : 1; i < lines.Count; i++)
            if (blank || lines[i].Length > 0 || i == 0)
                lines[i] = indentation + lines[i];
        return string.Join('\n', lines);
    }

    private static object? Round(object? value, Arguments arguments, Interpreter interpreter)
    {
        if (!Operations.IsNumber(value))
            throw Wrong("round", value);
        long precision = arguments.GetInteger(0, "precision", 0);
        string method = arguments.Get(1, "method", "common") as string ?? "";
        if (precision is < 0 or > 15 || method is not ("common" or "ceil" or "floor"))
            throw new JinjaError("round takes a precision from 0 to 15 and the method 'common', 'ceil' or 'floor'");
        if (method == "common")
            return value is double number ? Math.Round(number, (int)precision, MidpointRounding.ToEven) : Operations.Signed(false, value);
        double scale = Math.Pow(10, precision), scaled = Operations.ToDouble(value) * scale;
        return (method == "ceil" ? Math.Ceiling(scaled) : Math.Floor(scaled)) / scale;
    }

    private static object? ToInteger(object? value, long numberBase)
    {
        switch (value)
        {
            case long or bool:
                return Operations.Signed(false, value);
            case double number:
                return double.IsFinite(number) && Math.Abs(number) < 1L << 62 ? (long)number : null;
            case string text:
                string digits = text.Trim().Replace("_", "");
                if (numberBase is 2 or 8 or 16)
                    return FromDigits(digits, (int)numberBase);
                if (numberBase != 10)
                    throw new JinjaError("int takes the bases 2, 8, 10 and 16");
                if (long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole))
                    return whole;
                return ToFloat(text) is double parsed ? ToInteger(parsed, 10) : null;
            default:
                return null;
        }
    }

    private static object? FromDigits(string digits, int numberBase)
    {
        string prefix = numberBase == 16 ? "0x" : numberBase == 8 ? "0o" : "0b";
        if (digits.StartsWith(prefix, StringComparison.OrdinalIgnoreCase))
            digits = digits[2..];
        long value = 0;
        foreach (char letter in digits)
        {
            int digit = char.IsAsciiHexDigit(letter) ? Convert.ToInt32(letter.ToString(), 16) : numberBase;
            if (digit >= numberBase || value > (long.MaxValue >> 5))
                return null;
            value = value * numberBase + digit;
        }
        return digits.Length > 0 ? value : null;
    }

    private static object? ToFloat(object? value) => value switch
    {
        long or bool or double => Operations.ToDouble(value),
        string text when double.TryParse(text.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out double number) => number,
        _ => null,
    };

    /// <summary>Upper case for what follows the start, white space, a hyphen or an opening bracket; lower case for the rest.</summary>
    private static string TitleWords(string text)
    {
        char[] result = text.ToCharArray();
        bool starts = true;
        for (int i = 0; i < result.Length; i++)
        {
            bool separator = result[i] is '-' or '(' or '{' or '[' or '<' || Unicode.CharacterClasses.IsPythonSpace(result[i]);
            result[i] = starts ? char.ToUpperInvariant(result[i]) : char.ToLowerInvariant(result[i]);
            starts = separator;
        }
        return new string(result);
    }
}
