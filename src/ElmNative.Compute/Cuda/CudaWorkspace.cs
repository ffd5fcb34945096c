namespace ElmNative.Compute.Cuda;

/// <summary>
/// Device memory for the inner results of one operation at a time. It grows and stays; a graph that was captured with it keeps it alive.
/// </summary>
internal sealed class CudaWorkspace(CudaMemory memory, CudaStream stream) : IDisposable
{
    /// <summary>Sizes are rounded up to multiples of this, so that small requests share one buffer from the start.</summary>
    private const long Step = 2 << 20;

    private Lease? current;

    /// <summary>What a graph that is captured now would refer to; null where nobody has asked for a workspace yet.</summary>
    public Lease? Current => current;

    /// <summary>A workspace of at least so many elements, F32. Valid until the next request; contents are undefined.</summary>
    /// <exception cref="InvalidOperationException">it would have to grow in a capture</exception>
    public Tensor AtLeast(long floats)
    {
        long bytes = floats * sizeof(float);
        if (current is null || current.Buffer.Bytes < bytes)
            Grow(bytes);
        DeviceBuffer buffer = current!.Buffer;
        return buffer.As(ElementType.F32, 1, (int)Math.Min(buffer.Bytes / sizeof(float), int.MaxValue));
    }

    /// <inheritdoc/>
    public void Dispose() => current?.Release();

    private void Grow(long bytes)
    {
        if (stream.IsCapturing)
            throw new InvalidOperationException($"an operation needs a workspace of {bytes} bytes, which cannot be allocated while a graph " +
                "is captured; run the same operations at the same shapes once before the capture");
        Lease? outgrown = current;
        current = null;
        // Freed behind the queued work that may still use it, before the new one, so that the pool can take its place.
        outgrown?.Release();
        current = new Lease(memory.Allocate((Math.Max(bytes, 1) + Step - 1) / Step * Step));
    }

    /// <summary>A workspace and the number of those who need it; the last one to release it frees it.</summary>
    internal sealed class Lease(CudaBuffer buffer)
    {
        private int holders = 1;

        /// <summary>The memory.</summary>
        public CudaBuffer Buffer => buffer;

        /// <summary>One more holder.</summary>
        public void Retain() => holders++;

        /// <summary>One holder less.</summary>
        public void Release()
        {
            if (--holders == 0)
                buffer.Dispose();
        }
    }
}
