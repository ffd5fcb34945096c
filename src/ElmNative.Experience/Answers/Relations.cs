namespace ElmNative.Experience.Answers;

/// <summary>What equations and inequalities say: the value they give to a named quantity, the range they leave, and whether two are the same up to a factor.</summary>
internal static class Relations
{
    /// <summary>
    /// The value that a relation gives to a quantity it names: the last side of x = a = b; the side before an approximation; the set of x in S.
    /// Null where the left side is no name ("x + y = 5" says nothing about 5).
    /// </summary>
    public static Node? ValueOf(Relation relation)
    {
        if (relation.Signs is [Comparison.In]) return relation.Parts[1];
        int exact = 0;
        while (exact < relation.Signs.Count && relation.Signs[exact] == Comparison.Equal) exact++;
        if (exact < relation.Signs.Count && relation.Signs.Skip(exact).Any(s => s != Comparison.Nearly)) return null;
        bool named = Names(relation.Parts[0]);
        if (exact == 0) return named ? relation.Parts[1] : relation.Parts[0];
        if (named) return relation.Parts[exact];
        if (exact == 1 && Names(relation.Parts[1]) && IsConstant(relation.Parts[0])) return relation.Parts[0];
        bool arithmetic = relation.Parts.Take(exact + 1).All(IsConstant) && Equivalence.Default.SameScalar(relation.Parts[0], relation.Parts[exact]);
        return arithmetic ? relation.Parts[exact] : null;
    }

    /// <summary>
    /// Whether an expression names a quantity rather than restricting variables: one symbol, a function's value, words, a tuple of symbols, a
    /// figure such as AB or a quotient of them, or a sum of letters other than the coordinates x, y, z (the m + n that a problem asks for).
    /// </summary>
    public static bool Names(Node node) => node switch
    {
        Symbol or Words or Constant { Name: 'e' } => true,
        Apply { Operation: Operation.Call } => true,
        Apply { Operation: Operation.Multiply, LooksLikeCall: true, Parts: [Symbol function, var argument] } => IsCall(function.Name, argument),
        Apply { Operation: >= Operation.Sin and <= Operation.Arccsc, Parts: [Symbol or Apply { Operation: Operation.Degree }] } => true,
        Apply { Operation: Operation.Absolute, Parts: [var inside] } => IsFigure(inside),
        Sequence sequence => sequence.Parts.All(p => p is Symbol or Constant { Name: 'e' or 'i' }),
        Ratio ratio => ratio.Parts.All(p => p is Symbol || IsFigure(p)),
        _ => IsFigure(node) || IsSumOfLetters(node),
    };

    /// <summary>The name of the only variable or quantity of an inequality; null where there is none or more than one.</summary>
    public static string? SubjectOf(Relation relation)
    {
        string? name = null;
        foreach (Node side in relation.Parts)
        {
            foreach (string found in NamesIn(side))
            {
                if (name is not null && name != found) return null;
                name = found;
            }
        }
        return name;
    }

    /// <summary>
    /// Solves left sign right for its one quantity, in which it must be linear, when the sign is an order or an inequality. Returns the bound and
    /// the sign as seen from the quantity.
    /// </summary>
    public static (Bound Bound, Comparison Sign)? Solve(Node left, Comparison sign, Node right)
    {
        if (sign is not (Comparison.Less or Comparison.LessOrEqual or Comparison.Greater or Comparison.GreaterOrEqual or Comparison.NotEqual)) return null;
        if (Names(left) && Bound.Of(right) is { } upper) return (upper, sign);
        if (Names(right) && Bound.Of(left) is { } lower) return (lower, Flip(sign));
        if (!left.IsScalar || !right.IsScalar) return null;
        Node difference = new Apply(Operation.Subtract, left, right);
        string[] names = NamesIn(difference).Distinct().Take(2).ToArray();
        if (names.Length != 1 || difference.Any(n => n is Apply { Operation: Operation.Call } or Infinity)) return null;
        // a x + b, found by putting in 0 and 1 and tried at 2.
        Node zero = Substitute(difference, names[0], 0), one = Substitute(difference, names[0], 1), two = Substitute(difference, names[0], 2);
        Node slope = new Apply(Operation.Subtract, one, zero);
        Node second = new Apply(Operation.Subtract, two, one);
        if (!Equivalence.Default.SameScalar(slope, second) || SignOf(slope) is not { } direction || direction == 0) return null;
        Node root = new Apply(Operation.Negate, new Apply(Operation.Divide, zero, slope));
        Node line = new Apply(Operation.Multiply, slope, new Apply(Operation.Subtract, new Symbol(names[0]), root));
        if (!Equivalence.Default.SameScalar(difference, line) || Bound.Of(root) is not { } bound) return null;
        return (bound, direction > 0 ? sign : Flip(sign));
    }

