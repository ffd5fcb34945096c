using System.Globalization;
using System.Text;
using ElmNative.Compute;

namespace ElmNative.Transformers.Tokenization.Patterns;

/// <summary>
/// Parses the part of Oniguruma's regular expressions that pre-tokenizers use: classes with Unicode properties, groups, case-insensitive
/// groups, alternatives, greedy, lazy and possessive repetition, look-ahead, anchors.
/// </summary>
internal ref struct PatternParser
{
    private const int DeepestNesting = 64;
    private readonly string pattern;
    private readonly string place;
    private int at;
    private int depth;
    private bool ignoreCase;
    private bool dotAll;

    private PatternParser(string pattern, string place)
    {
        this.pattern = pattern;
        this.place = place;
    }

    /// <summary>Parses a whole pattern.</summary>
    /// <param name="pattern">the regular expression</param>
    /// <param name="place">the file and component for error messages</param>
    /// <exception cref="ElmException">the pattern is malformed or uses what is not supported</exception>
    public static PatternNode Parse(string pattern, string place)
    {
        PatternParser parser = new(pattern, place);
        PatternNode node = parser.ParseChoice();
        return parser.at == pattern.Length ? node : throw parser.Error("an unmatched ')'");
    }

    /// <summary>The node that matches a literal text.</summary>
    public static PatternNode Literal(string text) => new PatternNode.Chain(
        [.. text.EnumerateRunes().Select(rune => OnePoint(rune.Value, ignoreCase: false))]);

    private readonly bool More => at < pattern.Length;

    private readonly char Current => pattern[at];

    private readonly ElmException Error(string what) =>
        new($"{place}: the pattern has {what} at position {at}, which elmn does not support.");

    private PatternNode ParseChoice()
    {
        if (++depth > DeepestNesting)
            throw Error("groups nested too deeply");
        bool outerCase = ignoreCase, outerDot = dotAll;
        List<PatternNode> alternatives = [ParseChain()];
        while (More && Current == '|')
        {
            at++;
            alternatives.Add(ParseChain());
        }
        (ignoreCase, dotAll) = (outerCase, outerDot);
        depth--;
        return alternatives.Count == 1 ? alternatives[0] : new PatternNode.Choice(alternatives);
    }

    private PatternNode ParseChain()
    {
        List<PatternNode> items = [];
        while (More && Current is not ('|' or ')'))
        {
            if (ParseAtom() is { } atom)
                items.Add(ParseRepeats(atom));
        }
        return items.Count == 1 ? items[0] : new PatternNode.Chain(items);
    }

    private PatternNode ParseRepeats(PatternNode item)
    {
        for (int stacked = 0; More; stacked++)
        {
            int least, most;
            bool braces = false;
            switch (Current)
            {
                case '*': (least, most) = (0, int.MaxValue); at++; break;
                case '+': (least, most) = (1, int.MaxValue); at++; break;
                case '?': (least, most) = (0, 1); at++; break;
                case '{' when TryParseBounds(out least, out most): braces = true; break;
                default: return item;
            }
            if (stacked > 0)
                throw Error("a repetition of a repetition");
            if (most == int.MaxValue && item.MayBeEmpty)
                throw Error("an endless repetition of something that may be empty");
            bool lazy = More && Current == '?', possessive = More && Current == '+' && !braces;
            if (lazy || possessive)
                at++;
            item = new PatternNode.Repeat(item, least, most, !lazy);
            if (possessive)
                item = new PatternNode.Atomic(item);
        }
        return item;
    }

    private bool TryParseBounds(out int least, out int most)
    {
        (least, most) = (0, 0);
        int end = pattern.IndexOf('}', at);
        if (end < 0)
            return false;
        string[] bounds = pattern[(at + 1)..end].Split(',');
        if (bounds.Length > 2 || bounds.All(bound => bound.Length == 0) ||
            bounds.Any(bound => bound.Length > 4 || !bound.All(char.IsAsciiDigit)))
            return false;
        least = bounds[0].Length == 0 ? 0 : int.Parse(bounds[0], CultureInfo.InvariantCulture);
        most = bounds.Length == 1 ? least : bounds[1].Length == 0 ? int.MaxValue : int.Parse(bounds[1], CultureInfo.InvariantCulture);
        if (most < least)
            throw Error("a repetition with its bounds reversed");
        at = end + 1;
        return true;
    }

    /// <summary>One atom; null for a group that only sets options.</summary>
    private PatternNode? ParseAtom()
    {
        switch (Current)
        {
            case '(':
                return ParseGroup();
            case '[':
                return new PatternNode.Set(ParseClass());
            case '.':
                at++;
                CodePointSet any = new(negated: true, ignoreCase: false);
                if (dotAll)
                    any.AddRange(-1, -1);
                else
                    any.AddRange('\n', '\n');
                return new PatternNode.Set(any);
            case '^':
                at++;
                return new PatternNode.Anchor(AnchorKind.LineStart);
            case '$':
                at++;
                return new PatternNode.Anchor(AnchorKind.LineEnd);
            case '*' or '+' or '?':
                throw Error("a repetition of nothing");
            case '\\':
                return ParseEscape();
            default:
                return OnePoint(ReadPoint(), ignoreCase);
        }
    }

    private PatternNode? ParseGroup()
    {
        at++;
        Func<PatternNode, PatternNode> wrap = node => node;
        if (More && Current == '?')
        {
            at++;
            if (Take(":"))
                wrap = node => node;
            else if (Take("="))
                wrap = node => new PatternNode.Ahead(node, Negated: false);
            else if (Take("!"))
                wrap = node => new PatternNode.Ahead(node, Negated: true);
            else if (Take(">"))
                wrap = node => new PatternNode.Atomic(node);
            else if (More && Current is 'i' or 'm' or 'x' or '-')
                return ParseOptions();
            else
                throw Error("a kind of group");
        }
        PatternNode inner = ParseChoice();
        Close();
        return wrap(inner);
    }

    /// <summary>(?i) for the rest of the group around it, or (?i:...).</summary>
    private PatternNode? ParseOptions()
    {
        (bool newCase, bool newDot) = (ignoreCase, dotAll);
        bool on = true;
        while (More && Current is not (':' or ')'))
        {
            switch (Current)
            {
                case '-': on = false; break;
                case 'i': newCase = on; break;
                case 'm': newDot = on; break;
                default: throw Error("a group option");
            }
            at++;
        }
        if (Take(")"))
        {
            (ignoreCase, dotAll) = (newCase, newDot);
            return null;
        }
        if (!Take(":"))
            throw Error("a group without its end");
        (bool outerCase, bool outerDot) = (ignoreCase, dotAll);
        (ignoreCase, dotAll) = (newCase, newDot);
        PatternNode inner = ParseChoice();
        (ignoreCase, dotAll) = (outerCase, outerDot);
        Close();
        return inner;
    }

    private void Close()
    {
        if (!Take(")"))
            throw Error("a group without its end");
    }

    private bool Take(string text)
    {
        if (string.CompareOrdinal(pattern, at, text, 0, text.Length) != 0)
            return false;
        at += text.Length;
        return true;
    }

    private PatternNode ParseEscape()
    {
        char letter = at + 1 < pattern.Length ? pattern[at + 1] : throw Error("a lone backslash");
        AnchorKind? anchor = letter switch { 'A' => AnchorKind.TextStart, 'z' => AnchorKind.TextEnd, _ => null };
        if (anchor is { } kind)
        {
            at += 2;
            return new PatternNode.Anchor(kind);
        }
        CodePointSet set = new(negated: false, ignoreCase);
        AddEscape(set);
        return new PatternNode.Set(set);
    }

    /// <summary>Adds what the escape at the current place stands for; returns the code point if it is a single one, else -1.</summary>
    private int AddEscape(CodePointSet set)
    {
        at++;
        char letter = More ? Current : throw Error("a lone backslash");
        at++;
        switch (letter)
        {
            case 'p' or 'P':
                AddProperty(set, letter == 'P');
                return -1;
            case 's' or 'S':
                set.AddSpace(letter == 'S');
                return -1;
            case 'd' or 'D':
                set.AddCategories(CodePointSet.CategoriesNamed("Nd"), letter == 'D');
                return -1;
            case 'w' or 'W':
                set.AddWord(letter == 'W');
                return -1;
        }
        int point = letter switch
        {
            'n' => '\n', 'r' => '\r', 't' => '\t', 'f' => '\f', 'v' => '\v', 'a' => '\a', 'e' => 0x1B,
            'x' => ParseHex(),
            'u' => ParseHexDigits(4, 4),
            _ when char.IsAsciiLetterOrDigit(letter) => throw Error($"the escape \\{letter}"),
            _ => PointEndingWith(letter),
        };
        set.AddRange(point, point);
        return point;
    }

    private int PointEndingWith(char letter)
    {
        if (!char.IsSurrogate(letter))
            return letter;
        at--;
        return ReadPoint();
    }

    private int ParseHex()
    {
        if (!Take("{"))
            return ParseHexDigits(1, 2);
        int point = ParseHexDigits(1, 6);
        return Take("}") ? point : throw Error("a hexadecimal escape without its end");
    }

    private int ParseHexDigits(int least, int most)
    {
        int point = 0, count = 0;
        for (; count < most && More && char.IsAsciiHexDigit(Current); count++, at++)
            point = point * 16 + Convert.ToInt32(Current.ToString(), 16);
        return count >= least && point <= 0x10FFFF ? point : throw Error("a malformed hexadecimal escape");
    }

    private void AddProperty(CodePointSet set, bool negate)
    {
        string name;
        if (Take("{"))
        {
            int end = pattern.IndexOf('}', at);
            if (end < 0)
                throw Error("a property without its end");
            name = pattern[at..end];
            at = end + 1;
        }
        else
        {
            name = More ? Current.ToString() : throw Error("a property without a name");
            at++;
        }
        if (name.StartsWith('^'))
        {
            negate = !negate;
            name = name[1..];
        }
        uint mask = CodePointSet.CategoriesNamed(name);
        if (mask == 0)
            throw Error($"the property '{name}'");
        set.AddCategories(mask, negate);
    }

    private CodePointSet ParseClass()
    {
        if (++depth > DeepestNesting)
            throw Error("classes nested too deeply");
        at++;
        bool negated = Take("^");
        CodePointSet set = new(negated, ignoreCase);
        for (bool first = true; ; first = false)
        {
            if (!More)
                throw Error("a class without its end");
            if (Current == ']' && !first)
                break;
            if (Current == '[')
            {
                if (at + 1 < pattern.Length && pattern[at + 1] == ':')
                    throw Error("a POSIX class");
                set.AddSet(ParseClass());
                continue;
            }
            if (Current == '&' && at + 1 < pattern.Length && pattern[at + 1] == '&')
                throw Error("an intersection of classes");
            int low;
            if (Current == '\\')
            {
                CodePointSet part = new(negated: false, ignoreCase);
                low = AddEscape(part);
                if (low < 0)
                {
                    set.AddSet(part);
                    continue;
                }
            }
            else
                low = ReadPoint();
            int high = low;
            if (at + 1 < pattern.Length && Current == '-' && pattern[at + 1] != ']')
            {
                at++;
                high = Current == '\\' ? AddEscape(new CodePointSet(false, false)) : ReadPoint();
                if (high < low)
                    throw Error("a range with its ends reversed");
            }
            set.AddRange(low, high);
        }
        at++;
        depth--;
        return set;
    }

    private int ReadPoint()
    {
        if (Rune.DecodeFromUtf16(pattern.AsSpan(at), out Rune rune, out int length) != System.Buffers.OperationStatus.Done)
            throw Error("an unpaired surrogate");
        at += length;
        return rune.Value;
    }

    private static PatternNode OnePoint(int point, bool ignoreCase)
    {
        CodePointSet set = new(negated: false, ignoreCase);
        set.AddRange(point, point);
        return new PatternNode.Set(set);
    }
}
