namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Parses a template's statements.</summary>
internal sealed class Parser
{
    private readonly TokenReader tokens;
    private readonly ExpressionParser expressions;
    private int loops;

    private Parser(string template)
    {
        tokens = new TokenReader(Lexer.Tokenize(template));
        expressions = new ExpressionParser(tokens);
    }

    /// <summary>Parses a template.</summary>
    /// <exception cref="JinjaError">malformed, or with a tag that is not supported</exception>
    public static Statement Parse(string template)
    {
        Parser parser = new(template);
        Statement body = parser.Body();
        return parser.tokens.Current.Kind == TokenKind.End ? body : throw parser.tokens.Unexpected("the end of the template");
    }

    /// <summary>Statements up to a tag with one of the names, whose name is then next, or to the end of the template.</summary>
    private Statement Body(params string[] ends)
    {
        tokens.Enter();
        int line = tokens.Current.Line;
        List<Statement> items = [];
        while (tokens.Current.Kind != TokenKind.End)
        {
            Token token = tokens.Next();
            if (token.Kind == TokenKind.Data)
                items.Add(new Statement.Data(token.Line, token.Text));
            else if (token.Kind == TokenKind.VariableBegin)
            {
                Expression value = expressions.ParseTuple(ternary: true, next => next.Kind == TokenKind.VariableEnd);
                items.Add(new Statement.Output(token.Line, value));
                tokens.Expect(TokenKind.VariableEnd, "the end of the tag");
            }
            else if (tokens.Current.Kind == TokenKind.Name && ends.Contains(tokens.Current.Text))
            {
                tokens.Leave();
                return new Statement.Body(line, items);
            }
            else
                items.Add(Tag());
        }
        if (ends.Length > 0)
            throw tokens.Unexpected($"'{ends[0]}'");
        tokens.Leave();
        return new Statement.Body(line, items);
    }

    private Statement Tag()
    {
        Token name = tokens.Expect(TokenKind.Name, "the name of a tag");
        Statement statement = name.Text switch
        {
            "if" => If(name.Line),
            "for" => For(name.Line),
            "set" => Set(name.Line),
            "macro" => Macro(name.Line),
            "call" => CallBlock(name.Line),
            "filter" => FilterBlock(name.Line),
            "with" => With(name.Line),
            "generation" => Generation(name.Line),
            "break" or "continue" => Jump(name),
            string other => throw new JinjaError($"the tag '{other}' is unknown or not supported", name.Line),
        };
        EndTag();
        return statement;
    }

    private void EndTag() => tokens.Expect(TokenKind.BlockEnd, "the end of the tag");

    private Statement If(int line)
    {
        List<(Expression, Statement)> branches = [];
        Statement? otherwise = null;
        do
        {
            Expression condition = expressions.ParseTuple(ternary: false, next => next.Kind == TokenKind.BlockEnd);
            EndTag();
            branches.Add((condition, Body("elif", "else", "endif")));
        }
        while (tokens.TakeName("elif"));
        if (tokens.TakeName("else"))
        {
            EndTag();
            otherwise = Body("endif");
        }
        ExpectName("endif");
        return new Statement.If(line, branches, otherwise);
    }

    private Statement For(int line)
    {
        Target target = ParseTarget(next => next.IsName("in"), members: false);
        ExpectName("in");
        Expression items = expressions.ParseTuple(ternary: false, next =>
            next.Kind == TokenKind.BlockEnd || next.IsName("recursive") || next.IsName("if"));
        Expression? condition = tokens.TakeName("if") ? expressions.Parse() : null;
        bool recursive = tokens.TakeName("recursive");
        EndTag();
        loops++;
        Statement body = Body("endfor", "else");
        loops--;
        Statement? otherwise = null;
        if (tokens.TakeName("else"))
        {
            EndTag();
            otherwise = Body("endfor");
        }
        ExpectName("endfor");
        return new Statement.For(line, target, items, condition, recursive, body, otherwise);
    }

    private Statement Set(int line)
    {
        Target target = ParseTarget(next => next.IsOperator("=") || next.Kind == TokenKind.BlockEnd, members: true);
        if (tokens.TakeOperator("="))
            return new Statement.Set(line, target, expressions.ParseTuple(ternary: true, next => next.Kind == TokenKind.BlockEnd));
        Expression? wrap = tokens.Current.IsOperator("|")
            ? expressions.ParseFilters(new Expression.Name(line, Statement.Captured.TextVariable))
            : null;
        EndTag();
        Statement body = Body("endset");
        ExpectName("endset");
        return new Statement.Captured(line, body, wrap, target);
    }

