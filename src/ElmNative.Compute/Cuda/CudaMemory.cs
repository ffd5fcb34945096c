namespace ElmNative.Compute.Cuda;

/// <summary>
/// The device's memory. Buffers come from the driver's stream-ordered pool, which keeps what it gets back: in steady state neither allocating
/// nor freeing asks the operating system or waits. A device without pools allocates directly. What is not freed is given back at the end.
/// </summary>
internal sealed unsafe class CudaMemory : IDisposable
{
    private const int PoolsSupported = 115, ReleaseThreshold = 4, ReservedNow = 5, UsedNow = 7;

    private readonly CudaDriver driver;
    private readonly CudaContext context;
    private readonly CudaStream stream;
    private readonly string deviceName;
    private readonly nint pool;
    private readonly HashSet<CudaBuffer> live = [];
    private readonly List<nint> freedInCapture = [];

    /// <summary>Prepares the device's pool.</summary>
    /// <param name="driver">initialised</param><param name="context">current</param>
    /// <param name="stream">orders allocations with the work</param>
    /// <param name="device">handle of the device</param><param name="deviceName">for errors</param>
    public CudaMemory(CudaDriver driver, CudaContext context, CudaStream stream, int device, string deviceName)
    {
        this.driver = driver;
        this.context = context;
        this.stream = stream;
        this.deviceName = deviceName;
        if (CudaDevice.Attribute(driver, device, PoolsSupported) == 0)
            return;
        nint found;
        driver.Check(driver.DeviceGetDefaultMemPool(&found, device), "cuDeviceGetDefaultMemPool");
        ulong everything = ulong.MaxValue;
        driver.Check(driver.MemPoolSetAttribute(found, ReleaseThreshold, &everything), "cuMemPoolSetAttribute");
        pool = found;
    }

    /// <summary>All of the device's memory, and what of it this backend could still allocate: free to all, or kept by the pool.</summary>
    public DeviceMemory Now
    {
        get
        {
            nuint free, total;
            driver.Check(driver.MemGetInfo(&free, &total), "cuMemGetInfo");
            return new DeviceMemory((long)total, (long)free + Kept);
        }
    }

    /// <summary>Number of buffers that are not given back; for tests.</summary>
    public int LiveBuffers => live.Count;

    private long Kept
    {
        get
        {
            if (pool == 0)
                return 0;
            ulong reserved, used;
            driver.Check(driver.MemPoolGetAttribute(pool, ReservedNow, &reserved), "cuMemPoolGetAttribute");
            driver.Check(driver.MemPoolGetAttribute(pool, UsedNow, &used), "cuMemPoolGetAttribute");
            return (long)(reserved - used);
        }
    }

    /// <summary>A buffer of so many bytes, aligned to 256, not initialised.</summary>
    /// <exception cref="ElmException">out of memory: says what was asked for and what there is</exception>
    /// <exception cref="InvalidOperationException">a capture is under way</exception>
    public CudaBuffer Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        stream.RequireNoCapture("an allocation");
        ulong address;
        int status = Reserve(&address, bytes);
        if (status == CudaDriver.OutOfMemory && pool != 0)
        {
            // What was freed behind work that still runs, or in pieces of other sizes, is there once the stream is idle and the pool is empty.
            stream.Synchronize();
            driver.Check(driver.MemPoolTrimTo(pool, 0), "cuMemPoolTrimTo");
            status = Reserve(&address, bytes);
        }
        if (status == CudaDriver.OutOfMemory)
        {
            DeviceMemory now = Now;
            throw new ElmException($"out of memory on {deviceName}: {Size(bytes)} were asked for, but {Size(now.FreeBytes)} of " +
                $"{Size(now.TotalBytes)} are free; use smaller batches or a smaller model, or stop other programs on the device");
        }
        driver.Check(status, pool != 0 ? "cuMemAllocAsync" : "cuMemAlloc");
        CudaBuffer buffer = new(this, (nint)address, bytes);
        live.Add(buffer);
        return buffer;
    }

    /// <summary>Gives a buffer's memory back, behind the work that is queued.</summary>
    public void Free(CudaBuffer buffer, nint address)
    {
        if (!live.Remove(buffer))
            return;
        if (stream.IsCapturing)
        {
            freedInCapture.Add(address);
            return;
        }
        context.Enter();
        int status = Return(address);
        // After a failed kernel every call fails; the error of the first one is the one to see.
        if (status != 0 && !CudaDriver.IsFault(status))
            throw driver.Error(status, pool != 0 ? "cuMemFreeAsync" : "cuMemFree");
    }

    /// <summary>Gives back what was freed during a capture, now that it has ended.</summary>
    public void FreeAfterCapture()
    {
        foreach (nint address in freedInCapture)
            Return(address);
        freedInCapture.Clear();
    }

    /// <summary>Gives everything back. The stream is idle.</summary>
    public void Dispose()
    {
        foreach (CudaBuffer buffer in live)
            Return(buffer.Lose());
        live.Clear();
        if (pool == 0)
            return;
        driver.StreamSynchronize(stream.Handle);
        driver.MemPoolTrimTo(pool, 0);
    }

    /// <summary>A number of bytes for people, with the unit that suits it.</summary>
    internal static string Size(long bytes) => bytes switch
    {
        >= 1L << 30 => $"{bytes / (double)(1L << 30):0.##} GiB",
        >= 1L << 20 => $"{bytes / (double)(1L << 20):0.##} MiB",
        _ => $"{bytes} bytes",
    };

    private int Reserve(ulong* address, long bytes)
    {
        nuint length = (nuint)Math.Max(bytes, 1);
        return pool != 0 ? driver.MemAllocAsync(address, length, stream.Handle) : driver.MemAlloc(address, length);
    }

    private int Return(nint address) =>
        pool != 0 ? driver.MemFreeAsync((ulong)address, stream.Handle) : driver.MemFree((ulong)address);
}
