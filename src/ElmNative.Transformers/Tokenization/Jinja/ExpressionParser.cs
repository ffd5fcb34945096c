using System.Text;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Parses expressions with Jinja2's precedence.</summary>
internal sealed class ExpressionParser(TokenReader tokens)
{
    private static readonly string[] Comparisons = ["==", "!=", "<=", ">=", "<", ">"];

    /// <summary>An expression.</summary>
    /// <param name="ternary">take "x if y else z" as well</param>
    public Expression Parse(bool ternary = true)
    {
        tokens.Enter();
        Expression value = Or();
        while (ternary && tokens.Current.IsName("if"))
        {
            int line = tokens.Next().Line;
            Expression condition = Or();
            Expression? no = tokens.TakeName("else") ? Parse() : null;
            value = new Expression.Ternary(line, condition, value, no);
        }
        tokens.Leave();
        return value;
    }

    /// <summary>An expression, or several with commas between them as a tuple.</summary>
    /// <param name="ternary">the parts may be "x if y else z"</param>
    /// <param name="ends">whether the next token ends the tuple</param>
    /// <param name="mayBeEmpty">no expression at all is the empty tuple</param>
    public Expression ParseTuple(bool ternary, Func<Token, bool> ends, bool mayBeEmpty = false)
    {
        int line = tokens.Current.Line;
        List<Expression> items = [];
        bool isTuple = false;
        while (!ends(tokens.Current))
        {
            items.Add(Parse(ternary));
            if (!tokens.TakeOperator(","))
                break;
            isTuple = true;
        }
        if (!isTuple && items.Count == 1)
            return items[0];
        if (!isTuple && !mayBeEmpty)
            throw tokens.Unexpected("an expression");
        return new Expression.Items(line, items, isTuple: true);
    }

    /// <summary>The arguments of a call, from the opening parenthesis on.</summary>
    public ArgumentList ParseArguments()
    {
        tokens.ExpectOperator("(");
        List<Expression> positional = [];
        List<(string, Expression)> named = [];
        Expression? spread = null, namedSpread = null;
        while (!tokens.Current.IsOperator(")"))
        {
            if (tokens.TakeOperator("*"))
                spread = spread is null ? Parse() : throw tokens.Unexpected("one list after *");
            else if (tokens.TakeOperator("**"))
                namedSpread = namedSpread is null ? Parse() : throw tokens.Unexpected("one dictionary after **");
            else if (tokens.Current.Kind == TokenKind.Name && tokens.Following.IsOperator("="))
            {
                string name = tokens.Next().Text;
                tokens.Next();
                named.Add((name, Parse()));
            }
            else
                positional.Add(named.Count == 0 ? Parse() : throw tokens.Unexpected("an argument with a name"));
            if (!tokens.TakeOperator(","))
                break;
        }
        tokens.ExpectOperator(")");
        return new ArgumentList(positional, named, spread, namedSpread);
    }

    /// <summary>Filters on a value, from the bar on.</summary>
    public Expression ParseFilters(Expression value)
    {
        while (tokens.Current.IsOperator("|"))
        {
            tokens.Next();
            value = ParseFilter(value);
        }
        return value;
    }

    /// <summary>One filter on a value, from its name on.</summary>
    public Expression ParseFilter(Expression value)
    {
        int line = tokens.Current.Line;
        string name = DottedName();
        return new Expression.Filter(line, value, name, tokens.Current.IsOperator("(") ? ParseArguments() : ArgumentList.Empty);
    }

    private string DottedName()
    {
        string name = tokens.Expect(TokenKind.Name, "a name").Text;
        while (tokens.TakeOperator("."))
            name += "." + tokens.Expect(TokenKind.Name, "a name").Text;
        return name;
    }

    private Expression Or()
    {
        Expression left = And();
        while (tokens.Current.IsName("or"))
            left = new Expression.Logic(tokens.Next().Line, false, left, And());
        return left;
    }

    private Expression And()
    {
        Expression left = Not();
        while (tokens.Current.IsName("and"))
            left = new Expression.Logic(tokens.Next().Line, true, left, Not());
        return left;
    }

    private Expression Not()
    {
        if (!tokens.Current.IsName("not"))
            return Comparison();
        tokens.Enter();
        Expression value = new Expression.Not(tokens.Next().Line, Not());
        tokens.Leave();
        return value;
    }

    private Expression Comparison()
    {
        int line = tokens.Current.Line;
        Expression first = Sum();
        List<(string, Expression)> rest = [];
        while (true)
        {
            if (tokens.Current.Kind == TokenKind.Operator && Comparisons.Contains(tokens.Current.Text))
                rest.Add((tokens.Next().Text, Sum()));
            else if (tokens.TakeName("in"))
                rest.Add(("in", Sum()));
            else if (tokens.Current.IsName("not") && tokens.Following.IsName("in"))
            {
                tokens.Next();
                tokens.Next();
                rest.Add(("not in", Sum()));
            }
            else
                return rest.Count == 0 ? first : new Expression.Comparison(line, first, rest);
        }
    }

    private Expression Sum() => LeftAssociative(["+", "-"], Concatenation);

    private Expression Concatenation()
    {
        int line = tokens.Current.Line;
        List<Expression> parts = [Product()];
        while (tokens.TakeOperator("~"))
            parts.Add(Product());
        return parts.Count == 1 ? parts[0] : new Expression.Concatenation(line, parts);
    }

    private Expression Product() => LeftAssociative(["*", "/", "//", "%"], Power);

    private Expression Power() => LeftAssociative(["**"], () => Unary(filters: true));

