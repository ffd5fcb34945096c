using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Transformers.Models;

/// <summary>The weights of one decoder layer, as stored ([out x in] matrices); absent tensors where the family has none.</summary>
internal sealed record LayerWeights
{
    public required Tensor InputNorm { get; init; }
    public required Tensor Query { get; init; }
    public required Tensor Key { get; init; }
    public required Tensor Value { get; init; }
    public Tensor QueryBias { get; init; }
    public Tensor KeyBias { get; init; }
    public Tensor ValueBias { get; init; }
    public Tensor QueryNorm { get; init; }
    public Tensor KeyNorm { get; init; }
    public required Tensor Output { get; init; }
    public required Tensor MiddleNorm { get; init; }
    public required Tensor Gate { get; init; }
    public required Tensor Up { get; init; }
    public required Tensor Down { get; init; }
}

/// <summary>All weights of a Qwen2, Qwen3, Llama or Mistral decoder on a backend, by the tensor names of Hugging Face.</summary>
internal sealed class DecoderWeights : IDisposable
{
    private readonly IWeightSource source;
    private readonly List<DeviceBuffer> buffers = [];

    /// <summary>Puts every weight that the configuration calls for on the source's backend.</summary>
    /// <param name="source">outlives this</param>
    /// <exception cref="ElmException">a tensor is missing or of another shape or type</exception>
    public DecoderWeights(IWeightSource source)
    {
        this.source = source;
        ModelConfig c = source.Config;
        int queries = c.QueryHeads * c.HeadSize, keys = c.KeyHeads * c.HeadSize;
        try
        {
            Embedding = Matrix("model.embed_tokens.weight", c.VocabularySize, c.HiddenSize);
            FinalNorm = Vector("model.norm.weight", c.HiddenSize);
            if (c.Architecture != ProcessRewardModel.Architecture)
                Head = c.TiedHead ? Embedding : Matrix("lm_head.weight", c.VocabularySize, c.HiddenSize);
            Layers = new LayerWeights[c.Layers];
            for (int i = 0; i < c.Layers; i++)
            {
                string attention = $"model.layers.{i}.self_attn.", mlp = $"model.layers.{i}.mlp.";
                Layers[i] = new LayerWeights
                {
                    InputNorm = Vector($"model.layers.{i}.input_layernorm.weight", c.HiddenSize),
                    Query = Matrix(attention + "q_proj.weight", queries, c.HiddenSize),
                    Key = Matrix(attention + "k_proj.weight", keys, c.HiddenSize),
                    Value = Matrix(attention + "v_proj.weight", keys, c.HiddenSize),
                    QueryBias = c.AttentionBias ? Vector(attention + "q_proj.bias", queries) : default,
                    KeyBias = c.AttentionBias ? Vector(attention + "k_proj.bias", keys) : default,
                    ValueBias = c.AttentionBias ? Vector(attention + "v_proj.bias", keys) : default,
                    QueryNorm = c.QueryKeyNorm ? Vector(attention + "q_norm.weight", c.HeadSize) : default,
                    KeyNorm = c.QueryKeyNorm ? Vector(attention + "k_norm.weight", c.HeadSize) : default,
                    Output = Matrix(attention + "o_proj.weight", c.HiddenSize, queries),
                    MiddleNorm = Vector($"model.layers.{i}.post_attention_layernorm.weight", c.HiddenSize),
                    Gate = Matrix(mlp + "gate_proj.weight", c.IntermediateSize, c.HiddenSize),
                    Up = Matrix(mlp + "up_proj.weight", c.IntermediateSize, c.HiddenSize),
                    Down = Matrix(mlp + "down_proj.weight", c.HiddenSize, c.IntermediateSize),
                };
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>[vocabulary, hidden].</summary>
    public Tensor Embedding { get; }

    /// <summary>[vocabulary, hidden]; the embedding itself where the head is tied; absent in a reward model.</summary>
    public Tensor Head { get; }

    /// <summary>[1, hidden].</summary>
    public Tensor FinalNorm { get; }

    /// <summary>Bottom to top.</summary>
    public LayerWeights[] Layers { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (DeviceBuffer buffer in buffers)
            buffer.Dispose();
        buffers.Clear();
    }

    /// <summary>A matrix beside the decoder's own (a reward head), [rows, columns].</summary>
    public Tensor Extra(string name, int rows, int columns) => Matrix(name, rows, columns);

    /// <summary>A vector beside the decoder's own, [1, size].</summary>
    public Tensor Extra(string name, int size) => Vector(name, size);

    private Tensor Matrix(string name, int rows, int columns) => Keep(source.Matrix(name, rows, columns));

    private Tensor Vector(string name, int size) => Keep(source.Vector(name, size));

    private Tensor Keep(Tensor placed)
    {
        buffers.Add(placed.Buffer!);
        return placed;
    }
}
