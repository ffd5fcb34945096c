using System.Text.Json.Serialization;
using ElmNative.Experience.Answers;

namespace ElmNative.Cli.Output;

/// <summary>A completion as <c>elmn generate --json</c> prints it.</summary>
internal sealed record GeneratedText(string Text, int[] Tokens, float[] Logprobs, bool Ended);

/// <summary>A compared value as <c>elmn verify --json</c> prints it.</summary>
internal sealed record VerifiedValue(string Name, long Count, double? MaxAbsolute, double? MaxRelative, double? RelativeL2, double Tolerance, bool ToleranceIsAbsolute, bool Passed);

/// <summary>A file of vectors as <c>elmn verify --json</c> prints it.</summary>
internal sealed record VerifiedLines(string File, int Matched, int Total);

/// <summary>The machine as <c>elmn info --json</c> prints it.</summary>
internal sealed record MachineInfo(
    string Version, string Runtime, string System, string Cpu, string[] CpuPaths, string CpuPath, int Threads, GpuInfo[] Gpus, string? CudaDriver, string? NoGpu, string BundledModel);

/// <summary>A GPU in <see cref="MachineInfo"/>: what <c>--device</c> calls it, its name, compute capability and memory in bytes.</summary>
internal sealed record GpuInfo(string Device, string Name, string ComputeCapability, long TotalBytes, long? FreeBytes, bool Supported);

/// <summary>A response as <c>elmn score --json</c> prints it.</summary>
internal sealed record ScoredResponse(int Index, double Score, double[] Steps);

/// <summary>JSON without reflection: the shipped program is trimmed.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(GeneratedText))]
[JsonSerializable(typeof(VerifiedValue))]
[JsonSerializable(typeof(VerifiedLines))]
[JsonSerializable(typeof(MachineInfo))]
[JsonSerializable(typeof(ScoredResponse))]
[JsonSerializable(typeof(GradedResponse))]
[JsonSerializable(typeof(GradingTally))]
[JsonSerializable(typeof(int[]))]
internal sealed partial class CliJson : JsonSerializerContext;
