using System.Globalization;
using ElmNative.Compute;
using ElmNative.Experience.Answers;

namespace ElmNative.Experience.Learning;

/// <summary>What a memory is trained for.</summary>
public enum Objective
{
    /// <summary>GRPO; a rollout earns 1 when its answer is the group's majority answer.</summary>
    Vote,
    /// <summary>GRPO; a rollout earns 1 when its answer is the true one. Needs labelled problems.</summary>
    Truth,
    /// <summary>Supervised fine-tuning on the model's own greedy response.</summary>
    Sft,
}

/// <summary>Every choice in the training of a memory. The defaults are those of the bundled model.</summary>
public sealed record TrainingSettings
{
    /// <summary>
    /// The fraction of the embedding matrix's root mean square that <c>--lr auto</c> stands for: 0.02 on the bundled model.
    /// </summary>
    public const double AutoFraction = 0.136;

    /// <summary>What the memory is trained for.</summary>
    public Objective Objective { get; init; } = Objective.Vote;
    /// <summary>Training steps; a step whose rewards are all equal counts. 0 stores the initial memory.</summary>
    public int Steps { get; init; } = 10;
    /// <summary>Rollouts of a step.</summary>
    public int Group { get; init; } = 8;
    /// <summary>Length limit of a completion, its end token included; the S of the loss.</summary>
    public int MaxTokens { get; init; } = 120;
    /// <summary>Sampling temperature of the rollouts, and of the loss.</summary>
    public double Temperature { get; init; } = 1;
    /// <summary>Weight of the KL term against the model without a memory; 0 computes no reference.</summary>
    public double Beta { get; init; }
    /// <summary>Divide advantages by the group's standard deviation (GRPO) or not (Dr. GRPO).</summary>
    public bool ScaleByStd { get; init; }
    /// <summary>Step size; null for <see cref="LearningRateFraction"/> of the embedding matrix's root mean square.</summary>
    public double? LearningRate { get; init; }
    /// <summary>Unit of the automatic step size.</summary>
    public double LearningRateFraction { get; init; } = AutoFraction;
    /// <summary>Ratio clipping on both sides.</summary>
    public double ClipRange { get; init; } = 0.2;
    /// <summary>Norm that gradients are clipped to.</summary>
    public double MaxGradNorm { get; init; } = 1;
    /// <summary>Decoupled weight decay.</summary>
    public double WeightDecay { get; init; }
    /// <summary>Rows of a memory.</summary>
    public int Rows { get; init; } = 20;
    /// <summary>First values of a memory.</summary>
    public InitialisationKind Initialisation { get; init; } = InitialisationKind.Text;
    /// <summary>How the majority is counted.</summary>
    public VoteRule VoteRule { get; init; } = VoteRule.Equivalence;
    /// <summary>Which boxed answer of a response counts, in training and in the answers: a base model may run on into another problem after its box.</summary>
    public BoxChoice Box { get; init; } = BoxChoice.Last;
    /// <summary>Prompt without the model's chat template.</summary>
    public bool RawPrompt { get; init; }
    /// <summary>Seed of the rollouts.</summary>
    public ulong Seed { get; init; }

    /// <summary>These settings with the step size made explicit for a model.</summary>
    /// <exception cref="ElmException">a setting is out of its range: names it</exception>
    public TrainingSettings Resolve(IPolicy policy)
    {
        Require(Steps >= 0, "--steps", Steps, "0 or more");
        Require(Group >= 1, "--group", Group, "1 or more");
        Require(MaxTokens >= 1, "--max-tokens", MaxTokens, "1 or more");
        Require(Rows >= 1, "--rows", Rows, "1 or more");
        Require(Temperature is > 0 and <= 100, "--temperature", Temperature, "above 0 and at most 100");
        Require(Beta >= 0 && double.IsFinite(Beta), "--beta", Beta, "0 or more");
        Require(ClipRange is > 0 and < 1, "--clip", ClipRange, "between 0 and 1");
        Require(MaxGradNorm > 0, "--max-grad-norm", MaxGradNorm, "above 0");
        Require(WeightDecay >= 0 && double.IsFinite(WeightDecay), "--weight-decay", WeightDecay, "0 or more");
        double rate = LearningRate ?? AutoLearningRate(policy.EmbeddingRms, LearningRateFraction);
        Require(rate >= 0 && double.IsFinite(rate), "--lr", rate, "0 or more, or auto");
        return this with { LearningRate = rate };
    }

    /// <summary>A fraction of the embedding matrix's root mean square, rounded to two significant digits.</summary>
    public static double AutoLearningRate(double embeddingRms, double fraction = AutoFraction) =>
        double.Parse((fraction * embeddingRms).ToString("E1", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private static void Require(bool holds, string option, double value, string range)
    {
        if (!holds)
            throw new ElmException($"{option} is {value.ToString(CultureInfo.InvariantCulture)}: it must be {range}");
    }
}

/// <summary>Named settings.</summary>
public static class Presets
{
    /// <summary>
    /// The bundled model: Dr. GRPO without standard deviation, no KL term, 120 new tokens, temperature 1, step size 0.02 (auto).
    /// </summary>
    public static readonly TrainingSettings Tiny = new();

    /// <summary>
    /// The paper on Qwen2.5-Math: temperature 1, raw prompt, 2048 new tokens, advantages divided by the standard deviation, a KL term. The
    /// paper's step size and KL weight are lost; these are 0.05 of the embedding matrix's root mean square (ten steps move a row by at most
    /// half of it), and 0.001.
    /// </summary>
    public static readonly TrainingSettings PaperQwen = new()
    {
        MaxTokens = 2048, Temperature = 1, Beta = 0.001, ScaleByStd = true, LearningRateFraction = 0.05, RawPrompt = true,
    };

    /// <summary>The paper on Llama-3.1-Instruct: as <see cref="PaperQwen"/>, with temperature 0.6 and the model's chat template.</summary>
    public static readonly TrainingSettings PaperLlama = PaperQwen with { Temperature = 0.6, RawPrompt = false };

    /// <summary>Names and settings, in the order they are listed to users.</summary>
    public static readonly IReadOnlyList<(string Name, TrainingSettings Settings)> All =
        [("tiny", Tiny), ("paper-qwen", PaperQwen), ("paper-llama", PaperLlama)];

    /// <summary>The preset of a name.</summary>
    /// <exception cref="ElmException">no such preset: lists those there are</exception>
    public static TrainingSettings Named(string name)
    {
        foreach ((string known, TrainingSettings settings) in All)
            if (known == name)
                return settings;
        throw new ElmException($"there is no preset '{name}': choose one of {string.Join(", ", All.Select(p => p.Name))}");
    }
}
