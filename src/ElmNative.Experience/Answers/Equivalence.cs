using System.Numerics;
using System.Text;

namespace ElmNative.Experience.Answers;

/// <summary>
/// Decides whether two parsed answers mean the same. Symmetric by construction of each rule. Numbers that are written out compare exactly; a
/// decimal approximates a fraction or an irrational number only when it shows enough digits; integers never approximate anything.
/// </summary>
internal sealed class Equivalence(Rational tolerance)
{
    /// <summary>A decimal with fewer significant digits than this is taken as exact.</summary>
    private const int DigitsOfAnApproximation = 6;

    private const int MostUnordered = 256;

    /// <summary>The points at which an equality of expressions with variables is confirmed in the longer field.</summary>
    private const int ConfirmedPoints = 2;

    /// <summary>Bits by which the estimated errors may be too small.</summary>
    private const int Slack = 16;

    /// <summary>The rule with the usual relative tolerance of 1e-6.</summary>
    public static Equivalence Default { get; } = new(Rational.Of(1, 1_000_000)!.Value);

    /// <summary>+1 or -1 for an infinity, 0 for anything else.</summary>
    public static int InfinitySign(Node node) => node switch
    {
        Infinity => 1,
        Apply { Operation: Operation.Negate, Parts: [var inner] } => -InfinitySign(inner),
        _ => 0,
    };

    /// <summary>Whether two answers mean the same.</summary>
    public bool Same(Node a, Node b)
    {
        if (ReferenceEquals(a, b)) return true;
        (Node Value, string? Kind)? aUnit = Unit(a), bUnit = Unit(b);
        if (aUnit is not null || bUnit is not null) return SameMeasured(a, b, aUnit?.Value ?? a, aUnit?.Kind, bUnit?.Value ?? b, bUnit?.Kind);
        if (Percent(a) is { } aShare) return Percent(b) is { } bShare ? Same(aShare, bShare) : SameShare(aShare, b);
        if (Percent(b) is { } share) return SameShare(share, a);
        if (a is Choice || b is Choice) return SameChoice(a, b);
        if (a is Collection or SetOperation or RealLine || b is Collection or SetOperation or RealLine) return SameSets(a, b);
        if (a is Relation left) return b is Relation right ? SameRelations(left, right) : SameAsStated(left, b);
        if (b is Relation stated) return SameAsStated(stated, a);
        if (a is Sequence x && b is Sequence y)
            return x.Open == y.Open && x.Close == y.Close && SameInOrder(x.Parts, y.Parts);
        if (AsMatrix(a) is { } m) return AsMatrix(b) is { } n && m.Columns == n.Columns && SameInOrder(m.Parts, n.Parts);
        if (a is Ratio || b is Ratio) return SameRatios(a, b);
        if (a is Words || b is Words) return LettersOf(a) is { } p && LettersOf(b) is { } q && p == q;
        if (a is BaseNumber c && b is BaseNumber d) return c.Digits == d.Digits && c.Base == d.Base;
        return a.IsScalar && b.IsScalar && SameScalar(a, b);
    }

    /// <summary>Whether two expressions have the same value, wherever their variables lie.</summary>
    public bool SameScalar(Node a, Node b)
    {
        int sign = InfinitySign(a), other = InfinitySign(b);
        if (sign != 0 || other != 0) return sign == other;
        Samples x = Samples.Of(a), y = Samples.Of(b);
        if (x.HasInfinity || y.HasInfinity) return false;
        bool loose = (x.DecimalDigits >= DigitsOfAnApproximation || y.DecimalDigits >= DigitsOfAnApproximation) && !(x.IsLiteral && y.IsLiteral);
        if (x.IsConstant && y.IsConstant) return SameAt(x, y, 0, loose, confirm: true) == true;

        bool complex = x.HasImaginaryUnit || y.HasImaginaryUnit;
        int agreed = 0;
        List<int> outside = [];
        for (int point = 0; point < Samples.Points; point++)
        {
            PointValue p = x.At(point), q = y.At(point);
            if (!p.IsValid || !q.IsValid) continue;
            if (!complex && (p.LeftReals || q.LeftReals))
            {
                outside.Add(point);
                continue;
            }
            if (SameAt(x, y, point, loose, confirm: agreed < ConfirmedPoints) is not { } same) continue;
            if (!same) return false;
            agreed++;
        }
        // Nowhere defined among the real numbers: compare the complex values.
        return agreed > 0 || (outside.Count > 0 && outside.TrueForAll(point => SameAt(x, y, point, loose, confirm: true) == true));
    }

