using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;

namespace ElmNative.Experience.Protocols;

/// <summary>Every setting that can change a result of the online protocol. A run is resumed only with the same ones.</summary>
public sealed record RunSettings
{
    /// <summary>Digest of the model.</summary>
    public required string ModelFingerprint { get; init; }
    /// <summary>The type that the device rounds activations to: f32, or bf16 on a GPU. One run keeps to one arithmetic.</summary>
    public required string Activations { get; init; }
    /// <summary>SHA-256 of the data file.</summary>
    public required string DataHash { get; init; }
    /// <summary>Problems of the run: the first of the file.</summary>
    public required int Limit { get; init; }
    /// <summary>How memories are found.</summary>
    public required RetrievalKind Retrieval { get; init; }
    /// <summary>Name of the verifier; none without one.</summary>
    public required string Verifier { get; init; }
    /// <summary>How memories are trained.</summary>
    public required TrainingSettings Training { get; init; }
}

/// <summary>What cannot change a result, and is recorded so that a reader knows.</summary>
public sealed record RunEnvironment
{
    /// <summary>The model's folder, as given.</summary>
    public required string Model { get; init; }
    /// <summary>The data file, as given.</summary>
    public required string Data { get; init; }
    /// <summary>Name and version of the program.</summary>
    public required string Program { get; init; }
    /// <summary>What the model runs on.</summary>
    public required string Device { get; init; }
    /// <summary>Memories trained side by side.</summary>
    public int Parallel { get; init; } = 1;
    /// <summary>Threads of the device, 0 for its own choice.</summary>
    public int Threads { get; init; }
}

/// <summary>The content of <c>run.json</c>.</summary>
public sealed record RunRecord
{
    /// <summary>The name that tells this file from others.</summary>
    public const string FormatName = "elmnative-run";

    /// <summary>Always <see cref="FormatName"/>.</summary>
    public string Format { get; init; } = FormatName;
    /// <summary>Version of the format.</summary>
    public int Version { get; init; } = 1;
    /// <summary>When the run was first started, UTC.</summary>
    public required DateTime Started { get; init; }
    /// <summary>Type of the model.</summary>
    public required string ModelType { get; init; }
    /// <summary>What can change a result.</summary>
    public required RunSettings Settings { get; init; }
    /// <summary>What cannot.</summary>
    public required RunEnvironment Environment { get; init; }
}

/// <summary>A line of <c>timings.jsonl</c>: everything that has to do with time, and nothing else does.</summary>
public sealed record TimingRecord
{
    /// <summary>opened, window, or finished.</summary>
    public required string Event { get; init; }
    /// <summary>When, UTC.</summary>
    public required DateTime Time { get; init; }
    /// <summary>Where and how the program ran; with opened.</summary>
    public RunEnvironment? Environment { get; init; }
    /// <summary>First problem of the window.</summary>
    public int? First { get; init; }
    /// <summary>Problems of the window, or all of them at the end.</summary>
    public int? Count { get; init; }
    /// <summary>Seconds spent on plain answers.</summary>
    public double? PlainSeconds { get; init; }
    /// <summary>Seconds spent on training.</summary>
    public double? TrainingSeconds { get; init; }
    /// <summary>Seconds spent on memory-aided answers and routing.</summary>
    public double? MemorySeconds { get; init; }
    /// <summary>Tokens generated.</summary>
    public long? Tokens { get; init; }
}
