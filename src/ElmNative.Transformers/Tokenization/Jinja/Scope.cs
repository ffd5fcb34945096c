namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Variables of a block; those it does not have are looked up in the block around it.</summary>
internal sealed class Scope(Scope? outer)
{
    private Dictionary<string, object?>? variables;

    /// <summary>Sets a variable of this block.</summary>
    public void Set(string name, object? value) => (variables ??= new(StringComparer.Ordinal))[name] = value;

    /// <summary>Looks a variable up, here and outwards.</summary>
    public bool TryGet(string name, out object? value)
    {
        for (Scope? scope = this; scope is not null; scope = scope.Outer)
            if (scope.variables is { } held && held.TryGetValue(name, out value))
                return true;
        value = null;
        return false;
    }

    private Scope? Outer { get; } = outer;
}
