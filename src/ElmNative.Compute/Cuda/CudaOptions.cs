namespace ElmNative.Compute.Cuda;

/// <summary>What the environment may choose about the CUDA backend; read when a backend opens.</summary>
internal sealed record CudaOptions
{
    /// <summary>The driver's library instead of the system's; ELM_CUDA_LIBRARY.</summary>
    public string? DriverLibrary { get; init; }

    /// <summary>Folder of the kernel images instead of kernels/ beside the program; ELM_CUDA_KERNELS.</summary>
    public string? KernelFolder { get; init; }

    /// <summary>The library of cuBLASLt instead of those found; ELM_CUBLASLT_LIBRARY.</summary>
    public string? CublasLtLibrary { get; init; }

    /// <summary>Whether dense products may go through cuBLASLt; ELM_CUBLASLT=off forbids it.</summary>
    public bool UsesCublasLt { get; init; } = true;

    /// <summary>Whether every launch waits for its kernel, so that an error names it; ELM_CUDA_SYNC=1.</summary>
    public bool WaitsForEveryLaunch { get; init; }

    /// <summary>The choices of the environment variables.</summary>
    public static CudaOptions FromEnvironment() => new()
    {
        DriverLibrary = Variable("ELM_CUDA_LIBRARY"),
        KernelFolder = Variable("ELM_CUDA_KERNELS"),
        CublasLtLibrary = Variable("ELM_CUBLASLT_LIBRARY"),
        UsesCublasLt = !string.Equals(Variable("ELM_CUBLASLT"), "off", StringComparison.OrdinalIgnoreCase),
        WaitsForEveryLaunch = Variable("ELM_CUDA_SYNC") == "1",
    };

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}
