using System.Runtime.InteropServices;
using System.Text.Json;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute.Cpu;

namespace ElmNative.Cli.Verbs;

[Verb("info", HelpText = "Show the program's version, the processor's abilities and the backends.")]
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
        MachineInfo info = new(ProgramVersion.Text, RuntimeInformation.FrameworkDescription, $"{RuntimeInformation.OSDescription} {RuntimeInformation.OSArchitecture}",
            ProcessorName(), [.. features.Supported], features.Chosen, features.Threads, ["cpu"], Bundled.Model);
        if (options.Json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(info, CliJson.Default.MachineInfo));
            return 0;
        }
        (string Name, string Value)[] facts =
        [
            ("elmn", info.Version), ("runtime", info.Runtime), ("system", info.System), ("processor", info.Cpu),
            ("cpu paths", $"{string.Join(", ", info.CpuPaths)}; using {info.CpuPath} (ELM_CPU chooses another)"), ("threads", $"{info.Threads}"),
            ("backends", string.Join(", ", info.Backends)), ("bundled model", info.BundledModel),
        ];
        foreach ((string name, string value) in facts)
            Console.Out.WriteLine($"{name,-14} {value}");
        return 0;
    }

    /// <summary>The processor as its maker calls it, or "unknown".</summary>
    public static string ProcessorName()
    {
        const string file = "/proc/cpuinfo", key = "model name";
        if (!File.Exists(file))
            return Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? "unknown";
        return File.ReadLines(file).FirstOrDefault(line => line.StartsWith(key, StringComparison.Ordinal))?.Split(':', 2)[^1].Trim() ?? "unknown";
    }
}
