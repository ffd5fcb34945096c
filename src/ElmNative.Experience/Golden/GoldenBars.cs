using ElmNative.Compute;

namespace ElmNative.Experience.Golden;

/// <summary>How far a value may be from its reference.</summary>
/// <param name="Limit">largest error allowed</param>
/// <param name="IsAbsolute">the limit is on each number's absolute difference, not on the relative L2 error of the whole tensor</param>
public readonly record struct GoldenBar(double Limit, bool IsAbsolute = false)
{
    /// <summary>A limit on the relative L2 error.</summary>
    public static implicit operator GoldenBar(double relativeL2) => new(relativeL2);

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"{Limit:0.0e+00}{(IsAbsolute ? " abs" : "")}");
}

/// <summary>The bars of a replay, by the arithmetic of the model's activations.</summary>
/// <param name="Values">hidden states, logits, losses, keys</param>
/// <param name="LogProbs">log-probabilities of tokens</param>
/// <param name="Gradients">gradients to the memory. A relative L2 error of 0.05 leaves a cosine of 0.9987 at least.</param>
/// <param name="Optimiser">parameters behind optimiser steps, float32 on every device</param>
/// <param name="Completions">share of greedy completions that may differ</param>
public sealed record GoldenBars(GoldenBar Values, GoldenBar LogProbs, GoldenBar Gradients, GoldenBar Optimiser, GoldenBar Completions)
{
    /// <summary>float32 activations.</summary>
    public static GoldenBars Exact { get; } = new(1e-5, 1e-5, 1e-4, 1e-6, 0);

    /// <summary>BF16 activations: 8 bits of significand.</summary>
    public static GoldenBars Brain { get; } = new(2e-2, new GoldenBar(0.05, IsAbsolute: true), 5e-2, 1e-6, 0.05);

    /// <summary>The bars for an arithmetic.</summary>
    public static GoldenBars Of(ElementType activations) => activations == ElementType.F32 ? Exact : Brain;
}
