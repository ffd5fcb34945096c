using System.Numerics;

namespace ElmNative.Experience.Answers;

/// <summary>An exact rational number in lowest terms with a positive denominator.</summary>
internal readonly struct Rational : IEquatable<Rational>, IComparable<Rational>
{
    /// <summary>Numbers with more bits than this are refused, so that a short text cannot ask for unbounded work.</summary>
    public const int MostBits = 40_000;

    private readonly BigInteger denominatorLessOne;

    private Rational(BigInteger numerator, BigInteger denominator)
    {
        Numerator = numerator;
        denominatorLessOne = denominator - 1;
    }

    /// <summary>The numerator, which carries the sign.</summary>
    public BigInteger Numerator { get; }

    /// <summary>The denominator, at least 1.</summary>
    public BigInteger Denominator => denominatorLessOne + 1;

    public bool IsZero => Numerator.IsZero;

    public bool IsInteger => denominatorLessOne.IsZero;

    public int Sign => Numerator.Sign;

    public static Rational Zero => default;

    public static Rational One => new(BigInteger.One, BigInteger.One);

    public static implicit operator Rational(long value) => new(value, BigInteger.One);

    public static Rational Of(BigInteger integer) => new(integer, BigInteger.One);

    /// <summary>numerator / denominator in lowest terms; null where the denominator is zero or a part is too long.</summary>
    public static Rational? Of(BigInteger numerator, BigInteger denominator)
    {
        if (denominator.IsZero || numerator.GetBitLength() > MostBits || denominator.GetBitLength() > MostBits) return null;
        if (denominator.IsOne) return new Rational(numerator, denominator);
        BigInteger common = BigInteger.GreatestCommonDivisor(numerator, denominator);
        if (denominator.Sign < 0) common = -common;
        return new Rational(numerator / common, denominator / common);
    }

    public static Rational? Add(Rational a, Rational b) => a.IsInteger && b.IsInteger
        ? Of(a.Numerator + b.Numerator, BigInteger.One)
        : Of(a.Numerator * b.Denominator + b.Numerator * a.Denominator, a.Denominator * b.Denominator);

    public static Rational? Multiply(Rational a, Rational b) => Of(a.Numerator * b.Numerator, a.Denominator * b.Denominator);

    public static Rational? Divide(Rational a, Rational b) => b.IsZero ? null : Of(a.Numerator * b.Denominator, a.Denominator * b.Numerator);

    public static Rational operator -(Rational a) => new(-a.Numerator, a.Denominator);

    /// <summary>A power with an integer exponent; null where it is undefined or too long.</summary>
    public static Rational? Power(Rational a, BigInteger exponent)
    {
        if (exponent.IsZero) return a.IsZero ? null : One;
        if (a.IsZero) return exponent.Sign > 0 ? Zero : null;
        BigInteger times = BigInteger.Abs(exponent);
        if (a.IsInteger && BigInteger.Abs(a.Numerator).IsOne) return a.Sign > 0 || exponent.IsEven ? One : -One;
        long bits = Math.Max(a.Numerator.GetBitLength(), a.Denominator.GetBitLength());
        if (times * bits > MostBits) return null;
        BigInteger upper = BigInteger.Pow(a.Numerator, (int)times);
        BigInteger lower = BigInteger.Pow(a.Denominator, (int)times);
        // Powers of coprime numbers are coprime.
        return exponent.Sign > 0 ? new Rational(upper, lower) : upper.Sign > 0 ? new Rational(lower, upper) : new Rational(-lower, -upper);
    }

    /// <summary>The exact root where it is rational (the real root of a negative number for an odd degree); otherwise null.</summary>
    public static Rational? Root(Rational a, int degree)
    {
        if (a.Sign < 0) return degree % 2 == 0 ? null : Root(-a, degree) is { } root ? -root : null;
        return IntegerRoot(a.Numerator, degree) is { } upper && IntegerRoot(a.Denominator, degree) is { } lower ? new Rational(upper, lower) : null;
    }

    public int CompareTo(Rational other) => (Numerator * other.Denominator).CompareTo(other.Numerator * Denominator);

    public bool Equals(Rational other) => Numerator == other.Numerator && denominatorLessOne == other.denominatorLessOne;

    public override bool Equals(object? other) => other is Rational rational && Equals(rational);

    public override int GetHashCode() => HashCode.Combine(Numerator, denominatorLessOne);

    public override string ToString() => IsInteger ? Numerator.ToString() : $"{Numerator}/{Denominator}";

    /// <summary>Whether |a - b| is at most tolerance times the larger of |a| and |b|, decided exactly.</summary>
    public static bool Near(Rational a, Rational b, Rational tolerance)
    {
        BigInteger left = a.Numerator * b.Denominator;
        BigInteger right = b.Numerator * a.Denominator;
        BigInteger largest = BigInteger.Max(BigInteger.Abs(left), BigInteger.Abs(right));
        return BigInteger.Abs(left - right) * tolerance.Denominator <= largest * tolerance.Numerator;
    }

    private static BigInteger? IntegerRoot(BigInteger value, int degree)
    {
        if (value.IsZero || value.IsOne) return value;
        long bits = value.GetBitLength();
        if (degree >= bits || degree > 64) return null;
        BigInteger x = BigInteger.One << (int)((bits + degree - 1) / degree);
        while (true)
        {
            BigInteger next = ((degree - 1) * x + value / BigInteger.Pow(x, degree - 1)) / degree;
            if (next >= x) break;
            x = next;
        }
        return BigInteger.Pow(x, degree) == value ? x : null;
    }
}
