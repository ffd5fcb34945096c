using System.Numerics;

namespace ElmNative.Experience.Answers;

/// <summary>
/// Evaluates expressions: exactly while everything is rational, else in a complex field. Variables take fixed pseudo-random rational values that
/// depend on their names, so that the value of one expression can be kept and compared with any other's. The work of one evaluation is bounded.
/// </summary>
internal sealed class Evaluator
{
    /// <summary>Operations of one expression; a whole power counts as the squarings that it takes.</summary>
    private const int MostOperations = 600;

    /// <summary>Functions of one expression; an inverse function counts twice, and so does a power that takes a logarithm.</summary>
    private const int MostFunctions = 10;

    /// <summary>The work of bringing fractions to lowest terms, in products of the lengths of their parts in bits; a fraction of a millisecond.</summary>
    private const long MostExactWork = 40_000_000;

    private const int LargestFactorial = 1000;

    /// <summary>Bits beyond the field's length from which a term is more than a rounding residue.</summary>
    private const int Absorbed = 64;


    private readonly ComplexField field;
    private readonly int point;
    private int operations;
    private int functions;
    private long exactWork;
    private bool inAngle;
    private bool leftReals;

    private Evaluator(ComplexField field, int point)
    {
        this.field = field;
        this.point = point;
    }

    public static PointValue Evaluate(Node node, ComplexField field, int point)
    {
        Evaluator evaluator = new(field, point);
        if (evaluator.Exact(node) is { } exact) return new PointValue(exact, BigComplex.Invalid, 0, false);
        (evaluator.operations, evaluator.functions, evaluator.exactWork) = (0, 0, 0);
        Ball value = evaluator.Approximate(node);
        return new PointValue(null, value.Value, value.Error, evaluator.leftReals);
    }

    /// <summary>
    /// The value of a variable at a point: points 0 to 2 are positive (in (0, 1), in (1, 3) and mixed), 3 is negative, 4 has mixed signs,
    /// 5 and 6 are large, so that an absolute value shows its sign. Values are odd multiples of 2^-20.
    /// </summary>
    private static Rational ValueOf(string name, int point)
    {
        ulong hash = Hash(name, (ulong)point);
        bool coin = (hash >> 60 & 1) == 1;
        double unit = (hash >> 8 & 0xfffff) / (double)0x100000;
        double value = point switch
        {
            0 => 0.1 + 0.8 * unit,
            1 => 1.1 + 2 * unit,
            2 => coin ? 0.15 + 0.8 * unit : 1.05 + 2 * unit,
            3 => -0.1 - 0.8 * unit,
            4 => (coin ? 1 : -1) * (0.2 + 2.7 * unit),
            5 => 15 + 80 * unit,
            _ => -15 - 80 * unit,
        };
        return Rational.Of((long)Math.Round(value * 0x80000) * 2 + 1, 1 << 20)!.Value;
    }

    private static ulong Hash(string name, ulong salt)
    {
        ulong hash = 14695981039346656037 ^ salt * 0x9e3779b97f4a7c15;
        foreach (char c in name) hash = (hash ^ c) * 1099511628211;
        hash ^= hash >> 29;
        hash *= 0xbf58476d1ce4e5b9;
        return hash ^ hash >> 32;
    }

    private static Rational Coefficient(string name, int place) => Rational.Of((long)(Hash(name, (ulong)place + 100) & 0xffff) + 70_001, 65_536)!.Value;

    private Rational? Exact(Node node)
    {
        if (++operations > MostOperations || exactWork > MostExactWork) return null;
        Rational? value = ExactValue(node);
        if (value is { IsInteger: false } fraction) exactWork += fraction.Numerator.GetBitLength() * fraction.Denominator.GetBitLength();
        return value;
    }

