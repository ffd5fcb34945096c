namespace ElmNative.Compute.Cuda;

/// <summary>
/// Page-locked host memory that the device copies from by itself, in segments that are filled in turn. A segment is used again once the copies
/// out of it are done; with two or more, one is filled while another is copied.
/// </summary>
internal sealed unsafe class PinnedRing : IDisposable
{
    private const uint WithoutTiming = 2;
    private const int Alignment = 64;

    private readonly CudaDriver driver;
    private readonly CudaStream stream;
    private readonly nint[] copied;
    private readonly bool[] inFlight;
    private readonly byte* memory;
    private int segment, used;

    /// <summary>Allocates the segments.</summary>
    /// <exception cref="ElmException">the host does not give so much page-locked memory</exception>
    public PinnedRing(CudaDriver driver, CudaStream stream, int segments, int segmentBytes)
    {
        this.driver = driver;
        this.stream = stream;
        SegmentBytes = segmentBytes;
        copied = new nint[segments];
        inFlight = new bool[segments];
        void* made;
        int status = driver.MemHostAlloc(&made, (nuint)segments * (nuint)segmentBytes, 0);
        if (status == CudaDriver.OutOfMemory)
            throw new ElmException($"the system gives no {CudaMemory.Size((long)segments * segmentBytes)} of page-locked memory " +
                "for copies to the device; free some memory or raise the limit (ulimit -l)");
        driver.Check(status, "cuMemHostAlloc");
        memory = (byte*)made;
        try
        {
            for (int i = 0; i < segments; i++)
            {
                nint finished;
                driver.Check(driver.EventCreate(&finished, WithoutTiming), "cuEventCreate");
                copied[i] = finished;
            }
        }
        catch (ElmException)
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The most that one <see cref="Take"/> gives.</summary>
    public int SegmentBytes { get; }

    /// <summary>
    /// The next free bytes, aligned to 64. The caller fills them and queues the copy before it takes more. Waits where the device still copies
    /// from the segment whose turn it is.
    /// </summary>
    /// <param name="bytes">up to <see cref="SegmentBytes"/></param>
    public byte* Take(int bytes)
    {
        if (bytes > SegmentBytes - used)
            NextSegment();
        byte* taken = memory + (nint)segment * SegmentBytes + used;
        used = Math.Min(SegmentBytes, used + (bytes + Alignment - 1) / Alignment * Alignment);
        return taken;
    }

    /// <summary>Gives the memory back. The stream is idle.</summary>
    public void Dispose()
    {
        foreach (nint finished in copied)
            if (finished != 0)
                driver.EventDestroy(finished);
        driver.MemFreeHost(memory);
    }

    private void NextSegment()
    {
        driver.Check(driver.EventRecord(copied[segment], stream.Handle), "cuEventRecord");
        inFlight[segment] = true;
        segment = (segment + 1) % copied.Length;
        used = 0;
        if (inFlight[segment])
            driver.Check(driver.EventSynchronize(copied[segment]), "cuEventSynchronize");
        inFlight[segment] = false;
    }
}
