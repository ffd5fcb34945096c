using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Experience.Memories;

/// <summary>
/// adapter_config.json of a PEFT prompt-tuning adapter: the keys that PEFT's PromptTuningConfig writes, in its alphabetical order.
/// </summary>
internal sealed record PeftConfig
{
    public object? AutoMapping { get; init; }
    public string? BaseModelNameOrPath { get; init; }
    public bool InferenceMode { get; init; } = true;
    public int NumAttentionHeads { get; init; }
    public int NumLayers { get; init; }
    public int NumTransformerSubmodules { get; init; } = 1;
    public int NumVirtualTokens { get; init; }
    public string PeftType { get; init; } = PromptTuning;
    public string PromptTuningInit { get; init; } = "TEXT";
    public string? PromptTuningInitText { get; init; }
    public string? Revision { get; init; }
    public string TaskType { get; init; } = "CAUSAL_LM";
    public int TokenDim { get; init; }
    public Dictionary<string, string>? TokenizerKwargs { get; init; }
    public string? TokenizerNameOrPath { get; init; }

    public const string PromptTuning = "PROMPT_TUNING";
}

/// <summary>JSON of <see cref="PeftConfig"/> without reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(PeftConfig))]
internal sealed partial class PeftJson : JsonSerializerContext;

/// <summary>
/// Memories as other programs take them: a PEFT prompt-tuning folder (adapter_config.json and adapter_model.safetensors with <c>prompt_embeddings</c>), and a bare
/// safetensors file of embeddings for clients of prompt-embedding APIs. The rows' bits are kept both ways.
/// </summary>
public static class PeftFolder
{
    private const string ConfigName = "adapter_config.json", WeightsName = "adapter_model.safetensors", RowsName = "prompt_embeddings", BareName = "prompt_embeds";

    /// <summary>Writes a PEFT folder.</summary>
    /// <param name="folder">made if need be; must not hold another adapter</param>
    /// <param name="memory">the memory</param>
    /// <param name="baseModel">name or path of the base model, for adapter_config.json</param>
    /// <param name="attentionHeads">query heads of the base model</param>
    /// <param name="layers">layers of the base model</param>
    /// <exception cref="ElmException">unwritable, or an adapter is there already</exception>
    public static void Export(string folder, Memory memory, string baseModel, int attentionHeads, int layers)
    {
        string weights = Path.Combine(folder, WeightsName), configPath = Path.Combine(folder, ConfigName);
        if (File.Exists(weights) || File.Exists(configPath))
            throw new ElmException($"{folder} already holds an adapter: name another folder");
        FileErrors.Explain(folder, () => Directory.CreateDirectory(folder));
        PeftConfig config = new()
        {
            BaseModelNameOrPath = baseModel,
            NumAttentionHeads = attentionHeads,
            NumLayers = layers,
            NumVirtualTokens = memory.RowCount,
            PromptTuningInitText = memory.Provenance.Problem,
            TokenDim = memory.HiddenSize,
            TokenizerNameOrPath = baseModel,
        };
        SafetensorsWriter.Write(weights, [TensorToWrite.F32(RowsName, memory.Rows, memory.RowCount, memory.HiddenSize)], new Dictionary<string, string> { ["format"] = "pt" });
        SafetensorsWriter.WriteText(configPath, Encoding.UTF8.GetBytes(JsonSerializer.Serialize(config, PeftJson.Default.PeftConfig)));
    }

    /// <summary>Writes a file with the one tensor <c>prompt_embeds</c> [rows, hidden], F32.</summary>
    /// <exception cref="ElmException">unwritable</exception>
    public static void ExportEmbeddings(string path, Memory memory) =>
        SafetensorsWriter.Write(path, [TensorToWrite.F32(BareName, memory.Rows, memory.RowCount, memory.HiddenSize)]);

    /// <summary>
    /// Reads a PEFT folder, or a bare file of embeddings, as a memory of a model; its keys are computed anew.
    /// </summary>
    /// <exception cref="ElmException">no prompt-tuning adapter, or rows of another width than the model's</exception>
    public static Memory Import(string path, IPolicy policy)
    {
        bool bare = File.Exists(path);
        string problem = "";
        if (!bare)
        {
            if (!Directory.Exists(path))
                throw new ElmException($"{path} does not exist: name a PEFT folder or a file of embeddings");
            problem = Config(Path.Combine(path, ConfigName)).PromptTuningInitText ?? "";
        }
        using SafetensorsFile file = SafetensorsFile.Open(bare ? path : Path.Combine(path, WeightsName));
        float[] rows = file.ReadF32(bare ? BareName : RowsName, -1, policy.HiddenSize);
        if (rows.Length == 0 || rows.Any(value => !float.IsFinite(value)))
            throw new ElmException($"{file.Path}: the soft prompt has no row, or a value that is not finite; export it again");
        return new Memory(rows, Retrieval.Mean(rows, policy.HiddenSize), policy.PoolKeys([rows], 0)[0],
            new Provenance(problem, null, 0, null, null, 0, 0, policy.Fingerprint, policy.ModelType, "{}"));
    }

    private static PeftConfig Config(string path)
    {
        if (!File.Exists(path))
            throw new ElmException($"{path} is missing: name a folder that PEFT's save_pretrained wrote");
        try
        {
            PeftConfig config = JsonSerializer.Deserialize(File.ReadAllText(path), PeftJson.Default.PeftConfig) ?? throw new JsonException("it is null");
            return config.PeftType == PeftConfig.PromptTuning
                ? config
                : throw new ElmException($"{path}: peft_type is {config.PeftType}, and only {PeftConfig.PromptTuning} is a soft prompt");
        }
        catch (JsonException e)
        {
            throw new ElmException($"{path} is no adapter configuration ({e.Message.TrimEnd('.')}): restore it", e);
        }
    }
}
