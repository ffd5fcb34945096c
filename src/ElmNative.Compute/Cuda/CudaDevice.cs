using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cuda;

/// <summary>A GPU that the driver sees.</summary>
/// <param name="Ordinal">its number N in <c>--device cuda:N</c>, from 0</param>
/// <param name="Name">as the driver calls it</param>
/// <param name="Major">compute capability before the point</param>
/// <param name="Minor">compute capability behind the point</param>
/// <param name="TotalBytes">its memory</param>
/// <param name="FreeBytes">memory that no process holds now; null where the device lets nobody in to ask</param>
public sealed unsafe record CudaDevice(int Ordinal, string Name, int Major, int Minor, long TotalBytes, long? FreeBytes)
{
    /// <summary>The lowest compute capability's major number whose tensor cores know BF16, which the kernels need.</summary>
    internal const int LowestMajor = 8;

    private const int MajorAttribute = 75, MinorAttribute = 76;

    /// <summary>For example <c>9.0</c>.</summary>
    public string ComputeCapability => $"{Major}.{Minor}";

    /// <summary>Whether the kernels can run on it.</summary>
    public bool IsSupported => Major >= LowestMajor;

    /// <summary>The devices of this machine. Never an error: where there is no driver or no device, the answer says why.</summary>
    public static CudaDevices List() => List(CudaOptions.FromEnvironment());

    /// <summary>The same with the options given.</summary>
    internal static CudaDevices List(CudaOptions options)
    {
        try
        {
            CudaDriver driver = CudaDriver.Load(options.DriverLibrary);
            CudaDevice[] devices = new CudaDevice[Count(driver)];
            for (int i = 0; i < devices.Length; i++)
                devices[i] = Describe(driver, i) with { FreeBytes = FreeBytesOf(driver, i) };
            return new CudaDevices(devices, driver.VersionName, devices.Length > 0 ? null : "the CUDA driver sees no device");
        }
        catch (ElmException cause)
        {
            return new CudaDevices([], null, cause.Message);
        }
    }

    /// <summary>The number of devices.</summary>
    internal static int Count(CudaDriver driver)
    {
        int count;
        driver.Check(driver.DeviceGetCount(&count), "cuDeviceGetCount");
        return count;
    }

    /// <summary>The driver's handle of a device.</summary>
    internal static int HandleOf(CudaDriver driver, int ordinal)
    {
        int handle;
        driver.Check(driver.DeviceGet(&handle, ordinal), "cuDeviceGet");
        return handle;
    }

    /// <summary>A property of a device, a number of CUdevice_attribute.</summary>
    internal static int Attribute(CudaDriver driver, int handle, int attribute)
    {
        int value;
        driver.Check(driver.DeviceGetAttribute(&value, attribute, handle), "cuDeviceGetAttribute");
        return value;
    }

    /// <summary>What can be said of a device without entering it.</summary>
    internal static CudaDevice Describe(CudaDriver driver, int ordinal)
    {
        const int longest = 256;
        int handle = HandleOf(driver, ordinal);
        byte* name = stackalloc byte[longest];
        driver.Check(driver.DeviceGetName(name, longest, handle), "cuDeviceGetName");
        nuint bytes;
        driver.Check(driver.DeviceTotalMem(&bytes, handle), "cuDeviceTotalMem");
        return new CudaDevice(ordinal, Marshal.PtrToStringUTF8((nint)name) ?? "", Attribute(driver, handle, MajorAttribute),
            Attribute(driver, handle, MinorAttribute), (long)bytes, null);
    }

    private static long? FreeBytesOf(CudaDriver driver, int ordinal)
    {
        try
        {
            using CudaContext context = new(driver, HandleOf(driver, ordinal));
            nuint free, total;
            return driver.MemGetInfo(&free, &total) == 0 ? (long)free : null;
        }
        catch (ElmException)
        {
            return null;
        }
    }
}

/// <summary>What <see cref="CudaDevice.List()"/> found.</summary>
/// <param name="Devices">in the driver's order; empty where there is none</param>
/// <param name="DriverVersion">the newest CUDA that the driver serves, for example <c>12.4</c>; null without a driver</param>
/// <param name="Explanation">why there are no devices, as a sentence without its full stop; null where there are some</param>
public sealed record CudaDevices(IReadOnlyList<CudaDevice> Devices, string? DriverVersion, string? Explanation);
