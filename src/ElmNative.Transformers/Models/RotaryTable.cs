using ElmNative.Compute;

namespace ElmNative.Transformers.Models;

/// <summary>
/// Cosines and sines of the rotary embedding on the device: row p holds headSize/2 cosines, then headSize/2 sines, of p times the model's
/// frequencies, computed in double precision. Grows with the longest position asked for.
/// </summary>
internal sealed class RotaryTable(IBackend backend, double[] frequencies, double scale) : IDisposable
{
    private DeviceBuffer? buffer;
    private Tensor table;

    /// <summary>The table for positions [0, positions).</summary>
    public Tensor ForPositions(int positions)
    {
        if (table.IsPresent && table.Rows >= positions)
            return table;
        int rows = Math.Max(256, (int)Math.Min(int.MaxValue / 2, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)positions)));
        int half = frequencies.Length;
        float[] values = new float[(long)rows * 2 * half];
        for (int p = 0; p < rows; p++)
        {
            Span<float> row = values.AsSpan(p * 2 * half, 2 * half);
            for (int j = 0; j < half; j++)
            {
                (double sine, double cosine) = Math.SinCos(p * frequencies[j]);
                row[j] = (float)(cosine * scale);
                row[half + j] = (float)(sine * scale);
            }
        }
        backend.Synchronize();
        buffer?.Dispose();
        buffer = backend.Allocate((long)values.Length * sizeof(float));
        table = buffer.As(ElementType.F32, rows, 2 * half);
        backend.Upload<float>(values, table);
        return table;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        buffer?.Dispose();
        buffer = null;
        table = default;
    }
}
