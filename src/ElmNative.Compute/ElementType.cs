namespace ElmNative.Compute;

/// <summary>The type of a tensor's elements, as stored.</summary>
public enum ElementType
{
    /// <summary>IEEE single precision, 4 bytes.</summary>
    F32 = 0,
    /// <summary>bfloat16: the upper half of a single, 2 bytes.</summary>
    BF16 = 1,
    /// <summary>IEEE half precision, 2 bytes.</summary>
    F16 = 2,
    /// <summary>Signed 32-bit integer (token ids, positions, indices), 4 bytes.</summary>
    I32 = 3,
}

/// <summary>Sizes of element types.</summary>
public static class ElementTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int Size(this ElementType type) => type is ElementType.BF16 or ElementType.F16 ? 2 : 4;
}
