using System.Runtime.InteropServices;

namespace ElmNative.Compute;

/// <summary>
/// How one row of logits is sampled: the warping, and the counter of its random number. The number comes from Philox4x32-10 with
/// key (seed low, seed high) and counter (problem, step, rollout, position), so a draw depends on nothing but these.
/// Blittable; the same layout as <c>elm_sampling_row</c> of the C ABI.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public struct SamplingRow
{
    /// <summary>Softmax temperature; 0 means greedy (the smallest index among the largest logits).</summary>
    public float Temperature;
    /// <summary>Keep the k largest; 0 keeps all.</summary>
    public int TopK;
    /// <summary>Keep the smallest set, in falling order of probability, whose mass reaches this; 1 keeps all.</summary>
    public float TopP;
    /// <summary>Keep tokens with at least this fraction of the largest probability; 0 keeps all.</summary>
    public float MinP;
    /// <summary>Low 32 bits of the seed.</summary>
    public uint SeedLow;
    /// <summary>High 32 bits of the seed.</summary>
    public uint SeedHigh;
    /// <summary>Index of the problem in its stream.</summary>
    public uint Problem;
    /// <summary>Training step, or another number that tells the uses of one problem apart.</summary>
    public uint Step;
    /// <summary>Index of the rollout in its group.</summary>
    public uint Rollout;
    /// <summary>Index of the token in its completion.</summary>
    public uint Position;
}
