using System.Numerics;
using System.Runtime.CompilerServices;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// Finds weights that are not numbers. It reads every element, at about the speed of memory: for a model beyond the memory's size that is one
/// pass over the disk, so the caller decides when it is worth it.
/// </summary>
public static unsafe class WeightCheck
{
    /// <summary>Index, in row-major order, of the first NaN or infinite element; -1 when all are finite.</summary>
    /// <exception cref="ArgumentException">the tensor holds integers</exception>
    public static long FirstNonFinite(StoredTensor tensor) => tensor.Type switch
    {
        // An element is not finite exactly when all bits of its exponent are set.
        ElementType.F32 => FirstWithAll<uint>((byte*)tensor.Address, tensor.Count, 0x7F80_0000),
        ElementType.BF16 => FirstWithAll<ushort>((byte*)tensor.Address, tensor.Count, 0x7F80),
        ElementType.F16 => FirstWithAll<ushort>((byte*)tensor.Address, tensor.Count, 0x7C00),
        _ => throw new ArgumentException($"{tensor.Name} holds {tensor.Type} elements", nameof(tensor)),
    };

    /// <summary>Refuses weights with a NaN or an infinity.</summary>
    /// <exception cref="ElmException">names the file, the tensor and the element</exception>
    public static void RequireFinite(Checkpoint checkpoint, StoredTensor tensor)
    {
        long index = FirstNonFinite(tensor);
        if (index < 0)
            return;
        long[] place = new long[tensor.Shape.Count];
        long rest = index;
        for (int i = place.Length - 1; i >= 0; i--)
            (rest, place[i]) = Math.DivRem(rest, tensor.Shape[i]);
        throw new ElmException(
            $"{checkpoint.FileOf(tensor.Name)}: the tensor {Sentences.Quote(tensor.Name)} is NaN or infinite at {Sentences.Shape(place)}: fetch the weights again, or use a model whose training did not diverge");
    }

    private static long FirstWithAll<T>(byte* start, long count, T bits) where T : unmanaged, IBinaryInteger<T>
    {
        long i = 0;
        int width = Vector<T>.Count;
        Vector<T> mask = new(bits);
        for (; i + 4 * width <= count; i += 4 * width)
        {
            byte* at = start + i * sizeof(T);
            Vector<T> hit = Hit(at, 0) | Hit(at, 1) | Hit(at, 2) | Hit(at, 3);
            if (hit != Vector<T>.Zero)
                break;
        }
        for (; i < count; i++)
            if ((Unsafe.ReadUnaligned<T>(start + i * sizeof(T)) & bits) == bits)
                return i;
        return -1;

        Vector<T> Hit(byte* at, int vector) => Vector.Equals(Unsafe.ReadUnaligned<Vector<T>>(at + vector * sizeof(Vector<T>)) & mask, mask);
    }
}
