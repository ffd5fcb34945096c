using System.Text;

namespace ElmNative.Experience.Answers;

/// <summary>
/// A recursive-descent parser from tokens to a <see cref="Node"/>. Every method returns null where the text is not an answer it understands;
/// nothing throws, and nesting is bounded.
/// </summary>
internal sealed partial class LatexParser
{
    private const int DeepestNesting = 48;
    private const int HighestTree = 150;

    /// <summary>Factors read in all, those read again after a wrong guess included.</summary>
    private const int MostSteps = 8192;

    /// <summary>Functions in one answer; they take the most time to evaluate.</summary>
    private const int MostFunctions = 16;


    private readonly List<Token> tokens;
    private int at;
    private int depth;
    private int bars;
    private bool currency;
    private bool colonEnds;
    private int steps;
    private int functions;

    private LatexParser(List<Token> tokens) => this.tokens = tokens;

    private Token Next => tokens[at];

    private Token After => tokens[Math.Min(at + 1, tokens.Count - 1)];

    /// <summary>Parses a whole answer; null where it cannot be read.</summary>
    public static Node? Parse(List<Token> tokens)
    {
        LatexParser parser = new([.. tokens]);
        if (parser.ReadChoice() is { } choice) return choice;
        Node? node = parser.ReadList(top: true);
        return node is not null && parser.Next.Kind == TokenKind.End ? node : null;
    }

    private bool Accept(char mark)
    {
        if (!Next.Is(mark)) return false;
        at++;
        return true;
    }

    private bool AcceptCommand(string name)
    {
        if (!Next.IsCommand(name)) return false;
        at++;
        return true;
    }

    /// <summary>"(C) 12", "C. 12", "C)": a choice letter with or without the option's content.</summary>
    private Node? ReadChoice()
    {
        int start = Next.Is('(') ? 1 : 0;
        if (tokens.Count < start + 3) return null;
        Token letter = tokens[start], mark = tokens[start + 1], rest = tokens[start + 2];
        if (letter.Kind != TokenKind.Letter || letter.Run.Length != 1 || letter.Text[0] is < 'A' or > 'J') return null;
        if (!(mark.Is(')') || (start == 0 && (mark.Is('.') || mark.Is(':'))))) return null;
        if (rest.Kind == TokenKind.End) return start == 1 ? null : new Choice(letter.Text, null);
        bool separate = rest.SpaceBefore || (mark.FromText && !rest.FromText);
        if (!separate || (rest.Kind == TokenKind.Mark && !rest.Is('¤') && !rest.Is('-') && !rest.Is('(') && !rest.Is('⦃'))) return null;
        if (rest.Is('-') && mark.Is(')')) return null;
        List<Token> content = tokens[(start + 2)..];
        LatexParser parser = new(content);
        Node? node = parser.ReadList(top: true) is { } read && parser.Next.Kind == TokenKind.End ? read : null;
        return new Choice(letter.Text, node ?? new Words(WordsOf(content)));
    }

    /// <summary>Letters and digits of tokens in lower case, without leading articles.</summary>
    private static string WordsOf(IEnumerable<Token> words)
    {
        StringBuilder spaced = new();
        foreach (Token token in words)
        {
            if (token.SpaceBefore || token.Kind == TokenKind.Text) spaced.Append(' ');
            spaced.Append(token.IsCommand("and") || token.IsCommand("or") ? ' ' + token.Text + ' ' : token.Text);
        }
        return Normalise(spaced.ToString());
    }

    private static string Normalise(string words)
    {
        string lower = words.ToLowerInvariant();
        string[] parts = lower.Split((char[])[' ', '\t', '\n', '\r', '~', '\\'], StringSplitOptions.RemoveEmptyEntries);
        int from = parts.Length > 1 && parts[0] is "a" or "an" or "the" ? 1 : 0;
        StringBuilder result = new();
        foreach (string part in parts.AsSpan(Math.Min(from, parts.Length)))
            foreach (char c in part)
                if (char.IsLetterOrDigit(c)) result.Append(c);
        return result.ToString();
    }

