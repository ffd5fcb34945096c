using System.Text;

namespace ElmNative.Experience.Answers;

/// <summary>The parser's factors: literals, symbols, brackets, fractions, roots, functions, matrices, and what is attached behind them.</summary>
internal sealed partial class LatexParser
{
    private Node? ReadFactor()
    {
        if (++depth > DeepestNesting || ++steps > MostSteps) return null;
        Node? factor = ReadPrimary();
        if (factor is not null) factor = ReadPostfix(factor);
        depth--;
        return factor;
    }

    private Node? ReadPostfix(Node node)
    {
        for (int count = 0; count < 64; count++)
        {
            Token next = Next;
            if (next.Is('^'))
            {
                at++;
                if (AcceptDegree())
                {
                    node = Degrees(node);
                    continue;
                }
                if (Accept('\'') || (Next.Is('{') && After.Is('\'') && tokens[at + 2].Is('}')))
                {
                    if (node is not Symbol primed) return null;
                    if (Next.Is('{')) at += 3;
                    node = new Symbol(primed.Name + "'");
                    continue;
                }
                if (ReadArgument(wholeNumber: true) is not { } exponent) return null;
                if (Next.Is('^'))
                {
                    if (++depth > DeepestNesting || ReadPostfix(exponent) is not { } tower) return null;
                    depth--;
                    exponent = tower;
                }
                node = new Apply(Operation.Power, node, exponent);
            }
            else if (next.Is('!'))
            {
                at++;
                node = new Apply(Operation.Factorial, node);
            }
            else if (next.Is('°') || next.IsCommand("circ"))
            {
                at++;
                node = Degrees(node);
            }
            else if (next.Is('%'))
            {
                at++;
                node = new Apply(Operation.Percent, node);
            }
            else if (next.Is('\'') && node is Symbol symbol)
            {
                at++;
                node = new Symbol(symbol.Name + "'");
            }
            else if (next.Is('_'))
            {
                at++;
                if (Subscript() is not { } subscript) return null;
                if (node is Symbol plain) node = new Symbol(plain.Name + "_" + subscript);
                else if (node is Number { DecimalDigits: 0 } number && tokens[at - 1].Kind != TokenKind.End) node = new BaseNumber(number.Value.ToString(), subscript);
                else return null;
            }
            else if (node is Symbol function && CallStart(function.Name) is var start and > 0)
            {
                at += start;
                if (ReadItems(top: false, out _, out _, out List<Node> arguments, out _) is false || !Accept(')') || (start == 2 && !Accept('}'))) return null;
                node = new Apply(Operation.Call, arguments, function.Name);
            }
            else
            {
                return node;
            }
        }
        return null;
    }

    /// <summary>
    /// The tokens before the arguments of a call: 1 for f(x), 2 for f{(x)}, and 0 where the parentheses here belong to a factor. Any symbol before
    /// several arguments is a function.
    /// </summary>
    private int CallStart(string name)
    {
        int start = Next.Is('(') ? 1 : Next.Is('{') && After.Is('(') ? 2 : 0;
        if (start == 0 || IsFunctionName(name)) return start;
        int open = 0;
        for (int i = at + start - 1; i < tokens.Count && i < at + 128; i++)
        {
            if (tokens[i].Is('(') || tokens[i].Is('[') || tokens[i].Is('{') || tokens[i].Is('⦃')) open++;
            else if ((tokens[i].Is(')') || tokens[i].Is(']') || tokens[i].Is('}') || tokens[i].Is('⦄')) && --open == 0) return 0;
            else if (open == 1 && tokens[i].Is(',')) return start;
        }
        return 0;
    }

    /// <summary>Degrees, of angle or (with C or F behind) of temperature.</summary>
    private Apply Degrees(Node node)
    {
        if (Next is { Kind: TokenKind.Letter, Text: "C" or "F", Run.Length: 1 }) at++;
        return new Apply(Operation.Degree, node);
    }

    /// <summary>Names that are functions where parentheses follow; other letters before parentheses are factors.</summary>
    private static bool IsFunctionName(string name) => name[0] is 'f' or 'g' or 'F' or 'G' && (name.Length == 1 || name[1] is '\'' or '_');

    private bool AcceptDegree()
    {
        if (AcceptCommand("circ") || Accept('°')) return true;
        if (!Next.Is('{') || !(After.IsCommand("circ") || After.Is('°')) || !tokens[at + 2].Is('}')) return false;
        at += 3;
        return true;
    }

