namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>The variable "loop" inside a for.</summary>
/// <param name="items">all that the loop goes over</param>
/// <param name="depth">loops of a recursive for around this one</param>
/// <param name="again">runs the body of a recursive for over other items, or null</param>
internal sealed class LoopState(IReadOnlyList<object?> items, int depth, Func<object?, string>? again)
{
    private object? lastChanged;
    private bool anyChanged;

    /// <summary>Position of the item, from 0.</summary>
    public int Index { get; set; }

    /// <summary>loop(items) of a recursive for.</summary>
    public string Recurse(object? other) => again is null
        ? throw new JinjaError("only a recursive for can call its loop")
        : again(other);

    /// <summary>loop.name</summary>
    public object? Attribute(string name) => name switch
    {
        "index" => Index + 1L,
        "index0" => (long)Index,
        "revindex" => (long)items.Count - Index,
        "revindex0" => (long)items.Count - Index - 1,
        "first" => Index == 0,
        "last" => Index == items.Count - 1,
        "length" => (long)items.Count,
        "depth" => depth + 1L,
        "depth0" => (long)depth,
        "previtem" => Index > 0 ? items[Index - 1] : new JinjaUndefined("there is no previous item"),
        "nextitem" => Index + 1 < items.Count ? items[Index + 1] : new JinjaUndefined("there is no next item"),
        "cycle" => new JinjaFunction("loop.cycle", (_, arguments) => arguments.Positional.Count > 0
            ? arguments.Positional[Index % arguments.Positional.Count]
            : throw new JinjaError("loop.cycle needs an argument")),
        "changed" => new JinjaFunction("loop.changed", (interpreter, arguments) => Changed(interpreter, new JinjaList(arguments.Positional))),
        _ => new JinjaUndefined($"the loop has no attribute '{name}'"),
    };

    private bool Changed(Interpreter interpreter, JinjaList value)
    {
        bool changed = !anyChanged || !Operations.AreEqual(lastChanged, value, interpreter.Budget);
        (lastChanged, anyChanged) = (value, true);
        return changed;
    }
}
