using System.Runtime.InteropServices;
using System.Text;

namespace ElmNative.Compute.Cuda;

/// <summary>
/// The operations on an NVIDIA GPU, through the driver API: BF16 weights and activations, float32 sums and residual stream. One stream; one caller at a time, from any thread.
/// </summary>
public sealed unsafe partial class CudaBackend : IBackend
{
    private const int StreamNonBlocking = 1, ComputeCapabilityMajor = 75, ComputeCapabilityMinor = 76, MultiprocessorCount = 16;

    private readonly CudaDriver driver;
    private readonly Dictionary<string, Kernel> kernels = [];
    private readonly int device;
    private readonly int multiprocessors;
    private readonly nint context, stream, module;
    private Scratch scratch;

    /// <summary>Opens a device and loads the kernels.</summary>
    /// <param name="ordinal">number of the device, from 0</param>
    /// <exception cref="ElmException">no driver, no such device, or no kernel image that it can run</exception>
    public CudaBackend(int ordinal = 0)
    {
        driver = CudaDriver.Load();
        driver.Check(driver.Init(0), "cuInit");
        int found, major, minor, count;
        driver.Check(driver.DeviceGet(&found, ordinal), $"cuDeviceGet({ordinal})");
        device = found;
        byte* name = stackalloc byte[256];
        driver.Check(driver.DeviceGetName(name, 256, device), "cuDeviceGetName");
        driver.Check(driver.DeviceGetAttribute(&major, ComputeCapabilityMajor, device), "cuDeviceGetAttribute");
        driver.Check(driver.DeviceGetAttribute(&minor, ComputeCapabilityMinor, device), "cuDeviceGetAttribute");
        driver.Check(driver.DeviceGetAttribute(&count, MultiprocessorCount, device), "cuDeviceGetAttribute");
        multiprocessors = count;
        nint made;
        driver.Check(driver.PrimaryContextRetain(&made, device), "cuDevicePrimaryCtxRetain");
        context = made;
        Enter();
        driver.Check(driver.StreamCreate(&made, StreamNonBlocking), "cuStreamCreate");
        stream = made;
        byte[] image = KernelImage();
        fixed (byte* first = image)
            driver.Check(driver.ModuleLoad(&made, first, 0, null, null), "cuModuleLoadDataEx");
        module = made;
        scratch = new Scratch(this);
        Description = $"cuda:{ordinal} {Marshal.PtrToStringUTF8((nint)name)} (sm_{major}{minor})";
    }

    /// <inheritdoc/>
    public string Description { get; }

    /// <inheritdoc/>
    public ElementType ActivationType => ElementType.BF16;

    /// <inheritdoc/>
    public DeviceMemory? Memory => null;

    /// <inheritdoc/>
    public DeviceBuffer Allocate(long bytes)
    {
        Enter();
        ulong address;
        driver.Check(driver.MemAlloc(&address, (nuint)Math.Max(bytes, 1)), $"cuMemAlloc({bytes} bytes)");
        return new CudaBuffer(this, (nint)address, bytes);
    }

    /// <inheritdoc/>
    public Tensor AdoptWeights(nint address, ElementType type, int rows, int columns, object owner) => throw new NotSupportedException();

    /// <inheritdoc/>
    public IGraph Capture(Action work) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination) where T : unmanaged
    {
        Require.Bytes(source.Length * (long)sizeof(T), destination.Bytes, nameof(source));
        if (source.IsEmpty)
            return;
        Enter();
        fixed (T* first = source)
        {
            driver.Check(driver.CopyToDevice((ulong)destination.Address, first, (nuint)destination.Bytes, stream), "cuMemcpyHtoDAsync");
            Synchronize();
        }
    }

    /// <inheritdoc/>
    public void Download<T>(Tensor source, Span<T> destination) where T : unmanaged
    {
        Require.Bytes(destination.Length * (long)sizeof(T), source.Bytes, nameof(destination));
        if (destination.IsEmpty)
            return;
        Enter();
        fixed (T* first = destination)
        {
            driver.Check(driver.CopyToHost(first, (ulong)source.Address, (nuint)source.Bytes, stream), "cuMemcpyDtoHAsync");
            Synchronize();
        }
    }

    /// <inheritdoc/>
    public void Synchronize()
    {
        Enter();
        driver.Check(driver.StreamSynchronize(stream), "cuStreamSynchronize");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        scratch.Dispose();
        driver.ModuleUnload(module);
        driver.StreamDestroy(stream);
        driver.PrimaryContextRelease(device);
    }

    /// <summary>Gives a buffer back.</summary>
    internal void Free(nint address)
    {
        Enter();
        driver.Check(driver.MemFree((ulong)address), "cuMemFree");
    }

    /// <summary>The kernel of a name; found once.</summary>
    private Kernel Get(string name)
    {
        Enter();
        if (!kernels.TryGetValue(name, out Kernel? kernel))
            kernels.Add(name, kernel = new Kernel(driver, module, stream, name));
        return kernel;
    }

    /// <summary>
    /// Device memory for the inner results of one operation (partial sums, say), as F32 of at least so many elements. Valid until the next operation that asks; it grows and stays.
    /// </summary>
    private Tensor Workspace(long floats) => scratch.AtLeast(floats * sizeof(float));

    /// <summary>Makes the context current on the calling thread.</summary>
    private void Enter() => driver.Check(driver.ContextSetCurrent(context), "cuCtxSetCurrent");

    /// <summary>The PTX or cubin beside the program, ending in a NUL.</summary>
    private static byte[] KernelImage() => Encoding.UTF8.GetBytes(".version 8.0\n.target sm_80\n.address_size 64\n\0");

    private sealed class Scratch(CudaBackend backend) : IDisposable
    {
        private DeviceBuffer? buffer;

        public Tensor AtLeast(long bytes)
        {
            if (buffer is null || buffer.Bytes < bytes)
            {
                backend.Synchronize();
                buffer?.Dispose();
                buffer = backend.Allocate(Math.Max(bytes, 1 << 20));
            }
            return buffer.As(ElementType.F32, 1, (int)Math.Min(buffer.Bytes / sizeof(float), int.MaxValue));
        }

        public void Dispose() => buffer?.Dispose();
    }
}
