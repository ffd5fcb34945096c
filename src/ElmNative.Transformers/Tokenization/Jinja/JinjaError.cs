namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>What is wrong with a template or its use. <see cref="ChatTemplate"/> adds the file and the line.</summary>
internal sealed class JinjaError : Exception
{
    /// <summary>An error at the place that the interpreter has reached.</summary>
    public JinjaError(string what) : base(what) { }

    /// <summary>An error at a line that the reader knows.</summary>
    public JinjaError(string what, int line) : base(what) => Line = line;

    /// <summary>The line, from 1, or 0 where only the interpreter knows.</summary>
    public int Line { get; }
}