    private Rational? ExactValue(Node node)
    {
        switch (node)
        {
            case Number number:
                return number.Value;
            case Symbol symbol:
                return ValueOf(symbol.Name, point);
            case Apply apply:
                break;
            default:
                return null;
        }
        Apply operation = (Apply)node;
        switch (operation.Operation)
        {
            case Operation.Call:
                return ExactCall(operation.Name, operation.Parts);
            case Operation.Maximum or Operation.Minimum or Operation.GreatestDivisor or Operation.LeastMultiple:
                return ExactMany(operation);
            case Operation.Degree when inAngle:
                return null;
        }
        if (operation.Operation >= Operation.Sin || Exact(operation.Parts[0]) is not { } a) return null;
        if (operation.Parts.Count == 1)
        {
            return operation.Operation switch
            {
                Operation.Negate => -a,
                Operation.Degree => a,
                Operation.Percent => Rational.Divide(a, 100),
                Operation.Absolute => a.Sign < 0 ? -a : a,
                Operation.Floor => Floor(a),
                Operation.Ceiling => -Floor(-a),
                Operation.Root => Rational.Root(a, 2),
                Operation.Factorial => Factorial(a),
                _ => null,
            };
        }
        if (operation.Parts.Count != 2 || Exact(operation.Parts[1]) is not { } b) return null;
        return operation.Operation switch
        {
            Operation.Add => Rational.Add(a, b),
            Operation.Subtract => Rational.Add(a, -b),
            Operation.Multiply => Rational.Multiply(a, b),
            Operation.Divide => Rational.Divide(a, b),
            Operation.Root => b.IsInteger && b.Sign > 0 && b.CompareTo(64) <= 0 ? Rational.Root(a, (int)b.Numerator) : null,
            Operation.Power => ExactPower(a, b),
            Operation.Binomial => Binomial(a, b) ?? ExactCall("binomial", operation.Parts),
            _ => null,
        };
    }

    private static Rational Floor(Rational a)
    {
        BigInteger quotient = BigInteger.DivRem(a.Numerator, a.Denominator, out BigInteger rest);
        return Rational.Of(rest.Sign < 0 ? quotient - 1 : quotient);
    }

    private Rational? Factorial(Rational a)
    {
        if (!a.IsInteger) return Opaque("factorial", [a]);
        if (a.Sign < 0 || a.CompareTo(LargestFactorial) > 0) return null;
        BigInteger product = BigInteger.One;
        for (int i = 2; i <= (int)a.Numerator; i++) product *= i;
        return Rational.Of(product, BigInteger.One);
    }

    private static Rational? ExactPower(Rational a, Rational b)
    {
        if (b.IsInteger) return Rational.Power(a, b.Numerator);
        if (b.Denominator > 64 || BigInteger.Abs(b.Numerator) > 4000) return null;
        return Rational.Root(a, (int)b.Denominator) is { } root ? Rational.Power(root, b.Numerator) : null;
    }

    private static Rational? Binomial(Rational n, Rational k)
    {
        if (!k.IsInteger || k.Sign < 0 || k.CompareTo(LargestFactorial) > 0) return null;
        if (n.IsInteger && n.Sign >= 0)
        {
            if (n.CompareTo(k) < 0) return Rational.Zero;
            if (Rational.Add(n, -k) is { } other && other.CompareTo(k) < 0) k = other;
        }
        int steps = (int)k.Numerator;
        if (!n.IsInteger && steps > 24) return null;
        BigInteger product = BigInteger.One, divisor = BigInteger.One, denominators = BigInteger.One;
        for (int i = 0; i < steps; i++)
        {
            product *= n.Numerator - i * n.Denominator;
            denominators *= n.Denominator;
            divisor *= i + 1;
            if (product.GetBitLength() > Rational.MostBits) return null;
        }
        return Rational.Of(product, divisor * denominators);
    }

    private Rational? ExactMany(Apply operation)
    {
        Rational? result = null;
        foreach (Node part in operation.Parts)
        {
            if (Exact(part) is not { } value) return null;
            bool divisors = operation.Operation is Operation.GreatestDivisor or Operation.LeastMultiple;
            if (divisors && !value.IsInteger) return null;
            if (result is not { } so)
            {
                result = value;
                continue;
            }
            result = operation.Operation switch
            {
                Operation.Maximum => value.CompareTo(so) > 0 ? value : so,
                Operation.Minimum => value.CompareTo(so) < 0 ? value : so,
                Operation.GreatestDivisor => Rational.Of(BigInteger.GreatestCommonDivisor(so.Numerator, value.Numerator)),
                _ => so.IsZero || value.IsZero
                    ? Rational.Zero
                    : Rational.Of(BigInteger.Abs(so.Numerator * value.Numerator), BigInteger.GreatestCommonDivisor(so.Numerator, value.Numerator)),
            };
            if (result is null) return null;
        }
        return result;
    }

