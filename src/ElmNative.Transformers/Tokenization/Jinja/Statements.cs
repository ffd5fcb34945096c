namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>How a statement ended.</summary>
internal enum Flow { Normal, Break, Continue }

/// <summary>A statement of a template.</summary>
internal abstract class Statement(int line)
{
    /// <summary>Line of the template.</summary>
    protected int Line { get; } = line;

    /// <summary>Runs it.</summary>
    public Flow Execute(Interpreter interpreter, Scope scope)
    {
        interpreter.Line = Line;
        interpreter.Budget.Take(1);
        interpreter.Budget.Enter();
        Flow flow = Run(interpreter, scope);
        interpreter.Budget.Leave();
        return flow;
    }

    /// <summary>Runs it, without the accounting.</summary>
    protected abstract Flow Run(Interpreter interpreter, Scope scope);

    /// <summary>Literal text.</summary>
    public sealed class Data(int line, string text) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            interpreter.Write(text);
            return Flow.Normal;
        }
    }

    /// <summary>{{ value }}</summary>
    public sealed class Output(int line, Expression value) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            interpreter.Write(Operations.Print(value.Evaluate(interpreter, scope), interpreter.Budget));
            return Flow.Normal;
        }
    }

    /// <summary>Statements one after the other.</summary>
    public sealed class Body(int line, IReadOnlyList<Statement> items) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            foreach (Statement item in items)
                if (item.Execute(interpreter, scope) is var flow && flow != Flow.Normal)
                    return flow;
            return Flow.Normal;
        }
    }

    /// <summary>A block with variables of its own: with, generation, and what a filter block or call block holds.</summary>
    public sealed class Block(int line, IReadOnlyList<(Target Target, Expression Value)> variables, Statement body) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            Scope inner = new(scope);
            foreach ((Target target, Expression value) in variables)
                target.Assign(value.Evaluate(interpreter, scope), inner, interpreter);
            return body.Execute(interpreter, inner);
        }
    }

    /// <summary>if, elif, else.</summary>
    public sealed class If(int line, IReadOnlyList<(Expression Condition, Statement Body)> branches, Statement? otherwise) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            foreach ((Expression condition, Statement body) in branches)
                if (Operations.Truth(condition.Evaluate(interpreter, scope)))
                    return body.Execute(interpreter, scope);
            return otherwise?.Execute(interpreter, scope) ?? Flow.Normal;
        }
    }

    /// <summary>for, with an optional condition and else.</summary>
    public sealed class For(
        int line, Target target, Expression items, Expression? condition, bool recursive, Statement body, Statement? otherwise) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            Loop(interpreter, scope, items.Evaluate(interpreter, scope), 0);
            return Flow.Normal;
        }

        private void Loop(Interpreter interpreter, Scope scope, object? value, int depth)
        {
            IReadOnlyList<object?> all = Operations.Iterate(value, interpreter.Budget);
            if (condition is not null)
                all = [.. all.Where(item =>
                {
                    Scope inner = new(scope);
                    target.Assign(item, inner, interpreter);
                    return Operations.Truth(condition.Evaluate(interpreter, inner));
                })];
            if (all.Count == 0)
            {
                otherwise?.Execute(interpreter, new Scope(scope));
                return;
            }
            LoopState state = new(all, depth, recursive ? Again : null);
            for (int i = 0; i < all.Count; i++)
            {
                interpreter.Budget.Take(1);
                state.Index = i;
                Scope inner = new(scope);
                inner.Set("loop", state);
                target.Assign(all[i], inner, interpreter);
                if (body.Execute(interpreter, inner) == Flow.Break)
                    break;
            }

            string Again(object? other)
            {
                interpreter.Budget.Enter();
                string text = interpreter.Capture(new Nested(Line, () => Loop(interpreter, scope, other, depth + 1)), scope);
                interpreter.Budget.Leave();
                return text;
            }
        }
    }

    /// <summary>Code that writes, as a statement.</summary>
    private sealed class Nested(int line, Action run) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            run();
            return Flow.Normal;
        }
    }

    /// <summary>set target = value</summary>
    public sealed class Set(int line, Target target, Expression value) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            target.Assign(value.Evaluate(interpreter, scope), scope, interpreter);
            return Flow.Normal;
        }
    }

    /// <summary>A block set, a filter block or a call block: runs a body, then does something with its text.</summary>
    /// <param name="line">its line</param>
    /// <param name="body">what makes the text</param>
    /// <param name="wrap">an expression around the text, which is in the variable <see cref="TextVariable"/>; null for the text itself</param>
    /// <param name="target">where the value goes; null for the output</param>
    public sealed class Captured(int line, Statement body, Expression? wrap, Target? target) : Statement(line)
    {
        /// <summary>A name that no template can write.</summary>
        public const string TextVariable = " text";

        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            object? value = interpreter.Capture(body, new Scope(scope));
            if (wrap is not null)
            {
                Scope inner = new(scope);
                inner.Set(TextVariable, value);
                value = wrap.Evaluate(interpreter, inner);
            }
            if (target is not null)
                target.Assign(value, scope, interpreter);
            else
                interpreter.Write(Operations.Print(value, interpreter.Budget));
            return Flow.Normal;
        }
    }

    /// <summary>macro</summary>
    public sealed class Macro(int line, string name, MacroBody macro) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            scope.Set(name, new JinjaFunction(name, (running, arguments) => macro.Invoke(name, running, scope, arguments)));
            return Flow.Normal;
        }
    }

    /// <summary>call: calls a macro that gets the body as its function "caller".</summary>
    public sealed class CallBlock(int line, Expression function, ArgumentList arguments, MacroBody caller) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope)
        {
            Arguments given = arguments.Evaluate(interpreter, scope);
            JinjaFunction body = new("caller", (running, values) => caller.Invoke("caller", running, scope, values));
            object? value = interpreter.Call(
                function.Evaluate(interpreter, scope), new Arguments(given.Positional,
                    [.. given.Named, KeyValuePair.Create("caller", (object?)body)]));
            interpreter.Write(Operations.Print(value, interpreter.Budget));
            return Flow.Normal;
        }
    }

    /// <summary>break or continue.</summary>
    public sealed class Jump(int line, Flow flow) : Statement(line)
    {
        /// <inheritdoc/>
        protected override Flow Run(Interpreter interpreter, Scope scope) => flow;
    }
}

