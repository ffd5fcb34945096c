using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cuda;

/// <summary>Number of blocks in each direction.</summary>
/// <param name="X">up to 2^31 - 1</param><param name="Y">up to 65535</param><param name="Z">up to 65535</param>
internal readonly record struct Grid(int X, int Y = 1, int Z = 1)
{
    /// <summary>A row of blocks.</summary>
    public static implicit operator Grid(int x) => new(x);
}

/// <summary>
/// One argument of a kernel, as its 8 little-endian bytes: a pointer, an integer or a float. An absent tensor is a null pointer; a disposed or a
/// foreign one is refused, since a kernel that meets its address would take the device's state with it.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct Argument
{
    private readonly ulong bits;

    private Argument(ulong bits) => this.bits = bits;

    public static implicit operator Argument(Tensor x) => new(CudaBuffer.AddressOf(x));

    public static implicit operator Argument(nint x) => new((ulong)x);

    public static implicit operator Argument(int x) => new((uint)x);

    public static implicit operator Argument(uint x) => new(x);

    public static implicit operator Argument(long x) => new((ulong)x);

    public static implicit operator Argument(ulong x) => new(x);

    public static implicit operator Argument(float x) => new(BitConverter.SingleToUInt32Bits(x));
}

/// <summary>A function of a loaded module.</summary>
internal sealed unsafe class Kernel
{
    private const int MaxDynamicSharedSizeBytes = 8;

    private readonly CudaDriver driver;
    private readonly CudaStream stream;
    private readonly nint function;
    private readonly string name;
    private readonly int mostShared;

    /// <summary>
    /// Dynamic shared memory of a block that was asked for. Without asking, 48 KiB are for it and the kernel's static arrays together.
    /// </summary>
    private int sharedAllowed;
    private bool launched;

    /// <summary>A kernel of a loaded module.</summary>
    /// <param name="driver">its context current</param><param name="stream">where launches are queued</param>
    /// <param name="function">the driver's CUfunction</param>
    /// <param name="name">in the sources</param>
    /// <param name="mostShared">bytes of shared memory that a block of the device may ask for</param>
    public Kernel(CudaDriver driver, CudaStream stream, nint function, string name, int mostShared)
    {
        this.driver = driver;
        this.stream = stream;
        this.function = function;
        this.name = name;
        this.mostShared = mostShared;
    }

    /// <summary>Queues one launch. No launch for an empty grid.</summary>
    /// <param name="grid">blocks</param><param name="threads">of a block</param>
    /// <param name="sharedBytes">dynamic shared memory of a block</param>
    /// <param name="arguments">in the kernel's order and of its types</param>
    public void Launch(Grid grid, int threads, int sharedBytes, params ReadOnlySpan<Argument> arguments)
    {
        if (grid.X == 0 || grid.Y == 0 || grid.Z == 0)
            return;
        if (!launched)
            PrepareFirst(arguments.Length);
        if (sharedBytes > sharedAllowed)
        {
            if (sharedBytes > mostShared)
                throw new ElmException($"the kernel {name} needs {sharedBytes} bytes of shared memory for each block, but the device gives {mostShared} at " +
                    "most; choose another device (an A100 or H100, say) or --device cpu");
            int status = driver.FunctionSetAttribute(function, MaxDynamicSharedSizeBytes, sharedBytes);
            if (status != 0)
                throw driver.Error(status, $"cuFuncSetAttribute({name}, {sharedBytes} bytes of shared memory)");
            sharedAllowed = sharedBytes;
        }
        fixed (Argument* first = arguments)
        {
            void** pointers = stackalloc void*[arguments.Length];
            for (int i = 0; i < arguments.Length; i++)
                pointers[i] = first + i;
            int status = stream.Settle(driver.LaunchKernel(function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)threads, 1, 1,
                (uint)sharedBytes, stream.Handle, pointers, null));
            if (status != 0)
                throw Failed(status, grid, threads, sharedBytes);
        }
        launched = true;
    }

    /// <summary>The refusal of a kernel's first launch in a capture: the driver may still have to load it, which a capture forbids.</summary>
    [DoesNotReturn]
    public static void RefuseInCapture(string name) => throw new InvalidOperationException(
        $"the kernel {name} cannot be launched for the first time while a graph is captured; run the same operations once before the capture");

    private void PrepareFirst(int arguments)
    {
        if (stream.IsCapturing)
            RefuseInCapture(name);
        if (driver.FunctionGetParamInfo == null)
            return;
        nuint offset, size;
        bool enough = arguments == 0 || driver.FunctionGetParamInfo(function, (nuint)arguments - 1, &offset, &size) == 0;
        if (!enough || driver.FunctionGetParamInfo(function, (nuint)arguments, &offset, &size) == 0)
            throw new InvalidOperationException($"the kernel {name} takes {(enough ? "more" : "fewer")} arguments than the {arguments} given");
    }

    private ElmException Failed(int status, Grid grid, int threads, int sharedBytes)
    {
        string launch = $"grid {grid.X} x {grid.Y} x {grid.Z}, {threads} threads, {sharedBytes} bytes of shared memory";
        // Where every launch waits, no earlier kernel can be the one.
        return stream.WaitsForEveryLaunch && CudaDriver.IsFault(status)
            ? new ElmException($"the CUDA kernel {name} has failed ({launch}): {driver.Outcome(status, "cuStreamSynchronize")}; this is an " +
                "error of the program: report it with this line")
            : driver.Error(status, $"cuLaunchKernel({name}, {launch})");
    }
}
