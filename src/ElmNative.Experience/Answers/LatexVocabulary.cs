namespace ElmNative.Experience.Answers;

/// <summary>The commands, words and characters that the lexer knows, each with the one token that it stands for.</summary>
internal static class LatexVocabulary
{
    /// <summary>Commands that only concern layout.</summary>
    public static readonly HashSet<string> Layout =
    [
        "left", "right", "middle", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr",
        "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "quad", "qquad", "thinspace", "medspace", "thickspace", "space",
        "enspace", "negthinspace", "hfill", "nonumber", "hline", "strut", "mathstrut", "boxed", "fbox", "ensuremath", "vec", "hat", "widehat",
        "overrightarrow", "boldsymbol", "bm", "large", "Large", "normalsize", "small", "noindent", "newline", "par", "mathop", "mathord",
    ];

    /// <summary>Commands whose argument is text, or symbols in another type face.</summary>
    public static readonly HashSet<string> TextCommands =
    [
        "text", "textbf", "textit", "textrm", "texttt", "textsf", "textsc", "textnormal", "textup", "mbox", "hbox", "emph", "underline", "mathrm", "mathbf", "mathit",
        "mathsf", "mathtt", "mathcal", "mathscr", "mathfrak", "mathbb", "Bbb", "operatorname", "rm", "bf", "it", "sf", "tt", "texttiny",
    ];

    /// <summary>Other spellings of commands. One character is a mark, a longer value is a command.</summary>
    public static readonly Dictionary<string, string> Commands = new()
    {
        ["dfrac"] = "frac", ["tfrac"] = "frac", ["cfrac"] = "frac", ["sfrac"] = "frac", ["nicefrac"] = "frac", ["dbinom"] = "binom", ["tbinom"] = "binom",
        ["le"] = "≤", ["leq"] = "≤", ["leqslant"] = "≤", ["leqq"] = "≤", ["ge"] = "≥", ["geq"] = "≥", ["geqslant"] = "≥", ["geqq"] = "≥",
        ["lt"] = "<", ["gt"] = ">", ["ne"] = "≠", ["neq"] = "≠", ["approx"] = "≈", ["simeq"] = "≈", ["in"] = "∈",
        ["cup"] = "∪", ["bigcup"] = "∪", ["cap"] = "∩", ["bigcap"] = "∩", ["setminus"] = "∖", ["smallsetminus"] = "∖", ["backslash"] = "∖",
        ["pm"] = "±", ["mp"] = "∓", ["cdot"] = "*", ["times"] = "*", ["ast"] = "*", ["bullet"] = "*", ["div"] = "/",
        ["lbrace"] = "⦃", ["rbrace"] = "⦄", ["lbrack"] = "[", ["rbrack"] = "]", ["langle"] = "⟨", ["rangle"] = "⟩",
        ["lvert"] = "|", ["rvert"] = "|", ["vert"] = "|", ["mid"] = "|", ["lVert"] = "|", ["rVert"] = "|", ["Vert"] = "|",
        ["lfloor"] = "⌊", ["rfloor"] = "⌋", ["lceil"] = "⌈", ["rceil"] = "⌉",
        ["degree"] = "°", ["degrees"] = "°", ["prime"] = "'", ["varnothing"] = "emptyset", ["land"] = "and", ["lor"] = "or",
        ["dots"] = "ldots", ["cdots"] = "ldots", ["textpi"] = "pi", ["colon"] = ":", ["dollar"] = "¤", ["textdollar"] = "¤", ["pounds"] = "¤",
        ["euro"] = "¤", ["cent"] = "¢", ["percent"] = "%", ["lg"] = "log", ["tg"] = "tan", ["ctg"] = "cot", ["cosec"] = "csc",
        ["mod"] = "bmod",
        ["asinh"] = "arsinh", ["acosh"] = "arcosh", ["atanh"] = "artanh", ["arcsinh"] = "arsinh", ["arccosh"] = "arcosh", ["arctanh"] = "artanh",
        ["asin"] = "arcsin", ["acos"] = "arccos", ["atan"] = "arctan", ["arctg"] = "arctan", ["varphi"] = "phi", ["varepsilon"] = "epsilon", ["bar"] = "overline",
        ["dotsc"] = "ldots", ["infin"] = "infty", ["reals"] = "reals", ["comma"] = ",",
    };

