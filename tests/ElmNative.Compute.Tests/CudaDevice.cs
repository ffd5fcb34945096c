using ElmNative.Compute.Cuda;

namespace ElmNative.Compute.Tests;

/// <summary>The CUDA backend of the tests, where <see cref="GpuOrStandIn"/> says.</summary>
internal static class CudaDevice
{
    static CudaDevice() => GpuOrStandIn.Use();

    /// <summary>True on a GPU.</summary>
    public static bool IsReal => GpuOrStandIn.IsGpu;

    /// <summary>What the environment says, after the above.</summary>
    public static CudaOptions Options => CudaOptions.FromEnvironment();

    /// <summary>Opens it.</summary>
    public static CudaBackend Open() => new();

    /// <summary>F32 [1, n] on a backend.</summary>
    public static Tensor Row(this IBackend backend, params float[] values) => backend.Put(values, 1, values.Length);
}
