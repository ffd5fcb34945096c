using System.Numerics;

namespace ElmNative.Experience.Answers;

/// <summary>A complex number of any length. A real number has an imaginary part that is exactly zero.</summary>
internal readonly struct BigComplex(BigReal real, BigReal imaginary)
{
    public static readonly BigComplex Invalid = new(BigReal.Invalid, BigReal.Invalid);

    public BigReal Real { get; } = real;

    public BigReal Imaginary { get; } = imaginary;

    public bool IsValid => Real.IsValid && Imaginary.IsValid;

    public bool IsReal => Imaginary.IsZero;

    public bool IsZero => Real.IsZero && Imaginary.IsZero;

    /// <summary>About log2 of the absolute value.</summary>
    public long Magnitude => Math.Max(Real.Magnitude, Imaginary.Magnitude);

    public static implicit operator BigComplex(BigReal real) => new(real, BigReal.Zero);

    public static BigComplex operator -(BigComplex z) => new(-z.Real, -z.Imaginary);
}

/// <summary>Complex arithmetic and the principal values of the elementary functions over a <see cref="RealField"/>. Real arguments give real results where there are any.</summary>
internal sealed class ComplexField(RealField real)
{
    public static ComplexField Coarse { get; } = new(RealField.Coarse);

    public static ComplexField Fine { get; } = new(RealField.Fine);

    /// <summary>The field of the parts.</summary>
    public RealField Parts => real;

    public BigComplex From(Rational value) => real.From(value);

    public BigComplex Add(BigComplex a, BigComplex b) => new(real.Add(a.Real, b.Real), real.Add(a.Imaginary, b.Imaginary));

    public BigComplex Subtract(BigComplex a, BigComplex b) => Add(a, -b);

    public BigComplex Multiply(BigComplex a, BigComplex b)
    {
        if (a.IsReal && b.IsReal) return real.Multiply(a.Real, b.Real);
        return new BigComplex(
            real.Subtract(real.Multiply(a.Real, b.Real), real.Multiply(a.Imaginary, b.Imaginary)),
            real.Add(real.Multiply(a.Real, b.Imaginary), real.Multiply(a.Imaginary, b.Real)));
    }

    public BigComplex Divide(BigComplex a, BigComplex b)
    {
        if (b.IsReal) return new BigComplex(real.Divide(a.Real, b.Real), real.Divide(a.Imaginary, b.Real));
        BigReal norm = real.Add(real.Multiply(b.Real, b.Real), real.Multiply(b.Imaginary, b.Imaginary));
        BigComplex over = Multiply(a, new BigComplex(b.Real, -b.Imaginary));
        return new BigComplex(real.Divide(over.Real, norm), real.Divide(over.Imaginary, norm));
    }

    public BigReal Abs(BigComplex z)
    {
        if (z.IsReal) return z.Real.Sign < 0 ? -z.Real : z.Real;
        return real.Sqrt(real.Add(real.Multiply(z.Real, z.Real), real.Multiply(z.Imaginary, z.Imaginary)));
    }

    public BigComplex Sqrt(BigComplex z)
    {
        if (!z.IsValid) return BigComplex.Invalid;
        if (z.IsReal) return z.Real.Sign >= 0 ? real.Sqrt(z.Real) : new BigComplex(BigReal.Zero, real.Sqrt(-z.Real));
        return Exp(Multiply(Log(z), real.From(Rational.Of(1, 2)!.Value)));
    }

    public BigComplex Exp(BigComplex z)
    {
        BigReal size = real.Exp(z.Real);
        if (z.IsReal) return size;
        (BigReal sin, BigReal cos) = real.SinCos(z.Imaginary);
        return new BigComplex(real.Multiply(size, cos), real.Multiply(size, sin));
    }

    public BigComplex Log(BigComplex z)
    {
        if (z.IsReal && z.Real.Sign > 0) return real.Log(z.Real);
        return new BigComplex(real.Log(Abs(z)), real.Atan2(z.Imaginary, z.Real));
    }

    /// <summary>a^n for an integer n, by squaring.</summary>
    public BigComplex Power(BigComplex a, BigInteger n)
    {
        if (BigInteger.Abs(n) > ulong.MaxValue) return BigComplex.Invalid;
        ulong times = (ulong)BigInteger.Abs(n);
        BigComplex result = times == 0 ? real.From(BigInteger.One) : a;
        for (int bit = 62 - BitOperations.LeadingZeroCount(times); bit >= 0; bit--)
        {
            result = Multiply(result, result);
            if ((times >> bit & 1) != 0) result = Multiply(result, a);
        }
        return n.Sign < 0 ? Divide(real.From(BigInteger.One), result) : result;
    }

    /// <summary>The principal value of a^b.</summary>
    public BigComplex Power(BigComplex a, BigComplex b) => a.IsZero
        ? b.IsReal && b.Real.Sign > 0 ? BigReal.Zero : BigComplex.Invalid
        : Exp(Multiply(Log(a), b));

    public (BigComplex Sin, BigComplex Cos) SinCos(BigComplex z)
    {
        if (z.IsReal)
        {
            (BigReal s, BigReal c) = real.SinCos(z.Real);
            return (s, c);
        }
        BigComplex up = Exp(TimesI(z)), down = Exp(-TimesI(z));
        BigComplex cos = Add(up, down), sin = -TimesI(Subtract(up, down));
        return (Half(sin), Half(cos));
    }

    public BigComplex Asin(BigComplex z)
    {
        BigComplex one = real.From(BigInteger.One);
        BigComplex rest = Subtract(one, Multiply(z, z));
        if (z.IsReal && rest.Real.Sign >= 0) return real.Atan2(z.Real, real.Sqrt(rest.Real));
        return -TimesI(Log(Add(TimesI(z), Sqrt(rest))));
    }

    public BigComplex Acos(BigComplex z) => Subtract(real.Pi.Scale(-1), Asin(z));

    public BigComplex Atan(BigComplex z)
    {
        BigComplex one = real.From(BigInteger.One);
        if (z.IsReal) return real.Atan2(z.Real, one.Real);
        BigComplex difference = Subtract(Log(Subtract(one, TimesI(z))), Log(Add(one, TimesI(z))));
        return Half(TimesI(difference));
    }

    public static BigComplex TimesI(BigComplex z) => new(-z.Imaginary, z.Real);

    private static BigComplex Half(BigComplex z) => new(z.Real.Scale(-1), z.Imaginary.Scale(-1));
}
