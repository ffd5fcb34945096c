using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ElmNative.Compute.Cuda;

/// <summary>
/// From the types of a checkpoint to those of the device: the same type, F32 or F16 to BF16, or F16 to F32. Rounding is to the nearest, ties to
/// the even; overflow gives an infinity, and a NaN stays one. Addresses may have any alignment.
/// </summary>
internal static unsafe class WeightConversion
{
    private const uint HalfOfBF16 = 0x7FFF, QuietBit = 0x0040_0000, SignlessBits = 0x7FFF_FFFF, Infinity = 0x7F80_0000;

    /// <summary>A half's bits but for the sign, its exponent, and the exponent's place when they are moved to a single's mantissa.</summary>
    private const uint HalfMagnitude = 0x7FFF, HalfExponent = 0x7C00, HalfSign = 0x8000;

    private const int HalfShift = 13, SignShift = 16;

    /// <summary>2^(127 - 15): what a half's bits are short of, read as a single's.</summary>
    private const float HalfBias = 5192296858534827628530496329220096f;

    /// <summary>The type that a weight has on the device.</summary>
    /// <param name="stored">type in the checkpoint</param><param name="isVector">a norm or a bias, which keeps its precision</param>
    public static ElementType TypeOnDevice(ElementType stored, bool isVector) => stored switch
    {
        ElementType.BF16 => ElementType.BF16,
        ElementType.F32 or ElementType.F16 => isVector ? ElementType.F32 : ElementType.BF16,
        _ => throw new ArgumentException($"weights are of a float type, not {stored}", nameof(stored)),
    };

    /// <summary>Converts elements, which must not overlap.</summary>
    /// <param name="source">first element</param><param name="from">its type</param><param name="target">where the first one goes</param>
    /// <param name="to">its type there</param>
    /// <param name="count">elements</param>
    public static void Convert(byte* source, ElementType from, byte* target, ElementType to, int count)
    {
        if (from == to)
            Buffer.MemoryCopy(source, target, (long)count * to.Size(), (long)count * to.Size());
        else if (to == ElementType.BF16 && from == ElementType.F32)
            SingleToBF16(source, target, count);
        else if (to == ElementType.BF16 && from == ElementType.F16)
            HalfToBF16(source, target, count);
        else if (to == ElementType.F32 && from == ElementType.F16)
            HalfToSingle(source, target, count);
        else
            throw new ArgumentException($"there is no conversion of {from} to {to}", nameof(to));
    }

    private static void SingleToBF16(byte* source, byte* target, int count)
    {
        int i = 0, lanes = Vector256<uint>.Count;
        for (; i <= count - 2 * lanes; i += 2 * lanes)
        {
            Vector256<uint> low = Round(Vector256.Load((uint*)source + i)), high = Round(Vector256.Load((uint*)source + i + lanes));
            Vector256.Narrow(low, high).Store((ushort*)target + i);
        }
        for (; i < count; i++)
            Unsafe.WriteUnaligned(target + 2L * i, Round(Unsafe.ReadUnaligned<uint>(source + 4L * i)));
    }

    private static void HalfToBF16(byte* source, byte* target, int count)
    {
        int i = 0, lanes = Vector256<ushort>.Count;
        for (; i <= count - lanes; i += lanes)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Load((ushort*)source + i));
            Vector256.Narrow(Round(Widen(low)), Round(Widen(high))).Store((ushort*)target + i);
        }
        for (; i < count; i++)
            Unsafe.WriteUnaligned(target + 2L * i, Round(Widen(Unsafe.ReadUnaligned<ushort>(source + 2L * i))));
    }

    private static void HalfToSingle(byte* source, byte* target, int count)
    {
        int i = 0, lanes = Vector256<ushort>.Count;
        for (; i <= count - lanes; i += lanes)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Load((ushort*)source + i));
            Widen(low).Store((uint*)target + i);
            Widen(high).Store((uint*)target + i + Vector256<uint>.Count);
        }
        for (; i < count; i++)
            Unsafe.WriteUnaligned(target + 4L * i, Widen(Unsafe.ReadUnaligned<ushort>(source + 2L * i)));
    }

    /// <summary>The bits of a single as those of a BF16, in the lower half.</summary>
    private static ushort Round(uint bits) =>
        (ushort)(((bits & SignlessBits) > Infinity ? bits | QuietBit : bits + HalfOfBF16 + (bits >> 16 & 1)) >> 16);

    private static Vector256<uint> Round(Vector256<uint> bits)
    {
        Vector256<uint> nearest = bits + Vector256.Create(HalfOfBF16) + (bits >> 16 & Vector256<uint>.One);
        Vector256<uint> isNaN = Vector256.GreaterThan(bits & Vector256.Create(SignlessBits), Vector256.Create(Infinity));
        return Vector256.ConditionalSelect(isNaN, bits | Vector256.Create(QuietBit), nearest) >> 16;
    }

    /// <summary>The bits of a half as those of the same single. The product is exact, subnormal halves included.</summary>
    private static uint Widen(uint half)
    {
        float magnitude = BitConverter.UInt32BitsToSingle((half & HalfMagnitude) << HalfShift) * HalfBias;
        uint beyond = (half & HalfExponent) == HalfExponent ? Infinity : 0;
        return BitConverter.SingleToUInt32Bits(magnitude) | beyond | (half & HalfSign) << SignShift;
    }

    private static Vector256<uint> Widen(Vector256<uint> half)
    {
        Vector256<uint> exponent = Vector256.Create(HalfExponent);
        Vector256<float> magnitude = ((half & Vector256.Create(HalfMagnitude)) << HalfShift).AsSingle() * HalfBias;
        Vector256<uint> beyond = Vector256.Equals(half & exponent, exponent) & Vector256.Create(Infinity);
        return magnitude.AsUInt32() | beyond | (half & Vector256.Create(HalfSign)) << SignShift;
    }
}
