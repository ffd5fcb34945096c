namespace ElmNative.Compute.Cuda;

/// <summary>
/// A captured graph, ready to launch. It holds on to the workspace that its kernels were captured with: when the backend goes on to a larger
/// one, the old one lives as long as the graph.
/// </summary>
internal sealed unsafe class CudaGraph : IGraph
{
    private readonly CudaBackend backend;
    private readonly CudaDriver driver;
    private readonly CudaStream stream;
    private readonly CudaWorkspace.Lease? workspace;
    private nint executable;

    /// <summary>Instantiates a graph and sends it to the device.</summary>
    /// <param name="backend">whose stream it runs on</param><param name="driver">of the backend</param>
    /// <param name="stream">of the backend</param>
    /// <param name="graph">a CUgraph; stays the caller's</param>
    /// <param name="workspace">what the graph's kernels refer to; null for none</param>
    public CudaGraph(CudaBackend backend, CudaDriver driver, CudaStream stream, nint graph, CudaWorkspace.Lease? workspace)
    {
        this.backend = backend;
        this.driver = driver;
        this.stream = stream;
        nint made;
        driver.Check(driver.GraphInstantiate(&made, graph, 0), "cuGraphInstantiateWithFlags");
        executable = made;
        int status = driver.GraphUpload(made, stream.Handle);
        if (status != 0)
        {
            driver.GraphExecDestroy(made);
            throw driver.Error(status, "cuGraphUpload");
        }
        this.workspace = workspace;
        workspace?.Retain();
    }

    /// <inheritdoc/>
    public void Launch()
    {
        backend.Enter();
        ObjectDisposedException.ThrowIf(executable == 0, this);
        stream.RequireNoCapture("the launch of a graph");
        driver.Check(driver.GraphLaunch(executable, stream.Handle), "cuGraphLaunch");
    }

    /// <summary>Gives the graph back once the device is done with it. Safe to call twice, and behind the backend's end.</summary>
    public void Dispose()
    {
        if (executable == 0)
            return;
        backend.Forget(this);
        Release();
    }

    /// <summary>The part of <see cref="Dispose"/> that the backend calls for graphs that are left at its end.</summary>
    internal void Release()
    {
        if (!stream.IsCapturing)
            driver.StreamSynchronize(stream.Handle);
        driver.GraphExecDestroy(executable);
        executable = 0;
        workspace?.Release();
    }
}
