namespace ElmNative.Transformers.Generation;

/// <summary>How tokens are drawn. Temperature 0 is greedy.</summary>
/// <param name="Temperature">softmax temperature; 0 takes the most likely token</param>
/// <param name="TopK">keep the k most likely; 0 keeps all</param>
/// <param name="TopP">keep the smallest set with this mass; 1 keeps all</param>
/// <param name="MinP">keep tokens with this fraction of the largest probability; 0 keeps all</param>
public sealed record SamplingSettings(float Temperature = 1f, int TopK = 0, float TopP = 1f, float MinP = 0f)
{
    /// <summary>Always the most likely token.</summary>
    public static readonly SamplingSettings Greedy = new(0f);
}

/// <summary>Names a stream of random numbers: a draw depends on these, the rollout's index and the token's position only.</summary>
/// <param name="Seed">seed of the run</param><param name="Problem">index of the problem in its stream</param><param name="Step">training step or other purpose</param>
public readonly record struct RandomKey(ulong Seed, uint Problem, uint Step);

/// <summary>Completions wanted for one prompt behind one soft prompt.</summary>
/// <param name="SoftPrompt">[rows x hidden] values; empty for the plain model</param>
/// <param name="PromptIds">at least one token</param>
/// <param name="Count">how many completions (rollouts 0 to Count - 1)</param>
/// <param name="MaxNewTokens">length limit of each completion, its end token included; cut to what the model's context leaves</param>
/// <param name="Sampling">how tokens are drawn</param>
/// <param name="Key">random numbers</param>
public sealed record GenerationRequest(float[] SoftPrompt, int[] PromptIds, int Count, int MaxNewTokens, SamplingSettings Sampling, RandomKey Key)
{
    /// <summary>Go on behind an end token, up to the length limit: for measurements that need a fixed length.</summary>
    public bool IgnoreEndTokens { get; init; }
}

/// <summary>One generated completion.</summary>
/// <param name="Tokens">token ids, the end token included where it came</param>
/// <param name="LogProbs">log-probability of each under softmax(logits / temperature); under softmax(logits) where greedy</param>
/// <param name="Ended">true when an end token came before the length limit</param>
public sealed record Completion(int[] Tokens, float[] LogProbs, bool Ended);