    /// <summary>
    /// Items between separators. One item is itself; several are an unordered collection at the top, and the caller's own structure inside
    /// brackets. With both kinds of separator, the semicolons part sequences.
    /// </summary>
    private Node? ReadList(bool top)
    {
        int start = at;
        if (ReadItems(top, out bool mixed, out bool either, out List<Node> items, out List<int> breaks) is false) return null;
        if (items.Count == 1)
        {
            // A later group that begins with 0 is no member of a list.
            if (top && tokens[start].Groups is { } groups && at == start + 1 && !groups.Any(g => g[0] == '0'))
                return new Collection(groups.Select(Node (g) => new Number(long.Parse(g))).ToArray(), items[0]);
            return items[0];
        }
        if (!mixed) return new Collection(items, null, either);
        List<Node> sequences = [];
        breaks.Add(items.Count);
        int from = 0;
        foreach (int to in breaks)
        {
            List<Node> part = items[from..to];
            sequences.Add(part.Count == 1 ? part[0] : new Sequence('(', ')', part));
            from = to;
        }
        return new Collection(sequences);
    }

    private bool ReadItems(bool top, out bool mixed, out bool either, out List<Node> items, out List<int> breaks)
    {
        either = false;
        items = [];
        breaks = [];
        bool commas = false;
        mixed = false;
        if (++depth > DeepestNesting) return false;
        while (true)
        {
            if (ReadItem() is not { } item) return false;
            Spread(item, items);
            if (items.Count > 512) return false;
            bool semicolon = false, separator = false, comma = false, word = false;
            while (true)
            {
                if (Accept(',')) comma = true;
                else if (Accept(';')) semicolon = true;
                else if (AcceptCommand("and")) word = true;
                else if (AcceptCommand("or")) word = either = true;
                else break;
                separator = true;
            }
            if (!separator) break;
            if (Next.Kind == TokenKind.End) break;
            if (semicolon) breaks.Add(items.Count);
            commas |= comma && !word && !semicolon;
        }
        depth--;
        mixed = top && commas && breaks.Count > 0;
        return true;
    }

    /// <summary>Adds an item, and both of it where it has a sign of two meanings.</summary>
    private static void Spread(Node item, List<Node> items)
    {
        if (item is Collection or Matrix || !item.Any(n => n is Apply { Operation: Operation.PlusMinus or Operation.MinusPlus }))
        {
            items.Add(item);
            return;
        }
        int signs = CountSigns(item);
        bool joint = item.Any(n => n is Apply { Operation: Operation.MinusPlus });
        if (signs > 3 && !joint)
        {
            items.Add(item);
            return;
        }
        int readings = joint ? 2 : 1 << signs;
        for (int reading = 0; reading < readings; reading++)
        {
            int bit = 0;
            items.Add(Choose(item, reading, joint, ref bit));
        }
    }

    private static int CountSigns(Node node) =>
        (node is Apply { Operation: Operation.PlusMinus or Operation.MinusPlus } ? 1 : 0) + node.Parts.Sum(CountSigns);

    private static Node Choose(Node node, int reading, bool joint, ref int bit)
    {
        if (node.Parts.Count == 0) return node;
        Node[] parts = new Node[node.Parts.Count];
        for (int i = 0; i < parts.Length; i++) parts[i] = Choose(node.Parts[i], reading, joint, ref bit);
        if (node is not Apply { Operation: Operation.PlusMinus or Operation.MinusPlus } sign) return node.With(parts);
        bool minus = joint ? (reading == 1) == (sign.Operation == Operation.PlusMinus) : (reading >> bit++ & 1) == 1;
        if (parts.Length == 1) return minus ? new Apply(Operation.Negate, parts) : parts[0];
        return new Apply(minus ? Operation.Subtract : Operation.Add, parts);
    }