    /// <summary>
    /// Whether two values agree at a point: exactly where both are exact; else the difference must vanish in two fields of different length,
    /// which a mere near miss does not survive. Null where the longer field cannot say.
    /// </summary>
    private bool? SameAt(Samples x, Samples y, int point, bool loose, bool confirm)
    {
        PointValue p = x.At(point), q = y.At(point);
        if (!p.IsValid || !q.IsValid) return false;
        if (p.Exact is { } a && q.Exact is { } b)
        {
            if (a.Equals(b)) return true;
            bool whole = x.IsConstant && y.IsConstant && (a.IsInteger || b.IsInteger);
            return loose && !whole && Rational.Near(a, b, tolerance);
        }
        if (loose && !(x.IsConstant && p.Exact is { IsInteger: true }) && !(y.IsConstant && q.Exact is { IsInteger: true }))
        {
            ComplexField field = ComplexField.Coarse;
            BigComplex u = In(field, p), v = In(field, q);
            BigReal off = field.Abs(field.Subtract(u, v));
            BigReal size = field.Abs(u.Magnitude > v.Magnitude ? u : v);
            if (off.IsZero || field.Parts.Subtract(off, field.Parts.Multiply(size, field.Parts.From(tolerance))).Sign <= 0) return true;
        }
        if (!Vanishes(ComplexField.Coarse, p, q)) return false;
        if (!confirm) return true;
        (PointValue longP, PointValue longQ) = (Longer(x, p, point), Longer(y, q, point));
        return longP.IsValid && longQ.IsValid ? Vanishes(ComplexField.Fine, longP, longQ) : null;

        static PointValue Longer(Samples samples, PointValue value, int point) => value.Exact is null ? samples.FineAt(point) : value;
    }

    private static BigComplex In(ComplexField field, PointValue value) => value.Exact is { } exact ? field.From(exact) : value.Approximate;

    private static bool Vanishes(ComplexField field, PointValue p, PointValue q)
    {
        BigComplex u = In(field, p), v = In(field, q);
        if (!u.IsValid || !v.IsValid) return false;
        BigComplex off = field.Subtract(u, v);
        return off.IsZero || off.Magnitude <= Math.Max(ErrorOf(p, u), ErrorOf(q, v)) + Slack;

        long ErrorOf(PointValue value, BigComplex at) => value.Exact is null ? value.Error : at.Magnitude - field.Parts.Bits;
    }

    private static (Node Value, string? Kind)? Unit(Node node)
    {
        if (node is Measured measured) return (measured.Value, measured.Kind);
        if (node is Apply { Operation: Operation.Degree, Parts: [var degrees] }) return (degrees, "degree");
        if (node is Apply { Operation: Operation.Negate, Parts: [var inner] } && Unit(inner) is var (value, kind)) return (new Apply(Operation.Negate, value), kind);
        return null;
    }

    private bool SameMeasured(Node a, Node b, Node aValue, string? aUnit, Node bValue, string? bUnit)
    {
        if ((aUnit is null || bUnit is null || aUnit == bUnit) && Same(aValue, bValue)) return true;
        Node? aOther = (a as Measured)?.Alternative, bOther = (b as Measured)?.Alternative;
        if (aOther is not null && bOther is not null) return Same(aOther, bOther);
        return aOther is not null && bUnit is null && b is not Measured ? Same(aOther, b)
            : bOther is not null && aUnit is null && a is not Measured && Same(a, bOther);
    }

    private static Node? Percent(Node node) => node switch
    {
        Apply { Operation: Operation.Percent, Parts: [var value] } => value,
        Apply { Operation: Operation.Negate, Parts: [var inner] } when Percent(inner) is { } value => new Apply(Operation.Negate, value),
        _ => null,
    };

    /// <summary>A percentage is the number as written, or a hundredth of it.</summary>
    private bool SameShare(Node share, Node other) =>
        Same(share, other) || (share.IsScalar && other.IsScalar && SameScalar(new Apply(Operation.Percent, share), other))
        || (other is Relation relation && Relations.ValueOf(relation) is { } value && Same(new Apply(Operation.Percent, share), value));

    private bool SameChoice(Node a, Node b)
    {
        if (a is Choice x && b is Choice y) return x.Letter == y.Letter;
        (Choice choice, Node other) = a is Choice first ? (first, b) : ((Choice)b, a);
        return other is Symbol symbol ? symbol.Name == choice.Letter : choice.Content is { } content && Same(content, other);
    }