    private Rational? ExactCall(string name, IReadOnlyList<Node> parts)
    {
        List<Rational> arguments = [];
        foreach (Node part in parts)
        {
            if (!part.IsScalar || Exact(part) is not { } value) return null;
            arguments.Add(value);
        }
        return Opaque(name, arguments);
    }

    /// <summary>An unknown function stands for 1 / (z^2 + c z + d), z a fixed combination of its arguments: no identities hold by chance.</summary>
    private static Rational? Opaque(string name, List<Rational> arguments)
    {
        Rational? sum = Rational.Zero;
        for (int i = 0; i < arguments.Count; i++)
        {
            if (sum is not { } so || Rational.Multiply(arguments[i], Coefficient(name, i + 3)) is not { } term) return null;
            sum = Rational.Add(so, term);
        }
        if (sum is not { } z || Rational.Multiply(z, z) is not { } square || Rational.Multiply(z, Coefficient(name, 1)) is not { } linear
            || Rational.Add(square, linear) is not { } both || Rational.Add(both, Coefficient(name, 2)) is not { } all) return null;
        return Rational.Divide(Rational.One, all);
    }

    private Ball Approximate(Node node)
    {
        if (++operations > MostOperations) return Ball.Invalid;
        return node switch
        {
            Number number => Rounded(field.From(number.Value)),
            Symbol symbol => Rounded(field.From(ValueOf(symbol.Name, point))),
            Constant { Name: 'p' } => Rounded(field.Parts.Pi),
            Constant { Name: 'e' } => Rounded(field.Exp(field.From(Rational.One))),
            Constant => Rounded(new BigComplex(BigReal.Zero, field.Parts.From(BigInteger.One))),
            Apply apply => ApproximateOperation(apply),
            _ => Ball.Invalid,
        };
    }

    private Ball ApproximateOperation(Apply apply)
    {
        IReadOnlyList<Node> parts = apply.Parts;
        if (apply.Operation is Operation.Power) return Power(parts[0], parts[1]);
        if (apply.Operation is Operation.Call) return OpaqueCall(apply.Name, parts);
        if (apply.Operation >= Operation.Sin) return Function(apply);
        if (apply.Operation is Operation.Binomial) return Exact(apply) is { } count ? Rounded(field.From(count)) : OpaqueCall("binomial", parts);
        if (apply.Operation is Operation.Root && parts.Count == 2)
            return Exact(parts[1]) is { } degree && Rational.Divide(1, degree) is { } exponent ? RationalPower(Approximate(parts[0]), exponent) : Ball.Invalid;
        Ball a = Approximate(parts[0]);
        if (!a.IsValid) return a;
        if (parts.Count == 1)
        {
            switch (apply.Operation)
            {
                case Operation.Negate:
                    return a with { Value = -a.Value };
                case Operation.Percent:
                    return Quotient(a, Rounded(field.From(100)));
                case Operation.Degree:
                    return inAngle ? Quotient(Product(a, Rounded(field.Parts.Pi)), Rounded(field.From(180))) : a;
                case Operation.Absolute:
                    return Rounded(field.Abs(a.Value), a.Error);
                case Operation.Root:
                    return Root(a);
                case Operation.Factorial:
                    return WholeNumber(a) is { } n && Factorial(Rational.Of(n)) is { } product ? Rounded(field.From(product)) : OpaqueCall("factorial", parts);
                case Operation.Floor or Operation.Ceiling:
                    return Floor(a, apply.Operation == Operation.Ceiling);
                default:
                    return Ball.Invalid;
            }
        }
        Ball b = Approximate(parts[1]);
        if (!b.IsValid) return b;
        return apply.Operation switch
        {
            Operation.Add => Sum(a, b),
            Operation.Subtract => Sum(a, b with { Value = -b.Value }),
            Operation.Multiply => Product(a, b),
            Operation.Divide => Quotient(a, b),
            _ => Ball.Invalid,
        };
    }

