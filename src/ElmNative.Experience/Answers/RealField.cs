using System.Numerics;

namespace ElmNative.Experience.Answers;

/// <summary>A binary floating-point number of any length, mantissa * 2^exponent, or the invalid number that every operation passes on.</summary>
internal readonly struct BigReal(BigInteger mantissa, long exponent)
{
    /// <summary>The result of an operation that has none (division by zero, overflow).</summary>
    public static readonly BigReal Invalid = new(BigInteger.Zero, long.MaxValue);

    public static readonly BigReal Zero = default;

    public BigInteger Mantissa { get; } = mantissa;

    public long Exponent { get; } = exponent;

    public bool IsValid => Exponent != long.MaxValue;

    public bool IsZero => Mantissa.IsZero;

    public int Sign => Mantissa.Sign;

    /// <summary>About log2 of the absolute value; a very low number for zero.</summary>
    public long Magnitude => Mantissa.IsZero ? long.MinValue / 4 : Exponent + Mantissa.GetBitLength();

    public static BigReal operator -(BigReal x) => new(-x.Mantissa, x.Exponent);

    public BigReal Scale(long powerOfTwo) => IsZero || !IsValid ? this : new BigReal(Mantissa, Exponent + powerOfTwo);

    /// <summary>The nearest double, roughly; infinite or zero where out of range.</summary>
    public double ToDouble()
    {
        if (!IsValid) return double.NaN;
        if (IsZero) return 0;
        long shift = Math.Max(0, Mantissa.GetBitLength() - 60);
        return Math.ScaleB((double)(Mantissa >> (int)shift), (int)Math.Clamp(Exponent + shift, -5000, 5000));
    }
}

/// <summary>
/// Real arithmetic and the elementary functions with a fixed number of mantissa bits. Results are good to a few units in the last place;
/// a caller that needs certainty evaluates in two fields of different length.
/// </summary>
internal sealed class RealField
{
    /// <summary>Values beyond 2^MostMagnitude are refused.</summary>
    private const long MostMagnitude = 1L << 32;

    private readonly int bits;
    private readonly int wide;
    private readonly BigInteger widePi;
    private readonly BigInteger wideLn2;

    /// <summary>A field with this many mantissa bits.</summary>
    public RealField(int bits)
    {
        this.bits = bits;
        wide = bits + 96;
        BigInteger one = BigInteger.One << wide;
        widePi = 16 * ArcSeries(one, 5, alternating: true) - 4 * ArcSeries(one, 239, alternating: true);
        wideLn2 = 18 * ArcSeries(one, 26, alternating: false) - 2 * ArcSeries(one, 4801, alternating: false) + 8 * ArcSeries(one, 8749, alternating: false);
        Pi = Round(widePi, -wide);
    }

    /// <summary>Enough bits to tell almost any two answers apart.</summary>
    public static RealField Coarse { get; } = new(160);

    /// <summary>The second, longer evaluation that confirms an equality.</summary>
    public static RealField Fine { get; } = new(400);

    public int Bits => bits;

    public BigReal Pi { get; }

    public BigReal From(BigInteger value) => Round(value, 0);

    public BigReal From(Rational value) => value.IsInteger ? Round(value.Numerator, 0) : Divide(new BigReal(value.Numerator, 0), new BigReal(value.Denominator, 0));

    public BigReal Add(BigReal a, BigReal b)
    {
        if (!a.IsValid || !b.IsValid) return BigReal.Invalid;
        if (a.IsZero) return b;
        if (b.IsZero) return a;
        if (a.Magnitude - b.Magnitude > bits + 2) return a;
        if (b.Magnitude - a.Magnitude > bits + 2) return b;
        long low = Math.Min(a.Exponent, b.Exponent);
        return Round((a.Mantissa << (int)(a.Exponent - low)) + (b.Mantissa << (int)(b.Exponent - low)), low);
    }

    public BigReal Subtract(BigReal a, BigReal b) => Add(a, -b);

    public BigReal Multiply(BigReal a, BigReal b) =>
        a.IsValid && b.IsValid ? Round(a.Mantissa * b.Mantissa, a.Exponent + b.Exponent) : BigReal.Invalid;

    public BigReal Divide(BigReal a, BigReal b)
    {
        if (!a.IsValid || !b.IsValid || b.IsZero) return BigReal.Invalid;
        if (a.IsZero) return a;
        int shift = (int)Math.Max(0, bits + 2 + b.Mantissa.GetBitLength() - a.Mantissa.GetBitLength());
        return Round((a.Mantissa << shift) / b.Mantissa, a.Exponent - b.Exponent - shift);
    }

    /// <summary>The square root of a number that is not negative.</summary>
    public BigReal Sqrt(BigReal a)
    {
        if (!a.IsValid || a.Sign < 0) return BigReal.Invalid;
        if (a.IsZero) return a;
        int shift = (int)Math.Max(0, 2 * bits + 4 - a.Mantissa.GetBitLength());
        if (((a.Exponent - shift) & 1) != 0) shift++;
        BigInteger value = a.Mantissa << shift;
        int length = (int)value.GetBitLength();
        int drop = Math.Max(0, length - 104) & ~1;
        BigInteger x = new BigInteger(Math.Sqrt((double)(value >> drop)) * 1.0000001) + 1 << drop / 2;
        while (true)
        {
            BigInteger next = (x + value / x) >> 1;
            if (next >= x) break;
            x = next;
        }
        return Round(x, (a.Exponent - shift) / 2);
    }

