using System.Text;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// config.json of released models, by name: what a model of random weights is made from, for tests and benchmarks without a download. The numbers of parameters are those of the released
/// checkpoints.
/// </summary>
public static class ModelShapes
{
    /// <summary>In the shape of Qwen2.5-0.5B-Instruct: 494,032,768 parameters.</summary>
    public const string Qwen25Half = """
        {
          "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
          "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936,
          "max_position_embeddings": 32768,
          "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "eos_token_id": 151645,
          "use_sliding_window": false, "sliding_window": 32768, "max_window_layers": 21
        }
        """;

    /// <summary>In the shape of Qwen2.5-1.5B-Instruct: 1,543,714,304 parameters.</summary>
    public const string Qwen25OneAndAHalf = """
        {
          "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 1536, "intermediate_size": 8960,
          "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936,
          "max_position_embeddings": 32768,
          "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "eos_token_id": 151645,
          "use_sliding_window": false, "sliding_window": 32768, "max_window_layers": 21
        }
        """;

    /// <summary>In the shape of Qwen2.5-Math-7B-Instruct: 7,615,616,512 parameters.</summary>
    public const string Qwen25MathSeven = """
        {
          "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 3584, "intermediate_size": 18944,
          "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
          "max_position_embeddings": 4096,
          "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "eos_token_id": 151645,
          "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28
        }
        """;

    /// <summary>In the shape of Llama-3.2-1B-Instruct: 1,235,814,400 parameters.</summary>
    public const string Llama32One = """
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 2048,
          "intermediate_size": 8192,
          "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
          "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": true,
          "torch_dtype": "bfloat16", "attention_bias": false, "mlp_bias": false, "eos_token_id": [128001, 128008, 128009],
          "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                           "original_max_position_embeddings": 8192}
        }
        """;

    /// <summary>In the shape of Llama-3.1-8B-Instruct: 8,030,261,248 parameters.</summary>
    public const string Llama31Eight = """
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 4096,
          "intermediate_size": 14336,
          "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256,
          "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": false,
          "torch_dtype": "bfloat16", "attention_bias": false, "mlp_bias": false, "eos_token_id": [128001, 128008, 128009],
          "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                           "original_max_position_embeddings": 8192}
        }
        """;

    /// <summary>config.json of Qwen2.5-Math-PRM-7B, with narrower and fewer layers and a smaller vocabulary.</summary>
    public const string SmallPrm = """
        {
          "architectures": ["Qwen2ForProcessRewardModel"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 224,
          "intermediate_size": 1184,
          "num_hidden_layers": 4, "num_attention_heads": 7, "num_key_value_heads": 1, "vocab_size": 2048, "max_position_embeddings": 4096,
          "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "eos_token_id": 258,
          "use_sliding_window": false, "sliding_window": null, "max_window_layers": 28, "num_labels": 2
        }
        """;

    /// <summary>In the shape of the bundled model: 684,032 parameters.</summary>
    public const string TinyMath = """
        {
          "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 128, "intermediate_size": 256,
          "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 719, "max_position_embeddings": 1024,
          "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "eos_token_id": 717,
          "use_sliding_window": false
        }
        """;

    private static readonly (string Name, string Config)[] All =
    [
        ("qwen2.5-0.5b", Qwen25Half), ("qwen2.5-1.5b", Qwen25OneAndAHalf), ("qwen2.5-math-7b", Qwen25MathSeven), ("llama-3.2-1b", Llama32One), ("llama-3.1-8b", Llama31Eight), ("prm-small", SmallPrm), ("tiny-math", TinyMath),
    ];

    /// <summary>The names.</summary>
    public static IEnumerable<string> Names => All.Select(shape => shape.Name);

    /// <summary>Text of config.json of a name, for <see cref="RandomCheckpoint.Config"/>.</summary>
    /// <exception cref="ElmException">there is no shape of that name: says which there are</exception>
    public static string Json(string name) => All.FirstOrDefault(shape => shape.Name == name).Config
        ?? throw new ElmException($"there is no model shape {Sentences.Quote(name)}: name one of {string.Join(", ", Names)}");

    /// <summary>The configuration of a name.</summary>
    /// <exception cref="ElmException">there is no shape of that name: says which there are</exception>
    public static ModelConfig Config(string name) => Parse(Json(name), name);

    /// <summary>The configuration that a text of config.json describes.</summary>
    internal static ModelConfig Parse(string json, string name) => ModelConfig.Read(JsonSection.Parse(Encoding.UTF8.GetBytes(json), name), null);
}
