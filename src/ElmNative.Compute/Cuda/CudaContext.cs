namespace ElmNative.Compute.Cuda;

/// <summary>The primary context of a device, retained: what memory, modules and streams belong to.</summary>
internal sealed unsafe class CudaContext : IDisposable
{
    /// <summary>The context that is current on this thread, by its <see cref="id"/>; 0 where it is not one of ours.</summary>
    [ThreadStatic]
    private static long current;

    private static long last;

    /// <summary>The devices whose context the process keeps, with the driver that holds it.</summary>
    private static readonly Dictionary<int, CudaDriver> Kept = [];

    private readonly CudaDriver driver;
    private readonly int device;
    private readonly nint handle;
    private readonly long id = Interlocked.Increment(ref last);

    /// <summary>Retains the context and makes it current.</summary>
    /// <param name="driver">initialised</param><param name="device">handle of the device</param>
    public CudaContext(CudaDriver driver, int device)
    {
        this.driver = driver;
        this.device = device;
        nint made;
        driver.Check(driver.PrimaryContextRetain(&made, device), "cuDevicePrimaryCtxRetain");
        handle = made;
        try
        {
            Enter();
        }
        catch (ElmException)
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Makes the context current on the calling thread, if it is not.</summary>
    public void Enter()
    {
        if (current == id)
            return;
        driver.Check(driver.ContextSetCurrent(handle), "cuCtxSetCurrent");
        current = id;
    }

    /// <summary>
    /// Leaves the context to the process: what runs on the CUDA runtime (cuBLASLt does) keeps state of a primary context and may not find its way
    /// when that ends and another takes its place.
    /// </summary>
    public void Keep()
    {
        lock (Kept)
        {
            if (Kept.ContainsKey(device))
                return;
            nint same;
            driver.Check(driver.PrimaryContextRetain(&same, device), "cuDevicePrimaryCtxRetain");
            Kept.Add(device, driver);
        }
    }

    /// <summary>Takes back <see cref="Keep"/>: a kernel has failed, and nothing in the context works any more.</summary>
    public void GiveUp()
    {
        lock (Kept)
            if (Kept.Remove(device, out CudaDriver? holder))
                holder.PrimaryContextRelease(device);
    }

    /// <summary>Lets go of the context. It ends with its last holder, and with it all that is left in it.</summary>
    public void Dispose()
    {
        if (current == id)
        {
            driver.ContextSetCurrent(0);
            current = 0;
        }
        driver.PrimaryContextRelease(device);
    }
}
