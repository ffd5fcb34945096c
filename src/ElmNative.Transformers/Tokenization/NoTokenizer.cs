using ElmNative.Compute;

namespace ElmNative.Transformers.Tokenization;

/// <summary>Stands for the tokenizer of a model that was opened for work on token ids; asking it for text is an error.</summary>
internal sealed class NoTokenizer : ITokenizer
{
    public static readonly NoTokenizer Instance = new();

    public int VocabularySize => 0;

    public int[] Encode(string text, bool addSpecialTokens) => throw Refusal();

    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens) => throw Refusal();

    public int? IdOf(string token) => null;

    public ITokenStream Stream(bool skipSpecialTokens) => throw Refusal();

    private static ElmException Refusal() => new("this model was opened without its tokenizer; text cannot be used with it");
}
