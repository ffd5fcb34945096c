namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>An expression of a template.</summary>
internal abstract class Expression(int line)
{
    /// <summary>Line of the template.</summary>
    public int Line { get; } = line;

    /// <summary>The value; errors are <see cref="JinjaError"/>s.</summary>
    public object? Evaluate(Interpreter interpreter, Scope scope)
    {
        interpreter.Line = Line;
        interpreter.Budget.Take(1);
        interpreter.Budget.Enter();
        object? value = Compute(interpreter, scope);
        interpreter.Budget.Leave();
        return value;
    }

    /// <summary>The value, without the accounting.</summary>
    protected abstract object? Compute(Interpreter interpreter, Scope scope);

    /// <summary>A literal.</summary>
    public sealed class Constant(int line, object? value) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) => value;
    }

    /// <summary>A variable.</summary>
    public sealed class Name(int line, string name) : Expression(line)
    {
        /// <summary>The variable's name.</summary>
        public string Text => name;

        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) =>
            scope.TryGet(name, out object? value) ? value : new JinjaUndefined($"'{name}' is undefined");
    }

    /// <summary>A list or tuple.</summary>
    public sealed class Items(int line, IReadOnlyList<Expression> items, bool isTuple) : Expression(line)
    {
        /// <summary>The items.</summary>
        public IReadOnlyList<Expression> Parts => items;

        /// <summary>Whether it is a tuple.</summary>
        public bool IsTuple => isTuple;

        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) =>
            new JinjaList([.. items.Select(item => item.Evaluate(interpreter, scope))], isTuple);
    }

    /// <summary>A dictionary.</summary>
    public sealed class Map(int line, IReadOnlyList<(Expression Key, Expression Value)> entries) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope)
        {
            JinjaMap map = new();
            foreach ((Expression key, Expression value) in entries)
                map.Set(key.Evaluate(interpreter, scope), value.Evaluate(interpreter, scope));
            return map;
        }
    }

    /// <summary>target.name</summary>
    public sealed class Attribute(int line, Expression target, string name) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) =>
            Access.Attribute(target.Evaluate(interpreter, scope), name);
    }

    /// <summary>target[key]</summary>
    public sealed class Item(int line, Expression target, Expression key) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) =>
            Access.Item(target.Evaluate(interpreter, scope), key.Evaluate(interpreter, scope), interpreter.Budget);
    }

    /// <summary>target[start:stop:step]; an absent part is null.</summary>
    public sealed class Slice(int line, Expression target, Expression? start, Expression? stop, Expression? step) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) => Access.Slice(
            target.Evaluate(interpreter, scope),
            start?.Evaluate(interpreter, scope),
            stop?.Evaluate(interpreter, scope),
            step?.Evaluate(interpreter, scope),
            interpreter.Budget);
    }

    /// <summary>An operator on numbers, strings or lists.</summary>
    public sealed class Binary(int line, string operation, Expression left, Expression right) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) => Operations.Binary(
            operation, left.Evaluate(interpreter, scope), right.Evaluate(interpreter, scope), interpreter.Budget);
    }

    /// <summary>Unary minus or plus.</summary>
    public sealed class Signed(int line, bool negative, Expression value) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) =>
            Operations.Signed(negative, value.Evaluate(interpreter, scope));
    }

    /// <summary>~: the printed parts, joined.</summary>
    public sealed class Concatenation(int line, IReadOnlyList<Expression> parts) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope)
        {
            string[] texts = new string[parts.Count];
            for (int i = 0; i < texts.Length; i++)
                texts[i] = Operations.Print(parts[i].Evaluate(interpreter, scope), interpreter.Budget);
            interpreter.Budget.TakeText(texts.Sum(text => (long)text.Length));
            return string.Concat(texts);
        }
    }

    /// <summary>One or more comparisons in a row; all must hold.</summary>
    public sealed class Comparison(int line, Expression first, IReadOnlyList<(string Operation, Expression Right)> rest) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope)
        {
            object? left = first.Evaluate(interpreter, scope);
            foreach ((string operation, Expression expression) in rest)
            {
                object? right = expression.Evaluate(interpreter, scope);
                if (!Holds(operation, left, right, interpreter.Budget))
                    return false;
                left = right;
            }
            return true;
        }

        /// <summary>Whether one comparison holds.</summary>
        public static bool Holds(string operation, object? left, object? right, Budget budget) => operation switch
        {
            "==" => Operations.AreEqual(left, right, budget),
            "!=" => !Operations.AreEqual(left, right, budget),
            "in" => Operations.Contains(right, left, budget),
            "not in" => !Operations.Contains(right, left, budget),
            "<" => Operations.Compare(left, right, budget) < 0,
            "<=" => Operations.Compare(left, right, budget) <= 0,
            ">" => Operations.Compare(left, right, budget) > 0,
            _ => Operations.Compare(left, right, budget) >= 0,
        };
    }

    /// <summary>and, or: the value that decides.</summary>
    public sealed class Logic(int line, bool isAnd, Expression left, Expression right) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope)
        {
            object? value = left.Evaluate(interpreter, scope);
            return Operations.Truth(value) == isAnd ? right.Evaluate(interpreter, scope) : value;
        }
    }

    /// <summary>not</summary>
    public sealed class Not(int line, Expression value) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope) => !Operations.Truth(value.Evaluate(interpreter, scope));
    }

    /// <summary>yes if condition else no; without else the value is undefined.</summary>
    public sealed class Ternary(int line, Expression condition, Expression yes, Expression? no) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope)
        {
            if (Operations.Truth(condition.Evaluate(interpreter, scope)))
                return yes.Evaluate(interpreter, scope);
            return no is null ? new JinjaUndefined("an if without else has no value") : no.Evaluate(interpreter, scope);
        }
    }

    /// <summary>A call.</summary>
    public sealed class Call(int line, Expression target, ArgumentList arguments) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope)
        {
            object? function = target.Evaluate(interpreter, scope);
            Arguments values = arguments.Evaluate(interpreter, scope);
            interpreter.Line = Line;
            return interpreter.Call(function, values);
        }
    }

    /// <summary>value|name(arguments)</summary>
    public sealed class Filter(int line, Expression value, string name, ArgumentList arguments) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope)
        {
            object? input = value.Evaluate(interpreter, scope);
            Arguments values = arguments.Evaluate(interpreter, scope);
            interpreter.Line = Line;
            return Filters.Apply(name, input, values, interpreter);
        }
    }

    /// <summary>value is name(arguments)</summary>
    public sealed class Test(int line, Expression value, string name, ArgumentList arguments) : Expression(line)
    {
        /// <inheritdoc/>
        protected override object? Compute(Interpreter interpreter, Scope scope)
        {
            object? input = value.Evaluate(interpreter, scope);
            return ValueTests.Holds(name, input, arguments.Evaluate(interpreter, scope), interpreter);
        }
    }
}

