namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Reads a template's tokens one after the other, and counts how deep the parser is.</summary>
internal sealed class TokenReader(List<Token> tokens)
{
    private const int DeepestNesting = 100;
    private int at;
    private int depth;

    /// <summary>The next token.</summary>
    public Token Current => tokens[at];

    /// <summary>The token after it.</summary>
    public Token Following => tokens[Math.Min(at + 1, tokens.Count - 1)];

    /// <summary>Takes the next token.</summary>
    public Token Next()
    {
        Token token = tokens[at];
        if (at < tokens.Count - 1)
            at++;
        return token;
    }

    /// <summary>Takes the next token if it is this operator.</summary>
    public bool TakeOperator(string name)
    {
        bool found = Current.IsOperator(name);
        if (found)
            Next();
        return found;
    }

    /// <summary>Takes the next token if it is this name.</summary>
    public bool TakeName(string name)
    {
        bool found = Current.IsName(name);
        if (found)
            Next();
        return found;
    }

    /// <summary>Takes an operator that must come.</summary>
    public void ExpectOperator(string name)
    {
        if (!TakeOperator(name))
            throw Unexpected($"'{name}'");
    }

    /// <summary>Takes a token of a kind that must come.</summary>
    public Token Expect(TokenKind kind, string what) => Current.Kind == kind ? Next() : throw Unexpected(what);

    /// <summary>The error that something else was expected.</summary>
    public JinjaError Unexpected(string what)
    {
        string found = Current.Kind switch
        {
            TokenKind.End => "the end of the template",
            TokenKind.BlockEnd or TokenKind.VariableEnd => "the end of the tag",
            _ => $"'{Current.Text}'",
        };
        return new JinjaError($"{what} was expected, not {found}", Current.Line);
    }

    /// <summary>Goes one level deeper.</summary>
    public void Enter()
    {
        if (++depth > DeepestNesting)
            throw new JinjaError("the template nests too deeply", Current.Line);
    }

    /// <summary>Comes back one level.</summary>
    public void Leave() => depth--;
}
