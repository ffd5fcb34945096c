namespace ElmNative.Transformers.Tokenization.Jinja;

// A value is null (None), bool, long, double, string, or one of the types below.

/// <summary>The value of what is not there. It prints as nothing and is false; more than that is an error.</summary>
/// <param name="What">what is missing, for the error</param>
internal sealed record JinjaUndefined(string What);

/// <summary>A list or tuple; no template can change it.</summary>
internal sealed class JinjaList(IReadOnlyList<object?> items, bool isTuple = false)
{
    /// <summary>The items.</summary>
    public IReadOnlyList<object?> Items { get; } = items;

    /// <summary>Prints in parentheses and is unequal to any list.</summary>
    public bool IsTuple { get; } = isTuple;
}

/// <summary>A dictionary in the order of insertion; no template can change it.</summary>
internal sealed class JinjaMap
{
    private readonly Dictionary<object, int> index = new(KeyComparer.Instance);
    private readonly List<KeyValuePair<object?, object?>> entries = [];

    /// <summary>The entries in order.</summary>
    public IReadOnlyList<KeyValuePair<object?, object?>> Entries => entries;

    /// <summary>Adds an entry, or replaces the value of an equal key. Only for whoever makes the map.</summary>
    /// <exception cref="JinjaError">the key is a list or a map</exception>
    public void Set(object? key, object? value)
    {
        object slot = Slot(key) ?? throw new JinjaError("a key of a dictionary must be a string, a number or a tuple of such");
        if (index.TryGetValue(slot, out int at))
            entries[at] = new(entries[at].Key, value);
        else
        {
            index.Add(slot, entries.Count);
            entries.Add(new(key, value));
        }
    }

    /// <summary>Looks a key up.</summary>
    public bool TryGet(object? key, out object? value)
    {
        if (Slot(key) is { } slot && index.TryGetValue(slot, out int at))
        {
            value = entries[at].Value;
            return true;
        }
        value = null;
        return false;
    }

    /// <summary>A non-null stand-in whose equality is Python's: 1, 1.0 and true are one key. Null where the value cannot be a key.</summary>
    private static object? Slot(object? key) => key switch
    {
        null => KeyComparer.None,
        bool truth => truth ? 1L : 0L,
        double number when number == Math.Floor(number) && Math.Abs(number) < 1L << 53 => (long)number,
        long or double or string => key,
        JinjaList { IsTuple: true } tuple when tuple.Items.Count <= 16 => TupleSlot(tuple),
        _ => null,
    };

    private static string? TupleSlot(JinjaList tuple)
    {
        List<string> parts = [];
        foreach (object? item in tuple.Items)
        {
            if (item is JinjaList || Slot(item) is not { } slot)
                return null;
            parts.Add($"{slot.GetType().Name}\0{slot}");
        }
        return "(\0" + string.Join("\0\0", parts);
    }

    private sealed class KeyComparer : IEqualityComparer<object>
    {
        public static readonly KeyComparer Instance = new();
        public static readonly object None = new();

        public new bool Equals(object? left, object? right) => object.Equals(left, right);

        // Numbers mix with a seed of the process, so that no template can provoke collisions; strings do so by themselves.
        public int GetHashCode(object key) => key is long number ? HashCode.Combine(number) : key.GetHashCode();
    }
}

/// <summary>What namespace(...) makes: the one thing whose attributes a template can set.</summary>
internal sealed class JinjaNamespace
{
    /// <summary>Its attributes.</summary>
    public Dictionary<string, object?> Attributes { get; } = new(StringComparer.Ordinal);
}

/// <summary>Something that can be called.</summary>
/// <param name="Name">for errors</param>
/// <param name="Invoke">the function</param>
internal sealed record JinjaFunction(string Name, Func<Interpreter, Arguments, object?> Invoke);

/// <summary>Arguments of a call.</summary>
/// <param name="Positional">those without a name</param>
/// <param name="Named">those with one, in order</param>
internal sealed record Arguments(IReadOnlyList<object?> Positional, IReadOnlyList<KeyValuePair<string, object?>> Named)
{
    /// <summary>No arguments.</summary>
    public static Arguments None { get; } = new([], []);

    /// <summary>The argument at a position or with a name; false if it was not given.</summary>
    public bool TryGet(int position, string name, out object? value)
    {
        value = position < Positional.Count ? Positional[position] : null;
        if (position < Positional.Count)
            return true;
        foreach ((string given, object? named) in Named)
            if (given == name)
            {
                value = named;
                return true;
            }
        return false;
    }

    /// <summary>The argument at a position or with a name, or a default.</summary>
    public object? Get(int position, string name, object? absent) => TryGet(position, name, out object? value) ? value : absent;

    /// <summary>The argument at a position or with a name.</summary>
    /// <exception cref="JinjaError">not given</exception>
    public object? Need(int position, string name, string function) =>
        TryGet(position, name, out object? value) ? value : throw new JinjaError($"{function} needs the argument '{name}'");

    /// <summary>An argument that must be a string.</summary>
    public string NeedText(int position, string name, string function) => Need(position, name, function) as string ??
        throw new JinjaError($"{function}: the argument '{name}' must be a string");

    /// <summary>An argument that must be a whole number.</summary>
    public long GetInteger(int position, string name, long absent) => Get(position, name, absent) switch
    {
        long number => number,
        bool truth => truth ? 1 : 0,
        _ => throw new JinjaError($"the argument '{name}' must be a whole number"),
    };

    /// <summary>The arguments without the first positional ones.</summary>
    public Arguments Skip(int count) => new([.. Positional.Skip(count)], Named);
}
