using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// What config.json (and generation_config.json) say of a decoder, with Hugging Face's defaults filled in. <c>torch_dtype</c> (or <c>dtype</c>) is
/// not read: every stored tensor says its own type.
/// </summary>
public sealed record ModelConfig
{
    /// <summary>First entry of <c>architectures</c>: Qwen2ForCausalLM, Qwen2ForProcessRewardModel, Qwen3ForCausalLM, LlamaForCausalLM or MistralForCausalLM.</summary>
    public required string Architecture { get; init; }
    /// <summary>qwen2, qwen3, llama or mistral.</summary>
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

    // Bounds well beyond any released model: a damaged or hostile config cannot ask for an absurd allocation.
    internal const int MostPositions = 1 << 24;
    private const int MostWidth = 1 << 17;
    private const int MostInner = 1 << 20;
    private const int MostLayers = 1024;
    private const int MostHeads = 4096;
    private const int MostHeadSize = 1024;
    private const int MostTokens = 1 << 22;
    private const long MostFileBytes = 16 << 20;

    private static readonly Family[] Families =
    [
        new("Qwen2ForCausalLM", "qwen2", DefaultKeyHeads: 32, DefaultPositions: 32768),
        new("Qwen2ForProcessRewardModel", "qwen2", DefaultKeyHeads: 32, DefaultPositions: 32768),
        new("Qwen3ForCausalLM", "qwen3", DefaultKeyHeads: 32, DefaultPositions: 32768, DefaultHeadSize: 128),
        new("LlamaForCausalLM", "llama", DefaultKeyHeads: null, DefaultPositions: 2048),
        new("MistralForCausalLM", "mistral", DefaultKeyHeads: 8, DefaultPositions: 131072),
    ];

    /// <summary>Reads config.json, and generation_config.json where there is one.</summary>
    /// <exception cref="ElmException">missing or malformed file, unknown architecture, a value out of range or a feature that is not supported: names the file and the key</exception>
    public static ModelConfig Load(string folder)
    {
        if (!Directory.Exists(folder))
            throw new ElmException(File.Exists(folder)
                ? $"{folder} is a file: name the Hugging Face model folder that holds config.json and the weights"
                : $"the model folder {folder} does not exist: name a Hugging Face folder with config.json and weights");
        JsonSection config = JsonSection.Load(Path.Combine(folder, "config.json"), MostFileBytes);
        string generation = Path.Combine(folder, "generation_config.json");
        return Read(config, File.Exists(generation) ? JsonSection.Load(generation, MostFileBytes) : null);
    }

    /// <summary>As <see cref="Load"/>, from files already read.</summary>
    internal static ModelConfig Read(JsonSection config, JsonSection? generation)
    {
        Family family = FamilyOf(config);
        RefuseUnsupported(config, family);
        int hidden = config.Count("hidden_size", MostWidth);
        int queryHeads = config.Count("num_attention_heads", MostHeads);
        int keyHeads = config.Count("num_key_value_heads", MostHeads, family.DefaultKeyHeads ?? queryHeads);
        if (queryHeads % keyHeads != 0)
            throw config.Bad("num_key_value_heads", $"is {keyHeads}, which does not divide num_attention_heads, {queryHeads}");
        if (!config.Has("head_dim") && family.DefaultHeadSize is null && hidden % queryHeads != 0)
            throw config.Bad("num_attention_heads", $"does not divide hidden_size, {hidden}, and there is no head_dim");
        int headSize = config.Count("head_dim", MostHeadSize, family.DefaultHeadSize ?? hidden / queryHeads);
        if (headSize % 2 != 0)
            throw config.Bad("head_dim", $"must be even, not {headSize}");
        if (headSize > MostHeadSize)
            throw config.Bad("num_attention_heads", $"makes heads of {headSize} elements, and {MostHeadSize} is the most that is supported");
        int layers = config.Count("num_hidden_layers", MostLayers);
        int positions = config.Count("max_position_embeddings", MostPositions, family.DefaultPositions);
        RefuseSlidingWindow(config, family, layers, positions);
        int vocabulary = config.Count("vocab_size", MostTokens);
        (double[] frequencies, double scale) = RotaryScaling.Read(config, headSize, positions);
        return new ModelConfig
        {
            Architecture = family.Architecture,
            ModelType = family.ModelType,
            HiddenSize = hidden,
            IntermediateSize = config.Count("intermediate_size", MostInner),
            Layers = layers,
            QueryHeads = queryHeads,
            KeyHeads = keyHeads,
            HeadSize = headSize,
            VocabularySize = vocabulary,
            RmsNormEpsilon = (float)config.Number("rms_norm_eps", 1e-30, 1, 1e-6),
            MaxPositions = positions,
            TiedHead = config.Flag("tie_word_embeddings", false),
            AttentionBias = family.ModelType == "qwen2" || family.ModelType != "mistral" && config.Flag("attention_bias", false),
            QueryKeyNorm = family.ModelType == "qwen3",
            RotaryFrequencies = frequencies,
            RotaryScale = scale,
            EndTokens = [.. (generation?.Ids("eos_token_id", vocabulary) ?? config.Ids("eos_token_id", vocabulary) ?? []).Distinct()],
        };
    }

    private static Family FamilyOf(JsonSection config)
    {
        string supported = string.Join(", ", Families.Select(family => family.Architecture));
        string? modelType = config.Text("model_type");
        string? architecture = config.FirstText("architectures") ?? Families.FirstOrDefault(family => family.ModelType == modelType)?.Architecture;
        if (architecture is null)
            throw config.Bad("architectures", $"names no architecture: it must be one of {supported}");
        Family found = Families.FirstOrDefault(family => family.Architecture == architecture)
            ?? throw config.Bad("architectures", $"names {Sentences.Quote(architecture)}, which is not supported: use a model of one of {supported}");
        if (modelType is not null && modelType != found.ModelType)
            throw config.Bad("model_type", $"does not fit the architecture {found.Architecture}, which is {found.ModelType}");
        return found;
    }

    private static void RefuseUnsupported(JsonSection config, Family family)
    {
        if (config.Text("hidden_act") is string activation and not ("silu" or "swish"))
            throw config.Bad("hidden_act", "must be silu: no other activation is supported");
        if (family.ModelType == "llama" && config.Flag("mlp_bias", false))
            throw config.Bad("mlp_bias", "is not supported: use a model whose feed-forward layers have no bias");
        if (config.Has("quantization_config"))
            throw config.Bad("quantization_config", "asks for quantised weights, which are not supported: use the model's BF16, F16 or F32 weights");
    }

    /// <summary>A window over the keys is not supported; one that no sequence can outgrow does not matter.</summary>
    private static void RefuseSlidingWindow(JsonSection config, Family family, int layers, int positions)
    {
        bool used = family.ModelType switch
        {
            "mistral" => true,
            "qwen2" or "qwen3" => config.Flag("use_sliding_window", false)
                && (config.Has("layer_types") ? config.Lists("layer_types", "sliding_attention") : config.Count("max_window_layers", MostLayers, 28) < layers),
            _ => false,
        };
        // Hugging Face's default is 4096 where the key is absent; where it is null there is no window.
        if (used && !config.IsNull("sliding_window") && config.Count("sliding_window", int.MaxValue, 4096) is int window && window < positions)
            throw config.Bad("sliding_window", $"of {window} is smaller than max_position_embeddings, {positions}, and attention over a sliding window is not supported: use a model without one");
    }

    private sealed record Family(string Architecture, string ModelType, int? DefaultKeyHeads, int DefaultPositions, int? DefaultHeadSize = null);
}