    private bool SameSets(Node a, Node b)
    {
        Collection? x = a as Collection, y = b as Collection;
        if (x?.Grouped is { } p && y?.Grouped is { } q) return Same(p, q);
        if (x?.Grouped is { } number && y is null && b.IsScalar) return Same(number, b);
        if (y?.Grouped is { } other && x is null && a.IsScalar) return Same(a, other);
        if (x?.Grouped is { } named && b is Relation) return Same(named, b);
        if (y?.Grouped is { } called && a is Relation) return Same(a, called);
        if (x is not null && y is not null && SameUnordered(x.Parts, y.Parts)) return true;
        if (x is { Parts: [var only] } && y is null && b is not (SetOperation or RealLine)) return Same(only, b);
        if (y is { Parts: [var single] } && x is null && a is not (SetOperation or RealLine)) return Same(a, single);
        if (x is not null && Assigned(b) is { } bs) return SameUnordered(x.Parts, bs.Parts);
        if (y is not null && Assigned(a) is { } assigned) return SameUnordered(assigned.Parts, y.Parts);
        if (x is not null && b is Sequence xs) return SameAssignments(x, xs);
        if (y is not null && a is Sequence ys) return SameAssignments(y, ys);
        if (a is Relation { Signs: [Comparison.In or Comparison.Equal], Parts: [var name, var set] } && set is not Sequence && Relations.Names(name) && Same(set, b)) return true;
        if (b is Relation { Signs: [Comparison.In or Comparison.Equal], Parts: [var title, var members] } && members is not Sequence && Relations.Names(title) && Same(a, members)) return true;
        if (Region.Of(a) is { } left && Region.Of(b) is { } right) return Region.Same(left, right, Same);
        if (a is SetOperation { Kind: 'u' } && b is SetOperation { Kind: 'u' }) return SameUnordered(United(a), United(b));
        return a is SetOperation v && b is SetOperation w && v.Kind == w.Kind && (v.Kind == 'n' ? SameUnordered(v.Parts, w.Parts) : SameInOrder(v.Parts, w.Parts));

        static List<Node> United(Node node) => node is SetOperation { Kind: 'u' } ? [.. node.Parts.SelectMany(United)] : [node];
    }

    /// <summary>(x, y) = (2, 3) as x = 2, y = 3.</summary>
    private static Collection? Assigned(Node node) =>
        node is Relation { Signs: [Comparison.Equal], Parts: [Sequence names, Sequence values] } && names.Parts.Count == values.Parts.Count && names.Parts.All(p => p is Symbol)
            ? new Collection([.. names.Parts.Zip(values.Parts, (name, value) => new Relation([name, value], [Comparison.Equal]))])
            : null;

    /// <summary>x = 2, y = 3 against (2, 3): as many different names as members, in the order given.</summary>
    private bool SameAssignments(Collection list, Sequence sequence) =>
        sequence is { Open: '(', Close: ')' } && list.Parts.Count == sequence.Parts.Count
        && list.Parts.All(p => p is Relation { Signs: [Comparison.Equal], Parts: [Symbol, _] })
        && list.Parts.Select(p => ((Symbol)p.Parts[0]).Name).Distinct().Count() == list.Parts.Count
        && SameInOrder([.. list.Parts.Select(p => p.Parts[1])], sequence.Parts);