    /// <summary>One item: words, or a relation with an optional currency sign.</summary>
    private Node? ReadItem()
    {
        if (ReadWords() is { } words) return words;
        bool outer = currency;
        currency = false;
        Node? item = ReadRelation();
        if (item is not null && currency && item is not Measured) item = new Measured(item, "dollar");
        currency = outer;
        return item is Apply { IsScalar: true } product && BeforeUnitLetters(product) is var (value, kind) && !value.Any(n => n is Symbol)
            ? new Measured(value, kind, product)
            : item;
    }

    /// <summary>The value before single letters that may be units: 3s, 5 m, 9.8 m/s^2.</summary>
    private static (Node Value, string? Kind)? BeforeUnitLetters(Apply node)
    {
        if (node is { Operation: Operation.Multiply, LooksLikeCall: false, Parts: [var value, Symbol { Name: var unit }] } && Units.IsUnitLetter(unit)) return (value, Units.KindOf(unit));
        if (node is not { Operation: Operation.Divide, Parts: [Apply upper, var lower] } || BeforeUnitLetters(upper) is not var (inner, _)) return null;
        if (lower is Apply { Operation: Operation.Power, Parts: [var root, Number] }) lower = root;
        return lower is Symbol { Name: "s" or "h" or "m" } ? (inner, null) : null;
    }

    /// <summary>An item of words only: at least one text command, or a run of four or more letters that no operator follows.</summary>
    private Node? ReadWords()
    {
        int end = at;
        bool word = false;
        while (tokens[end].Kind is TokenKind.Letter or TokenKind.Text || tokens[end].Is('-') || tokens[end].Is('\'') || tokens[end].Is('.') || tokens[end].Is('/'))
        {
            Token token = tokens[end];
            word |= token.Kind == TokenKind.Text || token.Run.Length >= 4;
            end++;
        }
        Token stop = tokens[end];
        if (!word || !(stop.Kind == TokenKind.End || stop.Is(',') || stop.Is(';') || stop.IsCommand("and") || stop.IsCommand("or") || stop.Is('⦄') || stop.Is(')') || stop.Is('}'))) return null;
        Words words = new(WordsOf(tokens[at..end]));
        at = end;
        return words.Text.Length == 0 ? null : NumberWords.Read(words.Text) is { } number ? new Number(Rational.Of(number)) : words;
    }

    private static Comparison? ComparisonOf(Token token) => token.Kind != TokenKind.Mark ? null : token.Text[0] switch
    {
        '=' => Comparison.Equal,
        '<' => Comparison.Less,
        '≤' => Comparison.LessOrEqual,
        '>' => Comparison.Greater,
        '≥' => Comparison.GreaterOrEqual,
        '≠' => Comparison.NotEqual,
        '∈' => Comparison.In,
        '≈' => Comparison.Nearly,
        _ => null,
    };

    private Node? ReadRelation()
    {
        if (ReadSetOperation() is not { } first) return null;
        if (ComparisonOf(Next) is null) return first;
        List<Node> sides = [first];
        List<Comparison> signs = [];
        while (ComparisonOf(Next) is { } sign)
        {
            at++;
            if (ReadSetOperation() is not { } side) return null;
            signs.Add(sign);
            sides.Add(side);
            if (sides.Count > 16) return null;
        }
        return new Relation(sides, signs);
    }

    private Node? ReadSetOperation()
    {
        if (ReadRatio() is not { } left) return null;
        int operations = 0;
        while (Next.Is('∪') || Next.Is('∩') || Next.Is('∖'))
        {
            char kind = Next.Text[0] switch { '∪' => 'u', '∩' => 'n', _ => '-' };
            at++;
            if (++operations > 40 || ReadRatio() is not { } right) return null;
            left = new SetOperation(kind, left, right);
        }
        return left;
    }

