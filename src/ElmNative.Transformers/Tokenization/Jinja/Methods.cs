using System.Text;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>
/// Methods of Python's strings, lists and dictionaries that templates call. Those that change a value are refused, as Hugging Face's
/// sandbox does.
/// </summary>
internal static class Methods
{
    private delegate object? Method<T>(T value, Arguments arguments, Budget budget);

    private static readonly Dictionary<string, Method<string>> OfText = new(StringComparer.Ordinal)
    {
        ["capitalize"] = (text, _, _) => PythonText.Capitalize(text),
        ["casefold"] = (text, _, _) => PythonText.Lower(text.Replace("ß", "ss")),
        ["center"] = (text, arguments, budget) => Pad(text, arguments.GetInteger(0, "width", 0), Fill(arguments), 0, budget),
        ["count"] = (text, arguments, budget) => Count(text, arguments.NeedText(0, "sub", "count"), budget),
        ["endswith"] = (text, arguments, _) => Affixes(arguments, "endswith").Any(affix => text.EndsWith(affix, StringComparison.Ordinal)),
        ["find"] = (text, arguments, budget) => Find(text, arguments.NeedText(0, "sub", "find"), false, budget),
        ["format"] = (text, arguments, budget) => Formatting.Braces(text, arguments, budget),
        ["index"] = (text, arguments, budget) => Find(text, arguments.NeedText(0, "sub", "index"), false, budget) is var at && at >= 0
            ? at : throw new JinjaError("index did not find the text"),
        ["isalnum"] = (text, _, _) => PythonText.All(text, char.IsLetterOrDigit),
        ["isalpha"] = (text, _, _) => PythonText.All(text, char.IsLetter),
        ["isascii"] = (text, _, _) => Ascii.IsValid(text),
        ["isdecimal"] = (text, _, _) => PythonText.All(text, char.IsDigit),
        ["isdigit"] = (text, _, _) => PythonText.All(text, char.IsDigit),
        ["islower"] = (text, _, _) => text.Any(char.IsLower) && !text.Any(char.IsUpper),
        ["isnumeric"] = (text, _, _) => PythonText.All(text, char.IsNumber),
        ["isspace"] = (text, _, _) => PythonText.All(text, letter => Unicode.CharacterClasses.IsPythonSpace(letter)),
        ["isupper"] = (text, _, _) => text.Any(char.IsUpper) && !text.Any(char.IsLower),
        ["join"] = (text, arguments, budget) => Join(text, arguments.Need(0, "iterable", "join"), budget),
        ["ljust"] = (text, arguments, budget) => Pad(text, arguments.GetInteger(0, "width", 0), Fill(arguments), -1, budget),
        ["lower"] = (text, _, _) => PythonText.Lower(text),
        ["lstrip"] = (text, arguments, _) => PythonText.StripLeft(text, Characters(arguments)),
        ["partition"] = (text, arguments, budget) => Partition(text, arguments.NeedText(0, "sep", "partition"), false, budget),
        ["removeprefix"] = (text, arguments, _) =>
            arguments.NeedText(0, "prefix", "removeprefix") is var affix && text.StartsWith(affix, StringComparison.Ordinal)
            ? text[affix.Length..] : text,
        ["removesuffix"] = (text, arguments, _) =>
            arguments.NeedText(0, "suffix", "removesuffix") is var affix && text.EndsWith(affix, StringComparison.Ordinal)
            ? text[..^affix.Length] : text,
        ["replace"] = (text, arguments, budget) => Replace(
            text, arguments.NeedText(0, "old", "replace"), arguments.NeedText(1, "new", "replace"), arguments.GetInteger(2, "count", -1), budget),
        ["rfind"] = (text, arguments, budget) => Find(text, arguments.NeedText(0, "sub", "rfind"), true, budget),
        ["rjust"] = (text, arguments, budget) => Pad(text, arguments.GetInteger(0, "width", 0), Fill(arguments), 1, budget),
        ["rpartition"] = (text, arguments, budget) => Partition(text, arguments.NeedText(0, "sep", "rpartition"), true, budget),
        ["rsplit"] = (text, arguments, budget) => Split(text, arguments, true, budget),
        ["rstrip"] = (text, arguments, _) => PythonText.StripRight(text, Characters(arguments)),
        ["split"] = (text, arguments, budget) => Split(text, arguments, false, budget),
        ["splitlines"] = (text, arguments, budget) => arguments.Positional.Count + arguments.Named.Count == 0
            ? Charged(PythonText.Lines(text), budget) : throw new JinjaError("splitlines takes no argument here"),
        ["startswith"] = (text, arguments, _) =>
            Affixes(arguments, "startswith").Any(affix => text.StartsWith(affix, StringComparison.Ordinal)),
        ["strip"] = (text, arguments, _) => PythonText.Strip(text, Characters(arguments)),
        ["swapcase"] = (text, _, _) => string.Concat(text.Select(letter =>
            char.IsUpper(letter) ? char.ToLowerInvariant(letter) : char.ToUpperInvariant(letter))),
        ["title"] = (text, _, _) => PythonText.Title(text),
        ["upper"] = (text, _, _) => PythonText.Upper(text),
        ["zfill"] = (text, arguments, budget) => ZeroFill(text, arguments.GetInteger(0, "width", 0), budget),
    };