    /// <summary>A subscript's spelling.</summary>
    private string? Subscript()
    {
        if (!Next.Is('{'))
        {
            if (Next.Kind is not (TokenKind.Number or TokenKind.Letter or TokenKind.Command or TokenKind.Text)) return null;
            return Normalised(tokens[at++]);
        }
        StringBuilder spelled = new();
        int open = 0;
        do
        {
            if (Next.Kind == TokenKind.End || at + 1 >= tokens.Count) return null;
            if (Next.Is('{')) open++;
            else if (Next.Is('}')) open--;
            else spelled.Append(Normalised(Next));
            at++;
        }
        while (open > 0);
        return spelled.Length == 0 ? null : spelled.ToString();

        static string Normalised(Token token) => token.Kind == TokenKind.Text ? Normalise(token.Text) : token.Text;
    }

    /// <summary>The argument of a command: a group, or one token. Of a longer number only the first digit, unless the whole number is asked for.</summary>
    private Node? ReadArgument(bool wholeNumber)
    {
        if (Next.Is('{'))
        {
            int open = at++;
            if (++depth > DeepestNesting) return null;
            int outerBars = bars;
            bars = 0;
            Node? inner = ReadRelation();
            bars = outerBars;
            depth--;
            // Escaped braces around one expression only group it here.
            if (inner is Collection { Parts: [{ IsScalar: true } only] }) inner = only;
            return inner is not null && Accept('}') && at > open ? inner : null;
        }
        if (Next.Is('-') || Next.Is('+'))
        {
            bool negative = Next.Is('-');
            at++;
            return ReadArgument(wholeNumber) is not { } positive ? null : negative ? new Apply(Operation.Negate, positive) : positive;
        }
        Token next = Next;
        if (next.Kind == TokenKind.Number && !wholeNumber && next.Text.Length > 1 && next.Text.All(char.IsAsciiDigit))
        {
            string rest = next.Text[1..];
            tokens[at] = next with { Text = rest, Value = Rational.Of(System.Numerics.BigInteger.Parse(rest)), SpaceBefore = false, Groups = null };
            return new Number(next.Text[0] - '0');
        }
        return next.Kind is TokenKind.Number or TokenKind.Letter or TokenKind.Command || next.Is('(') ? ReadPrimary() : null;
    }

    private Node? ReadPrimary()
    {
        Token next = Next;
        switch (next.Kind)
        {
            case TokenKind.Number:
                at++;
                return new Number(next.Value, next.DecimalDigits);
            case TokenKind.Letter:
                at++;
                return next.Text switch
                {
                    "e" => new Constant('e'),
                    "i" => new Constant('i'),
                    _ => new Symbol(next.Text),
                };
            case TokenKind.Text:
                at++;
                string words = Normalise(next.Text);
                return NumberWords.Read(words) is { } number ? new Number(Rational.Of(number)) : new Words(words);
            case TokenKind.Command:
                return ReadCommand(next);
            case TokenKind.Mark:
                return ReadMark(next.Text[0]);
            default:
                return null;
        }
    }

    private Node? ReadMark(char mark)
    {
        switch (mark)
        {
            case '¤':
                at++;
                currency = true;
                return ReadPrimary();
            case '(' or '[' or ']' or '⟨':
                return ReadBrackets(mark);
            case '⦃':
                return ReadSet();
            case '{':
                return ReadGroup();
            case '|':
                return ReadBars();
            case '⌊' or '⌈':
                at++;
                Node? inner = ReadSum();
                return inner is not null && Accept(mark == '⌊' ? '⌋' : '⌉') ? new Apply(mark == '⌊' ? Operation.Floor : Operation.Ceiling, inner) : null;
            default:
                return null;
        }
    }

    private Node? ReadBars()
    {
        at++;
        if (++depth > DeepestNesting) return null;
        bars++;
        Node? inner = ReadSum();
        bars--;
        depth--;
        return inner is not null && Accept('|') ? new Apply(Operation.Absolute, inner) : null;
    }

    private Node? ReadBrackets(char open)
    {
        at++;
        int outerBars = bars;
        bars = 0;
        if (ReadItems(top: false, out _, out _, out List<Node> items, out _) is false) return null;
        bars = outerBars;
        if (Next.Kind != TokenKind.Mark) return null;
        char close = Next.Text[0];
        if (close is not (')' or ']' or '[' or '⟩')) return null;
        if ((open == '⟨') != (close == '⟩') || (close == '[' && open is not ('(' or ']' or '['))) return null;
        at++;
        if (items.Count == 1) return (open, close) is ('(', ')') or ('[', ']') ? items[0] : null;
        if (Spreads(items) is { } several) return several;
        // ]a, b[ is the other convention for an open interval.
        (open, close) = (open is ']' or '⟨' ? '(' : open, close is '[' or '⟩' ? ')' : close);
        return new Sequence(open, close, items);

        static Node? Spreads(List<Node> items) => items.All(i => i is Sequence { Open: '[', Close: ']' } row && row.Parts.Count == ((Sequence)items[0]).Parts.Count)
            ? new Matrix(items[0].Parts.Count, items.SelectMany(i => i.Parts).ToArray())
            : null;
    }

