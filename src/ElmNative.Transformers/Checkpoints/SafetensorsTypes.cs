using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>The dtype names of the safetensors format. All are known, so that every header can be checked; few can be computed with.</summary>
internal static class SafetensorsTypes
{
    /// <summary>Bits of one element (some types are narrower than a byte), or 0 for a name that the format does not have.</summary>
    public static int Bits(string name) => name switch
    {
        "F4" => 4,
        "F6_E2M3" or "F6_E3M2" => 6,
        "BOOL" or "U8" or "I8" or "F8_E5M2" or "F8_E4M3" or "F8_E8M0" or "F8_E4M3FNUZ" or "F8_E5M2FNUZ" => 8,
        "I16" or "U16" or "F16" or "BF16" => 16,
        "I32" or "U32" or "F32" => 32,
        "I64" or "U64" or "F64" or "C64" => 64,
        _ => 0,
    };

    /// <summary>The element type of that name, or null when the project does not compute with it.</summary>
    public static ElementType? ElementType(string name) => name switch
    {
        "F32" => Compute.ElementType.F32,
        "BF16" => Compute.ElementType.BF16,
        "F16" => Compute.ElementType.F16,
        "I32" => Compute.ElementType.I32,
        _ => null,
    };

    /// <summary>The format's name of an element type.</summary>
    public static string Name(ElementType type) => type switch
    {
        Compute.ElementType.F32 => "F32",
        Compute.ElementType.BF16 => "BF16",
        Compute.ElementType.F16 => "F16",
        Compute.ElementType.I32 => "I32",
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };
}
