using ElmNative.Compute.Cuda;

namespace ElmNative.Compute.Tests;

/// <summary>
/// The CUDA backend of the tests: on the GPU where ELM_TEST_GPU is 1, else on the stand-in for the driver, which runs the same kernels as C++ on an emulation
/// (out/emulation, built by CMake with ELM_EMULATION). The stand-in has the kernels inside; where no compiler made images of them, an empty one takes their place.
/// </summary>
internal static class CudaDevice
{
    /// <summary>True on a GPU.</summary>
    public static bool IsReal { get; } = Environment.GetEnvironmentVariable("ELM_TEST_GPU") == "1";

    static CudaDevice()
    {
        if (IsReal)
            return;
        Environment.SetEnvironmentVariable("ELM_CUDA_LIBRARY", Path.Combine(Repository.Root, "out", "emulation", "libelm_cuda_standin.so"));
        if (Environment.GetEnvironmentVariable("ELM_CUDA_KERNELS") is null && !Directory.Exists(Path.Combine(AppContext.BaseDirectory, "kernels")))
            Environment.SetEnvironmentVariable("ELM_CUDA_KERNELS", EmptyImages());
    }

    /// <summary>What the environment says, after the above.</summary>
    public static CudaOptions Options => CudaOptions.FromEnvironment();

    /// <summary>Opens it.</summary>
    public static CudaBackend Open() => new();

    /// <summary>F32 [1, n] on a backend.</summary>
    public static Tensor Row(this IBackend backend, params float[] values) => backend.Put(values, 1, values.Length);

    private static string EmptyImages()
    {
        string folder = Directory.CreateDirectory(Path.Combine(Repository.Root, "out", "emulation", "kernels")).FullName;
        File.WriteAllText(Path.Combine(folder, "standin.ptx"), ".version 8.0\n.target sm_80\n.address_size 64\n");
        return folder;
    }
}
