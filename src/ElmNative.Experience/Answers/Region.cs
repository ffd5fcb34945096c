namespace ElmNative.Experience.Answers;

/// <summary>One end of an interval: the expression that names it, and its value for ordering. Infinity has no expression.</summary>
internal readonly record struct Bound(Node? Node, BigReal Value, int Infinite)
{
    public static readonly Bound Low = new(null, default, -1);

    public static readonly Bound High = new(null, default, 1);

    /// <summary>The bound that an expression names; null where it is not a real constant.</summary>
    public static Bound? Of(Node node)
    {
        if (Equivalence.InfinitySign(node) is var sign and not 0) return sign > 0 ? High : Low;
        if (!node.IsScalar || Samples.Of(node) is not { IsConstant: true, HasInfinity: false } samples) return null;
        PointValue value = samples.At(0);
        if (value.Exact is { } exact) return new Bound(node, RealField.Coarse.From(exact), 0);
        return value.Approximate is { IsValid: true, IsReal: true } real ? new Bound(node, real.Real, 0) : null;
    }

    /// <summary>The order of two bounds; values that differ by rounding only are the same.</summary>
    public int CompareTo(Bound other)
    {
        if (Infinite != 0 || other.Infinite != 0) return Infinite.CompareTo(other.Infinite);
        BigReal difference = RealField.Coarse.Subtract(Value, other.Value);
        if (difference.IsZero || difference.Magnitude < Math.Max(Value.Magnitude, other.Value.Magnitude) - 110) return 0;
        return difference.Sign;
    }
}

/// <summary>One interval of a region.</summary>
internal readonly record struct Span(Bound From, bool FromClosed, Bound To, bool ToClosed);

/// <summary>A set of real numbers: disjoint intervals and points in ascending order.</summary>
internal sealed class Region
{
    private const int MostSpans = 64;

    private Region(List<Span> spans) => Spans = spans;

    public IReadOnlyList<Span> Spans { get; }

    private static Region Line => new([new Span(Bound.Low, false, Bound.High, false)]);

    /// <summary>The region that a structure describes, or null.</summary>
    public static Region? Of(Node node, int depth = 0)
    {
        if (depth > 48) return null;
        switch (node)
        {
            case RealLine:
                return Line;
            case Sequence { Parts: [var from, var to], Open: '(' or '[', Close: ')' or ']' } interval:
                if (Bound.Of(from) is not { } low || Bound.Of(to) is not { } high || low.CompareTo(high) > 0) return null;
                return new Region([new Span(low, interval.Open == '[' && low.Infinite == 0, high, interval.Close == ']' && high.Infinite == 0)]);
            case Collection { Parts.Count: > 1, Parts: [Relation, ..] } conditions when conditions.Parts.All(p => p is Relation):
                return OfConditions(conditions, depth);
            case Collection { Parts.Count: <= MostSpans } points:
                List<Span> spans = [];
                foreach (Node member in points.Parts)
                {
                    if (Bound.Of(member) is not { Infinite: 0 } at) return null;
                    spans.Add(new Span(at, true, at, true));
                }
                return Normal(spans);
            case Relation relation:
                return OfRelation(relation, depth);
            case SetOperation operation:
                if (Of(operation.Parts[0], depth + 1) is not { } left || Of(operation.Parts[1], depth + 1) is not { } right) return null;
                return operation.Kind switch
                {
                    'u' => Union(left, right),
                    'n' => Intersection(left, right),
                    _ => Complement(right) is { } outside ? Intersection(left, outside) : null,
                };
            default:
                return null;
        }
    }

    /// <summary>Whether two regions have the same ends.</summary>
    public static bool Same(Region a, Region b, Func<Node, Node, bool> same)
    {
        if (a.Spans.Count != b.Spans.Count) return false;
        for (int i = 0; i < a.Spans.Count; i++)
        {
            (Span x, Span y) = (a.Spans[i], b.Spans[i]);
            if (x.FromClosed != y.FromClosed || x.ToClosed != y.ToClosed || !SameBound(x.From, y.From) || !SameBound(x.To, y.To)) return false;
        }
        return true;

        bool SameBound(Bound p, Bound q) => p.Infinite == q.Infinite && (p.Infinite != 0 || same(p.Node!, q.Node!));
    }

