using ElmNative.Compute.Cuda;

namespace ElmNative.Compute.Tests;

/// <summary>
/// The CUDA backend of the tests: on the GPU where ELM_TEST_GPU is 1, else on the stand-in for the driver, which runs the same kernels as C++ on an emulation
/// (out/emulation, built by CMake with ELM_EMULATION).
/// </summary>
internal static class CudaDevice
{
    static CudaDevice()
    {
        if (Environment.GetEnvironmentVariable("ELM_TEST_GPU") != "1")
            Environment.SetEnvironmentVariable("ELM_CUDA_LIBRARY", Path.Combine(Repository.Root, "out", "emulation", "libelm_cuda_standin.so"));
    }

    /// <summary>Opens it.</summary>
    public static CudaBackend Open() => new();
}
