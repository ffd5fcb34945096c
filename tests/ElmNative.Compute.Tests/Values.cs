using System.Runtime.InteropServices;
using ElmNative.Compute.Cpu;

namespace ElmNative.Compute.Tests;

/// <summary>Deterministic test values, tensors on a backend, and comparisons.</summary>
internal static class Values
{
    /// <summary>All float types.</summary>
    public static readonly ElementType[] FloatTypes = [ElementType.F32, ElementType.BF16, ElementType.F16];

    /// <summary>Instruction paths of this machine.</summary>
    public static IReadOnlyList<string> Paths => CpuBackend.Features.Supported;

    /// <summary>Values about normally distributed with a standard deviation.</summary>
    public static float[] Normal(int seed, long count, double deviation = 1)
    {
        Random random = new(seed);
        float[] values = new float[count];
        for (int i = 0; i < values.Length; i++)
        {
            double length = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            values[i] = (float)(deviation * length * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
        return values;
    }

    /// <summary>The values after rounding to a stored type.</summary>
    public static double[] Rounded(float[] values, ElementType type) => [.. values.Select(x => type switch
    {
        ElementType.BF16 => BitConverter.Int32BitsToSingle(ToBFloat16(x) << 16),
        ElementType.F16 => (double)(float)(Half)x,
        _ => x,
    })];

    public static double[] Doubles(float[] values) => [.. values.Select(x => (double)x)];

    private static ushort ToBFloat16(float x)
    {
        uint bits = BitConverter.SingleToUInt32Bits(x);
        return (ushort)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }

    /// <summary>A tensor in its own buffer; <paramref name="shift"/> bytes off the aligned start.</summary>
    public static Tensor Put(this IBackend backend, float[] values, int rows, int columns, ElementType type = ElementType.F32,
        int shift = 0)
    {
        DeviceBuffer buffer = backend.Allocate((long)rows * columns * type.Size() + shift);
        Tensor tensor = new(buffer, shift, type, rows, columns);
        switch (type)
        {
            case ElementType.BF16: backend.Upload<ushort>(Array.ConvertAll(values, ToBFloat16), tensor); break;
            case ElementType.F16: backend.Upload<Half>(Array.ConvertAll(values, x => (Half)x), tensor); break;
            default: backend.Upload<float>(values, tensor); break;
        }
        return tensor;
    }

    /// <summary>A stored tensor once more, as a weight of a checkpoint.</summary>
    public static Tensor Adopt(this IBackend backend, Tensor stored) =>
        backend.AdoptWeights(stored.Address, stored.Type, stored.Rows, stored.Columns, stored.Buffer!);

    public static Tensor Put(this IBackend backend, int[] values, int rows, int columns)
    {
        Tensor tensor = backend.Allocate((long)rows * columns * 4).As(ElementType.I32, rows, columns);
        backend.Upload<int>(values, tensor);
        return tensor;
    }

    public static Tensor Put(this IBackend backend, SamplingRow[] rows)
    {
        Tensor tensor = backend.Allocate(rows.Length * 40L).As(ElementType.I32, rows.Length, 10);
        backend.Upload<SamplingRow>(rows, tensor);
        return tensor;
    }

    /// <summary>An F32 tensor that holds NaN everywhere, so that an element nobody writes shows.</summary>
    public static Tensor Blank(this IBackend backend, int rows, int columns)
    {
        float[] nothing = new float[(long)rows * columns];
        Array.Fill(nothing, float.NaN);
        return backend.Put(nothing, rows, columns);
    }

    public static float[] Get(this IBackend backend, Tensor x)
    {
        float[] values = new float[x.Count];
        backend.Download<float>(x, values);
        return values;
    }

    public static int[] GetInts(this IBackend backend, Tensor x)
    {
        int[] values = new int[x.Count];
        backend.Download<int>(x, values);
        return values;
    }

    /// <summary>Fails where |got - wanted| exceeds tolerance times (scale + |wanted|).</summary>
    public static void Near(double[] wanted, float[] got, double tolerance, string what, double scale = 1)
    {
        Assert.HasCount(wanted.Length, got, what);
        for (int i = 0; i < wanted.Length; i++)
            if (!(Math.Abs(got[i] - wanted[i]) <= tolerance * (scale + Math.Abs(wanted[i]))))
                Assert.Fail($"{what}: element {i} is {got[i]:R}, but should be {wanted[i]:R}");
    }

    /// <summary>Fails unless all bits are equal.</summary>
    public static void SameBits(ReadOnlySpan<float> wanted, ReadOnlySpan<float> got, string what)
    {
        Assert.AreEqual(wanted.Length, got.Length, what);
        ReadOnlySpan<int> a = MemoryMarshal.Cast<float, int>(wanted), b = MemoryMarshal.Cast<float, int>(got);
        for (int i = 0; i < a.Length; i++)
            if (a[i] != b[i] && !(float.IsNaN(wanted[i]) && float.IsNaN(got[i])))
                Assert.Fail($"{what}: element {i} is {got[i]:R}, but should be {wanted[i]:R} to the bit");
    }
}
