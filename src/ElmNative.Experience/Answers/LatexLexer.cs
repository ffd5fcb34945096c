using System.Globalization;
using System.Numerics;
using System.Text;

namespace ElmNative.Experience.Answers;

/// <summary>The kinds of token.</summary>
internal enum TokenKind { Number, Letter, Command, Mark, Text, End }

/// <summary>One token of an answer.</summary>
internal readonly record struct Token(TokenKind Kind, string Text, bool SpaceBefore)
{
    /// <summary>A number's exact value.</summary>
    public Rational Value { get; init; }

    /// <summary>See <see cref="Number.DecimalDigits"/>.</summary>
    public int DecimalDigits { get; init; }

    /// <summary>The groups of a number that plain commas joined (1,234), or null.</summary>
    public string[]? Groups { get; init; }

    /// <summary>The whole run of letters that a letter belongs to.</summary>
    public string Run { get; init; } = "";

    /// <summary>The letter's place in its run.</summary>
    public int PlaceInRun { get; init; }

    /// <summary>Whether the token stood inside a text command.</summary>
    public bool FromText { get; init; }

    public bool Is(char mark) => Kind == TokenKind.Mark && Text[0] == mark;

    public bool IsCommand(string name) => Kind == TokenKind.Command && Text == name;
}

/// <summary>
/// Cuts LaTeX, or plain text with mathematics in it, into tokens. Layout (dollar signs, sizes, spaces) disappears; different spellings of one
/// sign become one token. Marks of the result that are not themselves in the text: ⦃ ⦄ set braces, ¤ currency, ≤ ≥ ≠ ≈ ∈ ∪ ∩ ∖ ± ∓ ° and so on.
/// </summary>
internal sealed class LatexLexer
{
    private readonly string text;
    private readonly List<Token> tokens = [];
    private int at;
    private bool space;
    private bool inText;
    private int brackets;
    private int environments;

    private LatexLexer(string text) => this.text = text;

    /// <summary>The tokens, ended by one of kind <see cref="TokenKind.End"/>; null where the text cannot be read (an unclosed text command and the like).</summary>
    public static List<Token>? Read(string text)
    {
        LatexLexer lexer = new(text);
        if (!lexer.ReadAll(0)) return null;
        lexer.Add(TokenKind.End, "");
        return lexer.tokens;
    }

    /// <summary>A spelling in which braces around single tokens do not count, for answers that could not be parsed.</summary>
    public static string SpellLoosely(IReadOnlyList<Token> tokens)
    {
        List<Token> kept = [];
        for (int i = 0; i < tokens.Count; i++)
        {
            bool single = tokens[i].Is('{') && i + 2 < tokens.Count && tokens[i + 2].Is('}');
            kept.Add(single ? tokens[i + 1] : tokens[i]);
            if (single) i += 2;
        }
        return Spell(kept);
    }

    /// <summary>The tokens as one string without spaces: the spelling by which unreadable answers are compared.</summary>
    public static string Spell(IReadOnlyList<Token> tokens)
    {
        StringBuilder spelled = new();
        foreach (Token token in tokens)
        {
            if (token.Kind == TokenKind.Command) spelled.Append('\\');
            spelled.Append(token.Kind == TokenKind.Number ? token.Value.ToString() : token.Text);
            if (token.Kind is TokenKind.Command or TokenKind.Number) spelled.Append(' ');
        }
        return spelled.ToString();
    }

    private bool ReadAll(int nesting)
    {
        while (at < text.Length)
        {
            char c = text[at];
            if (char.IsWhiteSpace(c) || c is '~' or '$' or '\u200b' or '\ufeff')
            {
                space = true;
                at++;
            }
            else if (c == '\\')
            {
                if (!ReadCommand(nesting)) return false;
            }
            else if (char.IsAsciiDigit(c) || (c == '.' && at + 1 < text.Length && char.IsAsciiDigit(text[at + 1])))
            {
                ReadNumber();
            }
            else if (char.IsAsciiLetter(c))
            {
                ReadLetters();
            }
            else
            {
                ReadMark(c);
            }
        }
        return true;
    }

    private void Add(TokenKind kind, string content)
    {
        tokens.Add(new Token(kind, content, space) { FromText = inText, Run = content });
        space = false;
    }

    private void Mark(char mark)
    {
        if (mark is '(' or '[' or '⦃' or '⟨') brackets++;
        else if (mark is ')' or ']' or '⦄' or '⟩') brackets = Math.Max(0, brackets - 1);
        Add(TokenKind.Mark, mark.ToString());
    }