    private Node? ReadRatio()
    {
        int start = at;
        if (ReadSum() is not { } first) return null;
        if (!Next.Is(':') || colonEnds) return first;
        List<Node> parts = [first];
        bool clock = tokens[start].Kind == TokenKind.Number && at == start + 1;
        while (Next.Is(':'))
        {
            at++;
            int from = at;
            if (parts.Count > 16 || ReadSum() is not { } part) return null;
            clock &= tokens[from].Kind == TokenKind.Number && tokens[from].Text.Length == 2;
            parts.Add(part);
        }
        if (parts[^1] is Measured { Kind: var kind } last)
        {
            parts[^1] = last.Value;
            return new Measured(new Ratio(parts, clock), kind);
        }
        return new Ratio(parts, clock);
    }

    /// <summary>Terms, and the units that may follow them.</summary>
    private Node? ReadSum()
    {
        if (++depth > DeepestNesting) return null;
        Node? sum = ReadSigned();
        while (sum is not null)
        {
            Operation? operation = Next.Kind != TokenKind.Mark ? null : Next.Text[0] switch
            {
                '+' => Operation.Add,
                '-' => Operation.Subtract,
                '±' => Operation.PlusMinus,
                '∓' => Operation.MinusPlus,
                _ => null,
            };
            if (operation is not { } found) break;
            at++;
            sum = ReadSigned() is { } term && sum.Height < HighestTree ? new Apply(found, sum, term) : null;
        }
        depth--;
        return sum is null ? null : ReadUnits(sum);
    }

    private Node? ReadSigned()
    {
        Operation? sign = Next.Is('-') ? Operation.Negate : Next.Is('±') ? Operation.PlusMinus : Next.Is('∓') ? Operation.MinusPlus : null;
        if (sign is null && !Next.Is('+')) return ReadProduct();
        at++;
        if (++depth > DeepestNesting) return null;
        Node? term = ReadSigned();
        depth--;
        return term is null || sign is not { } found ? term : new Apply(found, term);
    }

    private Node? ReadProduct()
    {
        if (ReadFactor() is not { } product) return null;
        while (true)
        {
            if (product.Height > HighestTree) return null;
            if (Next.Is('*') || Next.Is('/'))
            {
                Operation operation = Next.Is('*') ? Operation.Multiply : Operation.Divide;
                if (operation == Operation.Divide && StartsUnit(at + 1)) break;
                at++;
                bool negative = false;
                while (Next.Is('-') || Next.Is('+'))
                {
                    negative ^= Next.Is('-');
                    at++;
                }
                if (ReadFactor() is not { } factor) return null;
                product = new Apply(operation, product, negative ? new Apply(Operation.Negate, factor) : factor);
            }
            else if (StartsFactor())
            {
                bool call = product is Symbol && Next.Is('(');
                bool literal = tokens[at - 1].Kind == TokenKind.Number;
                bool numberAfterNumber = literal && Next.Kind == TokenKind.Number;
                int start = at;
                if (ReadFactor() is not { } factor) return null;
                if (literal && product is Number { DecimalDigits: 0 } && MixedFraction(factor, start, numberAfterNumber) is { } fraction)
                    product = factor is Apply { Operation: Operation.Percent or Operation.Degree } outside && !ReferenceEquals(outside, fraction)
                        ? outside.With([new Apply(Operation.Add, product, fraction)])
                        : new Apply(Operation.Add, product, fraction);
                else if (numberAfterNumber) return null;
                else product = new Apply(Operation.Multiply, [product, factor], "", call);
            }
            else
            {
                return product;
            }
        }
        return product;
    }