    private Statement Macro(int line)
    {
        string name = tokens.Expect(TokenKind.Name, "the name of the macro").Text;
        return new Statement.Macro(line, name, MacroBody("endmacro", Parameters()));
    }

    private MacroBody MacroBody(string end, List<(string, Expression?)> parameters)
    {
        EndTag();
        (int outer, loops) = (loops, 0);
        Statement body = Body(end);
        loops = outer;
        ExpectName(end);
        return new MacroBody(parameters, body);
    }

    private List<(string, Expression?)> Parameters()
    {
        List<(string, Expression?)> parameters = [];
        tokens.ExpectOperator("(");
        while (!tokens.Current.IsOperator(")"))
        {
            string name = tokens.Expect(TokenKind.Name, "the name of a parameter").Text;
            parameters.Add((name, tokens.TakeOperator("=") ? expressions.Parse() : null));
            if (!tokens.TakeOperator(","))
                break;
        }
        tokens.ExpectOperator(")");
        return parameters;
    }

    private Statement CallBlock(int line)
    {
        List<(string, Expression?)> parameters = tokens.Current.IsOperator("(") ? Parameters() : [];
        Expression function = new Expression.Name(tokens.Current.Line, tokens.Expect(TokenKind.Name, "the name of a macro").Text);
        while (tokens.TakeOperator("."))
            function = new Expression.Attribute(line, function, tokens.Expect(TokenKind.Name, "a name").Text);
        ArgumentList arguments = expressions.ParseArguments();
        return new Statement.CallBlock(line, function, arguments, MacroBody("endcall", parameters));
    }

    private Statement FilterBlock(int line)
    {
        Expression wrap = expressions.ParseFilters(expressions.ParseFilter(new Expression.Name(line, Statement.Captured.TextVariable)));
        EndTag();
        Statement body = Body("endfilter");
        ExpectName("endfilter");
        return new Statement.Captured(line, body, wrap, null);
    }

    private Statement With(int line)
    {
        List<(Target, Expression)> variables = [];
        while (tokens.Current.Kind != TokenKind.BlockEnd)
        {
            Target target = ParseTarget(next => next.IsOperator("="), members: false);
            tokens.ExpectOperator("=");
            variables.Add((target, expressions.Parse()));
            if (!tokens.TakeOperator(","))
                break;
        }
        EndTag();
        Statement body = Body("endwith");
        ExpectName("endwith");
        return new Statement.Block(line, variables, body);
    }

    private Statement Generation(int line)
    {
        EndTag();
        Statement body = Body("endgeneration");
        ExpectName("endgeneration");
        return new Statement.Block(line, [], body);
    }

    private Statement Jump(Token name) => loops > 0
        ? new Statement.Jump(name.Line, name.Text == "break" ? Flow.Break : Flow.Continue)
        : throw new JinjaError($"'{name.Text}' stands outside a for", name.Line);

    /// <summary>A name, a namespace's attribute where allowed, or several with commas between them.</summary>
    private Target ParseTarget(Func<Token, bool> ends, bool members)
    {
        tokens.Enter();
        List<Target> targets = [];
        bool several = false;
        while (!ends(tokens.Current))
        {
            targets.Add(tokens.TakeOperator("(") ? InParentheses() : OneTarget(members));
            if (!tokens.TakeOperator(","))
                break;
            several = true;
        }
        if (targets.Count == 0)
            throw tokens.Unexpected("a name to assign to");
        tokens.Leave();
        return several ? new Target.Several(targets) : targets[0];
    }

    private Target InParentheses()
    {
        Target target = ParseTarget(next => next.IsOperator(")"), members: false);
        tokens.ExpectOperator(")");
        return target;
    }

    private Target OneTarget(bool members)
    {
        Token name = tokens.Expect(TokenKind.Name, "a name to assign to");
        if (name.Text is "true" or "false" or "none" or "True" or "False" or "None")
            throw new JinjaError($"'{name.Text}' cannot be assigned to", name.Line);
        return members && tokens.TakeOperator(".")
            ? new Target.Member(name.Text, tokens.Expect(TokenKind.Name, "a name").Text)
            : new Target.Variable(name.Text);
    }

    private void ExpectName(string name)
    {
        if (!tokens.TakeName(name))
            throw tokens.Unexpected($"'{name}'");
    }
}
