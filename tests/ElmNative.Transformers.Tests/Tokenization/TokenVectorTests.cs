using System.Text;
using System.Text.Json;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>Every line of the given vectors, encode and decode.</summary>
[TestClass]
public class TokenVectorTests
{
    [TestMethod, SharedData("tokenizers")]
    [DataRow("llama-3", "vectors.jsonl", false)]
    [DataRow("llama-3", "vectors_bos.jsonl", true)]
    [DataRow("qwen2.5", "vectors.jsonl", false)]
    [DataRow("qwen2.5", "vectors.jsonl", true)]
    [DataRow("qwen2.5", "vectors_nfc.jsonl", false)]
    public void EveryLineEncodesToItsIds(string tokenizer, string file, bool addSpecialTokens)
    {
        BytePairTokenizer subject = SharedTokenizers.Get(tokenizer);
        int lines = 0;
        foreach (JsonElement line in SharedTokenizers.Lines("tokenizers", tokenizer, file))
        {
            string text = line.GetProperty("text").GetString()!;
            CollectionAssert.AreEqual(SharedTokenizers.Ids(line, "ids"), subject.Encode(text, addSpecialTokens), text);
            lines++;
        }
        Assert.IsGreaterThan(10, lines);
    }

    [TestMethod, SharedData("tokenizers")]
    [DataRow("llama-3")]
    [DataRow("qwen2.5")]
    public void EveryLineDecodesToItsText(string tokenizer)
    {
        BytePairTokenizer subject = SharedTokenizers.Get(tokenizer);
        foreach (JsonElement line in SharedTokenizers.Lines("tokenizers", tokenizer, "vectors.jsonl"))
        {
            int[] ids = SharedTokenizers.Ids(line, "ids");
            string text = line.GetProperty("text").GetString()!;
            Assert.AreEqual(text, subject.Decode(ids, skipSpecialTokens: false));
            ITokenStream stream = subject.Stream(skipSpecialTokens: false);
            StringBuilder streamed = new();
            foreach (int id in ids)
                streamed.Append(stream.Next(id));
            Assert.AreEqual(text, streamed.Append(stream.Flush()).ToString());
        }
    }

    [TestMethod, SharedData("tokenizers")]
    public void SpecialTokensAreLeftOutOnRequest()
    {
        BytePairTokenizer llama = SharedTokenizers.Get("llama-3");
        int[] ids = llama.Encode("<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", addSpecialTokens: true);
        Assert.AreEqual("user\n\nHi", llama.Decode(ids, skipSpecialTokens: true));
        Assert.AreEqual(128009, llama.IdOf("<|eot_id|>"));
        Assert.AreEqual(9906, llama.IdOf("Hello"));
        Assert.IsNull(llama.IdOf("<|no_such_token|>"));
        Assert.AreEqual(128256, llama.VocabularySize);
        // Qwen2.5 marks its tool tags as added but not special.
        BytePairTokenizer qwen = SharedTokenizers.Get("qwen2.5");
        Assert.AreEqual("<tool_call>x", qwen.Decode(qwen.Encode("<|im_start|><tool_call>x", false), skipSpecialTokens: true));
        Assert.AreEqual(151665, qwen.VocabularySize);
    }
}