    private bool SameRelations(Relation a, Relation b)
    {
        bool aRange = IsRange(a), bRange = IsRange(b);
        if (aRange && bRange)
        {
            if (Region.Of(a) is { } left && Region.Of(b) is { } right)
            {
                bool anonymous = a.Signs is [Comparison.In] || b.Signs is [Comparison.In];
                return (anonymous || Relations.SubjectOf(a) == Relations.SubjectOf(b)) && Region.Same(left, right, Same);
            }
            if (a.Signs is [Comparison.In] && b.Signs is [Comparison.In]) return Same(a.Parts[1], b.Parts[1]);
            if (a.Signs.Count == 1 && b.Signs.Count == 1) return SameSides(a, b);
            return (a.Signs.SequenceEqual(b.Signs) && SameInOrder(a.Parts, b.Parts))
                || (a.Signs.SequenceEqual(b.Signs.Reverse().Select(Relations.Flip)) && SameInOrder(a.Parts, [.. b.Parts.Reverse()]));
        }
        if (aRange || bRange)
        {
            (Relation range, Relation stated) = aRange ? (a, b) : (b, a);
            return range.Signs is [Comparison.In] && Relations.ValueOf(stated) is { } set && Same(range.Parts[1], set);
        }
        if (a.Signs.SequenceEqual(b.Signs) && SameInOrder(a.Parts, b.Parts)) return true;
        (Node firstA, Node lastA) = Ends(a);
        (Node firstB, Node lastB) = Ends(b);
        if ((Same(firstA, firstB) && Same(lastA, lastB)) || (Same(firstA, lastB) && Same(lastA, firstB))) return true;
        return firstA.IsScalar && lastA.IsScalar && firstB.IsScalar && lastB.IsScalar
            && Relations.Proportional(new Apply(Operation.Subtract, firstA, lastA), new Apply(Operation.Subtract, firstB, lastB), positive: false);

        static bool IsRange(Relation r) => r.Signs.Any(s => s is not (Comparison.Equal or Comparison.Nearly));

        static (Node, Node) Ends(Relation r) => (r.Parts[0], Relations.ValueOf(r) is { } value && Relations.Names(r.Parts[0]) ? value : r.Parts[^1]);
    }

    /// <summary>Two inequalities in several variables: the same difference of sides up to a positive factor.</summary>
    private static bool SameSides(Relation a, Relation b)
    {
        Comparison s = a.Signs[0], t = b.Signs[0];
        bool turned = s != t;
        if (turned && s != Relations.Flip(t)) return false;
        if (!a.Parts.All(p => p.IsScalar) || !b.Parts.All(p => p.IsScalar)) return false;
        Node left = new Apply(Operation.Subtract, a.Parts[0], a.Parts[1]);
        Node right = turned ? new Apply(Operation.Subtract, b.Parts[1], b.Parts[0]) : new Apply(Operation.Subtract, b.Parts[0], b.Parts[1]);
        return Relations.Proportional(left, right, positive: s != Comparison.NotEqual);
    }

    /// <summary>A relation against a value or an interval.</summary>
    private bool SameAsStated(Relation relation, Node other)
    {
        if (Relations.ValueOf(relation) is { } value && Same(value, other)) return true;
        if (other is not Sequence interval || !relation.Signs.Any(s => s is not (Comparison.Equal or Comparison.Nearly))) return false;
        if (Region.Of(relation) is { } left && Region.Of(other) is { } right) return Region.Same(left, right, Same);
        return Relations.AsInterval(relation) is { } range && Same(range, interval);
    }

    private bool SameRatios(Node a, Node b)
    {
        if (a is Ratio x && b is Ratio y)
        {
            if (x.Parts.Count != y.Parts.Count) return false;
            if (SameInOrder(x.Parts, y.Parts)) return true;
            if (x.Clock || y.Clock || !x.Parts.Concat(y.Parts).All(p => p.IsScalar)) return false;
            for (int i = 1; i < x.Parts.Count; i++)
            {
                Node left = new Apply(Operation.Multiply, x.Parts[0], y.Parts[i]), right = new Apply(Operation.Multiply, x.Parts[i], y.Parts[0]);
                if (!SameScalar(left, right)) return false;
            }
            Node zero = new Number(Rational.Zero);
            return !x.Parts.Any(p => SameScalar(p, zero)) && !y.Parts.Any(p => SameScalar(p, zero));
        }
        (Ratio ratio, Node other) = a is Ratio first ? (first, b) : ((Ratio)b, a);
        return !ratio.Clock && ratio.Parts.Count == 2 && other.IsScalar && ratio.Parts.All(p => p.IsScalar)
            && SameScalar(new Apply(Operation.Divide, ratio.Parts), other);
    }

    private bool SameInOrder(IReadOnlyList<Node> a, IReadOnlyList<Node> b)
    {
        if (a.Count != b.Count) return false;
        for (int i = 0; i < a.Count; i++)
            if (!Same(a[i], b[i])) return false;
        return true;
    }

    /// <summary>Whether two collections have the same members; repeated ones count once.</summary>
    private bool SameUnordered(IReadOnlyList<Node> a, IReadOnlyList<Node> b)
    {
        if (a.Count > MostUnordered || b.Count > MostUnordered) return SameInOrder(a, b);
        if (a.Count == b.Count && CanPair(a, b)) return true;
        (List<Node> x, List<Node> y) = (Distinct(a), Distinct(b));
        return (x.Count != a.Count || y.Count != b.Count) && x.Count == y.Count && CanPair(x, y);
    }

