using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>One stored tensor of a mapped checkpoint: a view, nothing copied.</summary>
/// <param name="Name">its name in the file</param>
/// <param name="Type">element type as stored</param>
/// <param name="Shape">dimensions, outermost first</param>
/// <param name="Address">first byte in the mapped file (any alignment)</param>
/// <param name="Bytes">length</param>
public sealed record StoredTensor(string Name, ElementType Type, IReadOnlyList<long> Shape, nint Address, long Bytes);

/// <summary>A Hugging Face model folder: config.json and its weights, memory-mapped. Opening reads headers only.</summary>
public sealed class Checkpoint : IDisposable
{
    /// <summary>Opens the folder.</summary>
    /// <exception cref="ElmException">missing folder or file, malformed header, offsets outside the file or overlapping, ...</exception>
    public static Checkpoint Open(string folder) => throw new NotImplementedException();

    /// <summary>The folder.</summary>
    public string Folder => throw new NotImplementedException();

    /// <summary>The architecture.</summary>
    public ModelConfig Config => throw new NotImplementedException();

    /// <summary>True when the weights hold a tensor of that name.</summary>
    public bool Has(string name) => throw new NotImplementedException();

    /// <summary>A tensor of an expected shape and a float type.</summary>
    /// <exception cref="ElmException">missing, of another shape, or of a type that weights may not have: names file and tensor</exception>
    public StoredTensor Get(string name, params ReadOnlySpan<long> shape) => throw new NotImplementedException();

    /// <summary>
    /// SHA-256, in hexadecimal, over config.json, every tensor's name, type and shape, and sampled blocks of the data (all of it where it is small):
    /// tells models apart without reading gigabytes.
    /// </summary>
    public string Fingerprint => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotImplementedException();
}

/// <summary>What config.json (and generation_config.json) say of a decoder, with Hugging Face's defaults filled in.</summary>
public sealed record ModelConfig
{
    /// <summary>First entry of <c>architectures</c>: Qwen2ForCausalLM, LlamaForCausalLM, Qwen2ForProcessRewardModel.</summary>
    public required string Architecture { get; init; }
    /// <summary>qwen2 or llama.</summary>
    public required string ModelType { get; init; }
    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }
    /// <summary>Width of the feed-forward layer.</summary>
    public required int IntermediateSize { get; init; }
    /// <summary>Number of decoder layers.</summary>
    public required int Layers { get; init; }
    /// <summary>Query heads.</summary>
    public required int QueryHeads { get; init; }
    /// <summary>Key/value heads; divides <see cref="QueryHeads"/>.</summary>
    public required int KeyHeads { get; init; }
    /// <summary>Elements of a head.</summary>
    public required int HeadSize { get; init; }
    /// <summary>Rows of the embedding matrix.</summary>
    public required int VocabularySize { get; init; }
    /// <summary>Epsilon of RMSNorm.</summary>
    public required float RmsNormEpsilon { get; init; }
    /// <summary>Largest number of positions.</summary>
    public required int MaxPositions { get; init; }
    /// <summary>The head is the embedding matrix.</summary>
    public required bool TiedHead { get; init; }
    /// <summary>q, k and v projections have biases (Qwen2; Llama with attention_bias).</summary>
    public required bool AttentionBias { get; init; }
    /// <summary>Each head's q and k are RMS-normalised (Qwen3).</summary>
    public bool QueryKeyNorm { get; init; }
    /// <summary>Angle by which pair j turns per position: base^(-2j/headSize) with the config's scaling applied. headSize/2 values, in double precision.</summary>
    public required double[] RotaryFrequencies { get; init; }
    /// <summary>Factor on rotary cosines and sines (yarn's attention factor); 1 for the other kinds.</summary>
    public double RotaryScale { get; init; } = 1;
    /// <summary>Ids that end a completion, from generation_config.json or config.json; may be empty.</summary>
    public required IReadOnlyList<int> EndTokens { get; init; }
}
