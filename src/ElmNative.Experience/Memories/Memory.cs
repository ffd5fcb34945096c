namespace ElmNative.Experience.Memories;

/// <summary>Where a memory comes from; stored with it.</summary>
/// <param name="Problem">text of the problem</param>
/// <param name="ProblemId">its id in the data, if it had one</param>
/// <param name="Index">its place in the stream, from 0</param>
/// <param name="Label">the answer that the last training step's vote agreed on; null where none was</param>
/// <param name="MajorityRatio">share of rollouts that gave it; null where no vote was held</param>
/// <param name="Updates">optimiser steps that were taken (steps without any reward spread take none)</param>
/// <param name="Seed">seed of the rollouts</param>
/// <param name="ModelFingerprint">digest of the model it was trained for and works with</param>
/// <param name="ModelType">that model's type: qwen2, llama</param>
/// <param name="Settings">training settings as JSON</param>
public sealed record Provenance(string Problem, string? ProblemId, int Index, string? Label, double? MajorityRatio, int Updates, ulong Seed,
    string ModelFingerprint, string ModelType, string Settings);

/// <summary>One experiential memory: a trained soft prompt, the two keys that find it, and where it comes from.</summary>
/// <param name="Rows">[rows x hidden] values, row by row</param>
/// <param name="InputKey">[hidden]: mean of the rows, without those that began as special tokens</param>
/// <param name="KvKey">[layers x headSize]: each layer's mean pre-rotary key of the same rows, in front of nothing</param>
/// <param name="Provenance">where it comes from</param>
public sealed record Memory(float[] Rows, float[] InputKey, float[] KvKey, Provenance Provenance)
{
    /// <summary>Width of a row.</summary>
    public int HiddenSize => InputKey.Length;

    /// <summary>Number of rows.</summary>
    public int RowCount => Rows.Length / HiddenSize;
}