    private void ReadMark(char c)
    {
        char next = at + 1 < text.Length ? text[at + 1] : '\0';
        (char mark, int length) = (c, next) switch
        {
            ('<', '=') or ('=', '<') => ('≤', 2),
            ('>', '=') => ('≥', 2),
            ('!', '=') => ('≠', 2),
            ('=', '=') => ('=', 2),
            ('*', '*') => ('^', 2),
            ('+', '/') when text.AsSpan(at).StartsWith("+/-") => ('±', 3),
            _ => (c, 1),
        };
        at += length;
        if (LatexVocabulary.Characters.TryGetValue(mark, out string? command))
        {
            if (command.Length == 1) Mark(command[0]);
            else if (LatexVocabulary.Fractions.TryGetValue(command, out (int Upper, int Lower) parts)) AddFraction(parts.Upper, parts.Lower);
            else if (command.StartsWith('^')) AddPower(command[1] - '0');
            else Add(TokenKind.Command, command);
            return;
        }
        if (mark is >= '\uff01' and <= '\uff5e')
        {
            // Full-width forms are the ASCII characters shifted; digits are put together by the number rule below.
            Refold();
            return;
        }
        Mark(mark);
    }

    /// <summary>Reads a run of full-width characters as the ASCII characters they stand for.</summary>
    private void Refold()
    {
        int start = --at;
        while (at < text.Length && text[at] is >= '\uff01' and <= '\uff5e') at++;
        string folded = string.Create(at - start, (text, start), (span, from) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = (char)(from.text[from.start + i] - 0xfee0);
        });
        LatexLexer inner = new(folded) { space = space, brackets = brackets, inText = inText };
        if (!inner.ReadAll(1)) return;
        tokens.AddRange(inner.tokens);
        (space, brackets) = (false, inner.brackets);
    }

    private void AddNumber(long value)
    {
        tokens.Add(new Token(TokenKind.Number, value.ToString(CultureInfo.InvariantCulture), space) { Value = value, Run = "", FromText = inText });
        space = false;
    }

    private void AddFraction(int upper, int lower)
    {
        Add(TokenKind.Command, "frac");
        foreach (int part in (int[])[upper, lower])
        {
            Mark('{');
            AddNumber(part);
            Mark('}');
        }
    }

    private void AddPower(int exponent)
    {
        Mark('^');
        AddNumber(exponent);
    }

    private void ReadLetters()
    {
        int start = at;
        while (at < text.Length && char.IsAsciiLetter(text[at])) at++;
        string run = text[start..at];
        if (run is "a" or "p" or "A" or "P" && at + 1 < text.Length && text[at] == '.' && text[at + 1] is 'm' or 'M')
        {
            at += 2;
            Add(TokenKind.Text, run.ToLowerInvariant() + "m");
            return;
        }
        if (LatexVocabulary.Words.TryGetValue(run, out string? meaning))
        {
            if (meaning.Length == 1 && !char.IsAsciiLetter(meaning[0])) Mark(meaning[0]);
            else Add(TokenKind.Command, meaning);
            return;
        }
        AddLetters(run);
    }

    private void AddLetters(string run)
    {
        for (int i = 0; i < run.Length; i++)
        {
            tokens.Add(new Token(TokenKind.Letter, run[i].ToString(), space) { Run = run, PlaceInRun = i, FromText = inText });
            space = false;
        }
    }

    private void ReadNumber()
    {
        int start = at;
        StringBuilder digits = new();
        TakeDigits(digits);
        List<string>? groups = null;
        bool plain = false;
        if (digits.Length is > 0 and <= 3 && digits[0] != '0')
        {
            while (Separator() is var length and > 0)
            {
                plain |= text[at] == ',' && length == 1;
                int from = at + length;
                groups ??= [digits.ToString()];
                groups.Add(text.Substring(from, 3));
                digits.Append(text, from, 3);
                at = from + 3;
            }
        }
        int point = 0;
        if (at + 1 < text.Length && text[at] == '.' && char.IsAsciiDigit(text[at + 1]))
        {
            at++;
            int before = digits.Length;
            TakeDigits(digits);
            point = digits.Length - before;
        }
        Rational value = digits.Length <= 5000
            ? Rational.Of(BigInteger.Parse(digits.ToString(), CultureInfo.InvariantCulture), BigInteger.Pow(10, Math.Min(point, 5000))) ?? Rational.Zero
            : Rational.Zero;
        int significant = value.IsInteger ? 0 : digits.ToString().TrimStart('0').Length;
        value = Repeating(value, point, ref significant);
        value = Exponent(value);
        tokens.Add(new Token(TokenKind.Number, text[start..at], space)
        {
            Value = value, DecimalDigits = value.IsInteger ? 0 : significant, Run = "", FromText = inText,
            Groups = plain && point == 0 ? groups!.ToArray() : null,
        });
        space = false;
    }

    private void TakeDigits(StringBuilder digits)
    {
        while (at < text.Length && char.IsAsciiDigit(text[at])) digits.Append(text[at++]);
    }

    /// <summary>The length of a thousands separator here that exactly three digits follow, or 0.</summary>
    private int Separator()
    {
        ReadOnlySpan<char> rest = text.AsSpan(at);
        int length = 0;
        if (rest.StartsWith("{,}")) length = 3;
        else if (rest.StartsWith(",\\!")) length = 3;
        else if (rest.StartsWith("\\,")) length = 2;
        else if (rest.StartsWith(",") && brackets == 0) length = 1;
        else if (rest.StartsWith(" ") && brackets == 0 && environments == 0 && !inText) length = 1;
        if (length == 0) return 0;
        if (length > 1)
            while (length < rest.Length && rest[length] == ' ') length++;
        int end = length;
        while (end < rest.Length && char.IsAsciiDigit(rest[end])) end++;
        return end - length == 3 ? length : 0;
    }

    /// <summary>A bar over digits after the point: 0.1\overline{6}.</summary>
    private Rational Repeating(Rational value, int point, ref int significant)
    {
        const string bar = "\\overline{";
        ReadOnlySpan<char> rest = text.AsSpan(at);
        int from = at;
        if (rest.StartsWith("." + bar)) from++;
        else if (point == 0 || !rest.StartsWith(bar)) return value;
        int start = from + bar.Length, end = start;
        while (end < text.Length && char.IsAsciiDigit(text[end])) end++;
        if (end == start || end - start > 200 || end == text.Length || text[end] != '}') return value;
        BigInteger block = BigInteger.Parse(text.AsSpan(start, end - start), CultureInfo.InvariantCulture);
        BigInteger nines = (BigInteger.Pow(10, end - start) - 1) * BigInteger.Pow(10, Math.Min(point, 5000));
        if (Rational.Of(block, nines) is not { } tail || Rational.Add(value, tail) is not { } sum) return value;
        at = end + 1;
        significant = 0;
        return sum;
    }

    private Rational Exponent(Rational value)
    {
        if (at >= text.Length || text[at] is not ('e' or 'E')) return value;
        int from = at + 1;
        if (from < text.Length && text[from] is '+' or '-') from++;
        int end = from;
        while (end < text.Length && char.IsAsciiDigit(text[end])) end++;
        if (end == from || end - from > 4 || (end < text.Length && char.IsAsciiLetter(text[end]))) return value;
        int exponent = int.Parse(text.AsSpan(at + 1, end - at - 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        if (Math.Abs(exponent) > 2000 || Rational.Power(10, exponent) is not { } scale || Rational.Multiply(value, scale) is not { } product) return value;
        at = end;
        return product;
    }

    private bool ReadCommand(int nesting)
    {
        at++;
        if (at == text.Length) return true;
        int start = at;
        if (!char.IsAsciiLetter(text[at])) return ReadSymbolCommand(text[at++]);
        while (at < text.Length && char.IsAsciiLetter(text[at])) at++;
        string name = text[start..at];
        if (LatexVocabulary.Layout.Contains(name))
        {
            // "\left." and "\right." are invisible brackets.
            if (name is "left" or "right" && at < text.Length && text[at] == '.') at++;
            space = true;
            return true;
        }
        if (LatexVocabulary.TextCommands.Contains(name)) return ReadText(name, nesting);
        if (name is "begin" or "end") return ReadEnvironment(name);
        if (LatexVocabulary.Commands.TryGetValue(name, out string? meaning))
        {
            if (meaning.Length == 1) Mark(meaning[0]);
            else Add(TokenKind.Command, meaning);
            return true;
        }
        Add(TokenKind.Command, name);
        return true;
    }

    private bool ReadSymbolCommand(char c)
    {
        switch (c)
        {
            case '{': Mark('⦃'); break;
            case '}': Mark('⦄'); break;
            case '$': Mark('¤'); break;
            case '%': Mark('%'); break;
            case '|': Mark('|'); break;
            case '&' or '#' or '_': Mark(c); break;
            case '\\':
                if (environments > 0) Mark('\\');
                else space = true;
                break;
            case ',' or '!' or ';' or ':' or ' ' or '/' or '-' or '(' or ')' or '[' or ']' or '>' or '\'' or '"' or '\n' or '\r' or '\t':
                space = true;
                break;
            default:
                Mark('\\');
                at--;
                break;
        }
        return true;
    }

    private bool ReadEnvironment(string name)
    {
        if (Group() is not { } environment) return false;
        environment = environment.TrimEnd('*');
        if (name == "begin")
        {
            environments++;
            if (environment is "array" or "tabular" && Group() is null) return false;
        }
        else
        {
            environments = Math.Max(0, environments - 1);
        }
        tokens.Add(new Token(TokenKind.Command, name, space) { Run = environment });
        space = false;
        return true;
    }

    private bool ReadText(string name, int nesting)
    {
        string? content = Group();
        if (content is null)
        {
            // "\bf 5": a switch, not a command with an argument.
            space = true;
            return true;
        }
        if (nesting > 20) return false;
        string trimmed = content.Trim();
        if (name is "mathbb" or "Bbb")
        {
            if (trimmed == "R") Add(TokenKind.Command, "reals");
            else Add(TokenKind.Command, "mathbb:" + trimmed);
            return true;
        }
        if (trimmed.Length == 0)
        {
            space = true;
            return true;
        }
        if (LatexVocabulary.Words.TryGetValue(trimmed, out string? meaning) && (meaning.Length > 1 || meaning is "%"))
        {
            if (meaning == "%") Mark('%');
            else Add(TokenKind.Command, meaning);
            return true;
        }
        if (IsHalfOfDay(trimmed) is { } half)
        {
            Add(TokenKind.Text, half);
            return true;
        }
        if (IsWords(trimmed) || (tokens.Count > 0 && EndsValue(tokens[^1]) && Units.AreUnits(trimmed)))
        {
            AddWords(trimmed);
            space = true;
            return true;
        }
        LatexLexer inner = new(content) { space = space, brackets = brackets, inText = true };
        if (!inner.ReadAll(nesting + 1)) return false;
        tokens.AddRange(inner.tokens);
        space = inner.space;
        return true;
    }

    /// <summary>Words as one token, or several with the connections between them; a label before the answer is dropped.</summary>
    private void AddWords(string words)
    {
        if (tokens.Count == 0 && words.EndsWith(':')) return;
        foreach ((string connection, string spelled) in ((string, string)[])[("and", " and "), ("or", " or "), (",", ", ")])
        {
            int middle = words.IndexOf(spelled, StringComparison.Ordinal);
            if (middle <= 0 || words.Length <= middle + spelled.Length || (connection == "," && tokens.Count > 0)) continue;
            AddWords(words[..middle]);
            space = true;
            if (connection == ",") Mark(',');
            else Add(TokenKind.Command, connection);
            space = true;
            AddWords(words[(middle + spelled.Length)..]);
            return;
        }
        Add(TokenKind.Text, words);
    }

    private static string? IsHalfOfDay(string words) => words.ToLowerInvariant() is "a.m." or "a.m" or "am" ? "am" : words.ToLowerInvariant() is "p.m." or "p.m" or "pm" ? "pm" : null;

    private static bool EndsValue(Token token) => token.Kind == TokenKind.Number || token.Is('}') || token.Is(')') || token.IsCommand("pi");

    /// <summary>Words, as opposed to a number, a letter or mathematics in a text command.</summary>
    private static bool IsWords(string content)
    {
        int run = 0, longest = 0;
        foreach (char c in content)
        {
            if (char.IsDigit(c) || c is '\\' or '$' or '=' or '{' or '}') return false;
            run = char.IsLetter(c) ? run + 1 : 0;
            longest = Math.Max(longest, run);
        }
        return longest >= 2;
    }

    /// <summary>The raw content of a braced group here, after spaces; null where there is none or it does not end.</summary>
    private string? Group()
    {
        int from = at;
        while (from < text.Length && char.IsWhiteSpace(text[from])) from++;
        if (from == text.Length || text[from] != '{') return null;
        int end = Extraction.ClosingBrace(text, from + 1);
        if (end < 0) return null;
        at = end + 1;
        return text[(from + 1)..end];
    }
}