    private static readonly Dictionary<string, Method<JinjaMap>> OfMap = new(StringComparer.Ordinal)
    {
        ["copy"] = (map, _, _) => map,
        ["get"] = (map, arguments, _) => map.TryGet(arguments.Need(0, "key", "get"), out object? value) ? value : arguments.Get(1, "default", null),
        ["items"] = (map, _, budget) => Pairs(map, budget),
        ["keys"] = (map, _, budget) => new JinjaList(Operations.Iterate(map, budget)),
        ["values"] = (map, _, budget) =>
        {
            budget.Take(map.Entries.Count);
            return new JinjaList([.. map.Entries.Select(entry => entry.Value)]);
        },
    };

    private static readonly Dictionary<string, Method<JinjaList>> OfList = new(StringComparer.Ordinal)
    {
        ["copy"] = (list, _, _) => list,
        ["count"] = (list, arguments, budget) => (long)list.Items.Count(item => Operations.AreEqual(item, arguments.Need(0, "value", "count"), budget)),
        ["index"] = (list, arguments, budget) =>
        {
            for (int i = 0; i < list.Items.Count; i++)
                if (Operations.AreEqual(list.Items[i], arguments.Need(0, "value", "index"), budget))
                    return (long)i;
            throw new JinjaError("index did not find the item");
        },
    };

