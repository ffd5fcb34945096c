using System.Text.Json.Serialization;

namespace ElmNative.Experience.Learning;

/// <summary>
/// What is logged of one training step of one memory: a line of <c>steps.jsonl</c>, with TRL's names where TRL has one. Values that the
/// step did not compute are null: a step without reward spread runs no forward pass, and there is no KL without a reference.
/// </summary>
public sealed record StepRecord
{
    /// <summary>Place of the problem in the stream, from 0.</summary>
    public required int Problem { get; init; }
    /// <summary>Step, from 0.</summary>
    public required int Step { get; init; }
    /// <summary>Mean reward of the group.</summary>
    public double? Reward { get; init; }
    /// <summary>Standard deviation of the rewards, with Bessel's correction.</summary>
    public double? RewardStd { get; init; }
    /// <summary>1 when all rewards were equal, so that the step changed nothing; else 0.</summary>
    public double? FracRewardZeroStd { get; init; }
    /// <summary>Share of rollouts that gave the majority answer.</summary>
    public double? MajorityRatio { get; init; }
    /// <summary>The majority answer.</summary>
    public string? Label { get; init; }
    /// <summary>Mean number of tokens of a completion.</summary>
    [JsonPropertyName("completions/mean_length")]
    public double? MeanLength { get; init; }
    /// <summary>Share of completions that met the length limit without an end token.</summary>
    [JsonPropertyName("completions/clipped_ratio")]
    public double? ClippedRatio { get; init; }
    /// <summary>The loss.</summary>
    public double? Loss { get; init; }
    /// <summary>Mean over tokens of the k3 estimate of the divergence from the model without a memory.</summary>
    public double? Kl { get; init; }
    /// <summary>Mean entropy of the tokens' distributions.</summary>
    public double? Entropy { get; init; }
    /// <summary>Norm of the gradient before clipping.</summary>
    public double? GradNorm { get; init; }
    /// <summary>Share of tokens whose ratio lay in the clipped region.</summary>
    public double? ClipRatio { get; init; }
    /// <summary>Largest difference between a log-probability that the sampler reported and the one recomputed for the loss.</summary>
    public double? LogprobDifferenceMax { get; init; }
    /// <summary>|M - M0| / |M0| after the step.</summary>
    public required double MemoryShift { get; init; }
}
