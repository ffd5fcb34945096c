using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cuda;

/// <summary>
/// The CUDA driver API, resolved by name at run time from libcuda.so.1 (nvcuda.dll), or from the library that <see cref="CudaOptions"/>
/// names. A machine without a driver is an answer, not a crash. Names are those of the driver's symbols, versions included: an unsuffixed
/// symbol of the same name is an older function with another interface.
/// </summary>
internal sealed unsafe partial class CudaDriver
{
    /// <summary>The oldest driver that has every function and reads the kernels' PTX, as <see cref="Version"/> counts.</summary>
    public const int OldestVersion = 12000;

    public readonly delegate* unmanaged<uint, int> Init;
    public readonly delegate* unmanaged<int*, int> DeviceGetCount;
    public readonly delegate* unmanaged<int*, int, int> DeviceGet;
    public readonly delegate* unmanaged<byte*, int, int, int> DeviceGetName;
    public readonly delegate* unmanaged<int*, int, int, int> DeviceGetAttribute;
    public readonly delegate* unmanaged<nuint*, int, int> DeviceTotalMem;
    public readonly delegate* unmanaged<nint*, int, int> DeviceGetDefaultMemPool;
    public readonly delegate* unmanaged<nint*, int, int> PrimaryContextRetain;
    public readonly delegate* unmanaged<int, int> PrimaryContextRelease;
    public readonly delegate* unmanaged<nint, int> ContextSetCurrent;

    public readonly delegate* unmanaged<nuint*, nuint*, int> MemGetInfo;
    public readonly delegate* unmanaged<ulong*, nuint, int> MemAlloc;
    public readonly delegate* unmanaged<ulong, int> MemFree;
    public readonly delegate* unmanaged<ulong*, nuint, nint, int> MemAllocAsync;
    public readonly delegate* unmanaged<ulong, nint, int> MemFreeAsync;
    public readonly delegate* unmanaged<nint, int, ulong*, int> MemPoolSetAttribute;
    public readonly delegate* unmanaged<nint, int, ulong*, int> MemPoolGetAttribute;
    public readonly delegate* unmanaged<nint, nuint, int> MemPoolTrimTo;
    public readonly delegate* unmanaged<void**, nuint, uint, int> MemHostAlloc;
    public readonly delegate* unmanaged<void*, int> MemFreeHost;

    public readonly delegate* unmanaged<ulong, void*, nuint, nint, int> CopyToDevice;
    public readonly delegate* unmanaged<void*, ulong, nuint, nint, int> CopyToHost;
    public readonly delegate* unmanaged<ulong, ulong, nuint, nint, int> CopyOnDevice;
    public readonly delegate* unmanaged<ulong, byte, nuint, nint, int> SetBytes;

    public readonly delegate* unmanaged<nint*, uint, int> StreamCreate;
    public readonly delegate* unmanaged<nint, int> StreamDestroy;
    public readonly delegate* unmanaged<nint, int> StreamSynchronize;
    public readonly delegate* unmanaged<nint, int, int> StreamBeginCapture;
    public readonly delegate* unmanaged<nint, nint*, int> StreamEndCapture;

    public readonly delegate* unmanaged<nint*, uint, int> EventCreate;
    public readonly delegate* unmanaged<nint, nint, int> EventRecord;
    public readonly delegate* unmanaged<nint, int> EventSynchronize;
    public readonly delegate* unmanaged<nint, int> EventDestroy;

    public readonly delegate* unmanaged<nint*, nint, ulong, int> GraphInstantiate;
    public readonly delegate* unmanaged<nint, nint, int> GraphUpload;
    public readonly delegate* unmanaged<nint, nint, int> GraphLaunch;
    public readonly delegate* unmanaged<nint, int> GraphExecDestroy;
    public readonly delegate* unmanaged<nint, int> GraphDestroy;

    public readonly delegate* unmanaged<nint*, void*, uint, int*, void**, int> ModuleLoad;
    public readonly delegate* unmanaged<nint, int> ModuleUnload;
    public readonly delegate* unmanaged<nint*, nint, byte*, int> ModuleGetFunction;
    public readonly delegate* unmanaged<nint, int, int, int> FunctionSetAttribute;
    public readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int> LaunchKernel;

