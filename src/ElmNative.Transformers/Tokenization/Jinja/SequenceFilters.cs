using System.Globalization;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Jinja2's filters that go over the items of a list or map.</summary>
internal static class SequenceFilters
{
    /// <summary>A function that takes an attribute such as "a.b.0" of an item.</summary>
    public static Func<object?, object?> Getter(object? attribute, Interpreter interpreter, object? absent = null)
    {
        object?[] path = attribute is string text
            ? [.. text.Split('.').Select(part =>
                long.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out long index) ? index : (object)part)]
            : [attribute];
        return item =>
        {
            foreach (object? part in path)
            {
                interpreter.Budget.Take(1);
                item = Access.Item(item, part, interpreter.Budget);
                if (item is JinjaUndefined && absent is not null)
                    return absent;
            }
            return item;
        };
    }

    /// <summary>A list of items.</summary>
    public static JinjaList List(IReadOnlyList<object?> items, Budget budget)
    {
        budget.Take(items.Count);
        return new JinjaList(items);
    }

    /// <summary>map(attribute=...) or map(filter, ...)</summary>
    public static object? Map(object? value, Arguments arguments, Interpreter interpreter)
    {
        Func<object?, object?> change;
        if (arguments.Positional.Count == 0)
            change = Getter(arguments.Need(1, "attribute", "map"), interpreter, arguments.Get(2, "default", null));
        else
        {
            string filter = arguments.NeedText(0, "filter", "map");
            Arguments rest = arguments.Skip(1);
            change = item => Filters.Apply(filter, item, rest, interpreter);
        }
        return List([.. Filters.Items(value, interpreter).Select(change)], interpreter.Budget);
    }

    /// <summary>select, reject, selectattr and rejectattr.</summary>
    public static object? Select(object? value, Arguments arguments, Interpreter interpreter, bool byAttribute, bool keep)
    {
        Func<object?, object?> get = item => item;
        if (byAttribute)
        {
            get = Getter(arguments.Need(0, "attribute", "selectattr"), interpreter);
            arguments = arguments.Skip(1);
        }
        Func<object?, bool> test = Operations.Truth;
        if (arguments.Positional.Count > 0)
        {
            string name = arguments.NeedText(0, "test", "select");
            Arguments rest = arguments.Skip(1);
            test = item => ValueTests.Holds(name, item, rest, interpreter);
        }
        return List([.. Filters.Items(value, interpreter).Where(item => test(get(item)) == keep)], interpreter.Budget);
    }

    /// <summary>sort(reverse, case_sensitive, attribute)</summary>
    public static object? Sort(object? value, Arguments arguments, Interpreter interpreter)
    {
        bool exact = Operations.Truth(arguments.Get(1, "case_sensitive", false));
        Func<object?, object?>[] keys = arguments.Get(2, "attribute", null) switch
        {
            null => [item => item],
            string names => [.. names.Split(',').Select(name => Getter(name, interpreter))],
            object other => [Getter(other, interpreter)],
        };
        return Ordered(Filters.Items(value, interpreter),
            item => new JinjaList([.. keys.Select(key => Folded(key(item), exact, interpreter.Budget))]),
            Operations.Truth(arguments.Get(0, "reverse", false)), interpreter.Budget);
    }

    /// <summary>dictsort(case_sensitive, by, reverse)</summary>
    public static object? SortMap(object? value, Arguments arguments, Budget budget)
    {
        if (value is not JinjaMap map)
            throw new JinjaError($"the filter 'dictsort' cannot take a {Operations.TypeName(value)}");
        bool exact = Operations.Truth(arguments.Get(0, "case_sensitive", false));
        int part = arguments.Get(1, "by", "key") switch
        {
            "key" => 0,
            "value" => 1,
            _ => throw new JinjaError("dictsort sorts by 'key' or 'value'"),
        };
        return Ordered(Methods.Pairs(map, budget).Items, pair => Folded(((JinjaList)pair!).Items[part], exact, budget),
            Operations.Truth(arguments.Get(2, "reverse", false)), budget);
    }

    /// <summary>groupby(attribute): pairs of a value and the items that have it.</summary>
    public static object? GroupBy(object? value, Arguments arguments, Interpreter interpreter)
    {
        Func<object?, object?> key = Getter(arguments.Need(0, "attribute", "groupby"), interpreter, arguments.Get(1, "default", null));
        List<object?> groups = [];
        object? last = null;
        List<object?> members = [];
        object? Mark(object? held) => Folded(held, false, interpreter.Budget);
        foreach (object? item in Ordered(Filters.Items(value, interpreter), item => Mark(key(item)), false, interpreter.Budget).Items)
        {
            object? current = key(item);
            if (members.Count == 0 || Operations.Compare(Mark(current), Mark(last), interpreter.Budget) != 0)
            {
                members = [];
                last = current;
                groups.Add(new JinjaList([current, new JinjaList(members)], isTuple: true));
            }
            members.Add(item);
        }
        return new JinjaList(groups);
    }

    /// <summary>unique(case_sensitive, attribute)</summary>
    public static object? Unique(object? value, Arguments arguments, Interpreter interpreter)
    {
        bool exact = Operations.Truth(arguments.Get(0, "case_sensitive", false));
        Func<object?, object?> key = arguments.Get(1, "attribute", null) is { } attribute ? Getter(attribute, interpreter) : item => item;
        JinjaMap seen = new();
        List<object?> kept = [];
        foreach (object? item in Filters.Items(value, interpreter))
        {
            object? mark = Folded(key(item), exact, interpreter.Budget);
            if (seen.TryGet(mark, out _))
                continue;
            seen.Set(mark, true);
            kept.Add(item);
        }
        return List(kept, interpreter.Budget);
    }

    /// <summary>min and max.</summary>
    /// <param name="value">the items</param>
    /// <param name="arguments">case_sensitive, attribute</param>
    /// <param name="interpreter">the rendering</param>
    /// <param name="sign">1 for the greatest, -1 for the least; of equals the first</param>
    public static object? Extreme(object? value, Arguments arguments, Interpreter interpreter, int sign)
    {
        bool exact = Operations.Truth(arguments.Get(0, "case_sensitive", false));
        Func<object?, object?> key = arguments.Get(1, "attribute", null) is { } attribute ? Getter(attribute, interpreter) : item => item;
        IReadOnlyList<object?> items = Filters.Items(value, interpreter);
        if (items.Count == 0)
            return new JinjaUndefined("there is no item to choose from");
        object? best = items[0], bestKey = Folded(key(best), exact, interpreter.Budget);
        foreach (object? item in items.Skip(1))
        {
            object? itemKey = Folded(key(item), exact, interpreter.Budget);
            if (Operations.Compare(itemKey, bestKey, interpreter.Budget) * sign > 0)
                (best, bestKey) = (item, itemKey);
        }
        return best;
    }

    /// <summary>sum(attribute, start)</summary>
    public static object? Sum(object? value, Arguments arguments, Interpreter interpreter)
    {
        Func<object?, object?> key = arguments.Get(0, "attribute", null) is { } attribute ? Getter(attribute, interpreter) : item => item;
        object? total = arguments.Get(1, "start", 0L);
        foreach (object? item in Filters.Items(value, interpreter))
            total = Operations.Binary("+", total, key(item), interpreter.Budget);
        return total;
    }

    private static object? Folded(object? value, bool exact, Budget budget)
    {
        if (exact || value is not string text)
            return value;
        budget.TakeText(text.Length);
        return PythonText.Lower(text);
    }

    /// <summary>A stable sort, whose comparisons are charged.</summary>
    private static JinjaList Ordered(IReadOnlyList<object?> items, Func<object?, object?> key, bool reverse, Budget budget)
    {
        Comparer<object?> order = Comparer<object?>.Create((left, right) => Operations.Compare(left, right, budget));
        try
        {
            return List([.. reverse ? items.OrderByDescending(key, order) : items.OrderBy(key, order)], budget);
        }
        catch (InvalidOperationException error) when (error.InnerException is JinjaError inner)
        {
            throw inner;
        }
    }
}