    /// <summary>Characters beyond ASCII. "^n" is a superscript digit; the name of a fraction is in <see cref="Fractions"/>.</summary>
    public static readonly Dictionary<char, string> Characters = new()
    {
        ['π'] = "pi", ['∞'] = "infty", ['√'] = "sqrt", ['−'] = "-", ['–'] = "-", ['—'] = "-", ['‐'] = "-", ['×'] = "*", ['·'] = "*", ['⋅'] = "*", ['∙'] = "*", ['÷'] = "/",
        ['≤'] = "≤", ['⩽'] = "≤", ['≥'] = "≥", ['⩾'] = "≥", ['≠'] = "≠", ['≈'] = "≈", ['∈'] = "∈", ['∪'] = "∪", ['∩'] = "∩", ['∖'] = "∖", ['±'] = "±", ['∓'] = "∓",
        ['°'] = "°", ['º'] = "°", ['∅'] = "emptyset", ['ℝ'] = "reals", ['′'] = "'", ['’'] = "'", ['‘'] = "'", ['€'] = "¤", ['£'] = "¤", ['¥'] = "¤", ['¢'] = "¢",
        ['²'] = "^2", ['³'] = "^3", ['¹'] = "^1", ['⁰'] = "^0", ['⁴'] = "^4", ['⁵'] = "^5", ['⁶'] = "^6", ['⁷'] = "^7", ['⁸'] = "^8", ['⁹'] = "^9",
        ['½'] = "half", ['⅓'] = "third", ['⅔'] = "two-thirds", ['¼'] = "quarter", ['¾'] = "three-quarters", ['⅕'] = "fifth", ['⅙'] = "sixth", ['⅛'] = "eighth",
        ['α'] = "alpha", ['β'] = "beta", ['γ'] = "gamma", ['δ'] = "delta", ['θ'] = "theta", ['λ'] = "lambda", ['μ'] = "mu", ['φ'] = "phi", ['ω'] = "omega", ['ρ'] = "rho", ['σ'] = "sigma",
        ['Δ'] = "Delta", ['…'] = "ldots", ['，'] = ",", ['；'] = ";", ['：'] = ":", ['。'] = ".", ['∠'] = "angle",
    };

    /// <summary>The values of single-character fractions.</summary>
    public static readonly Dictionary<string, (int Upper, int Lower)> Fractions = new()
    {
        ["half"] = (1, 2), ["third"] = (1, 3), ["two-thirds"] = (2, 3), ["quarter"] = (1, 4), ["three-quarters"] = (3, 4), ["fifth"] = (1, 5), ["sixth"] = (1, 6), ["eighth"] = (1, 8),
    };

    /// <summary>The functions of one argument, by command name.</summary>
    public static readonly Dictionary<string, Operation> Functions = new()
    {
        ["sin"] = Operation.Sin, ["cos"] = Operation.Cos, ["tan"] = Operation.Tan, ["cot"] = Operation.Cot, ["sec"] = Operation.Sec, ["csc"] = Operation.Csc,
        ["arcsin"] = Operation.Arcsin, ["arccos"] = Operation.Arccos, ["arctan"] = Operation.Arctan, ["arccot"] = Operation.Arccot,
        ["arcsec"] = Operation.Arcsec, ["arccsc"] = Operation.Arccsc, ["sinh"] = Operation.Sinh, ["cosh"] = Operation.Cosh, ["tanh"] = Operation.Tanh,
        ["arsinh"] = Operation.Arsinh, ["arcosh"] = Operation.Arcosh, ["artanh"] = Operation.Artanh,
        ["exp"] = Operation.Exp, ["ln"] = Operation.Ln, ["log"] = Operation.Log,
        ["max"] = Operation.Maximum, ["min"] = Operation.Minimum, ["gcd"] = Operation.GreatestDivisor, ["lcm"] = Operation.LeastMultiple,
    };

    /// <summary>Commands that are variables.</summary>
    public static readonly HashSet<string> Greek =
    [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi",
        "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega", "ell", "hbar",
    ];

    /// <summary>Words outside text commands. One character is a mark, a longer value is a command. (Below the tables that it is built from.)</summary>
    public static readonly Dictionary<string, string> Words = Build();

    private static Dictionary<string, string> Build()
    {
        Dictionary<string, string> words = new()
        {
            ["and"] = "and", ["or"] = "or", ["And"] = "and", ["Or"] = "or", ["percent"] = "%", ["pct"] = "%", ["sqrt"] = "sqrt", ["pi"] = "pi", ["Pi"] = "pi",
            ["infinity"] = "infty", ["infty"] = "infty", ["inf"] = "infty", ["oo"] = "infty", ["theta"] = "theta", ["alpha"] = "alpha", ["beta"] = "beta",
            ["asinh"] = "arsinh", ["acosh"] = "arcosh", ["atanh"] = "artanh", ["asin"] = "arcsin", ["acos"] = "arccos", ["atan"] = "arctan", ["binom"] = "binom",
        };
        foreach (string name in Functions.Keys) words[name] = name;
        return words;
    }
}
