using System.Globalization;
using System.Text;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Kinds of token.</summary>
internal enum TokenKind { Data, BlockBegin, BlockEnd, VariableBegin, VariableEnd, Name, Text, Integer, Float, Operator, End }

/// <summary>A token of a template.</summary>
/// <param name="Kind">what it is</param>
/// <param name="Text">literal text, name, operator or string content</param>
/// <param name="Line">line of the template, from 1</param>
/// <param name="Value">value of a number</param>
internal readonly record struct Token(TokenKind Kind, string Text, int Line, object? Value = null)
{
    /// <summary>Whether this is a certain name.</summary>
    public bool IsName(string name) => Kind == TokenKind.Name && Text == name;

    /// <summary>Whether this is a certain operator.</summary>
    public bool IsOperator(string name) => Kind == TokenKind.Operator && Text == name;
}

/// <summary>
/// Cuts a template into tokens as Jinja2 does with trim_blocks and lstrip_blocks on: the newline after a block or comment goes, and so does
/// the white space before one that is alone at the start of its line; a sign at either end of a tag overrides that.
/// </summary>
internal sealed class Lexer
{
    private static readonly string[] Operators =
        ["**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"];

    private readonly string source;
    private readonly List<Token> tokens = [];
    private int at;
    private int line = 1;
    private int countedTo;
    private bool lineStarting = true;

    private Lexer(string source) => this.source = source;

    /// <summary>The tokens of a template, the last of kind <see cref="TokenKind.End"/>.</summary>
    /// <exception cref="JinjaError">malformed</exception>
    public static List<Token> Tokenize(string template)
    {
        string source = template.Replace("\r\n", "\n").Replace('\r', '\n');
        Lexer lexer = new(source.EndsWith('\n') ? source[..^1] : source);
        lexer.Run();
        return lexer.tokens;
    }

    private void Run()
    {
        while (at < source.Length)
        {
            int tag = NextTag();
            if (tag < 0)
            {
                Add(TokenKind.Data, source[at..]);
                at = source.Length;
                break;
            }
            char kind = source[tag + 1];
            char sign = tag + 2 < source.Length && source[tag + 2] is '-' or '+' ? source[tag + 2] : ' ';
            string text = Stripped(source[at..tag], sign, kind);
            if (text.Length > 0)
                Add(TokenKind.Data, text);
            at = tag + (sign == ' ' ? 2 : 3);
            if (kind == '#')
                SkipComment();
            else if (kind != '%' || !TryRaw())
                Tag(kind == '%');
            lineStarting = source[at - 1] == '\n';
        }
        Add(TokenKind.End, "");
    }

    private int NextTag()
    {
        for (int start = at; (start = source.IndexOf('{', start)) >= 0; start++)
            if (start + 1 < source.Length && source[start + 1] is '%' or '#' or '{')
                return start;
        return -1;
    }

    private string Stripped(string text, char sign, char kind)
    {
        if (sign == '-')
            return PythonText.StripRight(text, null);
        if (sign == '+' || kind == '{')
            return text;
        int lineStart = text.LastIndexOf('\n') + 1;
        if (lineStart == 0 && !lineStarting)
            return text;
        for (int i = lineStart; i < text.Length; i++)
            if (!CharacterClasses.IsPythonSpace(text[i]))
                return text;
        return text[..lineStart];
    }

    private void SkipComment()
    {
        int end = source.IndexOf("#}", at, StringComparison.Ordinal);
        if (end < 0)
            throw new JinjaError("a comment has no end", Line());
        char sign = end > at ? source[end - 1] : ' ';
        at = end + 2;
        AfterTag(sign);
    }

    /// <summary>What follows a tag's end: a minus takes all white space, nothing takes one newline, a plus leaves it.</summary>
    private void AfterTag(char sign)
    {
        if (sign == '-')
            SkipSpace();
        else if (sign != '+' && at < source.Length && source[at] == '\n')
            at++;
    }

