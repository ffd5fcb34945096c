using System.Runtime.InteropServices;
using System.Text;

namespace ElmNative.Compute.Cuda;

/// <summary>The compiled kernels, loaded onto a device.</summary>
internal sealed unsafe class CudaModules : IDisposable
{
    private const int JitErrorLog = 5, JitErrorLogBytes = 6, LogLength = 8192;
    private const string HowToBuild = "build the kernels with `./build.sh build`, which needs nvcc or clang-19";

    private readonly CudaDriver driver;
    private readonly CudaDevice device;
    private readonly string folder;
    private readonly List<nint> modules = [];

    /// <summary>Loads the best image of every source for the device. PTX is compiled by the driver at its first load and kept in its cache.</summary>
    /// <param name="driver">its context current</param><param name="device">what they are to run on</param>
    /// <param name="named">the folder; null for kernels/ beside the program</param>
    /// <exception cref="ElmException">the folder is missing, it has nothing for this device, or the driver refuses an image</exception>
    public CudaModules(CudaDriver driver, CudaDevice device, string? named)
    {
        this.driver = driver;
        this.device = device;
        folder = named ?? Path.Combine(AppContext.BaseDirectory, "kernels");
        string[] files = Directory.Exists(folder) ? Directory.GetFiles(folder) : [];
        IReadOnlyList<string> chosen = KernelImages.Choose(files, device.Major, device.Minor);
        if (chosen.Count == 0)
            throw new ElmException(files.Length == 0
                ? $"there are no compiled CUDA kernels in {folder}; {HowToBuild}, or name their folder in ELM_CUDA_KERNELS"
                : $"none of the {files.Length} files in {folder} is a kernel image for {device.Name} (compute capability " +
                    $"{device.ComputeCapability}); {HowToBuild}");
        try
        {
            foreach (string file in chosen)
                modules.Add(Load(file));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The driver's CUfunction of a kernel, from whichever module has it.</summary>
    /// <exception cref="ElmException">none has</exception>
    public nint Find(string kernel)
    {
        fixed (byte* symbol = Encoding.UTF8.GetBytes(kernel + '\0'))
            foreach (nint module in modules)
            {
                nint found;
                int status = driver.ModuleGetFunction(&found, module, symbol);
                if (status == 0)
                    return found;
                if (status != CudaDriver.NotFound)
                    throw Refused(status, $"cuModuleGetFunction({kernel})", folder, "");
            }
        throw new ElmException($"no image in {folder} for compute capability {device.ComputeCapability} has the kernel {kernel}; " +
            $"the images are older than the program: {HowToBuild}");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (nint module in modules)
            driver.ModuleUnload(module);
        modules.Clear();
    }

    private nint Load(string file)
    {
        byte[] image;
        try
        {
            // The driver wants text to end in a NUL; behind machine code it does no harm.
            image = [.. File.ReadAllBytes(file), 0];
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            throw new ElmException($"the kernel image {file} cannot be read: {cause.Message}", cause);
        }
        byte[] log = new byte[LogLength];
        nint module;
        int status;
        fixed (byte* first = image, text = log)
        {
            int* options = stackalloc int[] { JitErrorLog, JitErrorLogBytes };
            void** values = stackalloc void*[] { text, (void*)(log.Length - 1) };
            status = driver.ModuleLoad(&module, first, 2, options, values);
            if (status != 0)
                throw Refused(status, "cuModuleLoadDataEx", file, Marshal.PtrToStringUTF8((nint)text) ?? "");
        }
        return module;
    }

    private ElmException Refused(int status, string call, string file, string log)
    {
        string outcome = driver.Outcome(status, call);
        string? sentence = status switch
        {
            200 or 209 => $"the kernel image {file} is damaged or not for {device.Name} (compute capability {device.ComputeCapability}): " +
                $"{outcome}; {HowToBuild}",
            218 or 300 => $"the driver cannot compile {file}: {outcome}{Reason(log)}; {HowToBuild}",
            221 or 223 => $"the driver cannot compile {file}: {outcome}; install the driver's PTX compiler (libnvidia-ptxjitcompiler), " +
                "or build machine code with `./build.sh build` and nvcc",
            222 => $"{file} is of a newer PTX than the driver (CUDA {driver.VersionName}) knows: {outcome}; install NVIDIA's current driver",
            _ => null,
        };
        return sentence is null ? driver.Error(status, $"{call} of {file}") : new ElmException(sentence);
    }

    /// <summary>The compiler's lines in one.</summary>
    private static string Reason(string log) =>
        log.Length == 0 ? "" : $": {string.Join(" ", log.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))}";
}
