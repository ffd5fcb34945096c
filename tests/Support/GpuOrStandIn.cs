namespace ElmNative.Tests;

/// <summary>
/// Where the CUDA backend of the tests runs: on the GPU where ELM_TEST_GPU is 1, else on the stand-ins for the driver and for cuBLASLt, which run the same kernels as C++ on an emulation
/// (out/emulation, built by CMake with ELM_EMULATION). The stand-ins have the kernels inside; where no compiler made images of them, an empty one takes their place.
/// </summary>
public static class GpuOrStandIn
{
    /// <summary>True on a GPU.</summary>
    public static bool IsGpu { get; } = Environment.GetEnvironmentVariable("ELM_TEST_GPU") == "1";

    /// <summary>Variables that a process needs to find it.</summary>
    public static IReadOnlyDictionary<string, string> Variables { get; } = Find();

    /// <summary>Sets them for this process.</summary>
    public static void Use()
    {
        foreach ((string name, string value) in Variables)
            Environment.SetEnvironmentVariable(name, value);
    }

    private static Dictionary<string, string> Find()
    {
        Dictionary<string, string> variables = [];
        if (IsGpu)
            return variables;
        variables["ELM_CUDA_LIBRARY"] = Repository.PathOf("out", "emulation", "libelm_cuda_standin.so");
        variables["ELM_CUBLASLT_LIBRARY"] = Repository.PathOf("out", "emulation", "libelm_cublaslt_standin.so");
        DirectoryInfo images = new(Path.Combine(AppContext.BaseDirectory, "kernels"));
        if (Environment.GetEnvironmentVariable("ELM_CUDA_KERNELS") is null && !(images.Exists && images.EnumerateFiles().Any()))
            variables["ELM_CUDA_KERNELS"] = EmptyImages();
        return variables;
    }

    private static string EmptyImages()
    {
        string folder = Directory.CreateDirectory(Repository.PathOf("out", "emulation", "kernels")).FullName;
        File.WriteAllText(Path.Combine(folder, "standin.ptx"), ".version 8.0\n.target sm_80\n.address_size 64\n");
        return folder;
    }
}

/// <summary>Runs a test only on the stand-in for the driver: it provokes what a GPU should not be made to do, or knows the stand-in's own figures.</summary>
[AttributeUsage(AttributeTargets.Method | AttributeTargets.Class)]
public sealed class StandInAttribute : ConditionBaseAttribute
{
    public StandInAttribute() : base(ConditionMode.Include) => IgnoreMessage = "needs the stand-in for the driver";

    public override string GroupName => "stand-in";

    public override bool IsConditionMet => !GpuOrStandIn.IsGpu;
}