    private void SkipSpace()
    {
        while (at < source.Length && CharacterClasses.IsPythonSpace(source[at]))
            at++;
    }

    private bool TryRaw()
    {
        int start = at;
        SkipSpace();
        if (string.CompareOrdinal(source, at, "raw", 0, 3) == 0)
        {
            at += 3;
            SkipSpace();
            bool strips = string.CompareOrdinal(source, at, "-%}", 0, 3) == 0;
            if (strips || string.CompareOrdinal(source, at, "%}", 0, 2) == 0)
            {
                at += strips ? 3 : 2;
                if (strips)
                    SkipSpace();
                Raw();
                return true;
            }
        }
        at = start;
        return false;
    }

    private void Raw()
    {
        int begin = at;
        lineStarting = source[at - 1] == '\n';
        for (int end = at; (end = source.IndexOf("{%", end, StringComparison.Ordinal)) >= 0; end += 2)
        {
            at = end + 2;
            char sign = at < source.Length && source[at] is '-' or '+' ? source[at++] : ' ';
            SkipSpace();
            if (string.CompareOrdinal(source, at, "endraw", 0, 6) != 0)
                continue;
            at += 6;
            SkipSpace();
            if (!TryEnd("%}"))
                continue;
            string text = Stripped(source[begin..end], sign, '%');
            if (text.Length > 0)
                Add(TokenKind.Data, text);
            return;
        }
        throw new JinjaError("a raw block has no end", Line());
    }

    /// <summary>Takes the end of a tag, with its sign, if it is next.</summary>
    private bool TryEnd(string end)
    {
        bool block = end == "%}";
        char sign = at < source.Length && (source[at] == '-' || source[at] == '+' && block) ? source[at] : ' ';
        int start = sign == ' ' ? at : at + 1;
        if (string.CompareOrdinal(source, start, end, 0, 2) != 0)
            return false;
        at = start + 2;
        if (block || sign == '-')
            AfterTag(sign);
        return true;
    }

    private void Tag(bool block)
    {
        Add(block ? TokenKind.BlockBegin : TokenKind.VariableBegin, "");
        Stack<char> open = new();
        while (true)
        {
            SkipSpace();
            if (at >= source.Length)
                throw new JinjaError("a tag has no end", Line());
            int tagLine = Line();
            if (open.Count == 0 && TryEnd(block ? "%}" : "}}"))
            {
                tokens.Add(new Token(block ? TokenKind.BlockEnd : TokenKind.VariableEnd, "", tagLine));
                return;
            }
            Inner(open);
        }
    }

    private void Inner(Stack<char> open)
    {
        char first = source[at];
        if (char.IsAsciiDigit(first))
            Number();
        else if (first is '\'' or '"')
            Quoted(first);
        else if (first == '_' || char.IsLetter(first))
        {
            int start = at;
            while (at < source.Length && (source[at] == '_' || char.IsLetterOrDigit(source[at])))
                at++;
            Add(TokenKind.Name, source[start..at]);
        }
        else
            Operator(open);
    }

    private void Operator(Stack<char> open)
    {
        string? found = Array.Find(Operators, name => string.CompareOrdinal(source, at, name, 0, name.Length) == 0);
        if (found is null)
            throw new JinjaError($"there is an unexpected character '{source[at]}'", Line());
        switch (found)
        {
            case "(" or "[" or "{":
                open.Push(found == "(" ? ')' : found == "[" ? ']' : '}');
                break;
            case ")" or "]" or "}" when open.Count == 0 || open.Pop() != found[0]:
                throw new JinjaError($"there is a '{found}' without its opening bracket", Line());
        }
        Add(TokenKind.Operator, found);
        at += found.Length;
    }

