using ElmNative.Experience.Verification;

namespace ElmNative.Experience.Protocols;

/// <summary>A greedy response as it is logged.</summary>
public sealed record ResponseRecord
{
    /// <summary>Its text.</summary>
    public required string Response { get; init; }
    /// <summary>The answer that it states, or null.</summary>
    public string? Answer { get; init; }
    /// <summary>Whether that is the true one; null where the truth is unknown.</summary>
    public bool? Correct { get; init; }
    /// <summary>Tokens, end token included.</summary>
    public required int Tokens { get; init; }
}

/// <summary>The response with a retrieved memory.</summary>
public sealed record MemoryResponseRecord
{
    /// <summary>The memory's index: that of the problem it was made of.</summary>
    public required int Index { get; init; }
    /// <summary>Its similarity to the question.</summary>
    public required double Similarity { get; init; }
    /// <summary>Whether its problem is of the same family; null where the data names none.</summary>
    public bool? SameFamily { get; init; }
    /// <summary>The response's text.</summary>
    public required string Response { get; init; }
    /// <summary>The answer that it states, or null.</summary>
    public string? Answer { get; init; }
    /// <summary>Whether that is the true one; null where the truth is unknown.</summary>
    public bool? Correct { get; init; }
    /// <summary>Tokens, end token included.</summary>
    public required int Tokens { get; init; }
}

/// <summary>What the verifier thought of the two responses.</summary>
/// <param name="Plain">score of the plain response, or null where it is no number</param>
/// <param name="Memory">score of the memory-aided response</param>
public sealed record VerifierRecord(double? Plain, double? Memory);

/// <summary>How the problem's own memory came about.</summary>
public sealed record OwnMemoryRecord
{
    /// <summary>The answer that it was last trained towards, or null.</summary>
    public string? Label { get; init; }
    /// <summary>Whether that is the true one; null where the truth or the label is unknown.</summary>
    public bool? LabelCorrect { get; init; }
    /// <summary>Share of the last step's rollouts that gave the majority answer; null where no vote was held.</summary>
    public double? MajorityRatio { get; init; }
    /// <summary>Mean of that share over the steps.</summary>
    public double? MeanMajorityRatio { get; init; }
    /// <summary>Optimiser steps taken.</summary>
    public required int Updates { get; init; }
}

/// <summary>One problem of a run: a line of <c>samples.jsonl</c>. It holds no time and no rate, so equal runs write equal bytes.</summary>
public sealed record SampleRecord
{
    /// <summary>Place in the stream, from 0.</summary>
    public required int Index { get; init; }
    /// <summary>Id in the data.</summary>
    public string? Id { get; init; }
    /// <summary>Text of the problem.</summary>
    public required string Problem { get; init; }
    /// <summary>The true answer; used for reporting only.</summary>
    public string? Answer { get; init; }
    /// <summary>Family in the data; used for reporting only.</summary>
    public string? Family { get; init; }
    /// <summary>The response without a memory.</summary>
    public required ResponseRecord Plain { get; init; }
    /// <summary>The response with the retrieved memory; null where there was none to retrieve.</summary>
    public MemoryResponseRecord? Memory { get; init; }
    /// <summary>Scores, where the verifier was asked.</summary>
    public VerifierRecord? Verifier { get; init; }
    /// <summary>Which response was returned.</summary>
    public required Route Route { get; init; }
    /// <summary>The returned answer.</summary>
    public string? RoutedAnswer { get; init; }
    /// <summary>Whether the returned answer is the true one; null where the truth is unknown.</summary>
    public bool? Correct { get; init; }
    /// <summary>The problem's own memory, made afterwards.</summary>
    public required OwnMemoryRecord OwnMemory { get; init; }
}
