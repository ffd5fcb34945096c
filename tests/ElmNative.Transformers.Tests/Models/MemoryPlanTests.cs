using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;
using static ElmNative.Transformers.Tests.Models.SmallModels;

namespace ElmNative.Transformers.Tests.Models;

[TestClass]
public class MemoryPlanTests
{
    private const long GiB = 1L << 30;

    private static readonly ModelConfig Seven = ModelShapes.Config("qwen2.5-math-7b"), Eight = ModelShapes.Config("llama-3.1-8b");

    private static MemoryPlan Plan(ModelConfig config, MemoryDemand demand) => MemoryPlan.Of(config, ElementType.BF16, 8, demand);

    /// <summary>Numbers added up by hand from the shapes: each tensor rounded up to a sixteenth of the next power of two.</summary>
    [TestMethod]
    public void PlansOfKnownShapesAreExact()
    {
        MemoryPlan step = Plan(Seven, new MemoryDemand { Sequences = 8, Positions = 920, TrainingRows = 5800, TreeRows = 5800 });
        CollectionAssert.AreEqual(new[] { 15_231_233_024, 440_401_920, 252_207_104, 3_918_135_296, 512L << 20 }, step.Parts.Select(part => part.Bytes).ToArray());
        Assert.AreEqual(step.Parts.Sum(part => part.Bytes), step.Total);
        Assert.AreEqual("memory: weights 14.19 GiB (7,615,616,512 parameters), keys and values 420.00 MiB (7,360 positions), decoding 240.52 MiB (8 completions of up to 920 positions), "
            + "training 3.65 GiB (5,800 rows, layers computed twice), workspace 512.00 MiB (an allowance), 18.98 GiB in all", step.ToString());

        MemoryPlan budgeted = Plan(Eight, new MemoryDemand { Sequences = 64, Positions = 2000, TrainingRows = 1000, TreeRows = 1000, ActivationMemory = 8 * GiB, Workspace = 0 });
        CollectionAssert.AreEqual(new[] { 16_060_522_496, 4 * GiB, 251_920_384, 3_795_845_120, 0 }, budgeted.Parts.Select(part => part.Bytes).ToArray());
    }

    [TestMethod]
    public void BudgetsBoundTheirParts()
    {
        MemoryDemand demand = new() { Sequences = 500, Positions = 3000, TrainingRows = 1_000_000, TreeRows = 3000 };
        MemoryPlan plan = Plan(Seven, demand);
        Assert.IsLessThanOrEqualTo(demand.KeyValueBudget * 9 / 8, plan.Parts[1].Bytes);
        // a step of many prompts is split where the largest one fits the activation memory alone
        MemoryPlan small = Plan(Seven, demand with { TreeRows = 800 });
        Assert.IsLessThan(demand.ActivationMemory * 5 / 4 + GiB, small.Parts[3].Bytes);
        Assert.AreEqual(0, Plan(Seven, demand with { TrainingRows = 0 }).Parts[3].Bytes);
        Assert.AreEqual(Plan(Seven, demand).Total + 5, Plan(Seven, demand with { OtherWeights = 5 }).Total);
        // positions beyond the context do not come
        Assert.AreEqual(Plan(Seven, demand with { Positions = 4096 }).Total, Plan(Seven, demand with { Positions = 10_000 }).Total);
    }

    [TestMethod]
    public void WhatDoesNotFitIsRefusedWithTheNumbers()
    {
        MemoryPlan step = Plan(Seven, new MemoryDemand { Sequences = 8, Positions = 920, TrainingRows = 5800, TreeRows = 5800 });
        step.Require(new DeviceMemory(24 * GiB, step.Total));
        string refusal = Assert.ThrowsExactly<ElmException>(() => step.Require(new DeviceMemory(24 * GiB, step.Total - 1))).Message;
        Assert.AreEqual("the run needs 18.98 GiB of device memory (weights 14.19 GiB, keys and values 420.00 MiB, decoding 240.52 MiB, training 3.65 GiB, workspace 512.00 MiB) and 18.98 GiB of 24.00 GiB "
            + "are free: lower --max-tokens or --group, or free memory on the device", refusal);
        string Advice(MemoryDemand demand) => Assert.ThrowsExactly<ElmException>(() => Plan(Seven, demand).Require(new DeviceMemory(24 * GiB, 15 * GiB))).Message.Split(": ")[1];
        StringAssert.Contains(Advice(new MemoryDemand { Sequences = 300, Positions = 2000 }), "--parallel");
        StringAssert.Contains(Advice(new MemoryDemand { Sequences = 8, Positions = 500, TrainingRows = 50_000, TreeRows = 900 }), "--activation-memory");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => step.Require(new DeviceMemory(16 * GiB, 14 * GiB))).Message, "smaller model");
    }

    /// <summary>A run stays within its plan, and the plan is no wild guess: loading, generation, and a training step with and without recomputation.</summary>
    [TestMethod]
    [DataRow(long.MaxValue)]
    [DataRow(1L << 20)]
    public void ARunStaysWithinItsPlan(long activationMemory)
    {
        const string wide = """
            {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
             "vocab_size": 700, "max_position_embeddings": 512, "eos_token_id": 1}
            """;
        using ContractBackend backend = new(new CpuBackend(2));
        using LanguageModel model = LanguageModel.Random(ModelShapes.Parse(wide, "wide"), backend);
        const int sequences = 5, prompt = 60, soft = 4, tokens = 90;
        GenerationRequest request = new(SoftPrompt(model, soft, 1), Ids(model, prompt, 1), sequences, tokens, new SamplingSettings(1f), default) { IgnoreEndTokens = true };
        Completion[] completions = new Generator(model).Generate([request])[0];
        using (PackedPass pass = model.Forward([new(request.SoftPrompt, request.PromptIds, [.. completions.Select(c => c.Tokens)])], 1, keepForBackward: true, activationMemory))
            pass.Backward([[.. completions.Select(c => c.LogProbs)]]);
        int rows = soft + prompt + sequences * (tokens - 1);
        MemoryPlan plan = MemoryPlan.Of(model.Config, backend,
            new MemoryDemand { Sequences = sequences, Positions = soft + prompt + tokens, TrainingRows = rows, TreeRows = rows, ActivationMemory = activationMemory, Workspace = 0 });
        Assert.IsLessThanOrEqualTo(plan.Total, backend.PeakBytes, plan.ToString());
        Assert.IsGreaterThan(plan.Total / 2, backend.PeakBytes, plan.ToString());
    }

    /// <summary>Buffers that wait for reuse go back to a full device before anything fails.</summary>
    [TestMethod]
    public void AFullDeviceTakesBackWhatNobodyUses()
    {
        using ContractBackend backend = new(new CpuBackend(1));
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(Repository.TinyMath, backend);
        float[] small = model.Trace(Ids(model, 20, 1)).Hidden, large = model.Trace(Ids(model, 400, 1)).Hidden;
        using ContractBackend tight = new(new CpuBackend(1)) { Capacity = backend.PeakBytes - 1 };
        using LanguageModel again = LanguageModel.LoadWithoutTokenizer(Repository.TinyMath, tight);
        CollectionAssert.AreEqual(small, again.Trace(Ids(model, 20, 1)).Hidden);
        CollectionAssert.AreEqual(large, again.Trace(Ids(model, 400, 1)).Hidden);
        tight.Capacity /= 2;
        again.Buffers.Trim();
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => again.Trace(Ids(model, 400, 1))).Message, "full");
    }
}