    /// <summary>A value with its own rounding error, and an error that it has from its arguments.</summary>
    private Ball Rounded(BigComplex value, long inherited = Ball.NoError) =>
        value.IsValid ? new Ball(value, Math.Max(inherited, value.Magnitude - field.Parts.Bits) + 1) : Ball.Invalid;

    /// <summary>A sum; invalid in the longer field where one term would vanish in the other, since then nothing can be said about it.</summary>
    private Ball Sum(Ball a, Ball b)
    {
        bool lost = field == ComplexField.Fine && !a.Value.IsZero && !b.Value.IsZero && Math.Abs(a.Value.Magnitude - b.Value.Magnitude) > field.Parts.Bits + Absorbed;
        return lost ? Ball.Invalid : Rounded(field.Add(a.Value, b.Value), Math.Max(a.Error, b.Error));
    }

    private Ball Product(Ball a, Ball b) =>
        Rounded(field.Multiply(a.Value, b.Value), Math.Max(a.Error + Math.Max(b.Value.Magnitude, b.Error), b.Error + Math.Max(a.Value.Magnitude, a.Error)) + 1);

    /// <summary>A quotient, invalid where the divisor is zero up to its error.</summary>
    private Ball Quotient(Ball a, Ball b)
    {
        long divisor = b.Value.Magnitude;
        if (b.Value.IsZero || divisor <= b.Error + 2) return Ball.Invalid;
        return Rounded(field.Divide(a.Value, b.Value), Math.Max(a.Error - divisor, b.Error + a.Value.Magnitude - 2 * divisor) + 3);
    }

    private Ball Root(Ball a)
    {
        BigComplex root = Real(a.Value, field.Sqrt(a.Value));
        // Near zero the root of the error is the error of the root.
        return Rounded(root, a.Value.Magnitude > a.Error + 2 ? a.Error - a.Value.Magnitude + root.Magnitude + 1 : (a.Error >> 1) + 1);
    }

    private static Ball Floor(Ball a, bool up)
    {
        if (WholeNumber(a) is { } whole) return Whole(whole);
        BigReal x = a.Value.Real;
        if (!a.Value.IsReal || x.Magnitude > 100 || x.Exponent > 0) return Ball.Invalid;
        BigInteger floor = x.Exponent < -100_000 ? (x.Sign < 0 ? -1 : 0) : x.Mantissa >> (int)-x.Exponent;
        return Whole(up ? floor + 1 : floor);

        static Ball Whole(BigInteger value) => new(new BigReal(value, 0), Ball.NoError);
    }

    /// <summary>The integer that a real value is up to rounding, or null.</summary>
    private static BigInteger? WholeNumber(Ball ball)
    {
        BigReal a = ball.Value.Real;
        if (!ball.Value.IsReal || a.Magnitude > 80 || ball.Error > -20) return null;
        if (a.IsZero || a.Magnitude < ball.Error + 8) return BigInteger.Zero;
        if (a.Exponent >= 0) return a.Mantissa << (int)a.Exponent;
        if (a.Exponent < -100_000) return null;
        int shift = (int)-a.Exponent;
        BigInteger nearest = (a.Mantissa + (BigInteger.One << (shift - 1))) >> shift;
        BigInteger off = a.Mantissa - (nearest << shift);
        return off.IsZero || off.GetBitLength() - shift < ball.Error + 8 ? nearest : null;
    }

    private bool SpendFunctions(int count) => (functions += count) <= MostFunctions;

    private BigComplex Real(BigComplex argument, BigComplex result)
    {
        leftReals |= argument.IsReal && !result.IsReal;
        return result;
    }

    private Ball Power(Node power, Node exponent)
    {
        Ball a = Approximate(power);
        if (!a.IsValid) return a;
        if (Exact(exponent) is { } exact) return RationalPower(a, exact);
        Ball b = Approximate(exponent);
        if (!SpendFunctions(2) || !b.IsValid) return Ball.Invalid;
        if (power is Constant { Name: 'e' }) return Exponential(b);
        if (a.Value.IsZero || a.Value.Magnitude <= a.Error + 2) return Ball.Invalid;
        Ball result = Exponential(Product(Logarithm(a), b));
        leftReals |= a.Value.IsReal && b.Value.IsReal && !result.Value.IsReal;
        return result;
    }

