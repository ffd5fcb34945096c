namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Attributes, items and slices of values, as Jinja2's environment looks them up.</summary>
internal static class Access
{
    /// <summary>value.name: an attribute or method first, then an item of that key.</summary>
    public static object? Attribute(object? value, string name)
    {
        Operations.CheckDefined(value);
        if (value is JinjaNamespace space)
            return space.Attributes.TryGetValue(name, out object? held) ? held : Missing(value, name);
        if (value is LoopState loop)
            return loop.Attribute(name);
        if (Methods.Find(value, name) is { } method)
            return method;
        return value is JinjaMap map && map.TryGet(name, out object? item) ? item : Missing(value, name);
    }

    /// <summary>value[key]: an item first, then an attribute of that name.</summary>
    public static object? Item(object? value, object? key, Budget budget)
    {
        Operations.CheckDefined(value);
        if (value is JinjaMap map && map.TryGet(key, out object? item))
            return item;
        if (key is long or bool && value is JinjaList or string)
        {
            long index = key is long number ? number : key is true ? 1 : 0;
            IReadOnlyList<object?> items = value is JinjaList list ? list.Items : Operations.Iterate(value, budget);
            if (index < 0)
                index += items.Count;
            return index >= 0 && index < items.Count ? items[(int)index]
                : new JinjaUndefined($"a {Operations.TypeName(value)} of {items.Count} has no item {Operations.Print(key, budget)}");
        }
        return key is string name ? Attribute(value, name) : new JinjaUndefined($"a {Operations.TypeName(value)} has no such item");
    }

    /// <summary>value[start:stop:step]</summary>
    public static object? Slice(object? value, object? start, object? stop, object? step, Budget budget)
    {
        Operations.CheckDefined(value);
        if (value is not (JinjaList or string))
            throw new JinjaError($"a {Operations.TypeName(value)} cannot be sliced");
        IReadOnlyList<object?> items = value is JinjaList list ? list.Items : Operations.Iterate(value, budget);
        long count = items.Count, by = Bound(step) ?? 1;
        if (by == 0)
            throw new JinjaError("a slice cannot have the step 0");
        by = Math.Clamp(by, -count - 1, count + 1);
        long from = Clamp(Bound(start), by > 0 ? 0 : count - 1, count, by), to = Clamp(Bound(stop), by > 0 ? count : -1, count, by);
        List<object?> taken = [];
        for (long i = from; by > 0 ? i < to : i > to; i += by)
            taken.Add(items[(int)i]);
        budget.Take(taken.Count);
        return value is JinjaList original ? new JinjaList(taken, original.IsTuple) : string.Concat(taken);
    }

    private static JinjaUndefined Missing(object? value, string name) => new($"a {Operations.TypeName(value)} has no attribute '{name}'");

    private static long? Bound(object? value) => value switch
    {
        null => null,
        long number => number,
        bool truth => truth ? 1 : 0,
        _ => throw new JinjaError("the bounds of a slice must be whole numbers"),
    };

    private static long Clamp(long? bound, long absent, long count, long by)
    {
        if (bound is not { } value)
            return absent;
        if (value < 0)
            value = Math.Max(value + count, by > 0 ? 0 : -1);
        return Math.Min(value, by > 0 ? count : count - 1);
    }
}