    /// <summary>Conditions on one quantity. "Or" unites; otherwise they hold together, unless nothing would remain.</summary>
    private static Region? OfConditions(Collection conditions, int depth)
    {
        Region? all = null, any = null;
        string? name = null;
        foreach (Node part in conditions.Parts)
        {
            Relation relation = (Relation)part;
            if (Relations.SubjectOf(relation) is not { } subject || (name is not null && name != subject) || Of(relation, depth + 1) is not { } region) return null;
            name = subject;
            all = all is null ? region : Intersection(all, region);
            any = any is null ? region : Union(any, region);
            if (all is null || any is null) return null;
        }
        return conditions.Either || all!.Spans.Count == 0 ? any : all;
    }

    private static Region? OfRelation(Relation relation, int depth)
    {
        if (relation is { Signs: [Comparison.In], Parts: [_, var set] }) return Of(set, depth + 1);
        Region? region = null;
        for (int i = 0; i < relation.Signs.Count; i++)
        {
            if (Relations.Solve(relation.Parts[i], relation.Signs[i], relation.Parts[i + 1]) is not { } solved) return null;
            Bound bound = solved.Bound;
            Region part = new(solved.Sign switch
            {
                Comparison.Less => [new Span(Bound.Low, false, bound, false)],
                Comparison.LessOrEqual => [new Span(Bound.Low, false, bound, true)],
                Comparison.Greater => [new Span(bound, false, Bound.High, false)],
                Comparison.GreaterOrEqual => [new Span(bound, true, Bound.High, false)],
                _ => [new Span(Bound.Low, false, bound, false), new Span(bound, false, Bound.High, false)],
            });
            region = region is null ? part : Intersection(region, part);
            if (region is null) return null;
        }
        return region;
    }

    private static Region? Union(Region a, Region b) => Normal([.. a.Spans, .. b.Spans]);

    private static Region? Intersection(Region a, Region b)
    {
        List<Span> spans = [];
        foreach (Span x in a.Spans)
        {
            foreach (Span y in b.Spans)
            {
                int low = x.From.CompareTo(y.From), high = x.To.CompareTo(y.To);
                Bound from = low >= 0 ? x.From : y.From, to = high <= 0 ? x.To : y.To;
                bool fromClosed = low == 0 ? x.FromClosed && y.FromClosed : low > 0 ? x.FromClosed : y.FromClosed;
                bool toClosed = high == 0 ? x.ToClosed && y.ToClosed : high < 0 ? x.ToClosed : y.ToClosed;
                int order = from.CompareTo(to);
                if (order < 0 || (order == 0 && fromClosed && toClosed)) spans.Add(new Span(from, fromClosed, to, toClosed));
            }
        }
        return Normal(spans);
    }

    private static Region? Complement(Region a)
    {
        List<Span> spans = [];
        Bound from = Bound.Low;
        bool closed = false;
        foreach (Span span in a.Spans)
        {
            if (from.CompareTo(span.From) < 0 || (closed && !span.FromClosed)) spans.Add(new Span(from, closed, span.From, !span.FromClosed && span.From.Infinite == 0));
            (from, closed) = (span.To, !span.ToClosed);
        }
        if (from.Infinite <= 0) spans.Add(new Span(from, closed && from.Infinite == 0, Bound.High, false));
        return spans.Count > MostSpans ? null : new Region(spans);
    }

    /// <summary>Sorts, drops empty intervals, and joins those that touch.</summary>
    private static Region? Normal(List<Span> spans)
    {
        if (spans.Count > MostSpans) return null;
        spans.Sort((x, y) => x.From.CompareTo(y.From) is var order and not 0 ? order : y.FromClosed.CompareTo(x.FromClosed));
        List<Span> result = [];
        foreach (Span span in spans)
        {
            if (span.From.CompareTo(span.To) == 0 && !(span.FromClosed && span.ToClosed)) continue;
            if (result.Count > 0)
            {
                Span last = result[^1];
                int gap = last.To.CompareTo(span.From);
                if (gap > 0 || (gap == 0 && (last.ToClosed || span.FromClosed)))
                {
                    int further = last.To.CompareTo(span.To);
                    result[^1] = further > 0 ? last : last with { To = further == 0 ? last.To : span.To, ToClosed = further == 0 ? last.ToClosed || span.ToClosed : span.ToClosed };
                    continue;
                }
            }
            result.Add(span);
        }
        return new Region(result);
    }
}
