using System.Runtime.InteropServices;
using System.Text;

namespace ElmNative.Compute.Cuda;

/// <summary>Number of blocks in each direction.</summary>
/// <param name="X">up to 2^31 - 1</param><param name="Y">up to 65535</param><param name="Z">up to 65535</param>
internal readonly record struct Grid(int X, int Y = 1, int Z = 1)
{
    /// <summary>A row of blocks.</summary>
    public static implicit operator Grid(int x) => new(x);
}

/// <summary>One argument of a kernel, as its 8 little-endian bytes: a pointer, an integer or a float. An absent tensor is a null pointer.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct Argument
{
    private readonly ulong bits;

    private Argument(ulong bits) => this.bits = bits;

    public static implicit operator Argument(Tensor x) => new((ulong)x.Address);

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
    /// <summary>Shared memory that a block may use without asking, in bytes.</summary>
    private const int SharedWithoutAsking = 48 * 1024;

    private const int MaxDynamicSharedSizeBytes = 8;

    private readonly CudaDriver driver;
    private readonly nint function, stream;
    private readonly string name;
    private int sharedAllowed = SharedWithoutAsking;

    /// <summary>Finds a kernel by its name in the sources.</summary>
    public Kernel(CudaDriver driver, nint module, nint stream, string name)
    {
        this.driver = driver;
        this.stream = stream;
        this.name = name;
        nint found;
        fixed (byte* symbol = Encoding.UTF8.GetBytes(name + '\0'))
            driver.Check(driver.ModuleGetFunction(&found, module, symbol), $"cuModuleGetFunction({name})");
        function = found;
    }

    /// <summary>Queues one launch. No launch for an empty grid.</summary>
    /// <param name="grid">blocks</param><param name="threads">of a block</param><param name="sharedBytes">dynamic shared memory of a block</param>
    /// <param name="arguments">in the kernel's order and of its types</param>
    public void Launch(Grid grid, int threads, int sharedBytes, params ReadOnlySpan<Argument> arguments)
    {
        if (grid.X == 0 || grid.Y == 0 || grid.Z == 0)
            return;
        if (sharedBytes > sharedAllowed)
        {
            driver.Check(driver.FunctionSetAttribute(function, MaxDynamicSharedSizeBytes, sharedBytes), $"cuFuncSetAttribute({name}, {sharedBytes} bytes of shared memory)");
            sharedAllowed = sharedBytes;
        }
        fixed (Argument* first = arguments)
        {
            void** pointers = stackalloc void*[arguments.Length];
            for (int i = 0; i < arguments.Length; i++)
                pointers[i] = first + i;
            int status = driver.LaunchKernel(function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)threads, 1, 1, (uint)sharedBytes, stream, pointers, null);
            if (status != 0)
                driver.Check(status, $"cuLaunchKernel({name}, grid {grid.X} x {grid.Y} x {grid.Z}, {threads} threads, {sharedBytes} bytes of shared memory)");
        }
    }
}