    /// <summary>A set in braces: its members, or a variable and its condition.</summary>
    private Node? ReadSet()
    {
        at++;
        if (Accept('⦄')) return new Collection([]);
        (int start, int outerBars, int outerDepth, bool outerColon) = (at, bars, depth, colonEnds);
        (bars, colonEnds) = (1, true);
        Node? condition = null;
        if (ReadSum() is not null && (!Accept('∈') || ReadSetOperation() is not null) && (Accept('|') || Accept(':'))) condition = ReadRelation();
        (bars, colonEnds) = (outerBars, outerColon);
        if (condition is not null && Accept('⦄')) return condition;
        (at, depth, bars) = (start, outerDepth, 0);
        if (ReadItems(top: false, out _, out bool either, out List<Node> items, out _) is false) return null;
        bars = outerBars;
        return Accept('⦄') || Accept('}') ? new Collection(items, null, either) : null;
    }

    /// <summary>{n \choose k} and {a \over b}: the place of the command in the group that starts here, or -1.</summary>
    private int Infix()
    {
        int open = 0;
        for (int i = at; i < tokens.Count && i < at + 64; i++)
        {
            if (tokens[i].Is('{')) open++;
            else if (tokens[i].Is('}') && --open < 0) return -1;
            else if (open == 0 && (tokens[i].IsCommand("choose") || tokens[i].IsCommand("over"))) return i;
        }
        return -1;
    }

    /// <summary>A braced group: transparent around one item, a set around several.</summary>
    private Node? ReadGroup()
    {
        at++;
        int outerBars = bars;
        bars = 0;
        if (Next.Is('}')) return null;
        if (Infix() is var infix and > 0)
        {
            Operation operation = tokens[infix].Text == "choose" ? Operation.Binomial : Operation.Divide;
            if (ReadSum() is not { } upper || at != infix) return null;
            at++;
            if (ReadSum() is not { } lower || !Accept('}')) return null;
            bars = outerBars;
            return new Apply(operation, upper, lower);
        }
        if (ReadItems(top: false, out _, out _, out List<Node> items, out _) is false || !(Accept('}') || Accept('⦄'))) return null;
        bars = outerBars;
        return items.Count == 1 ? items[0] : new Collection(items);
    }

    private Node? ReadCommand(Token command)
    {
        at++;
        string name = command.Text;
        if (LatexVocabulary.Functions.TryGetValue(name, out Operation function)) return ReadFunction(function);
        if (LatexVocabulary.Greek.Contains(name)) return new Symbol(name);
        switch (name)
        {
            case "pi":
                return new Constant('p');
            case "infty":
                return new Infinity();
            case "emptyset":
                return new Collection([]);
            case "reals":
                return new RealLine();
            case "frac":
                return ReadArgument(false) is not { } upper || ReadArgument(false) is not { } lower ? null
                    : IsDifferential(lower) && (IsDifferential(upper) || upper is Symbol { Name: "d" }) ? Derivative(upper, lower)
                    : new Apply(Operation.Divide, upper, lower);
            case "binom":
                return ReadArgument(false) is { } n && ReadArgument(false) is { } k ? new Apply(Operation.Binomial, n, k) : null;
            case "sqrt":
                return ReadRoot();
            case "begin":
                return ReadMatrix(command.Run);
            case "overline":
                return ReadArgument(false) is not { } covered ? null : IsSegment(covered) ? covered : covered is Symbol bare ? new Symbol("overline:" + bare.Name) : null;
            case "angle" or "triangle":
                StringBuilder letters = new(name + ":");
                while (Next.Kind == TokenKind.Letter)
                {
                    letters.Append(Next.Text);
                    at++;
                }
                return new Symbol(letters.ToString());
            default:
                return name.StartsWith("mathbb:", StringComparison.Ordinal) ? new Words(name) : null;
        }
    }

    private static bool IsDifferential(Node node) => node is Apply { Operation: Operation.Multiply, LooksLikeCall: false, Parts: [Symbol { Name: "d" }, Symbol] };

    /// <summary>dy/dx is a name; the operator d/dx before something cannot be evaluated.</summary>
    private static Symbol? Derivative(Node upper, Node lower) =>
        upper is Symbol ? null : new Symbol($"d{((Symbol)upper.Parts[1]).Name}/d{((Symbol)lower.Parts[1]).Name}");

