using System.Globalization;
using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Compute.Cuda;

namespace ElmNative.Cli.Verbs;

/// <summary>What <c>--device</c> and <c>--threads</c> ask for.</summary>
internal static class DeviceChoice
{
    /// <summary>Help of the option.</summary>
    public const string Help = "Where the model runs: cpu, cuda (the first GPU) or cuda:N.";

    private const int MostThreads = 1024;

    /// <summary>Opens the backend; a GPU that is not there is an error, never the processor instead.</summary>
    /// <exception cref="ElmException">an unknown device, a device that cannot be opened, a number of threads out of range</exception>
    public static IBackend Open(string device, int threads)
    {
        if (threads is < 0 or > MostThreads)
            throw new ElmException($"--threads is {threads}: it must be between 0 (all cores) and {MostThreads}");
        if (device == "cpu")
            return new CpuBackend(threads);
        if (device == "cuda")
            return new CudaBackend();
        const string numbered = "cuda:";
        if (device.StartsWith(numbered, StringComparison.Ordinal) && int.TryParse(device.AsSpan(numbered.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int ordinal))
            return new CudaBackend(ordinal);
        throw new ElmException($"--device is '{device}': it must be cpu, cuda or cuda:N with the number of a GPU (elmn info lists them)");
    }
}