    /// <summary>A chain of two "less" signs as an interval, whatever a and b are; null for anything else.</summary>
    public static Sequence? AsInterval(Relation relation)
    {
        if (relation.Parts is not [var low, var middle, var high] || !Names(middle)) return null;
        (Comparison first, Comparison second) = (relation.Signs[0], relation.Signs[1]);
        if (first is Comparison.Greater or Comparison.GreaterOrEqual) (low, high, first, second) = (high, low, Flip(second), Flip(first));
        if (first is not (Comparison.Less or Comparison.LessOrEqual) || second is not (Comparison.Less or Comparison.LessOrEqual)) return null;
        return new Sequence(first == Comparison.Less ? '(' : '[', second == Comparison.Less ? ')' : ']', [low, high]);
    }

    /// <summary>The sign seen from the other side.</summary>
    public static Comparison Flip(Comparison sign) => sign switch
    {
        Comparison.Less => Comparison.Greater,
        Comparison.LessOrEqual => Comparison.GreaterOrEqual,
        Comparison.Greater => Comparison.Less,
        Comparison.GreaterOrEqual => Comparison.LessOrEqual,
        _ => sign,
    };

    /// <summary>Whether two expressions with variables differ by a constant factor other than zero; for inequalities by a positive one.</summary>
    public static bool Proportional(Node a, Node b, bool positive)
    {
        if (!a.IsScalar || !b.IsScalar) return false;
        Samples x = Samples.Of(a), y = Samples.Of(b);
        if (x.IsConstant || y.IsConstant || x.HasInfinity || y.HasInfinity) return false;
        ComplexField field = ComplexField.Fine;
        (BigComplex, BigComplex)? reference = null;
        int agreed = 0;
        for (int i = 0; i < Samples.Points; i++)
        {
            if (x.At(i).LeftReals || y.At(i).LeftReals || Value(x, i) is not { } p || Value(y, i) is not { } q) continue;
            if (p.IsZero != q.IsZero) return false;
            if (p.IsZero) continue;
            if (reference is not var (p0, q0))
            {
                reference = (p, q);
                if (positive && !(p.IsReal && q.IsReal && p.Real.Sign == q.Real.Sign)) return false;
                continue;
            }
            BigComplex left = field.Multiply(p, q0), right = field.Multiply(q, p0);
            BigComplex off = field.Subtract(left, right);
            if (!off.IsZero && off.Magnitude > left.Magnitude - field.Parts.Bits * 3 / 4) return false;
            agreed++;
        }
        return agreed >= 2;

        BigComplex? Value(Samples samples, int point)
        {
            if (samples.At(point).Exact is { } exact) return field.From(exact);
            PointValue fine = samples.FineAt(point);
            if (!fine.Approximate.IsValid) return null;
            return fine.Approximate.Magnitude <= fine.Error + 16 ? BigReal.Zero : fine.Approximate;
        }
    }

    /// <summary>p(x), P(A), V(3): a letter that may name a function, before an argument that is simple and does not contain it.</summary>
    private static bool IsCall(string function, Node argument) =>
        !"abcdeijklmnotxyz".Contains(function[0]) && !argument.Any(n => n is Symbol symbol && symbol.Name == function)
        && (argument is Symbol or Number or Constant or Apply { Operation: Operation.Negate, Parts: [Number] } or Collection || "hpqPQ".Contains(function[0]));

    private static bool IsConstant(Node node) => node.IsScalar && Samples.Of(node) is { IsConstant: true, HasInfinity: false };

    private static bool IsFigure(Node node) => node switch
    {
        Symbol { Name: [>= 'A' and <= 'Z', ..] } => true,
        Apply { Operation: Operation.Multiply or Operation.Divide, LooksLikeCall: false } apply => apply.Parts.All(IsFigure),
        _ => false,
    };

    private static bool IsSumOfLetters(Node node)
    {
        HashSet<string> seen = [];
        return node is Apply { Operation: Operation.Add } && Letters(node);

        bool Letters(Node part) => part switch
        {
            Apply { Operation: Operation.Add } sum => sum.Parts.All(Letters),
            Symbol { Name: [>= 'a' and <= 'w'] or [>= 'A' and <= 'W'] } symbol => seen.Add(symbol.Name),
            _ => false,
        };
    }

    private static IEnumerable<string> NamesIn(Node node)
    {
        if (node is Symbol symbol) return [symbol.Name];
        IEnumerable<string> below = node.Parts.SelectMany(NamesIn);
        return node is Apply { Operation: Operation.Call } call ? below.Prepend(call.Name + "(") : below;
    }

    private static Node Substitute(Node node, string name, long value)
    {
        if (node is Symbol symbol && symbol.Name == name) return new Number(value);
        return node.Parts.Count == 0 ? node : node.With(node.Parts.Select(p => Substitute(p, name, value)).ToArray());
    }

    private static int? SignOf(Node node)
    {
        PointValue value = Samples.Of(node).At(0);
        if (value.Exact is { } exact) return exact.Sign;
        if (!value.Approximate.IsValid || !value.Approximate.IsReal) return null;
        return value.Approximate.Magnitude <= value.Error + 16 ? 0 : value.Approximate.Real.Sign;
    }
}
