namespace ElmNative.Experience.Answers;

/// <summary>The operations and functions of an expression.</summary>
internal enum Operation
{
    Add, Subtract, Multiply, Divide, Negate, Power, Root, PlusMinus, MinusPlus, Factorial, Absolute, Floor, Ceiling, Binomial, Percent, Degree,
    Sin, Cos, Tan, Cot, Sec, Csc, Arcsin, Arccos, Arctan, Arccot, Arcsec, Arccsc, Sinh, Cosh, Tanh, Arsinh, Arcosh, Artanh, Exp, Ln, Log, Call,
    Maximum, Minimum, GreatestDivisor, LeastMultiple,
}

/// <summary>The tree of a parsed answer: an expression, or a structure of expressions.</summary>
internal abstract class Node
{
    /// <summary>A leaf, or a node over parts.</summary>
    protected Node(IReadOnlyList<Node>? parts = null)
    {
        Parts = parts ?? [];
        foreach (Node part in Parts) Height = Math.Max(Height, part.Height + 1);
    }

    /// <summary>What the evaluator has found about this expression; filled on first use. Two threads may fill it with the same content.</summary>
    public Samples? Samples { get; set; }

    /// <summary>The height of the tree; a leaf has 1.</summary>
    public int Height { get; } = 1;

    /// <summary>Whether this is an expression that has one (complex) value once its variables have values.</summary>
    public virtual bool IsScalar => false;

    /// <summary>The parts, in order.</summary>
    public IReadOnlyList<Node> Parts { get; }

    /// <summary>The same node over other parts.</summary>
    public virtual Node With(IReadOnlyList<Node> parts) => this;

    /// <summary>Whether the node or a part below it satisfies a condition.</summary>
    public bool Any(Func<Node, bool> condition)
    {
        if (condition(this)) return true;
        foreach (Node part in Parts)
            if (part.Any(condition)) return true;
        return false;
    }
}

/// <summary>A literal number. A decimal knows how many significant digits it showed.</summary>
internal sealed class Number(Rational value, int decimalDigits = 0) : Node
{
    public Rational Value { get; } = value;

    /// <summary>The significant digits of a literal with a non-zero fractional part; 0 for an integer.</summary>
    public int DecimalDigits { get; } = decimalDigits;

    public override bool IsScalar => true;
}

/// <summary>A variable, with its subscript and primes in the name.</summary>
internal sealed class Symbol(string name) : Node
{
    public string Name { get; } = name;

    public override bool IsScalar => true;
}

/// <summary>pi, e or the imaginary unit.</summary>
internal sealed class Constant(char name) : Node
{
    /// <summary>'p' for pi, 'e', or 'i'.</summary>
    public char Name { get; } = name;

    public override bool IsScalar => true;
}

/// <summary>Positive infinity.</summary>
internal sealed class Infinity : Node
{
    public override bool IsScalar => true;
}

/// <summary>An operation on expressions. <see cref="Name"/> is the function's name for <see cref="Operation.Call"/>.</summary>
internal sealed class Apply : Node
{
    public Apply(Operation operation, params Node[] parts) : this(operation, (IReadOnlyList<Node>)parts) { }

    public Apply(Operation operation, IReadOnlyList<Node> parts, string name = "", bool looksLikeCall = false) : base(parts)
    {
        (Operation, Name, LooksLikeCall) = (operation, name, looksLikeCall);
        IsScalar = true;
        foreach (Node part in parts) IsScalar &= part.IsScalar;
    }

    public Operation Operation { get; }

    public string Name { get; }

    /// <summary>Whether this product was written as a symbol directly before parentheses, so that it may have been meant as a function.</summary>
    public bool LooksLikeCall { get; }

    public override bool IsScalar { get; }

    public override Node With(IReadOnlyList<Node> parts) => new Apply(Operation, parts, Name, LooksLikeCall);
}

/// <summary>Digits with a base subscript; both must agree.</summary>
internal sealed class BaseNumber(string digits, string numberBase) : Node
{
    public string Digits { get; } = digits;

    public string Base { get; } = numberBase;
}

/// <summary>Plain words. Upper and lower case, spaces and articles do not count.</summary>
internal sealed class Words(string text) : Node
{
    /// <summary>Lower-case letters and digits only.</summary>
    public string Text { get; } = text;
}

/// <summary>A value with a unit. The unit's kind is null where it is not one of the known units.</summary>
internal sealed class Measured(Node value, string? kind, Node? alternative = null) : Node([value])
{
    public Node Value { get; } = value;

    public string? Kind { get; } = kind;

    /// <summary>The reading in which the unit's letter is a variable, or null.</summary>
    public Node? Alternative { get; } = alternative;

    public override Node With(IReadOnlyList<Node> parts) => new Measured(parts[0], Kind, Alternative);
}

/// <summary>An ordered sequence in brackets, which may also be an interval.</summary>
internal sealed class Sequence(char open, char close, IReadOnlyList<Node> parts) : Node(parts)
{
    public char Open { get; } = open;

    public char Close { get; } = close;

    public override Node With(IReadOnlyList<Node> parts) => new Sequence(Open, Close, parts);
}

/// <summary>A set in braces, or a bare list: unordered. <see cref="Grouped"/> is the other reading of a bare list such as 120,240, which may be one number.</summary>
internal sealed class Collection(IReadOnlyList<Node> parts, Node? grouped = null, bool either = false) : Node(parts)
{
    public Node? Grouped { get; } = grouped;

    /// <summary>Whether "or" stood between members.</summary>
    public bool Either { get; } = either;

    public override Node With(IReadOnlyList<Node> parts) => new Collection(parts, Grouped, Either);
}

/// <summary>Rows of entries.</summary>
internal sealed class Matrix(int columns, IReadOnlyList<Node> entries) : Node(entries)
{
    public int Columns { get; } = columns;

    public int Rows => Parts.Count / Columns;

    public override Node With(IReadOnlyList<Node> parts) => new Matrix(Columns, parts);
}

/// <summary>The signs between the sides of a relation.</summary>
internal enum Comparison { Equal, Less, LessOrEqual, Greater, GreaterOrEqual, NotEqual, In, Nearly }

/// <summary>A chain of sides with a sign between each two.</summary>
internal sealed class Relation(IReadOnlyList<Node> sides, IReadOnlyList<Comparison> signs) : Node(sides)
{
    public IReadOnlyList<Comparison> Signs { get; } = signs;

    public override Node With(IReadOnlyList<Node> parts) => new Relation(parts, Signs);
}

/// <summary>Union 'u', intersection 'n' or difference '-' of two sets.</summary>
internal sealed class SetOperation(char kind, Node left, Node right) : Node([left, right])
{
    public char Kind { get; } = kind;

    public override Node With(IReadOnlyList<Node> parts) => new SetOperation(Kind, parts[0], parts[1]);
}

/// <summary>All real numbers.</summary>
internal sealed class RealLine : Node;

/// <summary>Numbers with colons between them: a ratio or a clock time.</summary>
internal sealed class Ratio(IReadOnlyList<Node> parts, bool clock) : Node(parts)
{
    public bool Clock { get; } = clock;

    public override Node With(IReadOnlyList<Node> parts) => new Ratio(parts, Clock);
}

/// <summary>A multiple-choice letter, with the option's content where that was given too.</summary>
internal sealed class Choice(string letter, Node? content) : Node(content is null ? [] : [content])
{
    public string Letter { get; } = letter;

    public Node? Content { get; } = content;

    public override Node With(IReadOnlyList<Node> parts) => new Choice(Letter, parts.Count > 0 ? parts[0] : null);
}
