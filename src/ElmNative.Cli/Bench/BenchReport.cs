using System.Globalization;
using System.Text;
using System.Text.Json;

namespace ElmNative.Cli.Bench;

/// <summary>How results are printed.</summary>
internal enum BenchFormat
{
    /// <summary>A Markdown table, ready to be pasted.</summary>
    Md,
    /// <summary>Comma-separated values with a header; what holds for the whole run is repeated on each line.</summary>
    Csv,
    /// <summary>One JSON object: what holds for the whole run, and the rows under <c>results</c>.</summary>
    Json,
}

/// <summary>A number that is easier to read in a unit: Markdown prints the text, CSV and JSON the value.</summary>
internal readonly record struct Quantity(long Value, string Text);

/// <summary>A column of a report.</summary>
/// <param name="Title">its head in Markdown</param>
/// <param name="Key">its name in CSV and JSON</param>
/// <param name="Digits">.NET format of its numbers in Markdown; null for text</param>
/// <param name="Spread">its cells are <see cref="Measured"/>: CSV and JSON get a second member with the suffix <c>_stddev</c></param>
internal sealed record BenchColumn(string Title, string Key, string? Digits = null, bool Spread = false);

/// <summary>
/// A table of measurements with what a reader needs to judge and repeat it. Cells are text, numbers, <see cref="Quantity"/>, <see cref="Measured"/>, or null where there is nothing to say.
/// </summary>
internal sealed class BenchReport(BenchFormat format, IReadOnlyList<BenchColumn> columns)
{
    private readonly List<(string Key, string Value)> facts = [];
    private readonly List<object?[]> rows = [];

    /// <summary>Number of rows.</summary>
    public int Count => rows.Count;

    /// <summary>Adds something that holds for the whole run: the program, the machine, the command.</summary>
    public void Fact(string key, string value) => facts.Add((key, value));

    /// <summary>Adds a row, a cell for each column.</summary>
    public void Row(params object?[] cells)
    {
        if (cells.Length != columns.Count)
            throw new ArgumentException($"{cells.Length} cells for {columns.Count} columns");
        rows.Add(cells);
    }

    /// <summary>Prints everything.</summary>
    public void Write(TextWriter output) => output.Write(format switch
    {
        BenchFormat.Csv => Csv(),
        BenchFormat.Json => Json(),
        _ => Markdown(),
    });

    private string Markdown()
    {
        string[][] cells = [.. rows.Select(row => row.Select((cell, c) => Text(cell, columns[c].Digits)).ToArray())];
        int[] widths = [.. columns.Select((column, c) => Math.Max(3, Math.Max(column.Title.Length, cells.Select(row => row[c].Length).DefaultIfEmpty().Max())))];
        StringBuilder text = new();
        Line([.. columns.Select(column => column.Title)]);
        text.Append('|');
        for (int c = 0; c < columns.Count; c++)
            text.Append(columns[c].Digits is null ? " :" + new string('-', widths[c] - 1) : " " + new string('-', widths[c] - 1) + ":").Append(" |");
        text.Append('\n');
        foreach (string[] row in cells)
            Line(row);
        text.Append('\n');
        foreach ((string key, string value) in facts)
            text.Append("- ").Append(key.Replace('_', ' ')).Append(": ").Append(value).Append('\n');
        return text.ToString();

        void Line(string[] row)
        {
            text.Append('|');
            for (int c = 0; c < row.Length; c++)
                text.Append(' ').Append(columns[c].Digits is null ? row[c].PadRight(widths[c]) : row[c].PadLeft(widths[c])).Append(" |");
            text.Append('\n');
        }
    }

    private static string Text(object? cell, string? digits) => cell switch
    {
        null => "",
        Quantity quantity => quantity.Text,
        Measured m => $"{m.Mean.ToString(digits, CultureInfo.InvariantCulture)} ± {m.Deviation.ToString(digits, CultureInfo.InvariantCulture)}",
        IFormattable number => number.ToString(digits, CultureInfo.InvariantCulture),
        _ => cell.ToString()!.Replace("|", "\\|"),
    };

    private string Csv()
    {
        StringBuilder text = new();
        List<string> head = [];
        foreach (BenchColumn column in columns)
            head.AddRange(column.Spread ? [column.Key, column.Key + "_stddev"] : [column.Key]);
        Line([.. head, .. facts.Select(fact => fact.Key)]);
        foreach (object?[] row in rows)
        {
            List<string> line = [];
            for (int c = 0; c < row.Length; c++)
                if (columns[c].Spread)
                    line.AddRange(row[c] is Measured m ? [Plain(m.Mean), Plain(m.Deviation)] : ["", ""]);
                else
                    line.Add(Plain(row[c]));
            Line([.. line, .. facts.Select(fact => fact.Value)]);
        }
        return text.ToString();

        void Line(IEnumerable<string> cells) => text.AppendJoin(',', cells.Select(Quote)).Append('\n');

        static string Plain(object? cell) => cell switch
        {
            double number => number.ToString("G6", CultureInfo.InvariantCulture),
            Quantity quantity => quantity.Value.ToString(CultureInfo.InvariantCulture),
            IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
            _ => cell?.ToString() ?? "",
        };

        static string Quote(string cell) => cell.AsSpan().ContainsAny(",\"\n\r") ? $"\"{cell.Replace("\"", "\"\"")}\"" : cell;
    }

    private string Json()
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            foreach ((string key, string value) in facts)
                json.WriteString(key, value);
            json.WriteStartArray("results");
            foreach (object?[] row in rows)
            {
                json.WriteStartObject();
                for (int c = 0; c < row.Length; c++)
                    Member(json, columns[c].Key, row[c]);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray()) + "\n";
    }

    private static void Member(Utf8JsonWriter json, string key, object? cell)
    {
        switch (cell)
        {
            case null: json.WriteNull(key); break;
            case Measured m:
                Member(json, key, m.Mean);
                Member(json, key + "_stddev", m.Deviation);
                break;
            case double number when double.IsFinite(number): json.WriteNumber(key, double.Parse(number.ToString("G6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture)); break;
            case double: json.WriteNull(key); break;
            case Quantity quantity: json.WriteNumber(key, quantity.Value); break;
            case int number: json.WriteNumber(key, number); break;
            case long number: json.WriteNumber(key, number); break;
            case bool yes: json.WriteBoolean(key, yes); break;
            default: json.WriteString(key, cell.ToString()); break;
        }
    }
}
