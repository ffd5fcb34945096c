using ElmNative.Transformers.Checkpoints;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>config.json of each family, its defaults, and what is refused.</summary>
[TestClass]
public sealed class ModelConfigTests
{
    private const string Small = """ "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 11""";

    [TestMethod]
    public void EveryKeyIsRead()
    {
        ModelConfig config = Config(TinyConfig);
        Assert.AreEqual((8, 12, 2, 2, 1, 4), (config.HiddenSize, config.IntermediateSize, config.Layers, config.QueryHeads, config.KeyHeads, config.HeadSize));
        Assert.AreEqual((11, 64, 1e-6f, false), (config.VocabularySize, config.MaxPositions, config.RmsNormEpsilon, config.TiedHead));
        CollectionAssert.AreEqual(new[] { 3 }, config.EndTokens.ToArray());
    }

    [TestMethod]
    [DataRow("LlamaForCausalLM", "llama", 2048, 4, false, false)]
    [DataRow("MistralForCausalLM", "mistral", 4096, 4, false, false)]
    [DataRow("Qwen2ForCausalLM", "qwen2", 32768, 4, true, false)]
    [DataRow("Qwen2ForProcessRewardModel", "qwen2", 32768, 4, true, false)]
    [DataRow("Qwen3ForCausalLM", "qwen3", 32768, 128, false, true)]
    public void DefaultsAreHuggingFaces(string architecture, string modelType, int positions, int headSize, bool bias, bool norm)
    {
        // Mistral's own default of 131072 positions comes with a window of 4096, which would matter.
        string extra = modelType == "mistral" ? """, "max_position_embeddings": 4096""" : "";
        ModelConfig config = Config($$"""{"architectures": ["{{architecture}}"], "num_key_value_heads": null, {{Small}}{{extra}}}""");
        Assert.AreEqual((architecture, modelType, positions, headSize), (config.Architecture, config.ModelType, config.MaxPositions, config.HeadSize));
        Assert.AreEqual((bias, norm, false), (config.AttentionBias, config.QueryKeyNorm, config.TiedHead));
        Assert.AreEqual((1e-6f, 1.0), (config.RmsNormEpsilon, config.RotaryScale));
        Assert.AreEqual(Math.Pow(10000, -2.0 / headSize), config.RotaryFrequencies[1], 1e-15);
        Assert.HasCount(headSize / 2, config.RotaryFrequencies);
        Assert.HasCount(0, config.EndTokens);
    }

    [TestMethod]
    public void LlamaWithoutKeyHeadsHasOneForEachQueryHead()
    {
        Assert.AreEqual(2, Config($$"""{"architectures": ["LlamaForCausalLM"], {{Small}}}""").KeyHeads);
        Assert.AreEqual(2, Config($$"""{"model_type": "llama", {{Small}}}""").KeyHeads);
        Assert.IsTrue(Config($$"""{"model_type": "llama", "attention_bias": true, {{Small}}}""").AttentionBias);
    }

    [TestMethod]
    public void HeadSizeMayDifferFromHiddenOverHeads() =>
        Assert.AreEqual(6, Config(TinyConfig.Replace("\"hidden_size\": 8", "\"hidden_size\": 9, \"head_dim\": 6")).HeadSize);

    [TestMethod]
    [DataRow("[4, 5, 4]", null, "4,5")]
    [DataRow("4", """{"eos_token_id": 7}""", "7")]
    [DataRow("4", """{"eos_token_id": [7, 8]}""", "7,8")]
    [DataRow("4", """{"eos_token_id": null, "temperature": 0.7}""", "4")]
    [DataRow("4", """{"eos_token_id": []}""", "")]
    [DataRow("null", null, "")]
    public void EndTokensComeFromTheGenerationConfigFirst(string ids, string? generation, string expected) =>
        Assert.AreEqual(expected, string.Join(",", Config(TinyConfig.Replace("\"eos_token_id\": 3", $"\"eos_token_id\": {ids}"), generation).EndTokens));

    [TestMethod]
    [DataRow("float32")]
    [DataRow("float16")]
    [DataRow("auto")]
    public void TheDeclaredTypeDoesNotMatter(string type)
    {
        Assert.AreEqual(8, Config(TinyConfig.Replace("bfloat16", type)).HiddenSize);
        Assert.AreEqual(8, Config(TinyConfig.Replace("torch_dtype", "dtype").Replace("bfloat16", type)).HiddenSize);
    }

