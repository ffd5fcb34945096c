namespace ElmNative.Compute.Cuda;

/// <summary>The queue of the device's work, in order. The context must be current on the calling thread.</summary>
internal sealed unsafe class CudaStream : IDisposable
{
    /// <summary>CU_STREAM_NON_BLOCKING: does not wait for the legacy stream, which a captured stream must not touch.</summary>
    private const uint NonBlocking = 1;

    /// <summary>CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: calls that a graph cannot hold are errors on the capturing thread only.</summary>
    private const int ThreadLocal = 1;

    private readonly CudaDriver driver;

    /// <summary>Makes a stream.</summary>
    /// <param name="driver">its context current</param>
    /// <param name="waitsForEveryLaunch">see <see cref="WaitsForEveryLaunch"/></param>
    public CudaStream(CudaDriver driver, bool waitsForEveryLaunch)
    {
        this.driver = driver;
        WaitsForEveryLaunch = waitsForEveryLaunch;
        nint made;
        driver.Check(driver.StreamCreate(&made, NonBlocking), "cuStreamCreate");
        Handle = made;
    }

    /// <summary>The driver's CUstream.</summary>
    public nint Handle { get; }

    /// <summary>Whether each launch waits for its end, so that an error is that launch's and no other's.</summary>
    public bool WaitsForEveryLaunch { get; }

    /// <summary>Whether operations are recorded for a graph instead of run.</summary>
    public bool IsCapturing { get; private set; }

    /// <summary>Waits for all that is queued.</summary>
    public void Synchronize() => driver.Check(driver.StreamSynchronize(Handle), "cuStreamSynchronize");

    /// <summary>What came of a launch: its status, or that of its end where every launch waits.</summary>
    public int Settle(int status) =>
        status == 0 && WaitsForEveryLaunch && !IsCapturing ? driver.StreamSynchronize(Handle) : status;

    /// <summary>Refuses what a graph cannot hold.</summary>
    /// <exception cref="InvalidOperationException">a capture is under way</exception>
    public void RequireNoCapture(string doing)
    {
        if (IsCapturing)
            throw new InvalidOperationException($"{doing} cannot be part of a captured graph; do it before the capture");
    }

    /// <summary>Starts to record instead of to run.</summary>
    public void BeginCapture()
    {
        driver.Check(driver.StreamBeginCapture(Handle, ThreadLocal), "cuStreamBeginCapture");
        IsCapturing = true;
    }

    /// <summary>Ends the recording; to be called on the thread that began it.</summary>
    /// <returns>the driver's CUgraph, which the caller destroys</returns>
    public nint EndCapture()
    {
        IsCapturing = false;
        nint graph = 0;
        driver.Check(driver.StreamEndCapture(Handle, &graph), "cuStreamEndCapture");
        return graph;
    }

    /// <summary>Ends the recording of work that failed, and throws it away. The stream is as before.</summary>
    public void AbandonCapture()
    {
        IsCapturing = false;
        nint graph = 0;
        if (driver.StreamEndCapture(Handle, &graph) == 0 && graph != 0)
            driver.GraphDestroy(graph);
    }

    /// <inheritdoc/>
    public void Dispose() => driver.StreamDestroy(Handle);
}
