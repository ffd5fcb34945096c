namespace ElmNative.Experience.Answers;

/// <summary>The value of an expression at one point.</summary>
/// <param name="Exact">The exact value, where the expression is rational there.</param>
/// <param name="Approximate">The value in the field that evaluated it; invalid where it has none.</param>
/// <param name="Error">About log2 of the absolute error of the approximate value.</param>
/// <param name="LeftReals">Whether a function of real numbers gave a complex one on the way.</param>
internal readonly record struct PointValue(Rational? Exact, BigComplex Approximate, long Error, bool LeftReals)
{
    public bool IsValid => Exact is not null || Approximate.IsValid;
}

/// <summary>What is known about an expression: whether it is constant, what literals it has, and its values at the fixed points, found when first asked for.</summary>
internal sealed class Samples
{
    /// <summary>The number of points at which expressions with variables are compared.</summary>
    public const int Points = 7;

    private readonly Node node;
    private readonly PointValue?[] coarse = new PointValue?[Points];
    private readonly PointValue?[] fine = new PointValue?[Points];

    private Samples(Node node)
    {
        this.node = node;
        IsConstant = !node.Any(n => n is Symbol or Apply { Operation: Operation.Call });
        HasImaginaryUnit = node.Any(n => n is Constant { Name: 'i' });
        HasInfinity = node.Any(n => n is Infinity);
        node.Any(n =>
        {
            if (n is Number number) DecimalDigits = Math.Max(DecimalDigits, number.DecimalDigits);
            return false;
        });
        IsLiteral = Literal(node);
    }

    /// <summary>Whether the expression has no variable.</summary>
    public bool IsConstant { get; }

    public bool HasImaginaryUnit { get; }

    public bool HasInfinity { get; }

    /// <summary>The most significant digits that a decimal in the expression shows; 0 where it has none.</summary>
    public int DecimalDigits { get; private set; }

    /// <summary>Whether the expression is one number as written, perhaps with a sign or a power of ten.</summary>
    public bool IsLiteral { get; }

    public static Samples Of(Node node) => node.Samples ??= new Samples(node);

    public PointValue At(int point) => coarse[point] ??= Evaluator.Evaluate(node, ComplexField.Coarse, point);

    public PointValue FineAt(int point) => fine[point] ??= Evaluator.Evaluate(node, ComplexField.Fine, point);

    private static bool Literal(Node node) => node switch
    {
        // A repeating decimal shows no last digit: it is a fraction.
        Number number => number.Value.IsInteger || number.DecimalDigits > 0,
        Apply { Operation: Operation.Negate, Parts: [var inner] } => Literal(inner),
        Apply { Operation: Operation.Multiply, Parts: [var factor, Apply { Operation: Operation.Power, Parts: [Number ten, var exponent] }] } =>
            Literal(factor) && Literal(exponent) && ten.Value.Equals((Rational)10),
        _ => false,
    };
}
