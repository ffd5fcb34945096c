using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Tests.Models;

/// <summary>Small models for tests: the bundled one, the golden ones, and random ones of families that have no golden values.</summary>
internal static class SmallModels
{
    public const string Qwen3 = """
        {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "hidden_size": 40, "intermediate_size": 72, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 18, "vocab_size": 301, "max_position_embeddings": 128, "rms_norm_eps": 1e-06,
         "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "float32", "eos_token_id": 300, "attention_bias": false}
        """;

    public const string Qwen2Half = """
        {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 42, "intermediate_size": 50, "num_hidden_layers": 2,
         "num_attention_heads": 3, "num_key_value_heads": 1, "vocab_size": 271, "max_position_embeddings": 96, "rms_norm_eps": 1e-06,
         "rope_theta": 10000.0, "tie_word_embeddings": true, "torch_dtype": "float16", "eos_token_id": 270}
        """;

    /// <summary>Opens a model without its tokenizer, runs something with it, and closes it.</summary>
    public static void With(string folder, int threads, Action<LanguageModel> action)
    {
        using CpuBackend backend = new(threads);
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(folder, backend);
        action(model);
    }

    /// <summary>Writes a random model of a configuration and runs something with it.</summary>
    public static void WithRandom(string config, ElementType type, Action<LanguageModel> action, float deviation = 0.2f)
    {
        string folder = Directory.CreateTempSubdirectory("elm-model-").FullName;
        try
        {
            new RandomCheckpoint { Config = config, Type = type, Seed = 7, Deviation = deviation }.Write(folder);
            With(folder, 2, action);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>A soft prompt of small random values.</summary>
    public static float[] SoftPrompt(LanguageModel model, int rows, int seed)
    {
        Random random = new(seed);
        float[] values = new float[rows * model.HiddenSize];
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(model.EmbeddingRms * (2 * random.NextDouble() - 1));
        return values;
    }

    /// <summary>Random token ids.</summary>
    public static int[] Ids(LanguageModel model, int count, int seed)
    {
        Random random = new(seed);
        int[] ids = new int[count];
        for (int i = 0; i < count; i++)
            ids[i] = random.Next(model.Config.VocabularySize);
        return ids;
    }
}