    private static readonly HashSet<string> Changing =
        ["append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "sort", "update"];

    /// <summary>A method of a value, or null if it has none of that name.</summary>
    public static JinjaFunction? Find(object? value, string name) => value switch
    {
        string text => Bind(OfText, text, name),
        JinjaMap map => Bind(OfMap, map, name) ?? (map.TryGet(name, out _) ? null : Refusal(name)),
        JinjaList list => Bind(OfList, list, name) ?? Refusal(name) ?? (name == "reverse" ? Refuse(name) : null),
        _ => null,
    };

    /// <summary>The entries of a map, as a list of pairs.</summary>
    public static JinjaList Pairs(JinjaMap map, Budget budget)
    {
        budget.Take(2L * map.Entries.Count);
        return new JinjaList([.. map.Entries.Select(entry => new JinjaList([entry.Key, entry.Value], isTuple: true))]);
    }

    /// <summary>Pads to a width.</summary>
    /// <param name="text">the text</param>
    /// <param name="width">code points</param>
    /// <param name="fill">what to pad with</param>
    /// <param name="side">where the text goes: -1 left, 0 middle, 1 right</param>
    /// <param name="budget">what the rendering may use</param>
    public static string Pad(string text, long width, char fill, int side, Budget budget)
    {
        long missing = width - PythonText.Length(text);
        if (missing <= 0)
            return text;
        budget.TakeText(missing);
        // Python puts the odd one to the left where both the gap and the width are odd.
        long left = side < 0 ? 0 : side > 0 ? missing : missing / 2 + (missing & width & 1);
        return new string(fill, (int)left) + text + new string(fill, (int)(missing - left));
    }

    /// <summary>str.replace</summary>
    public static string Replace(string text, string old, string with, long count, Budget budget)
    {
        budget.TakeSearch(text, old);
        StringBuilder result = new();
        int at = 0;
        for (; count != 0; count--)
        {
            int found = old.Length == 0 ? at : text.IndexOf(old, at, StringComparison.Ordinal);
            if (found < 0 || found > text.Length)
                break;
            budget.TakeText(found - at + with.Length);
            result.Append(text, at, found - at).Append(with);
            at = found + old.Length;
            if (old.Length > 0)
                continue;
            if (at == text.Length)
                return result.ToString();
            result.Append(text[at++]);
        }
        budget.TakeText(text.Length - at);
        return result.Append(text, at, text.Length - at).ToString();
    }

    private static JinjaFunction? Bind<T>(Dictionary<string, Method<T>> methods, T value, string name) =>
        methods.TryGetValue(name, out Method<T>? method)
            ? new JinjaFunction(name, (interpreter, arguments) =>
            {
                if (value is string text)
                    interpreter.Budget.TakeText(text.Length);
                return method(value, arguments, interpreter.Budget);
            })
            : null;

    private static JinjaFunction? Refusal(string name) => Changing.Contains(name) ? Refuse(name) : null;

    private static JinjaFunction Refuse(string name) =>
        new(name, (_, _) => throw new JinjaError($"the method '{name}' changes its value, which templates may not do"));

    private static string? Characters(Arguments arguments) => arguments.Get(0, "chars", null) switch
    {
        null => null,
        string characters when characters.Length <= 1000 => characters,
        _ => throw new JinjaError("the characters to strip must be a string of at most 1000"),
    };

    private static char Fill(Arguments arguments) => arguments.Get(1, "fillchar", " ") is string { Length: 1 } fill
        ? fill[0]
        : throw new JinjaError("the character to fill with must be one");

    private static IEnumerable<string> Affixes(Arguments arguments, string method) => arguments.Need(0, "prefix", method) switch
    {
        string affix => [affix],
        JinjaList { IsTuple: true } list => list.Items.OfType<string>(),
        _ => throw new JinjaError($"{method} takes a string or a tuple of strings"),
    };

    private static long Find(string text, string part, bool last, Budget budget)
    {
        budget.TakeSearch(text, part);
        int at = last ? text.LastIndexOf(part, StringComparison.Ordinal) : text.IndexOf(part, StringComparison.Ordinal);
        return at < 0 ? -1 : PythonText.Length(text[..at]);
    }

    private static long Count(string text, string part, Budget budget)
    {
        budget.TakeSearch(text, part);
        if (part.Length == 0)
            return PythonText.Length(text) + 1;
        long count = 0;
        for (int at = 0; (at = text.IndexOf(part, at, StringComparison.Ordinal)) >= 0; at += part.Length)
            count++;
        return count;
    }

    private static JinjaList Partition(string text, string separator, bool last, Budget budget)
    {
        budget.TakeSearch(text, separator);
        if (separator.Length == 0)
            throw new JinjaError("the separator is empty");
        int at = last ? text.LastIndexOf(separator, StringComparison.Ordinal) : text.IndexOf(separator, StringComparison.Ordinal);
        object?[] parts = at >= 0 ? [text[..at], separator, text[(at + separator.Length)..]] : last ? ["", "", text] : [text, "", ""];
        return new JinjaList(parts, isTuple: true);
    }

    private static JinjaList Split(string text, Arguments arguments, bool fromRight, Budget budget)
    {
        string? separator = arguments.Get(0, "sep", null) switch
        {
            null => null,
            string { Length: > 0 } given => given,
            _ => throw new JinjaError("the separator must be a string that is not empty"),
        };
        budget.TakeSearch(text, separator ?? " ");
        return Charged(PythonText.Split(text, separator, arguments.GetInteger(1, "maxsplit", -1), fromRight), budget);
    }

    private static JinjaList Charged(List<string> parts, Budget budget)
    {
        budget.Take(parts.Count);
        return new JinjaList(parts);
    }

    private static string Join(string separator, object? items, Budget budget)
    {
        StringBuilder result = new();
        bool first = true;
        foreach (object? item in Operations.Iterate(items, budget))
        {
            string text = item as string ?? throw new JinjaError($"join takes strings, not a {Operations.TypeName(item)}");
            budget.TakeText(text.Length + separator.Length);
            result.Append(first ? "" : separator).Append(text);
            first = false;
        }
        return result.ToString();
    }

    private static string ZeroFill(string text, long width, Budget budget)
    {
        string sign = text.StartsWith('-') || text.StartsWith('+') ? text[..1] : "";
        return sign + Pad(text[sign.Length..], width - sign.Length, '0', 1, budget);
    }
}
