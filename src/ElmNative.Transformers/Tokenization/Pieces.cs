namespace ElmNative.Transformers.Tokenization;

/// <summary>A stretch of text on its way through the pre-tokenizers: its UTF-8 and the pieces it is cut into, in order.</summary>
internal sealed class Pieces
{
    private byte[] text = [];
    private int length;

    /// <summary>First and one past the last byte of each piece; pieces are not empty, and gaps are text that was removed.</summary>
    public List<(int Start, int End)> Spans { get; private set; } = [];

    private List<(int Start, int End)> spare = [];

    /// <summary>The text.</summary>
    public ReadOnlySpan<byte> Text => text.AsSpan(0, length);

    /// <summary>Starts anew with one piece, the whole of the text.</summary>
    public void Reset(ReadOnlySpan<byte> whole)
    {
        Replace(whole);
        Spans.Clear();
        if (!whole.IsEmpty)
            Spans.Add((0, whole.Length));
    }

    /// <summary>Puts another text in place; the caller rewrites the spans.</summary>
    public void Replace(ReadOnlySpan<byte> other)
    {
        if (text.Length < other.Length)
            text = new byte[Math.Max(other.Length, Math.Min(2 * text.Length, 1 << 20))];
        other.CopyTo(text);
        length = other.Length;
    }

    /// <summary>An empty list to fill with the next spans; <see cref="Swap"/> puts it in place.</summary>
    public List<(int Start, int End)> NextSpans()
    {
        spare.Clear();
        return spare;
    }

    /// <summary>Makes the list from <see cref="NextSpans"/> the current one.</summary>
    public void Swap() => (Spans, spare) = (spare, Spans);
}
