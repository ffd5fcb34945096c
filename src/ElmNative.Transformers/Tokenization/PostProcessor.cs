namespace ElmNative.Transformers.Tokenization;

/// <summary>The ids that the post-processor puts before and after those of a text when special tokens are asked for.</summary>
/// <param name="Before">ids in front</param>
/// <param name="After">ids behind</param>
internal sealed record PostProcessor(int[] Before, int[] After)
{
    /// <summary>Adds nothing.</summary>
    public static PostProcessor Empty { get; } = new([], []);

    /// <summary>This one's ids next to the text, the other's around them.</summary>
    public PostProcessor Then(PostProcessor outer) => new([.. outer.Before, .. Before], [.. After, .. outer.After]);
}