    /// <summary>a^b for rational b; an odd root of a negative real number is the real one.</summary>
    private Ball RationalPower(Ball a, Rational b)
    {
        if (!a.IsValid) return a;
        long relative = a.Error - a.Value.Magnitude + b.Numerator.GetBitLength() + 2;
        if (b.IsInteger)
        {
            if (b.Sign <= 0 && (a.Value.IsZero || relative > -2)) return Ball.Invalid;
            operations += (int)b.Numerator.GetBitLength();
            if (operations > MostOperations) return Ball.Invalid;
            BigComplex power = field.Power(a.Value, b.Numerator);
            return Rounded(power, a.Value.IsZero ? a.Error : relative + power.Magnitude);
        }
        if (b.Denominator == 2 && BigInteger.Abs(b.Numerator) < 1000) return RationalPower(Root(a), Rational.Of(b.Numerator));
        if (a.Value.IsZero) return b.Sign > 0 ? a : Ball.Invalid;
        if (!SpendFunctions(2) || relative > -2) return Ball.Invalid;
        bool oddRoot = a.Value.IsReal && a.Value.Real.Sign < 0 && !b.Denominator.IsEven;
        BigComplex root = oddRoot ? field.Power(-a.Value, field.From(b)) : Real(a.Value, field.Power(a.Value, field.From(b)));
        // The logarithm of a large or small number costs as many bits as its exponent has.
        long logarithm = (long)Math.Log2(Math.Abs((double)a.Value.Magnitude) + 2) + b.Numerator.GetBitLength();
        return Rounded(oddRoot && !b.Numerator.IsEven ? -root : root, Math.Max(relative, logarithm - field.Parts.Bits) + root.Magnitude);
    }

    private Ball Exponential(Ball x)
    {
        if (!x.IsValid || x.Error > -4) return Ball.Invalid;
        BigComplex value = field.Exp(x.Value);
        return Rounded(value, value.Magnitude + x.Error + 1);
    }

    /// <summary>The principal logarithm of a number that is not zero.</summary>
    private Ball Logarithm(Ball x)
    {
        long relative = x.Error - x.Value.Magnitude + 1;
        if (x.Value.IsZero || relative > -2) return Ball.Invalid;
        BigComplex value = Real(x.Value, field.Log(x.Value));
        return Rounded(value, Math.Max(relative, 2 - field.Parts.Bits));
    }

    private Ball OpaqueCall(string name, IReadOnlyList<Node> parts)
    {
        Ball z = Rounded(BigReal.Zero);
        for (int i = 0; i < parts.Count; i++)
        {
            Ball argument = parts[i].IsScalar ? Approximate(parts[i]) : Ball.Invalid;
            if (!argument.IsValid) return argument;
            z = Sum(z, Product(argument, Rounded(field.From(Coefficient(name, i + 3)))));
            if (!z.IsValid) return z;
        }
        Ball all = Sum(Product(z, z), Sum(Product(z, Rounded(field.From(Coefficient(name, 1)))), Rounded(field.From(Coefficient(name, 2)))));
        return all.IsValid ? Quotient(Rounded(field.From(Rational.One)), all) : all;
    }

