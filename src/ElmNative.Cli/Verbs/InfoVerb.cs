using System.Runtime.InteropServices;
using System.Text.Json;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute.Cpu;
using ElmNative.Compute.Cuda;

namespace ElmNative.Cli.Verbs;

[Verb("info", HelpText = "Show the program's version, what the processor can do, and the GPUs.")]
internal sealed class InfoOptions
{
    [Option("json", HelpText = "Print JSON.")]
    public bool Json { get; set; }
}

/// <summary><c>elmn info</c>: what a bug report or a table of figures needs to say about the machine.</summary>
internal static class InfoVerb
{
    public static int Run(InfoOptions options)
    {
        CpuFeatures features = CpuBackend.Features;
        CudaDevices gpus = CudaDevice.List();
        MachineInfo info = new(ProgramVersion.Text, RuntimeInformation.FrameworkDescription, $"{RuntimeInformation.OSDescription} {RuntimeInformation.OSArchitecture}",
            ProcessorName(), [.. features.Supported], features.Chosen, features.Threads, [.. gpus.Devices.Select(Describe)], gpus.DriverVersion, gpus.Explanation, Bundled.Model);
        if (options.Json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(info, CliJson.Default.MachineInfo));
            return 0;
        }
        (string Name, string Value)[] facts =
        [
            ("elmn", info.Version), ("runtime", info.Runtime), ("system", info.System), ("processor", info.Cpu),
            ("cpu paths", $"{string.Join(", ", info.CpuPaths)}; using {info.CpuPath} (ELM_CPU chooses another)"), ("threads", $"{info.Threads}"),
            .. gpus.Devices.Select(gpu => ($"--device cuda:{gpu.Ordinal}", Line(gpu))), .. gpus.Explanation is { } why ? [("cuda", why)] : Array.Empty<(string, string)>(),
            .. gpus.DriverVersion is { } driver ? [("cuda driver", $"serves CUDA up to {driver}")] : Array.Empty<(string, string)>(), ("bundled model", info.BundledModel),
        ];
        foreach ((string name, string value) in facts)
            Console.Out.WriteLine($"{name,-15} {value}");
        return 0;
    }

    private static GpuInfo Describe(CudaDevice gpu) => new($"cuda:{gpu.Ordinal}", gpu.Name, gpu.ComputeCapability, gpu.TotalBytes, gpu.FreeBytes, gpu.IsSupported);

    private static string Line(CudaDevice gpu) => FormattableString.Invariant($"{gpu.Name}, compute capability {gpu.ComputeCapability}, {gpu.TotalBytes / 1e9:0.0} GB")
        + (gpu.FreeBytes is { } free ? FormattableString.Invariant($" ({free / 1e9:0.0} GB free)") : "") + (gpu.IsSupported ? "" : "; too old: the kernels need 8.0 or newer");

    /// <summary>The processor as its maker calls it, or "unknown".</summary>
    public static string ProcessorName()
    {
        const string file = "/proc/cpuinfo", key = "model name";
        if (!File.Exists(file))
            return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? "unknown";
        return File.ReadLines(file).FirstOrDefault(line => line.StartsWith(key, StringComparison.Ordinal))?.Split(':', 2)[^1].Trim() ?? "unknown";
    }
}
