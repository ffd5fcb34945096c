using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Tests.Memories;

[TestClass]
public class PeftFolderTests
{
    private const string Question = "A rectangle is 11 cm long and 3 cm wide. What is its area?";

    private static void With(Action<LanguageModel, ModelPolicy, Memory, string> action)
    {
        string folder = Directory.CreateTempSubdirectory("elm-peft-").FullName;
        try
        {
            using CpuBackend backend = new(2);
            using LanguageModel model = LanguageModel.Load(Repository.TinyMath, backend);
            ModelPolicy policy = new(model);
            float[] rows = MemoryInitialiser.Start(policy, Question, 20, InitialisationKind.Text).Rows;
            rows[0] = 1e-42f;
            rows[1] = -0.0f;
            Memory memory = new(rows, Retrieval.Mean(rows, policy.HiddenSize), policy.PoolKeys([rows], 0)[0],
                new Provenance(Question, "q1", 3, "33", 0.75, 4, 9, policy.Fingerprint, policy.ModelType, "{}"));
            action(model, policy, memory, folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void AssertSameBits(float[] expected, float[] actual) =>
        CollectionAssert.AreEqual(expected.Select(BitConverter.SingleToInt32Bits).ToArray(), actual.Select(BitConverter.SingleToInt32Bits).ToArray());

    [TestMethod]
    public void AMemoryGoesOutAndComesBackWithTheSameBits() => With((model, policy, memory, folder) =>
    {
        string adapter = Path.Combine(folder, "adapter");
        PeftFolder.Export(adapter, memory, "Qwen/Qwen2.5-Math-7B", model.Config.QueryHeads, model.Layers);
        Memory back = PeftFolder.Import(adapter, policy);
        AssertSameBits(memory.Rows, back.Rows);
        AssertSameBits(memory.InputKey, back.InputKey);
        AssertSameBits(memory.KvKey, back.KvKey);
        Assert.AreEqual(Question, back.Provenance.Problem);

        string bare = Path.Combine(folder, "bare.safetensors");
        PeftFolder.ExportEmbeddings(bare, memory);
        AssertSameBits(memory.Rows, PeftFolder.Import(bare, policy).Rows);
        using SafetensorsFile file = SafetensorsFile.Open(bare);
        CollectionAssert.AreEqual(new[] { "prompt_embeds" }, file.Names.ToArray());
    });

    /// <summary>The keys of PEFT's PromptTuningConfig in its order, and the one tensor that PEFT's save_pretrained writes.</summary>
    [TestMethod]
    public void TheFolderHasPeftsKeysShapesAndTypes() => With((model, policy, memory, folder) =>
    {
        PeftFolder.Export(folder, memory, "base", model.Config.QueryHeads, model.Layers);
        using JsonDocument config = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "adapter_config.json")));
        string[] names = [.. config.RootElement.EnumerateObject().Select(property => property.Name)];
        CollectionAssert.AreEqual(new[]
        {
            "auto_mapping", "base_model_name_or_path", "inference_mode", "num_attention_heads", "num_layers", "num_transformer_submodules", "num_virtual_tokens", "peft_type",
            "prompt_tuning_init", "prompt_tuning_init_text", "revision", "task_type", "token_dim", "tokenizer_kwargs", "tokenizer_name_or_path",
        }, names);
        Assert.AreEqual("PROMPT_TUNING", config.RootElement.GetProperty("peft_type").GetString());
        Assert.AreEqual(20, config.RootElement.GetProperty("num_virtual_tokens").GetInt32());
        Assert.AreEqual(128, config.RootElement.GetProperty("token_dim").GetInt32());
        Assert.AreEqual(4, config.RootElement.GetProperty("num_attention_heads").GetInt32());
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "adapter_model.safetensors"));
        StoredTensor rows = file.Get("prompt_embeddings", 20, 128);
        Assert.AreEqual(ElementType.F32, rows.Type);
        Assert.HasCount(1, file.Tensors);
        Assert.AreEqual("pt", file.Metadata["format"]);
    });

    [TestMethod]
    public void WhatIsNoSoftPromptIsRefused() => With((model, policy, memory, folder) =>
    {
        StringAssert.Contains(Refusal(() => PeftFolder.Import(Path.Combine(folder, "none"), policy)), "does not exist");
        PeftFolder.Export(folder, memory, "base", 4, 4);
        StringAssert.Contains(Refusal(() => PeftFolder.Export(folder, memory, "base", 4, 4)), "already holds an adapter");
        string config = Path.Combine(folder, "adapter_config.json"), text = File.ReadAllText(config);
        File.WriteAllText(config, text.Replace("PROMPT_TUNING", "LORA"));
        StringAssert.Contains(Refusal(() => PeftFolder.Import(folder, policy)), "LORA");
        File.WriteAllText(config, text[..20]);
        StringAssert.Contains(Refusal(() => PeftFolder.Import(folder, policy)), "adapter_config.json");
        File.WriteAllText(config, text);
        SafetensorsWriter.Write(Path.Combine(folder, "adapter_model.safetensors"), [TensorToWrite.F32("prompt_embeddings", new float[40], 20, 2)]);
        StringAssert.Contains(Refusal(() => PeftFolder.Import(folder, policy)), "prompt_embeddings");
    });

    private static string Refusal(Action action) => Assert.ThrowsExactly<ElmException>(action).Message;
}
