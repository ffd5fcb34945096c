namespace ElmNative.Compute.Cuda;

/// <summary>
/// Copies between host and device, through page-locked memory. Uploads return as soon as their source has been read: small ones (the inputs of
/// a step) pass through a ring, large ones (weights) through two buffers, of which one is filled while the device copies the other.
/// </summary>
internal sealed unsafe class CudaTransfers : IDisposable
{
    /// <summary>The small ring: what fits a segment passes through it.</summary>
    internal const int SmallBytes = 64 << 10, SmallSegments = 16;

    /// <summary>The two large buffers.</summary>
    internal const int LargeBytes = 16 << 20, LargeSegments = 2;

    /// <summary>Elements that one thread converts at a time, and the most threads that it takes to keep up with the bus.</summary>
    private const int SliceElements = 256 << 10, MostThreads = 8;

    private static readonly ParallelOptions Threads = new() { MaxDegreeOfParallelism = Math.Min(Environment.ProcessorCount, MostThreads) };

    private readonly CudaDriver driver;
    private readonly CudaStream stream;
    private readonly PinnedRing small;
    private PinnedRing? large;

    /// <summary>Allocates the small ring; the large buffers come with the first large upload.</summary>
    public CudaTransfers(CudaDriver driver, CudaStream stream)
    {
        this.driver = driver;
        this.stream = stream;
        small = new PinnedRing(driver, stream, SmallSegments, SmallBytes);
    }

    /// <summary>Queues a copy of elements to the device, converted where the types differ. The source may change as soon as this returns.</summary>
    /// <param name="source">first element, at any address</param><param name="from">its type</param>
    /// <param name="to">the type on the device, as <see cref="WeightConversion"/> allows</param><param name="count">elements</param>
    /// <param name="destination">device address</param>
    /// <param name="read">told the bytes of the source that each piece has used; or null</param>
    public void Upload(byte* source, ElementType from, ElementType to, long count, ulong destination, Action<long>? read = null)
    {
        PinnedRing ring = count * to.Size() <= SmallBytes ? small : large ??= new PinnedRing(driver, stream, LargeSegments, LargeBytes);
        int atOnce = ring.SegmentBytes / to.Size();
        for (long start = 0; start < count; start += atOnce)
        {
            int piece = (int)Math.Min(atOnce, count - start);
            byte* staged = ring.Take(piece * to.Size());
            if (piece <= SliceElements)
                WeightConversion.Convert(source + start * from.Size(), from, staged, to, piece);
            else
                ConvertInSlices(source + start * from.Size(), from, staged, to, piece);
            driver.Check(driver.CopyToDevice(destination + (ulong)(start * to.Size()), staged, (nuint)(piece * to.Size()), stream.Handle),
                "cuMemcpyHtoDAsync");
            read?.Invoke((long)piece * from.Size());
        }
    }

    /// <summary>Waits for all queued work and copies to the host.</summary>
    public void Download(ulong source, byte* destination, long bytes)
    {
        // Larger copies into pageable memory are staged by the driver itself.
        byte* target = bytes <= SmallBytes ? small.Take((int)bytes) : destination;
        driver.Check(driver.CopyToHost(target, source, (nuint)bytes, stream.Handle), "cuMemcpyDtoHAsync");
        stream.Synchronize();
        if (target != destination)
            Buffer.MemoryCopy(target, destination, bytes, bytes);
    }

    /// <summary>Gives the memory back. The stream is idle.</summary>
    public void Dispose()
    {
        small.Dispose();
        large?.Dispose();
    }

    private static void ConvertInSlices(byte* source, ElementType from, byte* target, ElementType to, int count) =>
        Parallel.For(0, (count + SliceElements - 1) / SliceElements, Threads, i =>
        {
            int start = i * SliceElements;
            WeightConversion.Convert(source + (long)start * from.Size(), from, target + (long)start * to.Size(), to,
                Math.Min(SliceElements, count - start));
        });
}
