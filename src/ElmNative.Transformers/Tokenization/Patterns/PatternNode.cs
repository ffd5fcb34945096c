namespace ElmNative.Transformers.Tokenization.Patterns;

/// <summary>A node of a parsed regular expression.</summary>
internal abstract record PatternNode
{
    /// <summary>One code point of a set.</summary>
    public sealed record Set(CodePointSet Points) : PatternNode;

    /// <summary>One after the other; none of them matches the empty text.</summary>
    public sealed record Chain(IReadOnlyList<PatternNode> Items) : PatternNode;

    /// <summary>The first alternative that leads to a match.</summary>
    public sealed record Choice(IReadOnlyList<PatternNode> Items) : PatternNode;

    /// <summary>Repetition; <see cref="int.MaxValue"/> is no upper bound.</summary>
    public sealed record Repeat(PatternNode Item, int Least, int Most, bool Greedy) : PatternNode;

    /// <summary>Matches once and never takes it back: atomic groups and possessive repetition.</summary>
    public sealed record Atomic(PatternNode Item) : PatternNode;

    /// <summary>Looks ahead without consuming.</summary>
    public sealed record Ahead(PatternNode Item, bool Negated) : PatternNode;

    /// <summary>A place in the text.</summary>
    public sealed record Anchor(AnchorKind Kind) : PatternNode;

    /// <summary>Whether the node can match the empty text.</summary>
    public bool MayBeEmpty => this switch
    {
        Set => false,
        Chain chain => chain.Items.All(item => item.MayBeEmpty),
        Choice choice => choice.Items.Any(item => item.MayBeEmpty),
        Repeat repeat => repeat.Least == 0 || repeat.Item.MayBeEmpty,
        Atomic atomic => atomic.Item.MayBeEmpty,
        _ => true,
    };
}

/// <summary>Places that an anchor matches.</summary>
internal enum AnchorKind
{
    /// <summary>Start of the text or of a line.</summary>
    LineStart,

    /// <summary>End of the text or of a line.</summary>
    LineEnd,

    /// <summary>Start of the text.</summary>
    TextStart,

    /// <summary>End of the text.</summary>
    TextEnd,
}
