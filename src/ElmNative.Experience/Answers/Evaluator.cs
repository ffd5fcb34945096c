using System.Numerics;

namespace ElmNative.Experience.Answers;

/// <summary>
/// Evaluates expressions: exactly while everything is rational, else in a complex field. Variables take fixed pseudo-random rational values that
/// depend on their names, so that the value of one expression can be kept and compared with any other's. The work of one evaluation is bounded.
/// </summary>
internal sealed class Evaluator
{
    private const int MostOperations = 6000;
    private const int MostFunctions = 40;
    private const int LargestFactorial = 3000;

    private readonly ComplexField field;
    private readonly int point;
    private int operations;
    private int functions;
    private bool inAngle;
    private bool leftReals;
    private long peak;

    private Evaluator(ComplexField field, int point)
    {
        this.field = field;
        this.point = point;
    }

    public static PointValue Evaluate(Node node, ComplexField field, int point)
    {
        Evaluator evaluator = new(field, point);
        if (evaluator.Exact(node) is { } exact) return new PointValue(exact, BigComplex.Invalid, 0, false);
        (evaluator.operations, evaluator.functions) = (0, 0);
        BigComplex value = evaluator.Approximate(node);
        return new PointValue(null, value, evaluator.peak, evaluator.leftReals);
    }

    /// <summary>
    /// The value of a variable at a point: points 0 to 2 are positive (in (0, 1), in (1, 3) and mixed), 3 is negative, 4 has mixed signs,
    /// 5 is larger. Values are odd multiples of 2^-20.
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
            _ => 3 + 6 * unit,
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
        if (++operations > MostOperations) return null;
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

    private BigComplex Approximate(Node node)
    {
        if (++operations > MostOperations) return BigComplex.Invalid;
        BigComplex value = node switch
        {
            Number number => field.From(number.Value),
            Symbol symbol => field.From(ValueOf(symbol.Name, point)),
            Constant { Name: 'p' } => field.Parts.Pi,
            Constant { Name: 'e' } => field.Exp(field.From(Rational.One)),
            Constant => new BigComplex(BigReal.Zero, field.Parts.From(BigInteger.One)),
            Apply apply => ApproximateOperation(apply),
            _ => BigComplex.Invalid,
        };
        if (value.IsValid) peak = Math.Max(peak, value.Magnitude);
        return value;
    }

    private BigComplex ApproximateOperation(Apply apply)
    {
        IReadOnlyList<Node> parts = apply.Parts;
        if (apply.Operation is Operation.Power) return Power(parts[0], parts[1]);
        if (apply.Operation is Operation.Call) return OpaqueCall(apply.Name, parts);
        if (apply.Operation >= Operation.Sin) return Function(apply);
        if (apply.Operation is Operation.Binomial) return Exact(apply) is { } count ? field.From(count) : OpaqueCall("binomial", parts);
        if (apply.Operation is Operation.Root && parts.Count == 2) return Exact(parts[1]) is { } degree && !degree.IsZero ? RationalPower(Approximate(parts[0]), Rational.Divide(1, degree)!.Value) : BigComplex.Invalid;
        BigComplex a = Approximate(parts[0]);
        if (!a.IsValid) return a;
        if (parts.Count == 1)
        {
            switch (apply.Operation)
            {
                case Operation.Negate:
                    return -a;
                case Operation.Percent:
                    return field.Divide(a, field.From(100));
                case Operation.Degree:
                    return inAngle ? field.Divide(field.Multiply(a, field.Parts.Pi), field.From(180)) : a;
                case Operation.Absolute:
                    return field.Abs(a);
                case Operation.Root:
                    return Real(a, field.Sqrt(a));
                case Operation.Factorial:
                    return WholeNumber(a) is { } n && Factorial(Rational.Of(n)) is { } product ? field.From(product) : OpaqueCall("factorial", parts);
                case Operation.Floor or Operation.Ceiling:
                    if (!a.IsReal) return BigComplex.Invalid;
                    if (WholeNumber(a) is { } whole) return field.From(Rational.Of(whole));
                    if (a.Real.Magnitude > 100 || a.Real.Exponent > 0) return BigComplex.Invalid;
                    BigInteger floor = a.Real.Exponent < -100_000 ? (a.Real.Sign < 0 ? -1 : 0) : a.Real.Mantissa >> (int)-a.Real.Exponent;
                    return field.From(Rational.Of(apply.Operation == Operation.Floor ? floor : floor + 1));
                default:
                    return BigComplex.Invalid;
            }
        }
        BigComplex b = Approximate(parts[1]);
        return apply.Operation switch
        {
            Operation.Add => field.Add(a, b),
            Operation.Subtract => field.Subtract(a, b),
            Operation.Multiply => field.Multiply(a, b),
            Operation.Divide => b.IsZero ? BigComplex.Invalid : field.Divide(a, b),
            _ => BigComplex.Invalid,
        };
    }

    /// <summary>The integer that a real value is up to rounding, or null.</summary>
    private static BigInteger? WholeNumber(BigComplex a)
    {
        if (!a.IsReal || a.Real.Magnitude > 80) return null;
        if (a.Real.IsZero || a.Real.Magnitude < -60) return BigInteger.Zero;
        if (a.Real.Exponent >= 0) return a.Real.Mantissa << (int)a.Real.Exponent;
        int shift = (int)-a.Real.Exponent;
        BigInteger nearest = (a.Real.Mantissa + (BigInteger.One << (shift - 1))) >> shift;
        BigInteger off = a.Real.Mantissa - (nearest << shift);
        return off.IsZero || off.GetBitLength() < shift - 60 ? nearest : null;
    }