/// <summary>The parameters and body of a macro or call block.</summary>
/// <param name="Parameters">names and defaults</param>
/// <param name="Body">its statements</param>
internal sealed record MacroBody(IReadOnlyList<(string Name, Expression? Default)> Parameters, Statement Body)
{
    /// <summary>Runs the body; returns what it writes.</summary>
    public object? Invoke(string name, Interpreter interpreter, Scope scope, Arguments arguments)
    {
        Scope inner = new(scope);
        for (int i = 0; i < Parameters.Count; i++)
        {
            (string parameter, Expression? absent) = Parameters[i];
            inner.Set(parameter, arguments.TryGet(i, parameter, out object? value) ? value
                : absent is not null ? absent.Evaluate(interpreter, inner)
                : new JinjaUndefined($"the parameter '{parameter}' of {name} was not given"));
        }
        inner.Set("varargs", new JinjaList([.. arguments.Positional.Skip(Parameters.Count)], isTuple: true));
        JinjaMap others = new();
        foreach ((string given, object? value) in arguments.Named)
        {
            if (given == "caller")
                inner.Set("caller", value);
            else if (!Parameters.Any(parameter => parameter.Name == given))
                others.Set(given, value);
        }
        inner.Set("kwargs", others);
        interpreter.Budget.Take(Parameters.Count + arguments.Positional.Count + arguments.Named.Count);
        return interpreter.Capture(Body, inner);
    }
}

/// <summary>What can be assigned to: a name, an attribute of a namespace, or a tuple of such.</summary>
internal abstract class Target
{
    /// <summary>Assigns a value.</summary>
    public abstract void Assign(object? value, Scope scope, Interpreter interpreter);

    /// <summary>A variable.</summary>
    public sealed class Variable(string name) : Target
    {
        /// <inheritdoc/>
        public override void Assign(object? value, Scope scope, Interpreter interpreter) => scope.Set(name, value);
    }

    /// <summary>An attribute of a namespace.</summary>
    public sealed class Member(string space, string name) : Target
    {
        /// <inheritdoc/>
        public override void Assign(object? value, Scope scope, Interpreter interpreter)
        {
            if (!scope.TryGet(space, out object? held) || held is not JinjaNamespace known)
                throw new JinjaError($"'{space}' is not a namespace, so its attribute '{name}' cannot be set");
            known.Attributes[name] = value;
        }
    }

    /// <summary>Several targets, one for each item.</summary>
    public sealed class Several(IReadOnlyList<Target> targets) : Target
    {
        /// <inheritdoc/>
        public override void Assign(object? value, Scope scope, Interpreter interpreter)
        {
            Operations.CheckDefined(value);
            IReadOnlyList<object?> items = Operations.Iterate(value, interpreter.Budget);
            if (items.Count != targets.Count)
                throw new JinjaError($"{items.Count} values cannot be assigned to {targets.Count} names");
            interpreter.Budget.Take(items.Count);
            for (int i = 0; i < items.Count; i++)
                targets[i].Assign(items[i], scope, interpreter);
        }
    }
}