    /// <summary>The proper fraction of a mixed number, written as a fraction command or (after a space) as n/m; null where it is something else.</summary>
    private Node? MixedFraction(Node factor, int start, bool plain)
    {
        if (plain)
        {
            if (!Next.Is('/') || After.Kind != TokenKind.Number || factor is not Number { DecimalDigits: 0 } upper) return null;
            Number lower = new(After.Value, After.DecimalDigits);
            if (!(upper.Value.CompareTo(lower.Value) < 0)) return null;
            at += 2;
            return new Apply(Operation.Divide, upper, lower);
        }
        if (factor is Apply { Operation: Operation.Percent or Operation.Degree, Parts: [var part] }) return MixedFraction(part, start, plain: false);
        return tokens[start].IsCommand("frac")
            && factor is Apply { Operation: Operation.Divide, Parts: [Number { DecimalDigits: 0 } a, Number { DecimalDigits: 0 } b] }
            && a.Value.Sign > 0 && a.Value.CompareTo(b.Value) < 0
            ? factor
            : null;
    }

    private bool StartsFactor()
    {
        Token next = Next;
        return next.Kind switch
        {
            TokenKind.Number => true,
            TokenKind.Letter => !StartsUnit(at),
            TokenKind.Command => next.Text is not ("and" or "or" or "end" or "circ" or "ldots" or "choose" or "over") && !StartsUnit(at),
            TokenKind.Mark => next.Text[0] switch
            {
                '(' or '{' or '⌊' or '⌈' => true,
                '|' => bars == 0,
                _ => false,
            },
            _ => false,
        };
    }

    /// <summary>Whether the letters here are a unit word rather than a product of variables.</summary>
    private bool StartsUnit(int place)
    {
        Token token = tokens[place];
        if (token.Kind == TokenKind.Text) return true;
        if (token.Kind == TokenKind.Command)
        {
            Token following = tokens[Math.Min(place + 1, tokens.Count - 1)];
            return token.Text is "sec" or "min" && (following.Kind == TokenKind.End || following.Is(',') || following.Is('^'));
        }
        if (token.Kind != TokenKind.Letter || token.PlaceInRun != 0) return false;
        string run = token.Run.ToLowerInvariant();
        if (run.Length >= 2 && Units.IsUnit(run)) return true;
        return run.Length >= 4 && token.SpaceBefore && place > 0 && tokens[place - 1].Kind is TokenKind.Number or TokenKind.Mark;
    }

    /// <summary>Units after a value: words, powers of units, units per unit, a trailing currency sign.</summary>
    private Node ReadUnits(Node value)
    {
        int start = at;
        List<string> words = [];
        while (true)
        {
            Token next = Next;
            if (next.Kind == TokenKind.Text)
            {
                words.AddRange(next.Text.ToLowerInvariant().Split((char[])[' ', '.', '/', '~', '\\', '^', ','], StringSplitOptions.RemoveEmptyEntries));
                at++;
            }
            else if (next.Kind == TokenKind.Letter && (StartsUnit(at) || (words.Count > 0 && next.PlaceInRun == 0)))
            {
                words.Add(next.Run.ToLowerInvariant());
                at += next.Run.Length;
            }
            else if (next.Kind == TokenKind.Command && StartsUnit(at))
            {
                words.Add(next.Text);
                at++;
            }
            else if (next.Is('¤') || next.Is('¢'))
            {
                words.Add(next.Is('¢') ? "cents" : "dollars");
                at++;
            }
            else if (next.Is('/') && (StartsUnit(at + 1) || (words.Count > 0 && After.Kind == TokenKind.Letter)))
            {
                words.Add("per");
                at++;
            }
            else if (words.Count > 0 && (next.Is('.') || next.Is('*')))
            {
                at++;
            }
            else if (words.Count > 0 && next.Is('^') && ReadUnitPower())
            {
            }
            else
            {
                break;
            }
        }
        return start == at ? value : new Measured(value, Units.KindOfPhrase(words));
    }

    private bool ReadUnitPower()
    {
        int end = at + 1;
        if (tokens[end].Is('{'))
        {
            while (tokens[end].Kind != TokenKind.End && !tokens[end].Is('}')) end++;
            if (tokens[end].Kind == TokenKind.End || end > at + 6) return false;
        }
        else if (tokens[end].Is('-'))
        {
            end++;
        }
        at = Math.Min(end + 1, tokens.Count - 1);
        return true;
    }
}