    /// <summary>A product of capital letters names a segment or figure.</summary>
    private static bool IsSegment(Node node) => node is Symbol { Name: [>= 'A' and <= 'Z', ..] }
        || node is Apply { Operation: Operation.Multiply } product && product.Parts.All(IsSegment);

    private Node? ReadRoot()
    {
        Node? degree = null;
        if (Accept('['))
        {
            degree = ReadSum();
            if (degree is null || !Accept(']')) return null;
        }
        if (ReadArgument(wholeNumber: true) is not { } body) return null;
        return degree is null ? new Apply(Operation.Root, body) : new Apply(Operation.Root, body, degree);
    }

    /// <summary>
    /// A function with its power and base. The argument is a bracketed group, or else the factors up to the next operator or function:
    /// sin 2x cos y is sin(2x) cos(y).
    /// </summary>
    private Node? ReadFunction(Operation function)
    {
        if (++functions > MostFunctions) return null;
        Node? power = null, logarithmBase = null;
        while (Next.Is('^') || Next.Is('_'))
        {
            bool isPower = Next.Is('^');
            at++;
            if (ReadArgument(wholeNumber: true) is not { } script) return null;
            if (isPower) power = script;
            else if (function == Operation.Log) logarithmBase = script;
            else return null;
        }
        bool inverse = power is Apply { Operation: Operation.Negate, Parts: [Number { DecimalDigits: 0 } one] } && one.Value.Equals(Rational.One);
        if (inverse && Inverse(function) is { } other) (function, power) = (other, null);
        if (ReadFunctionArgument() is not { } arguments) return null;
        bool many = function is Operation.Maximum or Operation.Minimum or Operation.GreatestDivisor or Operation.LeastMultiple;
        if (arguments.Count != 1 && !many) return null;
        Node result = logarithmBase is null ? new Apply(function, arguments) : new Apply(function, arguments[0], logarithmBase);
        return power is null ? result : new Apply(Operation.Power, result, power);
    }

    private List<Node>? ReadFunctionArgument()
    {
        if (Next.Is('(') || Next.Is('['))
        {
            char close = Next.Is('(') ? ')' : ']';
            at++;
            return ReadItems(top: false, out _, out _, out List<Node> items, out _) && Accept(close) ? items : null;
        }
        if (Next.Is('{') || Next.Is('⦃')) return ReadPrimary() is { } group ? group is Collection several ? [.. several.Parts] : [group] : null;
        bool negative = Accept('-');
        if (!StartsFactor()) return null;
        Node? argument = null;
        while (StartsFactor() && !(Next.Kind == TokenKind.Command && LatexVocabulary.Functions.ContainsKey(Next.Text) && argument is not null))
        {
            if (argument is not null && Next.Is('(')) break;
            if (ReadFactor() is not { } factor) return null;
            argument = argument is null ? factor : new Apply(Operation.Multiply, argument, factor);
        }
        return [negative ? new Apply(Operation.Negate, argument!) : argument!];
    }

    private static Operation? Inverse(Operation function) => function switch
    {
        Operation.Sin => Operation.Arcsin,
        Operation.Cos => Operation.Arccos,
        Operation.Tan => Operation.Arctan,
        Operation.Cot => Operation.Arccot,
        Operation.Sec => Operation.Arcsec,
        Operation.Csc => Operation.Arccsc,
        Operation.Sinh => Operation.Arsinh,
        Operation.Cosh => Operation.Arcosh,
        Operation.Tanh => Operation.Artanh,
        _ => null,
    };

    private Node? ReadMatrix(string environment)
    {
        if (!(environment.EndsWith("matrix", StringComparison.Ordinal) || environment is "array")) return null;
        List<Node> entries = [];
        int columns = 0, inRow = 0;
        int outerBars = bars;
        bars = 0;
        while (true)
        {
            if (AcceptCommand("end")) break;
            if (Accept('\\'))
            {
                if (inRow == 0) continue;
                if (columns != 0 && inRow != columns) return null;
                (columns, inRow) = (inRow, 0);
                continue;
            }
            if (ReadRelation() is not { } entry) return null;
            entries.Add(entry);
            inRow++;
            if (entries.Count > 400) return null;
            if (!Accept('&') && !Next.Is('\\') && !Next.IsCommand("end")) return null;
        }
        bars = outerBars;
        if (inRow > 0 && columns != 0 && inRow != columns) return null;
        columns = columns == 0 ? inRow : columns;
        return columns == 0 ? null : new Matrix(columns, entries);
    }
}
