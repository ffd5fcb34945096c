using ElmNative.Experience.Learning;
using ElmNative.Transformers.Generation;

namespace ElmNative.Experience.Protocols;

/// <summary>Completions as text.</summary>
public static class Responses
{
    /// <summary>The text of a completion, without its end token and other special tokens.</summary>
    public static string Text(IPolicy policy, Completion completion) =>
        policy.Tokenizer.Decode(completion.Ended ? completion.Tokens.AsSpan(..^1) : completion.Tokens, skipSpecialTokens: true);
}
