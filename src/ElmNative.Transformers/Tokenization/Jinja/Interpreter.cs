using System.Text;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>The state of one rendering: the output, the line reached and the budget.</summary>
internal sealed class Interpreter(Budget budget)
{
    private StringBuilder output = new();

    /// <summary>Line of the template that is being run.</summary>
    public int Line { get; set; }

    /// <summary>What the rendering may still use.</summary>
    public Budget Budget { get; } = budget;

    /// <summary>Renders a template.</summary>
    /// <exception cref="JinjaError">it failed; <see cref="Line"/> says where</exception>
    public string Render(Statement body, Scope scope)
    {
        body.Execute(this, scope);
        return output.ToString();
    }

    /// <summary>Writes to the current output.</summary>
    public void Write(string text)
    {
        Budget.TakeText(text.Length);
        output.Append(text);
    }

    /// <summary>Runs statements with an output of their own, which it returns.</summary>
    public string Capture(Statement body, Scope scope)
    {
        StringBuilder outer = output;
        output = new StringBuilder();
        body.Execute(this, scope);
        string text = output.ToString();
        Budget.TakeText(text.Length);
        output = outer;
        return text;
    }

    /// <summary>Calls a value.</summary>
    public object? Call(object? function, Arguments arguments)
    {
        switch (function)
        {
            case JinjaFunction known:
                return known.Invoke(this, arguments);
            case LoopState loop:
                return loop.Recurse(arguments.Need(0, "iterable", "loop"));
            default:
                Operations.CheckDefined(function);
                throw new JinjaError($"a {Operations.TypeName(function)} cannot be called");
        }
    }

    /// <summary>The functions that every template has.</summary>
    /// <param name="scope">where to set them</param>
    /// <param name="now">the time that strftime_now tells</param>
    public static void SetGlobals(Scope scope, DateTime now)
    {
        scope.Set("raise_exception", new JinjaFunction("raise_exception", (interpreter, arguments) =>
        {
            string reason = Operations.Print(arguments.Need(0, "message", "raise_exception"), interpreter.Budget);
            throw new JinjaError($"the template refused the conversation: {reason}");
        }));
        scope.Set("strftime_now", new JinjaFunction("strftime_now", (_, arguments) =>
            Formatting.Date(arguments.NeedText(0, "format", "strftime_now"), now)));
        scope.Set("range", new JinjaFunction("range", (interpreter, arguments) => Range(arguments, interpreter.Budget)));
        scope.Set("dict", new JinjaFunction("dict", (_, arguments) => Dictionary(arguments)));
        scope.Set("namespace", new JinjaFunction("namespace", (_, arguments) =>
        {
            JinjaNamespace made = new();
            foreach ((object? key, object? value) in Dictionary(arguments).Entries)
                made.Attributes[key as string ?? throw new JinjaError("the names in a namespace must be strings")] = value;
            return made;
        }));
    }

    private static JinjaMap Dictionary(Arguments arguments)
    {
        JinjaMap map = new();
        if (arguments.Positional is [JinjaMap from])
            foreach ((object? key, object? value) in from.Entries)
                map.Set(key, value);
        else if (arguments.Positional is [JinjaList pairs])
            foreach (object? pair in pairs.Items)
            {
                if (pair is not JinjaList { Items: [var key, var value] })
                    throw new JinjaError("a dictionary can be made of pairs only");
                map.Set(key, value);
            }
        else if (arguments.Positional.Count > 0)
            throw new JinjaError("a dictionary can be made of one dictionary and named values only");
        foreach ((string name, object? value) in arguments.Named)
            map.Set(name, value);
        return map;
    }

    private static JinjaList Range(Arguments arguments, Budget budget)
    {
        int count = arguments.Positional.Count;
        if (count is 0 or > 3)
            throw new JinjaError("range takes one to three whole numbers");
        long start = count == 1 ? 0 : arguments.GetInteger(0, "start", 0);
        long stop = arguments.GetInteger(count == 1 ? 0 : 1, "stop", 0), step = arguments.GetInteger(2, "step", 1);
        if (step == 0)
            throw new JinjaError("range cannot have the step 0");
        Int128 length = ((Int128)stop - start + step - Math.Sign(step)) / step;
        if (length > 100_000)
            throw new JinjaError("a range is longer than 100000");
        budget.Take((long)Int128.Max(length, 0));
        List<object?> items = [];
        for (int i = 0; i < (int)length; i++)
            items.Add(start + i * step);
        return new JinjaList(items);
    }
}
