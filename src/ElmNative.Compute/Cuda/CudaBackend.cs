using ElmNative.Compute.Cpu;

namespace ElmNative.Compute.Cuda;

/// <summary>
/// The operations on an NVIDIA GPU, through the driver API: BF16 weights and activations, float32 sums and residual stream. One stream; one
/// caller at a time, from any thread. Environment: <see cref="CudaOptions"/>.
/// </summary>
public sealed unsafe partial class CudaBackend : IBackend
{
    // Of CUdevice_attribute.
    private const int MultiprocessorCount = 16, SharedOfBlockAtMost = 97;

    private readonly CudaDriver driver;
    private readonly CudaDevice device;
    private readonly int multiprocessors, sharedOfBlock;
    private readonly Dictionary<string, Kernel> kernels = [];
    private readonly HashSet<CudaGraph> graphs = [];
    private readonly CudaContext context = null!;
    private readonly CudaStream stream = null!;
    private readonly CudaMemory memory = null!;
    private readonly CudaTransfers transfers = null!;
    private readonly CudaWorkspace workspace = null!;
    private readonly CudaModules modules = null!;
    private long adoptedBytes;
    private bool disposed;

    /// <summary>Opens a device and loads the kernels.</summary>
    /// <param name="ordinal">number of the device, from 0</param>
    /// <exception cref="ElmException">no driver, no such device, or no kernel image that it can run</exception>
    public CudaBackend(int ordinal = 0) : this(ordinal, CudaOptions.FromEnvironment()) { }

