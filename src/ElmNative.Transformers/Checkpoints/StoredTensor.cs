using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>One stored tensor of a mapped checkpoint: a view, nothing copied. It must not outlive the file it belongs to.</summary>
/// <param name="Name">its name in the file</param>
/// <param name="Type">element type as stored</param>
/// <param name="Shape">dimensions, outermost first</param>
/// <param name="Address">first byte in the mapped file (any alignment)</param>
/// <param name="Bytes">length</param>
public sealed record StoredTensor(string Name, ElementType Type, IReadOnlyList<long> Shape, nint Address, long Bytes)
{
    /// <summary>Number of elements.</summary>
    public long Count => Bytes / Type.Size();
}