    [TestMethod]
    [DataRow("\"Qwen2ForCausalLM\"", "\"GPT2LMHeadModel\"", "architectures", "GPT2LMHeadModel", "Qwen2ForCausalLM, Qwen2ForProcessRewardModel, Qwen3ForCausalLM, LlamaForCausalLM, MistralForCausalLM")]
    [DataRow("[\"Qwen2ForCausalLM\"], \"model_type\": \"qwen2\"", "[]", "architectures", "Qwen2ForCausalLM, ")]
    [DataRow("[\"Qwen2ForCausalLM\"]", "7", "architectures", "list")]
    [DataRow("\"qwen2\"", "\"llama\"", "model_type", "qwen2")]
    [DataRow("\"silu\"", "\"gelu\"", "hidden_act", "silu")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": 0", "hidden_size", "from 1")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": \"8\"", "hidden_size", "whole number")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": 8.5", "hidden_size", "8.5")]
    [DataRow("\"hidden_size\": 8,", "", "hidden_size", "has no")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": 9", "num_attention_heads", "hidden_size, 9")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": 6", "head_dim", "even")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": 100000", "num_attention_heads", "50000 elements")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": 1000000000", "hidden_size", "1000000000")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": 8, \"head_dim\": 7", "head_dim", "even")]
    [DataRow("\"intermediate_size\": 12", "\"intermediate_size\": -1", "intermediate_size")]
    [DataRow("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2000000", "num_hidden_layers")]
    [DataRow("\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3", "num_key_value_heads", "divide")]
    [DataRow("\"num_key_value_heads\": 1,", "", "num_key_value_heads", "32")]
    [DataRow("\"vocab_size\": 11", "\"vocab_size\": 1e18", "vocab_size")]
    [DataRow("1e-06", "0", "rms_norm_eps")]
    [DataRow("1e-06", "\"x\"", "rms_norm_eps")]
    [DataRow("10000.0", "1e400", "rope_theta")]
    [DataRow("10000.0", "-5", "rope_theta")]
    [DataRow("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 99999999999", "max_position_embeddings")]
    [DataRow("\"eos_token_id\": 3", "\"eos_token_id\": 11", "eos_token_id", "from 0 to 10")]
    [DataRow("\"eos_token_id\": 3", "\"eos_token_id\": [1, -1]", "eos_token_id")]
    [DataRow("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": \"no\"", "tie_word_embeddings", "true or false")]
    [DataRow("\"hidden_act\"", "\"quantization_config\": {}, \"hidden_act\"", "quantization_config", "quantised")]
    [DataRow("\"hidden_act\"", "\"partial_rotary_factor\": 0.5, \"hidden_act\"", "partial_rotary_factor")]
    [DataRow("\"hidden_act\"", "\"use_sliding_window\": true, \"sliding_window\": 32, \"max_window_layers\": 1, \"hidden_act\"", "sliding_window", "32", "64")]
    [DataRow("\"hidden_act\"", "\"use_sliding_window\": true, \"sliding_window\": 32, \"layer_types\": [\"full_attention\", \"sliding_attention\"], \"hidden_act\"", "sliding_window")]
    [DataRow("\"hidden_act\"", "\"rope_scaling\": 4, \"hidden_act\"", "rope_scaling", "object")]
    [DataRow("\"hidden_act\"", "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}, \"hidden_act\"", "rope_scaling.type", "dynamic", "yarn")]
    [DataRow("\"hidden_act\"", "\"rope_scaling\": {\"rope_type\": \"longrope\", \"factor\": 2}, \"hidden_act\"", "rope_scaling.rope_type", "longrope")]
    [DataRow("\"hidden_act\"", "\"rope_scaling\": {\"factor\": 2}, \"hidden_act\"", "rope_scaling.rope_type", "missing")]
    [DataRow("\"hidden_act\"", "\"rope_scaling\": {\"rope_type\": \"linear\"}, \"hidden_act\"", "rope_scaling.factor", "has no")]
    [DataRow("\"hidden_act\"", "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 0}, \"hidden_act\"", "rope_scaling.factor")]
    [DataRow("\"hidden_act\"", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 32}, \"hidden_act\"", "high_freq_factor", "larger")]
    [DataRow("\"hidden_act\"", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4, \"beta_fast\": 1, \"beta_slow\": 2}, \"hidden_act\"", "beta_fast")]
    [DataRow("\"hidden_act\"", "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}, \"sliding_attention\": {\"rope_type\": \"default\"}}, \"hidden_act\"", "rope_parameters", "kinds of layers")]
    [DataRow("\"hidden_size\": 8", "\"hidden_size\": 8, \"hidden_size\": 8", "JSON")]
    [DataRow("\"silu\"", "\"\\ud800\"", "hidden_act", "Unicode")]
    [DataRow("}", "", "JSON")]
    public void Refusals(string old, string replacement, params string[] parts)
    {
        StringAssert.Contains(TinyConfig, old);
        Refused(() => Config(TinyConfig.Replace(old, replacement)), ["config.json", .. parts]);
    }

    [TestMethod]
    [DataRow("\"use_sliding_window\": false, \"sliding_window\": 32, \"max_window_layers\": 1")]
    [DataRow("\"use_sliding_window\": true, \"sliding_window\": 64, \"max_window_layers\": 1")]
    [DataRow("\"use_sliding_window\": true, \"sliding_window\": null, \"max_window_layers\": 1")]
    [DataRow("\"use_sliding_window\": true, \"sliding_window\": 32, \"max_window_layers\": 2")]
    [DataRow("\"use_sliding_window\": true, \"sliding_window\": 32, \"layer_types\": [\"full_attention\", \"full_attention\"]")]
    [DataRow("\"rope_scaling\": null")]
    [DataRow("\"rope_scaling\": {}")]
    [DataRow("\"partial_rotary_factor\": 1.0")]
    public void HarmlessSettingsAreAccepted(string setting) =>
        Assert.AreEqual(64, Config(TinyConfig.Replace("\"hidden_act\"", setting + ", \"hidden_act\"")).MaxPositions);

    [TestMethod]
    [DataRow("LlamaForCausalLM", "\"mlp_bias\": true", "mlp_bias")]
    [DataRow("MistralForCausalLM", "\"max_position_embeddings\": 8192, \"sliding_window\": 4096", "sliding_window")]
    [DataRow("MistralForCausalLM", "\"max_position_embeddings\": 8192", "4096")]
    public void RefusalsOfOneFamily(string architecture, string setting, string part) =>
        Refused(() => Config($$"""{"architectures": ["{{architecture}}"], "num_key_value_heads": 2, {{Small}}, {{setting}}}"""), "config.json", part);

    [TestMethod]
    [DataRow("\"sliding_window\": null")]
    [DataRow("\"sliding_window\": 8192")]
    public void MistralWithoutAWindowThatMatters(string setting) =>
        Assert.AreEqual("mistral", Config($$"""{"architectures": ["MistralForCausalLM"], "num_key_value_heads": 2, {{Small}}, "max_position_embeddings": 8192, {{setting}}}""").ModelType);

    [TestMethod]
    public void ABadGenerationConfigIsNamed() => Refused(() => Config(TinyConfig, """{"eos_token_id": "x"}"""), "generation_config.json", "eos_token_id");

    [TestMethod]
    public void MissingAndUnreadableFiles()
    {
        using TemporaryFolder folder = new();
        Refused(() => ModelConfig.Load(folder.PathOf("none")), folder.PathOf("none"), "does not exist");
        Refused(() => ModelConfig.Load(folder.Root), folder.PathOf("config.json"), "does not exist");
        Refused(() => ModelConfig.Load(folder.Write("config.json", "[]")), "is a file", "folder");
        Refused(() => ModelConfig.Load(folder.Root), folder.PathOf("config.json"), "not a JSON object");
        folder.Write("config.json", "{\n\"a\": tru\n}");
        Refused(() => ModelConfig.Load(folder.Root), folder.PathOf("config.json"), "line 2");
        folder.Write("config.json", "");
        Refused(() => ModelConfig.Load(folder.Root), folder.PathOf("config.json"), "not valid JSON");
        folder.Write("config.json", TinyConfig);
        Assert.AreEqual(8, ModelConfig.Load(folder.Root).HiddenSize);
        folder.Write("generation_config.json", "{");
        Refused(() => ModelConfig.Load(folder.Root), folder.PathOf("generation_config.json"), "not valid JSON");
        folder.Write("generation_config.json", """{"eos_token_id": [5, 6]}""");
        CollectionAssert.AreEqual(new[] { 5, 6 }, ModelConfig.Load(folder.Root).EndTokens.ToArray());
    }
}