    private Expression LeftAssociative(string[] operations, Func<Expression> part)
    {
        Expression left = part();
        while (tokens.Current.Kind == TokenKind.Operator && operations.Contains(tokens.Current.Text))
        {
            Token operation = tokens.Next();
            left = new Expression.Binary(operation.Line, operation.Text, left, part());
        }
        return left;
    }

    private Expression Unary(bool filters)
    {
        Expression value;
        Token token = tokens.Current;
        if (token.IsOperator("-") || token.IsOperator("+"))
        {
            tokens.Next();
            tokens.Enter();
            value = new Expression.Signed(token.Line, token.Text == "-", Unary(filters: false));
            tokens.Leave();
        }
        else
            value = Primary();
        value = Postfix(value);
        return filters ? FiltersAndTests(value) : value;
    }

    private Expression Primary()
    {
        Token token = tokens.Next();
        switch (token.Kind)
        {
            case TokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new Expression.Constant(token.Line, true),
                    "false" or "False" => new Expression.Constant(token.Line, false),
                    "none" or "None" => new Expression.Constant(token.Line, null),
                    string name => new Expression.Name(token.Line, name),
                };
            case TokenKind.Text:
                StringBuilder text = new(token.Text);
                while (tokens.Current.Kind == TokenKind.Text)
                    text.Append(tokens.Next().Text);
                return new Expression.Constant(token.Line, text.ToString());
            case TokenKind.Integer or TokenKind.Float:
                return new Expression.Constant(token.Line, token.Value);
            case TokenKind.Operator when token.Text == "(":
                Expression inner = ParseTuple(ternary: true, next => next.IsOperator(")"), mayBeEmpty: true);
                tokens.ExpectOperator(")");
                return inner;
            case TokenKind.Operator when token.Text == "[":
                return new Expression.Items(token.Line, Sequence("]", () => Parse()), isTuple: false);
            case TokenKind.Operator when token.Text == "{":
                return new Expression.Map(token.Line, Sequence("}", Entry));
            default:
                string found = token.Kind is TokenKind.BlockEnd or TokenKind.VariableEnd ? "the end of the tag" : $"'{token.Text}'";
                throw new JinjaError($"an expression was expected, not {found}", token.Line);
        }
    }

    private (Expression, Expression) Entry()
    {
        Expression key = Parse();
        tokens.ExpectOperator(":");
        return (key, Parse());
    }

    private List<T> Sequence<T>(string end, Func<T> part)
    {
        List<T> items = [];
        while (!tokens.Current.IsOperator(end))
        {
            items.Add(part());
            if (!tokens.TakeOperator(","))
                break;
        }
        tokens.ExpectOperator(end);
        return items;
    }

    private Expression Postfix(Expression value)
    {
        while (true)
        {
            Token token = tokens.Current;
            if (tokens.TakeOperator("."))
            {
                Token name = tokens.Next();
                value = name.Kind switch
                {
                    TokenKind.Name => new Expression.Attribute(token.Line, value, name.Text),
                    TokenKind.Integer => new Expression.Item(token.Line, value, new Expression.Constant(name.Line, name.Value)),
                    _ => throw new JinjaError("a name or number was expected after '.'", name.Line),
                };
            }
            else if (tokens.TakeOperator("["))
                value = Subscript(value, token.Line);
            else if (token.IsOperator("("))
                value = new Expression.Call(token.Line, value, ParseArguments());
            else
                return value;
        }
    }

    private Expression Subscript(Expression value, int line)
    {
        if (!tokens.Current.IsOperator(":"))
        {
            Expression first = ParseTuple(ternary: true, next => next.IsOperator("]"));
            if (!tokens.Current.IsOperator(":"))
            {
                tokens.ExpectOperator("]");
                return new Expression.Item(line, value, first);
            }
            return SliceFrom(value, first, line);
        }
        return SliceFrom(value, null, line);
    }

    private Expression SliceFrom(Expression value, Expression? start, int line)
    {
        tokens.ExpectOperator(":");
        Expression? stop = tokens.Current.IsOperator(":") || tokens.Current.IsOperator("]") ? null : Parse();
        Expression? step = null;
        if (tokens.TakeOperator(":") && !tokens.Current.IsOperator("]"))
            step = Parse();
        tokens.ExpectOperator("]");
        return new Expression.Slice(line, value, start, stop, step);
    }

    private Expression FiltersAndTests(Expression value)
    {
        while (true)
        {
            if (tokens.Current.IsOperator("|"))
                value = ParseFilters(value);
            else if (tokens.Current.IsName("is"))
                value = Test(value);
            else if (tokens.Current.IsOperator("("))
                value = new Expression.Call(tokens.Current.Line, value, ParseArguments());
            else
                return value;
        }
    }

    private Expression Test(Expression value)
    {
        int line = tokens.Next().Line;
        bool negated = tokens.TakeName("not");
        string name = DottedName();
        ArgumentList arguments = ArgumentList.Empty;
        Token next = tokens.Current;
        if (next.IsOperator("("))
            arguments = ParseArguments();
        else if (next.Kind is TokenKind.Text or TokenKind.Integer or TokenKind.Float || next.IsOperator("[") || next.IsOperator("{") ||
            next.Kind == TokenKind.Name && next.Text is not ("else" or "or" or "and" or "if" or "is" or "not" or "in" or "recursive"))
            arguments = new ArgumentList([Postfix(Primary())], [], null, null);
        Expression test = new Expression.Test(line, value, name, arguments);
        return negated ? new Expression.Not(line, test) : test;
    }
}