    private bool CanPair(IReadOnlyList<Node> a, IReadOnlyList<Node> b)
    {
        int n = a.Count;
        int[] partner = new int[n];
        Array.Fill(partner, -1);
        // Pairs in the same place are tried first: most lists are in order.
        for (int i = 0; i < n; i++)
            if (!Place(i, new bool[n])) return false;
        return true;

        bool Place(int i, bool[] tried)
        {
            for (int k = 0; k < n; k++)
            {
                int j = (i + k) % n;
                if (tried[j] || !Same(a[i], b[j])) continue;
                tried[j] = true;
                if (partner[j] >= 0 && !Place(partner[j], tried)) continue;
                partner[j] = i;
                return true;
            }
            return false;
        }
    }

    private List<Node> Distinct(IReadOnlyList<Node> members)
    {
        List<Node> distinct = [];
        foreach (Node member in members)
            if (!distinct.Exists(d => Same(d, member))) distinct.Add(member);
        return distinct;
    }

    /// <summary>A matrix, or signs, factors, sums and products of matrices carried out. Each part is looked at once.</summary>
    private static Matrix? AsMatrix(Node node)
    {
        if (node is Matrix matrix) return matrix;
        if (node is not Apply { IsScalar: false } apply) return null;
        if (apply.Parts.Count == 1) return apply.Operation == Operation.Negate && AsMatrix(apply.Parts[0]) is { } inner ? Map(inner, e => new Apply(Operation.Negate, e)) : null;
        if (apply.Parts.Count != 2 || apply.Operation is not (Operation.Add or Operation.Subtract or Operation.Multiply or Operation.Divide)) return null;
        (Node left, Node right) = (apply.Parts[0], apply.Parts[1]);
        Matrix? m = left.IsScalar ? null : AsMatrix(left);
        if (m is null && !left.IsScalar) return null;
        Matrix? n = right.IsScalar ? null : AsMatrix(right);
        if (n is null && !right.IsScalar) return null;
        return (apply.Operation, m, n) switch
        {
            (Operation.Multiply, null, { } b) => Map(b, e => new Apply(Operation.Multiply, left, e)),
            (Operation.Multiply, { } a, null) => Map(a, e => new Apply(Operation.Multiply, right, e)),
            (Operation.Divide, { } a, null) => Map(a, e => new Apply(Operation.Divide, e, right)),
            (Operation.Multiply, { } a, { } b) => a.Columns == b.Rows && a.Rows * b.Columns * a.Columns <= 1000 ? Product(a, b) : null,
            (Operation.Add or Operation.Subtract, { } a, { } b) when a.Columns == b.Columns && a.Rows == b.Rows =>
                new Matrix(a.Columns, [.. a.Parts.Zip(b.Parts, (e, f) => new Apply(apply.Operation, e, f))]),
            _ => null,
        };
    }

    private static Matrix Product(Matrix a, Matrix b)
    {
        List<Node> entries = [];
        for (int row = 0; row < a.Rows; row++)
        {
            for (int column = 0; column < b.Columns; column++)
            {
                Node? sum = null;
                for (int k = 0; k < a.Columns; k++)
                {
                    Node term = new Apply(Operation.Multiply, a.Parts[row * a.Columns + k], b.Parts[k * b.Columns + column]);
                    sum = sum is null ? term : new Apply(Operation.Add, sum, term);
                }
                entries.Add(sum!);
            }
        }
        return new Matrix(b.Columns, entries);
    }

    private static Matrix Map(Matrix matrix, Func<Node, Node> change) => new(matrix.Columns, [.. matrix.Parts.Select(change)]);

    /// <summary>The letters of words, or of a product of variables that may have been meant as a word.</summary>
    private static string? LettersOf(Node node)
    {
        if (node is Words words) return words.Text;
        StringBuilder letters = new();
        return Collect(node) ? letters.ToString().ToLowerInvariant() : null;

        bool Collect(Node part)
        {
            switch (part)
            {
                case Symbol symbol:
                    letters.Append(symbol.Name);
                    return true;
                case Constant { Name: 'e' or 'i' } constant:
                    letters.Append(constant.Name);
                    return true;
                case Apply { Operation: Operation.Multiply, LooksLikeCall: false } product:
                    return product.Parts.All(Collect);
                default:
                    return false;
            }
        }
    }
}