/// <summary>The arguments of a call as written.</summary>
/// <param name="Positional">those without a name</param>
/// <param name="Named">those with one</param>
/// <param name="Spread">a list after *, or null</param>
/// <param name="NamedSpread">a map after **, or null</param>
internal sealed record ArgumentList(
    IReadOnlyList<Expression> Positional, IReadOnlyList<(string Name, Expression Value)> Named, Expression? Spread, Expression? NamedSpread)
{
    /// <summary>None.</summary>
    public static ArgumentList Empty { get; } = new([], [], null, null);

    /// <summary>Their values.</summary>
    public Arguments Evaluate(Interpreter interpreter, Scope scope)
    {
        if (ReferenceEquals(this, Empty))
            return Arguments.None;
        List<object?> values = [.. Positional.Select(item => item.Evaluate(interpreter, scope))];
        List<KeyValuePair<string, object?>> named =
            [.. Named.Select(item => KeyValuePair.Create(item.Name, item.Value.Evaluate(interpreter, scope)))];
        if (Spread is not null)
        {
            IReadOnlyList<object?> more = Operations.Iterate(Spread.Evaluate(interpreter, scope), interpreter.Budget);
            interpreter.Budget.Take(more.Count);
            values.AddRange(more);
        }
        if (NamedSpread is not null)
        {
            if (NamedSpread.Evaluate(interpreter, scope) is not JinjaMap map)
                throw new JinjaError("what follows ** must be a dictionary");
            interpreter.Budget.Take(map.Entries.Count);
            foreach ((object? key, object? value) in map.Entries)
                named.Add(KeyValuePair.Create(key as string ?? throw new JinjaError("the names of arguments must be strings"), value));
        }
        return new Arguments(values, named);
    }
}