    /// <summary>Offset and size of a kernel's parameter; null in drivers before CUDA 12.4.</summary>
    public readonly delegate* unmanaged<nint, nuint, nuint*, nuint*, int> FunctionGetParamInfo;

    private readonly delegate* unmanaged<int, byte**, int> getErrorName;
    private readonly delegate* unmanaged<int, byte**, int> getErrorString;
    private readonly nint library;
    private readonly string file;

    private CudaDriver(nint library, string file)
    {
        this.library = library;
        this.file = file;
        getErrorName = (delegate* unmanaged<int, byte**, int>)Symbol("cuGetErrorName");
        getErrorString = (delegate* unmanaged<int, byte**, int>)Symbol("cuGetErrorString");
        int version;
        Check(((delegate* unmanaged<int*, int>)Symbol("cuDriverGetVersion"))(&version), "cuDriverGetVersion");
        Version = version;
        if (version < OldestVersion)
            throw new ElmException($"the CUDA driver ({file}) is of CUDA {VersionText(version)}, but {VersionText(OldestVersion)} is " +
                "needed; install NVIDIA's driver 525 or newer");

        Init = (delegate* unmanaged<uint, int>)Symbol("cuInit");
        DeviceGetCount = (delegate* unmanaged<int*, int>)Symbol("cuDeviceGetCount");
        DeviceGet = (delegate* unmanaged<int*, int, int>)Symbol("cuDeviceGet");
        DeviceGetName = (delegate* unmanaged<byte*, int, int, int>)Symbol("cuDeviceGetName");
        DeviceGetAttribute = (delegate* unmanaged<int*, int, int, int>)Symbol("cuDeviceGetAttribute");
        DeviceTotalMem = (delegate* unmanaged<nuint*, int, int>)Symbol("cuDeviceTotalMem_v2");
        DeviceGetDefaultMemPool = (delegate* unmanaged<nint*, int, int>)Symbol("cuDeviceGetDefaultMemPool");
        PrimaryContextRetain = (delegate* unmanaged<nint*, int, int>)Symbol("cuDevicePrimaryCtxRetain");
        PrimaryContextRelease = (delegate* unmanaged<int, int>)Symbol("cuDevicePrimaryCtxRelease_v2");
        ContextSetCurrent = (delegate* unmanaged<nint, int>)Symbol("cuCtxSetCurrent");

        MemGetInfo = (delegate* unmanaged<nuint*, nuint*, int>)Symbol("cuMemGetInfo_v2");
        MemAlloc = (delegate* unmanaged<ulong*, nuint, int>)Symbol("cuMemAlloc_v2");
        MemFree = (delegate* unmanaged<ulong, int>)Symbol("cuMemFree_v2");
        MemAllocAsync = (delegate* unmanaged<ulong*, nuint, nint, int>)Symbol("cuMemAllocAsync");
        MemFreeAsync = (delegate* unmanaged<ulong, nint, int>)Symbol("cuMemFreeAsync");
        MemPoolSetAttribute = (delegate* unmanaged<nint, int, ulong*, int>)Symbol("cuMemPoolSetAttribute");
        MemPoolGetAttribute = (delegate* unmanaged<nint, int, ulong*, int>)Symbol("cuMemPoolGetAttribute");
        MemPoolTrimTo = (delegate* unmanaged<nint, nuint, int>)Symbol("cuMemPoolTrimTo");
        MemHostAlloc = (delegate* unmanaged<void**, nuint, uint, int>)Symbol("cuMemHostAlloc");
        MemFreeHost = (delegate* unmanaged<void*, int>)Symbol("cuMemFreeHost");

        CopyToDevice = (delegate* unmanaged<ulong, void*, nuint, nint, int>)Symbol("cuMemcpyHtoDAsync_v2");
        CopyToHost = (delegate* unmanaged<void*, ulong, nuint, nint, int>)Symbol("cuMemcpyDtoHAsync_v2");
        CopyOnDevice = (delegate* unmanaged<ulong, ulong, nuint, nint, int>)Symbol("cuMemcpyDtoDAsync_v2");
        SetBytes = (delegate* unmanaged<ulong, byte, nuint, nint, int>)Symbol("cuMemsetD8Async");

        StreamCreate = (delegate* unmanaged<nint*, uint, int>)Symbol("cuStreamCreate");
        StreamDestroy = (delegate* unmanaged<nint, int>)Symbol("cuStreamDestroy_v2");
        StreamSynchronize = (delegate* unmanaged<nint, int>)Symbol("cuStreamSynchronize");
        StreamBeginCapture = (delegate* unmanaged<nint, int, int>)Symbol("cuStreamBeginCapture_v2");
        StreamEndCapture = (delegate* unmanaged<nint, nint*, int>)Symbol("cuStreamEndCapture");

        EventCreate = (delegate* unmanaged<nint*, uint, int>)Symbol("cuEventCreate");
        EventRecord = (delegate* unmanaged<nint, nint, int>)Symbol("cuEventRecord");
        EventSynchronize = (delegate* unmanaged<nint, int>)Symbol("cuEventSynchronize");
        EventDestroy = (delegate* unmanaged<nint, int>)Symbol("cuEventDestroy_v2");

        GraphInstantiate = (delegate* unmanaged<nint*, nint, ulong, int>)Symbol("cuGraphInstantiateWithFlags");
        GraphUpload = (delegate* unmanaged<nint, nint, int>)Symbol("cuGraphUpload");
        GraphLaunch = (delegate* unmanaged<nint, nint, int>)Symbol("cuGraphLaunch");
        GraphExecDestroy = (delegate* unmanaged<nint, int>)Symbol("cuGraphExecDestroy");
        GraphDestroy = (delegate* unmanaged<nint, int>)Symbol("cuGraphDestroy");

        ModuleLoad = (delegate* unmanaged<nint*, void*, uint, int*, void**, int>)Symbol("cuModuleLoadDataEx");
        ModuleUnload = (delegate* unmanaged<nint, int>)Symbol("cuModuleUnload");
        ModuleGetFunction = (delegate* unmanaged<nint*, nint, byte*, int>)Symbol("cuModuleGetFunction");
        FunctionSetAttribute = (delegate* unmanaged<nint, int, int, int>)Symbol("cuFuncSetAttribute");
        LaunchKernel = (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)
            Symbol("cuLaunchKernel");
        if (NativeLibrary.TryGetExport(library, "cuFuncGetParamInfo", out nint paramInfo))
            FunctionGetParamInfo = (delegate* unmanaged<nint, nuint, nuint*, nuint*, int>)paramInfo;
    }