    private bool SpendFunction() => ++functions <= MostFunctions;

    private BigComplex Real(BigComplex argument, BigComplex result)
    {
        leftReals |= argument.IsReal && !result.IsReal;
        return result;
    }

    private BigComplex Power(Node power, Node exponent)
    {
        BigComplex a = Approximate(power);
        if (!a.IsValid) return a;
        if (Exact(exponent) is { } exact) return RationalPower(a, exact);
        BigComplex b = Approximate(exponent);
        if (!SpendFunction() || !b.IsValid) return BigComplex.Invalid;
        BigComplex result = power is Constant { Name: 'e' } ? field.Exp(b) : field.Power(a, b);
        leftReals |= a.IsReal && b.IsReal && !result.IsReal;
        return result;
    }

    /// <summary>a^b for rational b; an odd root of a negative real number is the real one.</summary>
    private BigComplex RationalPower(BigComplex a, Rational b)
    {
        if (!a.IsValid) return a;
        if (b.IsInteger) return a.IsZero && b.Sign <= 0 ? BigComplex.Invalid : field.Power(a, b.Numerator);
        if (b.Denominator == 2 && BigInteger.Abs(b.Numerator) < 1000)
        {
            BigComplex root = Real(a, field.Sqrt(a));
            return a.IsZero && b.Sign < 0 ? BigComplex.Invalid : field.Power(root, b.Numerator);
        }
        if (!SpendFunction()) return BigComplex.Invalid;
        if (a.IsReal && a.Real.Sign < 0 && !b.Denominator.IsEven)
        {
            BigComplex size = field.Power(-a, field.From(b));
            return b.Numerator.IsEven ? size : -size;
        }
        return Real(a, field.Power(a, field.From(b)));
    }

    private BigComplex OpaqueCall(string name, IReadOnlyList<Node> parts)
    {
        BigComplex z = BigReal.Zero;
        for (int i = 0; i < parts.Count; i++)
        {
            if (!parts[i].IsScalar) return BigComplex.Invalid;
            z = field.Add(z, field.Multiply(Approximate(parts[i]), field.From(Coefficient(name, i + 3))));
        }
        BigComplex all = field.Add(field.Multiply(z, z), field.Add(field.Multiply(z, field.From(Coefficient(name, 1))), field.From(Coefficient(name, 2))));
        return all.IsZero ? BigComplex.Invalid : field.Divide(field.From(Rational.One), all);
    }

    private BigComplex Function(Apply apply)
    {
        if (!SpendFunction()) return BigComplex.Invalid;
        bool outer = inAngle;
        inAngle = apply.Operation is >= Operation.Sin and <= Operation.Csc;
        BigComplex x = Approximate(apply.Parts[0]);
        inAngle = outer;
        if (!x.IsValid) return x;
        BigComplex one = field.From(Rational.One);
        switch (apply.Operation)
        {
            case Operation.Sin or Operation.Cos or Operation.Tan or Operation.Cot or Operation.Sec or Operation.Csc:
                (BigComplex sin, BigComplex cos) = field.SinCos(x);
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
                return Real(x, field.Asin(x));
            case Operation.Arccos:
                return Real(x, field.Acos(x));
            case Operation.Arctan:
                return field.Atan(x);
            case Operation.Arccot:
                return field.Subtract(field.Parts.Pi.Scale(-1), field.Atan(x));
            case Operation.Arcsec:
                return x.IsZero ? BigComplex.Invalid : Real(x, field.Acos(field.Divide(one, x)));
            case Operation.Arccsc:
                return x.IsZero ? BigComplex.Invalid : Real(x, field.Asin(field.Divide(one, x)));
            case Operation.Sinh or Operation.Cosh or Operation.Tanh:
                BigComplex up = field.Exp(x), down = field.Exp(-x);
                BigComplex sum = field.Add(up, down), difference = field.Subtract(up, down);
                return apply.Operation switch
                {
                    Operation.Sinh => field.Divide(difference, field.From(2)),
                    Operation.Cosh => field.Divide(sum, field.From(2)),
                    _ => Quotient(difference, sum),
                };
            case Operation.Exp:
                return field.Exp(x);
            case Operation.Ln or Operation.Log:
                if (x.IsZero) return BigComplex.Invalid;
                BigComplex log = Real(x, field.Log(x));
                if (apply.Operation == Operation.Ln) return log;
                BigComplex numberBase = apply.Parts.Count == 2 ? Approximate(apply.Parts[1]) : field.From(10);
                return !numberBase.IsValid || numberBase.IsZero ? BigComplex.Invalid : Quotient(log, Real(numberBase, field.Log(numberBase)));
            case Operation.Maximum or Operation.Minimum:
                return Extreme(apply);
            default:
                return BigComplex.Invalid;
        }
    }

    /// <summary>A quotient, invalid where the divisor is zero up to rounding.</summary>
    private BigComplex Quotient(BigComplex a, BigComplex b) =>
        b.IsZero || b.Magnitude < -field.Parts.Bits / 2 ? BigComplex.Invalid : field.Divide(a, b);

    private BigComplex Extreme(Apply apply)
    {
        BigComplex best = BigComplex.Invalid;
        foreach (Node part in apply.Parts)
        {
            BigComplex value = Approximate(part);
            if (!value.IsValid || !value.IsReal) return BigComplex.Invalid;
            if (!best.IsValid || (field.Subtract(value, best).Real.Sign > 0) == (apply.Operation == Operation.Maximum)) best = value;
        }
        return best;
    }
}
