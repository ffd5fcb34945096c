using System.Globalization;
using CommandLine;
using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Verbs;

/// <summary>Options of the verbs that train memories. What is not given comes from the preset.</summary>
internal abstract class TrainingOptions : ModelOptions
{
    [Option("preset", MetaValue = "NAME", HelpText = "Settings to start from: tiny, paper-qwen or paper-llama (default: tiny for the bundled model, else the model's family).")]
    public string? Preset { get; set; }

    [Option("steps", MetaValue = "N", HelpText = "Training steps of a memory; 0 stores it untrained.")]
    public int? Steps { get; set; }

    [Option("group", MetaValue = "G", HelpText = "Rollouts of a step.")]
    public int? Group { get; set; }

    [Option("lr", MetaValue = "X|auto", HelpText = "Step size; auto is a fraction of the RMS of the embedding matrix (0.136: 0.02 on the bundled model; 0.05 in the paper presets).")]
    public string? LearningRate { get; set; }

    [Option("beta", MetaValue = "X", HelpText = "Weight of the KL term against the model without a memory.")]
    public double? Beta { get; set; }

    [Option("temperature", MetaValue = "T", HelpText = "Sampling temperature of the rollouts.")]
    public double? Temperature { get; set; }

    [Option("objective", MetaValue = "vote|truth|sft", HelpText = "What a rollout is rewarded for: agreeing with the majority, being right, or SFT on the greedy response.")]
    public Objective? Objective { get; set; }

    [Option("scale-rewards", MetaValue = "group|none", HelpText = "Divide advantages by the group's standard deviation, or not.")]
    public RewardScale? ScaleRewards { get; set; }

    [Option("vote", MetaValue = "equivalence|exact", HelpText = "Count equivalent answers as one, or exact strings (TTRL).")]
    public VoteCounting? Vote { get; set; }

    [Option("box", MetaValue = "last|first", HelpText = "Which boxed answer of a response counts.")]
    public BoxChoice? Box { get; set; }

    [Option("init", MetaValue = "text|bins", HelpText = "First values of a memory: the question's first tokens repeated or cut, or means over stretches of it.")]
    public InitialisationKind? Initialisation { get; set; }

    [Option("rows", MetaValue = "N", HelpText = "Rows of a memory.")]
    public int? Rows { get; set; }

    [Option("max-tokens", MetaValue = "N", HelpText = "Length limit of a completion.")]
    public int? MaxTokens { get; set; }

    [Option("prompt", MetaValue = "chat|raw", HelpText = "Use the model's chat template, or the bare text.")]
    public PromptKind? Prompt { get; set; }

    [Option("seed", MetaValue = "S", Default = 0UL, HelpText = "Seed of the rollouts.")]
    public ulong Seed { get; set; }

    [Option("activation-memory", MetaValue = "SIZE", Default = "4G", HelpText = "Memory for the activations of a backward pass, as 512M or 4G; past it groups run in turn, and layers are recomputed. Changes no result.")]
    public string ActivationMemorySize { get; set; } = "4G";

    /// <summary>Memories trained side by side.</summary>
    protected virtual int SideBySide => 1;

    /// <inheritdoc/>
    protected override MemoryDemand DemandOn(ModelConfig config)
    {
        const int promptAllowance = 512;
        TrainingSettings settings = Presets.Named(Preset ?? (Model is null ? "tiny" : PresetOf(config.ModelType)));
        int tokens = MaxTokens ?? settings.MaxTokens, prefix = (Rows ?? settings.Rows) + promptAllowance, group = Group ?? settings.Group;
        long tree = prefix + (long)group * tokens;
        return new MemoryDemand
        {
            Sequences = group * SideBySide, Positions = prefix + tokens, TreeRows = (int)Math.Min(int.MaxValue, tree), TrainingRows = (int)Math.Min(int.MaxValue, tree * SideBySide), ActivationMemory = ActivationMemory,
        };
    }

    /// <summary>Bytes for the activations of a backward pass.</summary>
    public long ActivationMemory => ParseSize(ActivationMemorySize, "--activation-memory");

    /// <summary>The name of the preset that applies to a model.</summary>
    public string PresetFor(LanguageModel model) =>
        Preset ?? (Bundled.Is(model) ? "tiny" : PresetOf(model.ModelType));

    private static string PresetOf(string modelType) => modelType.StartsWith("qwen", StringComparison.Ordinal) ? "paper-qwen" : "paper-llama";

    /// <summary>The preset with everything that was given put in.</summary>
    public TrainingSettings SettingsFor(LanguageModel model)
    {
        TrainingSettings preset = Presets.Named(PresetFor(model));
        return preset with
        {
            Steps = Steps ?? preset.Steps,
            Group = Group ?? preset.Group,
            LearningRate = ParseRate() ?? preset.LearningRate,
            Beta = Beta ?? preset.Beta,
            Temperature = Temperature ?? preset.Temperature,
            Objective = Objective ?? preset.Objective,
            ScaleByStd = ScaleRewards is { } scale ? scale == RewardScale.Group : preset.ScaleByStd,
            VoteRule = Vote is { } vote ? vote == VoteCounting.Exact ? VoteRule.ExactString : VoteRule.Equivalence : preset.VoteRule,
            Box = Box ?? preset.Box,
            Initialisation = Initialisation ?? preset.Initialisation,
            Rows = Rows ?? preset.Rows,
            MaxTokens = MaxTokens ?? preset.MaxTokens,
            RawPrompt = Prompt is { } prompt ? prompt == PromptKind.Raw : preset.RawPrompt,
            Seed = Seed,
        };
    }

    /// <summary>A number of bytes such as 1000000, 64K, 512M or 4G.</summary>
    private static long ParseSize(string text, string option)
    {
        int shift = text.Length == 0 ? 0 : char.ToUpperInvariant(text[^1]) switch { 'K' => 10, 'M' => 20, 'G' => 30, _ => 0 };
        return long.TryParse(shift == 0 ? text : text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number > 0 && number <= long.MaxValue >> shift
            ? number << shift
            : throw new ElmException($"{option} is '{text}': it must be a size such as 512M or 4G");
    }

    private double? ParseRate()
    {
        if (LearningRate is null or "auto")
            return null;
        return double.TryParse(LearningRate, NumberStyles.Float, CultureInfo.InvariantCulture, out double rate)
            ? rate
            : throw new ElmException($"--lr is '{LearningRate}': it must be a number or auto");
    }
}

/// <summary>What advantages are divided by.</summary>
internal enum RewardScale
{
    Group,
    None,
}

/// <summary>What counts as one answer in the vote.</summary>
internal enum VoteCounting
{
    Equivalence,
    Exact,
}

/// <summary>How a problem becomes a prompt.</summary>
internal enum PromptKind
{
    Chat,
    Raw,
}