    /// <summary>The newest CUDA that the driver serves: 1000 times the major number and 10 times the minor one.</summary>
    public int Version { get; }

    /// <summary>For example <c>12.4</c>.</summary>
    public string VersionName => VersionText(Version);

    /// <summary>Loads and initialises the driver.</summary>
    /// <param name="named">a library instead of the system's, or null</param>
    /// <exception cref="ElmException">there is none on this machine, it is too old, or it finds no device</exception>
    public static CudaDriver Load(string? named)
    {
        if (named is not null)
            return Initialized(NamedLibrary.Load(named, "ELM_CUDA_LIBRARY", "the CUDA driver"), named);
        string[] files = OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];
        foreach (string file in files)
            if (NativeLibrary.TryLoad(file, out nint library))
                return Initialized(library, file);
        throw new ElmException($"there is no CUDA driver on this machine ({string.Join(" and ", files)} cannot be loaded); install NVIDIA's " +
            "driver, or choose --device cpu");
    }

    private static CudaDriver Initialized(nint library, string file)
    {
        CudaDriver driver = new(library, file);
        driver.Check(driver.Init(0), "cuInit");
        return driver;
    }

    private nint Symbol(string name) => NativeLibrary.TryGetExport(library, name, out nint address) ? address
        : throw new ElmException($"the CUDA driver ({file}) lacks {name}; install NVIDIA's driver 525 (CUDA " +
            $"{VersionText(OldestVersion)}) or newer");

    private static string VersionText(int version) => $"{version / 1000}.{version % 1000 / 10}";
}