    private Ball Function(Apply apply)
    {
        if (!SpendFunctions(apply.Operation is (>= Operation.Arcsin and <= Operation.Arccsc) or (>= Operation.Arsinh and <= Operation.Artanh) ? 2 : 1)) return Ball.Invalid;
        if (apply.Operation is Operation.Maximum or Operation.Minimum) return Extreme(apply);
        bool outer = inAngle;
        inAngle = apply.Operation is >= Operation.Sin and <= Operation.Csc;
        Ball x = Approximate(apply.Parts[0]);
        inAngle = outer;
        if (!x.IsValid) return x;
        Ball one = Rounded(field.From(Rational.One));
        switch (apply.Operation)
        {
            case Operation.Sin or Operation.Cos or Operation.Tan or Operation.Cot or Operation.Sec or Operation.Csc:
                (BigComplex s, BigComplex c) = field.SinCos(x.Value);
                long error = Math.Max(x.Error + Math.Max(0, Math.Max(s.Magnitude, c.Magnitude)), x.Value.Magnitude - field.Parts.Bits) + 1;
                Ball sin = Rounded(s, error), cos = Rounded(c, error);
                if (!sin.IsValid || !cos.IsValid) return Ball.Invalid;
                return apply.Operation switch
                {
                    Operation.Sin => sin,
                    Operation.Cos => cos,
                    Operation.Tan => Quotient(sin, cos),
                    Operation.Cot => Quotient(cos, sin),
                    Operation.Sec => Quotient(one, cos),
                    _ => Quotient(one, sin),
                };
            case Operation.Arcsin:
                return Arc(x, field.Asin(x.Value));
            case Operation.Arccos:
                return Arc(x, field.Acos(x.Value));
            case Operation.Arctan:
                return Arc(x, field.Atan(x.Value));
            case Operation.Arccot:
                return Arc(x, field.Subtract(field.Parts.Pi.Scale(-1), field.Atan(x.Value)));
            case Operation.Arcsec or Operation.Arccsc:
                Ball inverse = Quotient(one, x);
                if (!inverse.IsValid) return inverse;
                return Arc(inverse, apply.Operation == Operation.Arcsec ? field.Acos(inverse.Value) : field.Asin(inverse.Value));
            case Operation.Sinh or Operation.Cosh or Operation.Tanh:
                Ball up = Exponential(x), down = Exponential(x with { Value = -x.Value });
                if (!up.IsValid || !down.IsValid) return Ball.Invalid;
                Ball sum = Sum(up, down), difference = Sum(up, down with { Value = -down.Value }), two = Rounded(field.From(2));
                if (!sum.IsValid || !difference.IsValid) return Ball.Invalid;
                return apply.Operation switch
                {
                    Operation.Sinh => Quotient(difference, two),
                    Operation.Cosh => Quotient(sum, two),
                    _ => Quotient(difference, sum),
                };
            case Operation.Arsinh:
                return Arc(x, field.Log(field.Add(x.Value, field.Sqrt(field.Add(field.Multiply(x.Value, x.Value), one.Value)))));
            case Operation.Arcosh:
                return Arc(x, field.Log(field.Add(x.Value, field.Multiply(field.Sqrt(field.Add(x.Value, one.Value)), field.Sqrt(field.Subtract(x.Value, one.Value))))));
            case Operation.Artanh:
                Ball above = Sum(one, x), below = Sum(one, x with { Value = -x.Value });
                Ball ratio = above.IsValid && below.IsValid ? Quotient(above, below) : Ball.Invalid;
                Ball twice = ratio.IsValid ? Logarithm(ratio) : ratio;
                return twice.IsValid ? Quotient(twice, Rounded(field.From(2))) : twice;
            case Operation.Exp:
                return Exponential(x);
            case Operation.Ln or Operation.Log:
                Ball log = Logarithm(x);
                if (apply.Operation == Operation.Ln || !log.IsValid) return log;
                Ball numberBase = apply.Parts.Count == 2 ? Approximate(apply.Parts[1]) : Rounded(field.From(10));
                Ball scale = numberBase.IsValid ? Logarithm(numberBase) : numberBase;
                return scale.IsValid ? Quotient(log, scale) : scale;
            default:
                return Ball.Invalid;
        }
    }

    /// <summary>An inverse function's value. Where its slope is infinite, the root of the argument's error is the error.</summary>
    private Ball Arc(Ball x, BigComplex value) => Rounded(Real(x.Value, value), Math.Max(x.Error >> 1, 2 - field.Parts.Bits));

    private Ball Extreme(Apply apply)
    {
        Ball best = Ball.Invalid;
        foreach (Node part in apply.Parts)
        {
            Ball value = Approximate(part);
            if (!value.IsValid || !value.Value.IsReal) return Ball.Invalid;
            if (!best.IsValid || (field.Subtract(value.Value, best.Value).Real.Sign > 0) == (apply.Operation == Operation.Maximum)) best = value;
        }
        return best;
    }
}

/// <summary>An approximate value and about log2 of its absolute error.</summary>
internal readonly record struct Ball(BigComplex Value, long Error)
{
    /// <summary>The error of a value that is exact.</summary>
    public const long NoError = long.MinValue / 4;

    public static readonly Ball Invalid = new(BigComplex.Invalid, 0);

    public bool IsValid => Value.IsValid;
}
