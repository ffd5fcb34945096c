namespace ElmNative.Transformers.Models;

/// <summary>
/// What shares one prefix: a soft prompt (or none), the prompt behind it, and any number of completions that each continue it. The prefix is
/// computed once, whatever the number of completions.
/// </summary>
/// <param name="SoftPrompt">[rows x hidden] values, row by row; empty for the plain model</param>
/// <param name="PromptIds">token ids; there must be at least one row of soft prompt or prompt</param>
/// <param name="Completions">token ids, end token included where there is one; each has at least one token</param>
public sealed record PackedTree(float[] SoftPrompt, int[] PromptIds, IReadOnlyList<int[]> Completions);
