namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>
/// What one rendering may use. Work is counted in units: one for each node evaluated, each list item made and each 16 characters
/// produced or searched, so that it bounds time, memory and output together, and the same template and input always use the same.
/// </summary>
internal sealed class Budget
{
    /// <summary>Most nodes evaluated inside one another, macro calls included.</summary>
    public const int DeepestNesting = 400;

    private const long Base = 4_000_000;
    private long left;
    private int depth;

    /// <param name="inputCharacters">size of the conversation</param>
    public Budget(long inputCharacters) => left = Base + 4 * inputCharacters;

    /// <summary>Takes units.</summary>
    /// <exception cref="JinjaError">there are not so many left</exception>
    public void Take(long units)
    {
        if ((left -= units) < 0)
            throw new JinjaError("the template takes too many steps");
    }

    /// <summary>Takes the units of making or searching text.</summary>
    public void TakeText(long characters) => Take(1 + characters / 16);

    /// <summary>Takes the units of looking for a text in another; matching part of a long needle again and again costs more.</summary>
    public void TakeSearch(string text, string needle) =>
        TakeText(needle.Length <= 32 ? text.Length : (long)text.Length * Math.Min(needle.Length, text.Length) / 32);

    /// <summary>Goes one level deeper.</summary>
    /// <exception cref="JinjaError">too deep</exception>
    public void Enter()
    {
        if (++depth > DeepestNesting)
            throw new JinjaError("the template nests too deeply");
    }

    /// <summary>Comes back one level.</summary>
    public void Leave() => depth--;
}
