using System.Text;

namespace ElmNative.Transformers.Tokenization;

/// <summary>Streaming decode over the UTF-8 decoder's state, which keeps the bytes of an unfinished character.</summary>
internal sealed class TokenStream(BytePairTokenizer tokenizer, bool skipSpecialTokens) : ITokenStream
{
    private readonly Decoder decoder = Encoding.UTF8.GetDecoder();

    /// <inheritdoc/>
    public string Next(int id) => Decode(tokenizer.BytesOf(id, skipSpecialTokens), flush: false);

    /// <inheritdoc/>
    public string Flush() => Decode([], flush: true);

    private string Decode(ReadOnlySpan<byte> bytes, bool flush)
    {
        Span<char> small = stackalloc char[256];
        Span<char> text = bytes.Length + 4 <= small.Length ? small : new char[bytes.Length + 4];
        return new string(text[..decoder.GetChars(bytes, text, flush)]);
    }
}