    /// <summary>The same with the options given; for tests.</summary>
    internal CudaBackend(int ordinal, CudaOptions options)
    {
        driver = CudaDriver.Load(options.DriverLibrary);
        device = Find(ordinal);
        cublasOptions = options;
        int handle = CudaDevice.HandleOf(driver, ordinal);
        multiprocessors = CudaDevice.Attribute(driver, handle, MultiprocessorCount);
        sharedOfBlock = CudaDevice.Attribute(driver, handle, SharedOfBlockAtMost);
        try
        {
            context = new CudaContext(driver, handle);
            stream = new CudaStream(driver, options.WaitsForEveryLaunch);
            memory = new CudaMemory(driver, context, stream, handle, $"cuda:{ordinal} {device.Name}");
            transfers = new CudaTransfers(driver, stream);
            workspace = new CudaWorkspace(memory, stream);
            modules = new CudaModules(driver, device, options.KernelFolder);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Multiprocessors of the device, which the choice between kernels goes by.</summary>
    internal int Multiprocessors => multiprocessors;

    /// <inheritdoc/>
    public string Description
    {
        get
        {
            Enter();
            return $"cuda:{device.Ordinal} {device.Name} (compute capability {device.ComputeCapability}, driver of CUDA " +
                $"{driver.VersionName}), {DenseProducts}";
        }
    }

    /// <inheritdoc/>
    public ElementType ActivationType => ElementType.BF16;

    /// <inheritdoc/>
    public DeviceMemory? Memory
    {
        get
        {
            Enter();
            return memory.Now;
        }
    }

    /// <summary>Decode steps that are queued before the host looks at what they drew: enough to keep the device busy meanwhile.</summary>
    public int DecodeWindow => 8;

    /// <summary>Told, while weights are adopted, the bytes of the checkpoint that have been read so far, over all calls.</summary>
    public IProgress<long>? WeightProgress { get; set; }

    /// <inheritdoc/>
    public DeviceBuffer Allocate(long bytes)
    {
        Enter();
        return memory.Allocate(bytes);
    }

    /// <inheritdoc/>
    /// <remarks>The copy is queued, not waited for; the stored weight is not needed any more when this returns.</remarks>
    public Tensor AdoptWeights(nint address, ElementType type, int rows, int columns, object owner)
    {
        ElementType target = WeightConversion.TypeOnDevice(type, isVector: rows == 1);
        Enter();
        DeviceBuffer buffer = memory.Allocate((long)rows * columns * target.Size());
        try
        {
            Tensor weight = buffer.As(target, rows, columns);
            transfers.Upload((byte*)address, type, target, weight.Count, CudaBuffer.AddressOf(weight), ReportAdopted);
            GC.KeepAlive(owner);
            return weight;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    /// <remarks>
    /// Kernels are loaded, and the workspace and the choice of algorithms are there, once the same operations have run. With ELM_CUDA_SYNC=1 the
    /// action itself is called at each launch, so that a failure has a kernel's name.
    /// </remarks>
    /// <exception cref="InvalidOperationException">
    /// the action does what a graph cannot hold, or what it has never done before; nothing is left of the capture
    /// </exception>
    public IGraph Capture(Action work)
    {
        ArgumentNullException.ThrowIfNull(work);
        Enter();
        stream.RequireNoCapture("a capture");
        if (stream.WaitsForEveryLaunch)
            return new RepeatedWork(work);
        nint graph = 0;
        stream.BeginCapture();
        try
        {
            work();
            graph = stream.EndCapture();
            CudaGraph captured = new(this, driver, stream, graph, workspace.Current);
            graphs.Add(captured);
            return captured;
        }
        finally
        {
            if (stream.IsCapturing)
                stream.AbandonCapture();
            if (graph != 0)
                driver.GraphDestroy(graph);
            memory.FreeAfterCapture();
        }
    }

    /// <inheritdoc/>
    /// <remarks>Returns as soon as the span has been read; does not wait for the device.</remarks>
    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination) where T : unmanaged
    {
        Require.Bytes(source.Length * (long)sizeof(T), destination.Bytes, nameof(source));
        EnterToCopy("an upload");
        if (source.IsEmpty)
            return;
        fixed (T* first = source)
            transfers.Upload((byte*)first, destination.Type, destination.Type, destination.Count, CudaBuffer.AddressOf(destination));
    }

    /// <inheritdoc/>
    public void Download<T>(Tensor source, Span<T> destination) where T : unmanaged
    {
        Require.Bytes(destination.Length * (long)sizeof(T), source.Bytes, nameof(destination));
        EnterToCopy("a download");
        if (destination.IsEmpty)
            stream.Synchronize();
        else
            fixed (T* first = destination)
                transfers.Download(CudaBuffer.AddressOf(source), (byte*)first, source.Bytes);
    }

    /// <inheritdoc/>
    public void Synchronize()
    {
        EnterToCopy("waiting for the device");
        stream.Synchronize();
    }

    /// <summary>Waits for the device and gives everything back: graphs, buffers (also those that nobody disposed), kernels, the context.</summary>
    public void Dispose()
    {
        if (disposed)
            return;
        if (context is not null)
        {
            // What fails here fails because of an error that has been reported already.
            context.Enter();
            if (stream is not null && CudaDriver.IsFault(driver.StreamSynchronize(stream.Handle)))
                context.GiveUp();
            foreach (CudaGraph graph in graphs)
                graph.Release();
            graphs.Clear();
            cublas?.Dispose();
            workspace?.Dispose();
            transfers?.Dispose();
            memory?.Dispose();
            modules?.Dispose();
            stream?.Dispose();
            context.Dispose();
        }
        disposed = true;
    }

    /// <summary>A graph is no more.</summary>
    internal void Forget(CudaGraph graph)
    {
        context.Enter();
        graphs.Remove(graph);
    }

    /// <summary>Number of buffers that are not given back; for tests.</summary>
    internal int LiveBuffers => memory.LiveBuffers;

    /// <summary>The kernel of a name; found once.</summary>
    internal Kernel Get(string name)
    {
        Enter();
        if (!kernels.TryGetValue(name, out Kernel? kernel))
            kernels.Add(name, kernel = Load(name));
        return kernel;
    }

    /// <summary>
    /// Device memory for the inner results of one operation (partial sums, say), as F32 of at least so many elements. Valid until the next
    /// operation that asks; it grows and stays, but not in a capture.
    /// </summary>
    internal Tensor Workspace(long floats)
    {
        Enter();
        return workspace.AtLeast(floats);
    }

    /// <summary>Makes the context current on the calling thread.</summary>
    /// <exception cref="ObjectDisposedException">the backend is disposed</exception>
    internal void Enter()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        context.Enter();
    }

    private void EnterToCopy(string doing)
    {
        Enter();
        stream.RequireNoCapture(doing);
    }

    private Kernel Load(string name)
    {
        if (stream.IsCapturing)
            Kernel.RefuseInCapture(name);
        return new Kernel(driver, stream, modules.Find(name), name, sharedOfBlock);
    }

    private void ReportAdopted(long bytes)
    {
        adoptedBytes += bytes;
        WeightProgress?.Report(adoptedBytes);
    }

    /// <summary>The device of a number, if the kernels can run on it.</summary>
    private CudaDevice Find(int ordinal)
    {
        int count = CudaDevice.Count(driver);
        if (ordinal < 0 || ordinal >= count)
        {
            string[] devices = [.. Enumerable.Range(0, count).Select(i => $"cuda:{i} ({CudaDevice.Describe(driver, i).Name})")];
            throw new ElmException($"there is no device cuda:{ordinal}; " + (count > 0 ? $"choose {string.Join(" or ", devices)}"
                : "the driver sees none: check nvidia-smi and the variable CUDA_VISIBLE_DEVICES"));
        }
        CudaDevice found = CudaDevice.Describe(driver, ordinal);
        return found.IsSupported ? found : throw new ElmException($"cuda:{ordinal} {found.Name} is of compute capability " +
            $"{found.ComputeCapability}, but the kernels need {CudaDevice.LowestMajor}.0 or newer; choose another device or --device cpu");
    }
}