    public BigReal Exp(BigReal x)
    {
        if (!x.IsValid || x.Magnitude > 40) return BigReal.Invalid;
        BigInteger fixedX = Fixed(x);
        BigInteger turns = BigInteger.Divide(fixedX, wideLn2);
        BigInteger r = (fixedX - turns * wideLn2) >> 8;
        BigInteger one = BigInteger.One << wide;
        BigInteger sum = one + r;
        BigInteger term = r;
        for (int n = 2; !term.IsZero && !(term + 1).IsZero; n++)
        {
            term = (term * r >> wide) / n;
            sum += term;
        }
        for (int i = 0; i < 8; i++) sum = sum * sum >> wide;
        return Round(sum, (long)turns - wide);
    }

    /// <summary>The natural logarithm of a positive number, by a cubic iteration on <see cref="Exp"/>.</summary>
    public BigReal Log(BigReal x)
    {
        if (!x.IsValid || x.Sign <= 0) return BigReal.Invalid;
        long power = x.Magnitude;
        BigReal m = x.Scale(-power);
        BigReal y = FromDouble(Math.Log(m.ToDouble()));
        for (int i = 0; i < 3; i++)
        {
            BigReal e = Exp(y);
            BigReal step = Divide(Subtract(m, e), Add(m, e));
            y = Add(y, step.Scale(1));
        }
        return Add(y, Round(wideLn2 * power, -wide));
    }

    public (BigReal Sin, BigReal Cos) SinCos(BigReal x)
    {
        if (!x.IsValid || x.Magnitude > 60) return (BigReal.Invalid, BigReal.Invalid);
        BigInteger value = Fixed(x);
        BigInteger quarter = widePi >> 1;
        BigInteger turns = BigInteger.Divide(value + (value.Sign < 0 ? -quarter : quarter) / 2, quarter);
        BigInteger r = value - turns * quarter;
        BigInteger square = r * r >> wide;
        BigInteger sin = r, cos = BigInteger.One << wide, term = cos, odd = r;
        for (int n = 2; ; n += 2)
        {
            term = -(term * square >> wide) / (n * (n - 1));
            odd = -(odd * square >> wide) / (n * (n + 1));
            cos += term;
            sin += odd;
            if (BigInteger.Abs(term) <= 1 && BigInteger.Abs(odd) <= 1) break;
        }
        BigReal s = Round(sin, -wide), c = Round(cos, -wide);
        return (int)((turns % 4 + 4) % 4) switch
        {
            0 => (s, c),
            1 => (c, -s),
            2 => (-s, -c),
            _ => (-c, s),
        };
    }

    /// <summary>The angle of the point (x, y), in (-pi, pi].</summary>
    public BigReal Atan2(BigReal y, BigReal x)
    {
        if (!x.IsValid || !y.IsValid || (x.IsZero && y.IsZero)) return BigReal.Invalid;
        if (y.IsZero) return x.Sign > 0 ? BigReal.Zero : Pi;
        long scale = Math.Max(x.Magnitude, y.Magnitude);
        if (Math.Min(x.Magnitude, y.Magnitude) < scale - 900)
        {
            if (y.Magnitude < x.Magnitude)
            {
                BigReal small = Divide(y, x);
                return x.Sign > 0 ? small : Add(small, y.Sign < 0 ? -Pi : Pi);
            }
            BigReal half = Pi.Scale(-1);
            return Subtract(y.Sign < 0 ? -half : half, Divide(x, y));
        }
        x = x.Scale(-scale);
        y = y.Scale(-scale);
        BigReal angle = FromDouble(Math.Atan2(y.ToDouble(), x.ToDouble()));
        BigReal third = Divide(From(BigInteger.One), From(new BigInteger(3)));
        for (int i = 0; i < 3; i++)
        {
            (BigReal sin, BigReal cos) = SinCos(angle);
            BigReal off = Divide(Subtract(Multiply(y, cos), Multiply(x, sin)), Add(Multiply(x, cos), Multiply(y, sin)));
            BigReal cube = Multiply(Multiply(off, off), off);
            angle = Add(angle, Subtract(off, Multiply(cube, third)));
        }
        return angle;
    }

    private static BigInteger ArcSeries(BigInteger one, int inverse, bool alternating)
    {
        BigInteger power = one / inverse, sum = power;
        BigInteger square = (BigInteger)inverse * inverse;
        for (int n = 3; !power.IsZero; n += 2)
        {
            power /= square;
            BigInteger term = power / n;
            sum += alternating && n % 4 == 3 ? -term : term;
        }
        return sum;
    }

    private static BigReal FromDouble(double value)
    {
        if (value == 0) return BigReal.Zero;
        int exponent = Math.ILogB(value) - 60;
        return new BigReal(new BigInteger(Math.ScaleB(value, -exponent)), exponent);
    }

    /// <summary>The number as an integer multiple of 2^-wide.</summary>
    private BigInteger Fixed(BigReal x)
    {
        long shift = x.Exponent + wide;
        if (x.IsZero || shift < -(1 << 20)) return BigInteger.Zero;
        return shift >= 0 ? x.Mantissa << (int)shift : x.Mantissa >> (int)-shift;
    }

    private BigReal Round(BigInteger mantissa, long exponent)
    {
        if (mantissa.IsZero) return BigReal.Zero;
        long length = mantissa.GetBitLength();
        if (length + exponent > MostMagnitude || length + exponent < -MostMagnitude) return BigReal.Invalid;
        int drop = (int)Math.Max(0, length - bits);
        return drop == 0 ? new BigReal(mantissa, exponent) : new BigReal((mantissa >> (drop - 1)) + 1 >> 1, exponent + drop);
    }
}
