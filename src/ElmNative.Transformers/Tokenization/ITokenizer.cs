namespace ElmNative.Transformers.Tokenization;

/// <summary>Text to token ids and back. Implementations are immutable and safe to share between threads.</summary>
public interface ITokenizer
{
    /// <summary>Number of ids, added tokens included: every id is below it.</summary>
    int VocabularySize { get; }

    /// <summary>Encodes text. Added tokens inside the text become their one id.</summary>
    /// <param name="text">any text; unpaired surrogates are replaced by U+FFFD</param>
    /// <param name="addSpecialTokens">let the post-processor add its tokens (Llama's begin-of-text, say)</param>
    int[] Encode(string text, bool addSpecialTokens);

    /// <summary>Decodes ids. Bytes that are no UTF-8 become U+FFFD. Ids without a token decode to nothing, as with Hugging Face.</summary>
    /// <param name="ids">token ids</param>
    /// <param name="skipSpecialTokens">leave out added tokens that are marked special</param>
    string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens);

    /// <summary>The id of a token given as its literal content (an added token such as <c>&lt;|im_end|&gt;</c>, or a vocabulary entry), or null.</summary>
    int? IdOf(string token);

    /// <summary>A decoder for a stream of ids that never emits half a character.</summary>
    ITokenStream Stream(bool skipSpecialTokens);
}

/// <summary>Decodes ids as they come; bytes of an unfinished character wait for the next id.</summary>
public interface ITokenStream
{
    /// <summary>The text that this id completes; empty while a character is unfinished.</summary>
    string Next(int id);

    /// <summary>What is left at the end: U+FFFD for an unfinished character, else empty.</summary>
    string Flush();
}
