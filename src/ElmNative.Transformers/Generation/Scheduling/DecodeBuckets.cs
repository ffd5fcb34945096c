namespace ElmNative.Transformers.Generation.Scheduling;

/// <summary>The few sizes that batches are padded to on a device, so that a few captured graphs serve all of them.</summary>
internal static class DecodeBuckets
{
    private const int LeastContext = 256;

    /// <summary>Rows of a batch with so many sequences: 1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, then every 64.</summary>
    public static int Rows(int sequences) => sequences switch
    {
        <= 2 => sequences,
        <= 4 => 4,
        <= 32 => RoundUp(sequences, 8),
        <= 64 => RoundUp(sequences, 16),
        <= 128 => RoundUp(sequences, 32),
        _ => RoundUp(sequences, 64),
    };

    /// <summary>The bound on what a row sees: a power of two.</summary>
    public static int Context(int positions) => (int)Math.Min(int.MaxValue, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(positions, LeastContext)));

    private static int RoundUp(int value, int step) => (value + step - 1) / step * step;
}
