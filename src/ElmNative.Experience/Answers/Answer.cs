using System.Text;

namespace ElmNative.Experience.Answers;

/// <summary>An answer as read: its spelling without layout, and its tree where it could be parsed.</summary>
internal sealed class Answer
{
    /// <summary>Longer answers are compared by spelling only.</summary>
    private const int LongestParsed = 2048;

    private Answer(string spelling, Node? node, string? loose = null)
    {
        Spelling = spelling;
        LooseSpelling = loose ?? spelling;
        Node = node;
    }

    /// <summary>The tokens without layout; the trimmed text where it cannot be cut into tokens. Empty where there is nothing but layout.</summary>
    public string Spelling { get; }

    /// <summary>The spelling by which two answers are compared when neither could be parsed.</summary>
    public string LooseSpelling { get; }

    public Node? Node { get; }

    /// <summary>Reads an answer, which may be a whole response with a box or running text that states its result.</summary>
    public static Answer Read(string text)
    {
        string content = Content(text);
        if (content.Length > LongestParsed) return new Answer(content, null);
        if (LatexLexer.Read(content) is not { } tokens) return new Answer(content, null);
        string spelling = LatexLexer.Spell(tokens);
        return new Answer(spelling, LatexParser.Parse(tokens), LatexLexer.SpellLoosely(tokens));
    }

    /// <summary>What two equal answers are, for people.</summary>
    public static string KindOf(Node a, Node b) => (a, b) switch
    {
        (Choice, _) or (_, Choice) => "option",
        (Relation { Signs: [Comparison.Equal, ..] }, Relation) => "equation",
        (Relation or SetOperation, _) or (_, Relation or SetOperation) => "statement",
        (Collection, _) or (_, Collection) => "set",
        (Sequence, _) => "tuple or interval",
        (Matrix, _) or (_, Matrix) => "matrix",
        (Words, _) or (_, Words) => "words",
        (Measured, _) or (_, Measured) => "value apart from units",
        _ => "value",
    };

    private static string Content(string text)
    {
        string content = text;
        if (text.Contains("boxed", StringComparison.Ordinal) || text.Contains("fbox", StringComparison.Ordinal)) content = Extraction.Boxes(text) ?? text;
        else if (text.Length <= 100_000) content = Extraction.Stated(text) ?? text;
        if (content.Length > LongestParsed) return content.Trim();
        content = Unescape(content).Trim();
        while (true)
        {
            string before = content;
            content = content.TrimEnd('.', ',', ';', ' ', '\n', '\r', '\t');
            if (content.EndsWith('\\')) content = content[..^1];
            content = Unquote(content, '\'');
            content = Unquote(content, '"');
            content = Unquote(content, '`');
            if (content.Length > 4 && content.StartsWith("**", StringComparison.Ordinal) && content.EndsWith("**", StringComparison.Ordinal)) content = content[2..^2];
            if (content == before) return content;
            content = content.Trim();
        }
    }

    private static string Unquote(string text, char quote) => text.Length > 2 && text[0] == quote && text[^1] == quote ? text[1..^1] : text;

    /// <summary>Text whose every command has a doubled backslash was escaped once too often.</summary>
    private static string Unescape(string text)
    {
        if (!text.Contains("\\\\", StringComparison.Ordinal)) return text;
        bool doubled = false;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '\\') continue;
            bool two = i + 1 < text.Length && text[i + 1] == '\\';
            int after = i + (two ? 2 : 1);
            if (!two && after < text.Length) return text;
            doubled |= after < text.Length && char.IsAsciiLetter(text[after]);
            i = after - 1;
        }
        if (!doubled) return text;
        StringBuilder single = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            single.Append(text[i]);
            if (text[i] == '\\') i++;
        }
        return single.ToString();
    }
}
