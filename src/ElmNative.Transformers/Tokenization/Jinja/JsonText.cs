using System.Globalization;
using System.Text;
using System.Text.Json;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Values as JSON text, the way Python's json.dumps writes it with ensure_ascii off, and JSON as values.</summary>
internal sealed class JsonText
{
    private const int DeepestValue = 100;
    private readonly StringBuilder text = new();
    private readonly Budget budget;
    private readonly string? indent;
    private readonly string itemSeparator, keySeparator;
    private readonly bool sortKeys, ascii;

    private JsonText(Budget budget, string? indent, string itemSeparator, string keySeparator, bool sortKeys, bool ascii)
    {
        this.budget = budget;
        this.indent = indent;
        this.itemSeparator = itemSeparator;
        this.keySeparator = keySeparator;
        this.sortKeys = sortKeys;
        this.ascii = ascii;
    }

    /// <summary>The filter tojson, with the arguments that Hugging Face's has.</summary>
    public static string Write(object? value, Arguments arguments, Budget budget)
    {
        string? indent = arguments.Get(1, "indent", null) switch
        {
            null => null,
            long width when width <= 64 => new string(' ', (int)Math.Max(width, 0)),
            string prefix => prefix,
            _ => throw new JinjaError("tojson: 'indent' must be a small number"),
        };
        (string item, string key) = (indent is null ? ", " : ",", ": ");
        if (arguments.Get(2, "separators", null) is { } separators)
            (item, key) = separators is JinjaList { Items: [string first, string second] }
                ? (first, second)
                : throw new JinjaError("tojson: 'separators' must be a pair of strings");
        bool ascii = Operations.Truth(arguments.Get(0, "ensure_ascii", false));
        bool sort = Operations.Truth(arguments.Get(3, "sort_keys", false));
        JsonText writer = new(budget, indent, item, key, sort, ascii);
        writer.Write(value, 0);
        return writer.text.ToString();
    }

    /// <summary>JSON as a value.</summary>
    public static object? Read(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                JinjaMap map = new();
                foreach (JsonProperty member in element.EnumerateObject())
                    map.Set(member.Name, Read(member.Value));
                return map;
            case JsonValueKind.Array:
                return new JinjaList([.. element.EnumerateArray().Select(Read)]);
            case JsonValueKind.Number:
                return element.TryGetInt64(out long whole) ? whole : element.GetDouble();
            case JsonValueKind.String:
                return element.GetString();
            default:
                return element.ValueKind switch { JsonValueKind.True => true, JsonValueKind.False => false, _ => null };
        }
    }

    private void Write(object? value, int depth)
    {
        if (depth > DeepestValue)
            throw new JinjaError("a value nests too deeply");
        budget.Take(1 + (indent is null ? 0 : (long)depth * indent.Length / 16));
        switch (value)
        {
            case null or bool or long or double:
                text.Append(Scalar(value));
                break;
            case string content:
                Quote(content);
                break;
            case JinjaList list:
                WriteItems('[', ']', list.Items, depth, item => Write(item, depth + 1));
                break;
            case JinjaMap map:
                IEnumerable<(string Key, object? Value)> members = map.Entries.Select(entry => (Key(entry.Key), entry.Value));
                if (sortKeys)
                    members = members.OrderBy(member => member.Key, Comparer<string>.Create(PythonText.Compare));
                WriteItems('{', '}', [.. members], depth, member =>
                {
                    Quote(member.Key);
                    text.Append(keySeparator);
                    Write(member.Value, depth + 1);
                });
                break;
            default:
                throw new JinjaError($"tojson cannot write a {Operations.TypeName(value)}");
        }
    }

    private void WriteItems<T>(char open, char close, IReadOnlyList<T> items, int depth, Action<T> write)
    {
        text.Append(open);
        for (int i = 0; i < items.Count; i++)
        {
            text.Append(i > 0 ? itemSeparator : "");
            NewLine(depth + 1);
            write(items[i]);
        }
        if (items.Count > 0)
            NewLine(depth);
        text.Append(close);
    }

    private void NewLine(int depth)
    {
        if (indent is null)
            return;
        text.Append('\n');
        for (int i = 0; i < depth; i++)
            text.Append(indent);
    }

    private static string Key(object? key) => key switch
    {
        string content => content,
        null or bool or long or double => Scalar(key),
        _ => throw new JinjaError("tojson: a key must be a string or a number"),
    };

    private static string Scalar(object? value) => value switch
    {
        null => "null",
        bool truth => truth ? "true" : "false",
        double number when !double.IsFinite(number) => double.IsNaN(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity",
        double number => PythonText.Float(number),
        _ => ((long)value).ToString(CultureInfo.InvariantCulture),
    };

    private void Quote(string content)
    {
        budget.TakeText(content.Length * 2L);
        text.Append('"');
        foreach (char letter in content)
        {
            const string Short = "\"\\\b\f\n\r\t", Letters = "\"\\bfnrt";
            int index = Short.IndexOf(letter);
            if (index >= 0)
                text.Append('\\').Append(Letters[index]);
            else if (letter < ' ' || ascii && letter > '~')
                text.Append(CultureInfo.InvariantCulture, $"\\u{(int)letter:x4}");
            else
                text.Append(letter);
        }
        text.Append('"');
    }
}