    private void Number()
    {
        int start = at;
        if (source[at] == '0' && at + 1 < source.Length && char.ToLowerInvariant(source[at + 1]) is var letter and ('x' or 'o' or 'b'))
        {
            at += 2;
            while (at < source.Length && (char.IsAsciiHexDigit(source[at]) || source[at] == '_'))
                at++;
            string digits = source[(start + 2)..at].Replace("_", "");
            try
            {
                Add(TokenKind.Integer, source[start..at], Convert.ToInt64(digits, letter == 'x' ? 16 : letter == 'o' ? 8 : 2));
            }
            catch (Exception error) when (error is FormatException or OverflowException or ArgumentException)
            {
                throw new JinjaError($"the number {source[start..at]} is malformed or too large", Line());
            }
            return;
        }
        SkipDigits();
        bool isFloat = false;
        if (at + 1 < source.Length && source[at] == '.' && char.IsAsciiDigit(source[at + 1]) && (start == 0 || source[start - 1] != '.'))
        {
            isFloat = true;
            at++;
            SkipDigits();
        }
        int exponent = at + 1 < source.Length && source[at] is 'e' or 'E' ? source[at + 1] is '+' or '-' ? at + 2 : at + 1 : source.Length;
        if (exponent < source.Length && char.IsAsciiDigit(source[exponent]))
        {
            isFloat = true;
            at = exponent;
            SkipDigits();
        }
        string text = source[start..at].Replace("_", "");
        if (isFloat)
            Add(TokenKind.Float, text, double.Parse(text, CultureInfo.InvariantCulture));
        else if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long value))
            Add(TokenKind.Integer, text, value);
        else
            throw new JinjaError($"the number {text} is too large", Line());
    }

    private void SkipDigits()
    {
        while (at < source.Length && (char.IsAsciiDigit(source[at]) ||
            source[at] == '_' && at + 1 < source.Length && char.IsAsciiDigit(source[at + 1])))
            at++;
    }

    private void Quoted(char quote)
    {
        int start = Line();
        StringBuilder text = new();
        for (at++; at < source.Length && source[at] != quote; at++)
        {
            if (source[at] != '\\')
                text.Append(source[at]);
            else if (++at < source.Length)
                Escape(text);
        }
        if (at >= source.Length)
            throw new JinjaError("a string has no end", start);
        at++;
        tokens.Add(new Token(TokenKind.Text, text.ToString(), start));
    }

    /// <summary>One escape of a Python string; the position stays on its last character.</summary>
    private void Escape(StringBuilder text)
    {
        char letter = source[at];
        const string Letters = "ntrabfv'\"\\", Values = "\n\t\r\a\b\f\v'\"\\";
        int simple = Letters.IndexOf(letter);
        if (simple >= 0)
            text.Append(Values[simple]);
        else if (letter is 'x' or 'u' or 'U')
            text.Append(HexEscape(letter == 'x' ? 2 : letter == 'u' ? 4 : 8));
        else if (letter is >= '0' and <= '7')
        {
            int value = 0, end = at;
            for (; end < source.Length && end < at + 3 && source[end] is >= '0' and <= '7'; end++)
                value = value * 8 + (source[end] - '0');
            at = end - 1;
            text.Append((char)value);
        }
        else if (letter != '\n')
            text.Append('\\').Append(letter);
    }

    private string HexEscape(int digits)
    {
        if (at + digits >= source.Length ||
            !int.TryParse(source.AsSpan(at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int point) ||
            point is < 0 or > 0x10FFFF)
            throw new JinjaError("a string has a malformed escape", Line());
        at += digits;
        return point is >= 0xD800 and <= 0xDFFF ? ((char)point).ToString() : char.ConvertFromUtf32(point);
    }

    private void Add(TokenKind kind, string text, object? value = null) => tokens.Add(new Token(kind, text, Line(), value));

    /// <summary>Line of the current position; counts on from the last call.</summary>
    private int Line()
    {
        for (; countedTo < at && countedTo < source.Length; countedTo++)
            if (source[countedTo] == '\n')
                line++;
        return line;
    }
}
