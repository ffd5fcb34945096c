using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cpu;

/// <summary> The operations on the processor, through the native library elm_cpu. The result of every operation has the same bits on
/// every instruction path and with every number of threads. Calls return when the work is done. One caller at a time. </summary>
public sealed partial class CpuBackend : IBackend
{
    private static readonly string[] PathNames = ["scalar", "avx2", "avx512"];

    private nint context;

    /// <summary>Opens the native library and starts its threads.</summary>
    /// <param name="threads">number of threads, the calling one included; 0 for all processors of this process</param>
    /// <exception cref="ElmException">the library is missing, of another version, or ELM_CPU names a path that cannot run here</exception>
    public CpuBackend(int threads = 0) : this(threads, null) { }

    /// <summary>The same with a forced instruction path (null for the usual choice); for tests.</summary>
    internal CpuBackend(int threads, string? path)
    {
        CheckLibrary();
        Check(NativeMethods.elm_create(threads, path, out context));
        Threads = NativeMethods.elm_threads(context);
        Description = $"cpu {PathNames[NativeMethods.elm_path(context)]}, {Threads} thread{(Threads == 1 ? "" : "s")}";
    }

    /// <summary>What this machine can run.</summary>
    /// <exception cref="ElmException">as the constructor</exception>
    public static CpuFeatures Features
    {
        get
        {
            CheckLibrary();
            int supported = NativeMethods.elm_supported_paths();
            Check(NativeMethods.elm_create(1, null, out nint probe));
            int chosen = NativeMethods.elm_path(probe);
            NativeMethods.elm_destroy(probe);
            return new CpuFeatures([.. PathNames.Where((_, i) => (supported >> i & 1) != 0)], PathNames[chosen],
                NativeMethods.elm_processors());
        }
    }

    /// <inheritdoc/>
    public string Description { get; }

    /// <summary>Number of threads, the calling one included.</summary>
    public int Threads { get; }

    /// <summary>The native context; for tests.</summary>
    internal nint Context
    {
        get
        {
            ObjectDisposedException.ThrowIf(context == 0, this);
            return context;
        }
    }

    /// <inheritdoc/>
    public DeviceBuffer Allocate(long bytes) => new HostBuffer(bytes);

    /// <inheritdoc/>
    public ElementType ActivationType => ElementType.F32;

    /// <inheritdoc/>
    public DeviceMemory? Memory => null;

    /// <inheritdoc/>
    /// <remarks>A matrix stays where it is for look-ups; the first product packs a copy for itself and for those to come.</remarks>
    public Tensor AdoptWeights(nint address, ElementType type, int rows, int columns, object owner) =>
        (rows > 1 ? new WeightBuffer(address, type, rows, columns, owner) : new BorrowedBuffer(address, (long)rows * columns * type.Size(), owner)).As(type, rows, columns);

    /// <summary>Packs a float matrix for products.</summary>
    internal PackedMatrix Pack(Tensor weight)
    {
        Check(NativeMethods.elm_pack(Context, weight, out nint matrix));
        return new PackedMatrix(matrix);
    }

    /// <summary>A weight as products take it: packed where it is a whole adopted matrix.</summary>
    private NativeTensor Packed(Tensor weight) =>
        weight.Buffer is WeightBuffer adopted ? adopted.Packed(this, weight) : weight;

    /// <inheritdoc/>
    public IGraph Capture(Action work) => new RepeatedWork(work);

    /// <inheritdoc/>
    public unsafe void Upload<T>(ReadOnlySpan<T> source, Tensor destination) where T : unmanaged
    {
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(source);
        Require.Bytes(bytes.Length, destination.Bytes, nameof(source));
        bytes.CopyTo(new Span<byte>((void*)destination.Address, bytes.Length));
    }

    /// <inheritdoc/>
    public unsafe void Download<T>(Tensor source, Span<T> destination) where T : unmanaged
    {
        Span<byte> bytes = MemoryMarshal.AsBytes(destination);
        Require.Bytes(bytes.Length, source.Bytes, nameof(destination));
        new ReadOnlySpan<byte>((void*)source.Address, bytes.Length).CopyTo(bytes);
    }

    /// <inheritdoc/>
    public void Synchronize() { }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (context != 0)
            NativeMethods.elm_destroy(context);
        context = 0;
    }

    private static void CheckLibrary()
    {
        int version;
        try
        {
            version = NativeMethods.elm_abi_version();
        }
        catch (Exception cause) when (cause is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            throw new ElmException($"the native library {LibraryFile} is missing beside the program or cannot be loaded; " +
                $"build it with CMake and copy it to {AppContext.BaseDirectory}", cause);
        }
        if (version != NativeMethods.AbiVersion)
            throw new ElmException($"the native library {LibraryFile} has interface version {version}, but this program needs " +
                $"{NativeMethods.AbiVersion}; rebuild both from the same sources");
    }

    private static string LibraryFile => OperatingSystem.IsWindows() ? "elm_cpu.dll" : "libelm_cpu.so";

    private static void Check(int status)
    {
        if (status != NativeMethods.Ok)
            Fail(status);
    }

    private static unsafe void Fail(int status)
    {
        string sentence = Marshal.PtrToStringUTF8((nint)NativeMethods.elm_last_error()) ?? "";
        throw status == NativeMethods.InvalidArgument ? new ArgumentException(sentence) : new ElmException(sentence);
    }
}

/// <summary>The processor's form of a graph: the work itself, called again.</summary>
internal sealed class RepeatedWork(Action work) : IGraph
{
    /// <inheritdoc/>
    public void Launch() => work();

    /// <inheritdoc/>
    public void Dispose() { }
}
