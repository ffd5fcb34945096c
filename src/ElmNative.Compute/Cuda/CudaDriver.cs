using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cuda;

/// <summary>
/// The CUDA driver API, resolved by name at run time from libcuda.so.1 (nvcuda.dll), or from the library that ELM_CUDA_LIBRARY names. A machine without a driver is an
/// answer, not a crash. Names are those of the driver's symbols, versions included.
/// </summary>
internal sealed unsafe class CudaDriver
{
    public readonly delegate* unmanaged<uint, int> Init;
    public readonly delegate* unmanaged<int*, int> DriverGetVersion;
    public readonly delegate* unmanaged<int*, int> DeviceGetCount;
    public readonly delegate* unmanaged<int*, int, int> DeviceGet;
    public readonly delegate* unmanaged<byte*, int, int, int> DeviceGetName;
    public readonly delegate* unmanaged<int*, int, int, int> DeviceGetAttribute;
    public readonly delegate* unmanaged<nint*, int, int> PrimaryContextRetain;
    public readonly delegate* unmanaged<int, int> PrimaryContextRelease;
    public readonly delegate* unmanaged<nint, int> ContextSetCurrent;
    public readonly delegate* unmanaged<ulong*, nuint, int> MemAlloc;
    public readonly delegate* unmanaged<ulong, int> MemFree;
    public readonly delegate* unmanaged<ulong, void*, nuint, nint, int> CopyToDevice;
    public readonly delegate* unmanaged<void*, ulong, nuint, nint, int> CopyToHost;
    public readonly delegate* unmanaged<ulong, byte, nuint, nint, int> SetBytes;
    public readonly delegate* unmanaged<nint*, uint, int> StreamCreate;
    public readonly delegate* unmanaged<nint, int> StreamDestroy;
    public readonly delegate* unmanaged<nint, int> StreamSynchronize;
    public readonly delegate* unmanaged<nint*, void*, uint, int*, void**, int> ModuleLoad;
    public readonly delegate* unmanaged<nint, int> ModuleUnload;
    public readonly delegate* unmanaged<nint*, nint, byte*, int> ModuleGetFunction;
    public readonly delegate* unmanaged<nint, int, int, int> FunctionSetAttribute;
    public readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int> LaunchKernel;
    private readonly delegate* unmanaged<int, byte**, int> getErrorString;
    private readonly nint library;

    private CudaDriver(nint library)
    {
        this.library = library;
        Init = (delegate* unmanaged<uint, int>)Symbol("cuInit");
        DriverGetVersion = (delegate* unmanaged<int*, int>)Symbol("cuDriverGetVersion");
        DeviceGetCount = (delegate* unmanaged<int*, int>)Symbol("cuDeviceGetCount");
        DeviceGet = (delegate* unmanaged<int*, int, int>)Symbol("cuDeviceGet");
        DeviceGetName = (delegate* unmanaged<byte*, int, int, int>)Symbol("cuDeviceGetName");
        DeviceGetAttribute = (delegate* unmanaged<int*, int, int, int>)Symbol("cuDeviceGetAttribute");
        PrimaryContextRetain = (delegate* unmanaged<nint*, int, int>)Symbol("cuDevicePrimaryCtxRetain");
        PrimaryContextRelease = (delegate* unmanaged<int, int>)Symbol("cuDevicePrimaryCtxRelease_v2");
        ContextSetCurrent = (delegate* unmanaged<nint, int>)Symbol("cuCtxSetCurrent");
        MemAlloc = (delegate* unmanaged<ulong*, nuint, int>)Symbol("cuMemAlloc_v2");
        MemFree = (delegate* unmanaged<ulong, int>)Symbol("cuMemFree_v2");
        CopyToDevice = (delegate* unmanaged<ulong, void*, nuint, nint, int>)Symbol("cuMemcpyHtoDAsync_v2");
        CopyToHost = (delegate* unmanaged<void*, ulong, nuint, nint, int>)Symbol("cuMemcpyDtoHAsync_v2");
        SetBytes = (delegate* unmanaged<ulong, byte, nuint, nint, int>)Symbol("cuMemsetD8Async");
        StreamCreate = (delegate* unmanaged<nint*, uint, int>)Symbol("cuStreamCreate");
        StreamDestroy = (delegate* unmanaged<nint, int>)Symbol("cuStreamDestroy_v2");
        StreamSynchronize = (delegate* unmanaged<nint, int>)Symbol("cuStreamSynchronize");
        ModuleLoad = (delegate* unmanaged<nint*, void*, uint, int*, void**, int>)Symbol("cuModuleLoadDataEx");
        ModuleUnload = (delegate* unmanaged<nint, int>)Symbol("cuModuleUnload");
        ModuleGetFunction = (delegate* unmanaged<nint*, nint, byte*, int>)Symbol("cuModuleGetFunction");
        FunctionSetAttribute = (delegate* unmanaged<nint, int, int, int>)Symbol("cuFuncSetAttribute");
        LaunchKernel = (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)Symbol("cuLaunchKernel");
        getErrorString = (delegate* unmanaged<int, byte**, int>)Symbol("cuGetErrorString");
    }

    /// <summary>Loads the driver.</summary>
    /// <exception cref="ElmException">there is none on this machine, or it lacks a function</exception>
    public static CudaDriver Load()
    {
        string[] names = Environment.GetEnvironmentVariable("ELM_CUDA_LIBRARY") is { Length: > 0 } chosen ? [chosen]
            : OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];
        foreach (string name in names)
            if (NativeLibrary.TryLoad(name, out nint library))
                return new CudaDriver(library);
        throw new ElmException($"there is no CUDA driver on this machine ({string.Join(", ", names)} cannot be loaded); install NVIDIA's driver or leave --device out");
    }

    /// <summary>Turns a status that is not success into an error that names the call.</summary>
    public void Check(int status, string call)
    {
        if (status == 0)
            return;
        byte* text = null;
        getErrorString(status, &text);
        throw new ElmException($"CUDA: {call} failed with error {status} ({Marshal.PtrToStringUTF8((nint)text) ?? "unknown"})");
    }

    private nint Symbol(string name) => NativeLibrary.TryGetExport(library, name, out nint address) ? address
        : throw new ElmException($"the CUDA driver lacks {name}; install a driver of CUDA 12 or newer");
}
