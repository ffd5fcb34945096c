using System.Numerics;
using ElmNative.Compute;

namespace ElmNative.Transformers.Models;

/// <summary>
/// Keeps device buffers for reuse: passes and generations rent what they need and give it back, so that steady work allocates nothing.
/// Sizes are rounded up to an eighth of their power of two, so that similar requests share buffers.
/// </summary>
/// <param name="allocate">makes a buffer, as <see cref="IBackend.Allocate"/></param><param name="activations">the backend's type of activations</param>
internal sealed class BufferCache(Func<long, DeviceBuffer> allocate, ElementType activations) : IDisposable
{
    private readonly List<DeviceBuffer> free = [];
    private readonly HashSet<DeviceBuffer> rented = [];

    /// <summary>The backend's type of activations.</summary>
    public ElementType ActivationType => activations;

    /// <summary>A [rows, columns] tensor with uninitialised content; its buffer goes back with <see cref="Return"/>.</summary>
    public Tensor Rent(ElementType type, int rows, int columns)
    {
        long bytes = RoundUp(Math.Max(64, (long)rows * columns * type.Size()));
        int best = -1;
        for (int i = 0; i < free.Count; i++)
            if (free[i].Bytes >= bytes && free[i].Bytes <= 2 * bytes && (best < 0 || free[i].Bytes < free[best].Bytes))
                best = i;
        DeviceBuffer buffer;
        if (best >= 0)
        {
            buffer = free[best];
            free.RemoveAt(best);
        }
        else
        {
            buffer = Allocate(bytes);
        }
        rented.Add(buffer);
        return buffer.As(type, rows, columns);
    }

    /// <summary>Gives a rented tensor's buffer back; absent tensors are ignored.</summary>
    public void Return(Tensor tensor)
    {
        if (tensor.Buffer is { } buffer && rented.Remove(buffer))
            free.Add(buffer);
    }

    /// <summary>Frees what nobody has rented.</summary>
    public void Trim()
    {
        foreach (DeviceBuffer buffer in free)
            buffer.Dispose();
        free.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Trim();
        foreach (DeviceBuffer buffer in rented)
            buffer.Dispose();
        rented.Clear();
    }

    /// <summary>A device that is full has room again once what nobody uses is given back.</summary>
    private DeviceBuffer Allocate(long bytes)
    {
        try
        {
            return allocate(bytes);
        }
        catch (ElmException) when (free.Count > 0)
        {
            Trim();
            return allocate(bytes);
        }
    }

    /// <summary>The size of the buffer that holds so many bytes.</summary>
    public static long RoundUp(long bytes)
    {
        long step = Math.Max(64, (long)(BitOperations.RoundUpToPowerOf2((ulong)bytes) >> 4));
        return (bytes + step - 1) / step * step;
    }
}

/// <summary>Tensors rented for one piece of work, returned together.</summary>
internal sealed class RentedTensors(BufferCache cache) : IDisposable
{
    private readonly List<Tensor> tensors = [];

    /// <summary>Rents an F32 tensor.</summary>
    public Tensor F32(int rows, int columns) => Keep(cache.Rent(ElementType.F32, rows, columns));

    /// <summary>Rents a tensor of the backend's activation type: what passes between the operations of a layer.</summary>
    public Tensor Activation(int rows, int columns) => Keep(cache.Rent(cache.ActivationType, rows, columns));

    /// <summary>Rents an I32 tensor.</summary>
    public Tensor I32(int rows, int columns) => Keep(cache.Rent(ElementType.I32, rows, columns));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor tensor in tensors)
            cache.Return(tensor);
        tensors.Clear();
    }

    private Tensor Keep(Tensor tensor)
    {
        tensors.Add(tensor);
        return tensor;
    }
}
