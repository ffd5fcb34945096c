namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Jinja2's tests: what may follow "is".</summary>
internal static class ValueTests
{
    /// <summary>Whether a test holds.</summary>
    /// <exception cref="JinjaError">there is no such test, or it cannot take the value</exception>
    public static bool Holds(string name, object? value, Arguments arguments, Interpreter interpreter)
    {
        Budget budget = interpreter.Budget;
        budget.Take(1);
        return name switch
        {
            "defined" => value is not JinjaUndefined,
            "undefined" => value is JinjaUndefined,
            "none" => value is null,
            "boolean" => value is bool,
            "true" => value is true,
            "false" => value is false,
            "integer" => value is long,
            "float" => value is double,
            "number" => Operations.IsNumber(value),
            "string" => value is string,
            "mapping" => value is JinjaMap,
            "iterable" => value is string or JinjaList or JinjaMap or JinjaUndefined,
            "sequence" => value is string or JinjaList or JinjaMap or JinjaUndefined,
            "callable" => value is JinjaFunction or LoopState,
            "escaped" => false,
            "lower" => value is string text && text == PythonText.Lower(text) && text.Any(char.IsLetter),
            "upper" => value is string text && text == PythonText.Upper(text) && text.Any(char.IsLetter),
            "odd" => Whole(value, name) % 2 != 0,
            "even" => Whole(value, name) % 2 == 0,
            "divisibleby" => Whole(arguments.Need(0, "num", name), name) is var by && by is not (0 or -1) ? Whole(value, name) % by == 0
                : by == -1 ? true : throw new JinjaError("a division by zero"),
            "sameas" => Same(value, arguments.Need(0, "other", name)),
            "filter" => value is string text && Filters.Exists(text),
            "in" => Operations.Contains(arguments.Need(0, "seq", name), value, budget),
            "eq" or "equalto" or "==" => Compare("==", value, arguments, budget),
            "ne" or "!=" => Compare("!=", value, arguments, budget),
            "lt" or "lessthan" or "<" => Compare("<", value, arguments, budget),
            "le" or "<=" => Compare("<=", value, arguments, budget),
            "gt" or "greaterthan" or ">" => Compare(">", value, arguments, budget),
            "ge" or ">=" => Compare(">=", value, arguments, budget),
            _ => throw new JinjaError($"the test '{name}' is unknown or not supported"),
        };
    }

    private static bool Compare(string operation, object? value, Arguments arguments, Budget budget) =>
        Expression.Comparison.Holds(operation, value, arguments.Need(0, "other", operation), budget);

    private static bool Same(object? left, object? right) => left switch
    {
        null or bool or long or double or string => Equals(left, right),
        _ => ReferenceEquals(left, right),
    };

    private static long Whole(object? value, string test) => value switch
    {
        long number => number,
        bool truth => truth ? 1 : 0,
        _ => throw new JinjaError($"the test '{test}' cannot take a {Operations.TypeName(value)}"),
    };
}
