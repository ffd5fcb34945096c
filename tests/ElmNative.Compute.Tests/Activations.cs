namespace ElmNative.Compute.Tests;

/// <summary>
/// BF16 tensors of the tests. A BF16 result is the float result rounded once more: BF16 has 8 significant bits, so that this moves a value by at most half a unit in the last of them,
/// 2^-8 of the value. What the float arithmetic before it may be off is the <c>single</c> of each comparison.
/// </summary>
internal static class Activations
{
    /// <summary>Largest relative error of one rounding to BF16.</summary>
    public const double Rounding = 1.0 / 256;

    /// <summary>The types of activations and of the residual stream.</summary>
    public static readonly ElementType[] Types = [ElementType.F32, ElementType.BF16];

    /// <summary>A tensor of a type, filled with NaN.</summary>
    public static Tensor Nothing(this IBackend backend, int rows, int columns, ElementType type, int shift = 0)
    {
        float[] values = new float[rows * columns];
        Array.Fill(values, float.NaN);
        return backend.Put(values, rows, columns, type, shift);
    }

    /// <summary>The elements of an F32 or BF16 tensor.</summary>
    public static float[] Read(this IBackend backend, Tensor x)
    {
        if (x.Type == ElementType.F32)
            return backend.Get(x);
        ushort[] halves = new ushort[x.Count];
        backend.Download<ushort>(x, halves);
        return Array.ConvertAll(halves, half => BitConverter.Int32BitsToSingle(half << 16));
    }

    /// <summary>Fails where a value is further off than the float arithmetic, <paramref name="single"/> times (scale + |wanted|), and the rounding to the type together allow.</summary>
    public static void Near(double[] wanted, float[] got, ElementType type, double single, string what, double scale = 1)
    {
        Assert.HasCount(wanted.Length, got, what);
        double rounding = type == ElementType.BF16 ? Rounding : 0;
        for (int i = 0; i < wanted.Length; i++)
        {
            double arithmetic = single * (scale + Math.Abs(wanted[i]));
            if (!(Math.Abs(got[i] - wanted[i]) <= arithmetic + rounding * (Math.Abs(wanted[i]) + arithmetic)))
                Assert.Fail($"{what}: element {i} is {got[i]:R}, but should be {wanted[i]:R}");
        }
    }
}
