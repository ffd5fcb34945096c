using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using ElmNative.Transformers.Tokenization;
using ElmNative.Transformers.Tokenization.Patterns;

namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>What must hold for any text: round trips, streaming, the definition of BPE, and time.</summary>
[TestClass]
public class TokenizerPropertyTests
{
    private static readonly BytePairTokenizer Plain = SmallTokenizer.Load(json => json["normalizer"] = null);

    [TestMethod]
    public void RandomTextComesBack()
    {
        Random random = new(1);
        for (int i = 0; i < 3000; i++)
        {
            string text = RandomText.Next(random, 40, surrogates: true);
            string valid = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
            Assert.AreEqual(valid, Plain.Decode(Plain.Encode(text, false), false));
        }
    }

    [TestMethod, SharedData("tokenizers")]
    [DataRow("llama-3")]
    [DataRow("qwen2.5")]
    public void RandomTextComesBackFromRealTokenizers(string name)
    {
        BytePairTokenizer tokenizer = SharedTokenizers.Get(name);
        Random random = new(2);
        for (int i = 0; i < 1000; i++)
        {
            string text = RandomText.Next(random, 40);
            string decoded = tokenizer.Decode(tokenizer.Encode(text, false), false);
            // Qwen2.5 normalises; doing so twice changes no more.
            Assert.AreEqual(name == "llama-3" ? text : tokenizer.Decode(tokenizer.Encode(decoded, false), false), decoded);
        }
    }

    [TestMethod]
    public void AStreamOfAnyIdsEqualsTheWholeAndNeverShowsHalfACharacter()
    {
        Random random = new(3);
        for (int i = 0; i < 2000; i++)
        {
            int[] ids = i % 2 == 0
                ? [.. Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(Plain.VocabularySize))]
                : Plain.Encode(RandomText.Next(random, 20).Replace("\ufffd", ""), false);
            foreach (bool skip in (bool[])[false, true])
            {
                ITokenStream stream = Plain.Stream(skip);
                List<string> parts = [.. ids.Select(stream.Next), stream.Flush()];
                Assert.AreEqual(Plain.Decode(ids, skip), string.Concat(parts));
                if (i % 2 == 1)
                    Assert.IsFalse(parts.Any(part => part.Contains('\ufffd')));
            }
        }
    }

    [TestMethod]
    public void AnUnfinishedCharacterWaitsAndEndsAsAReplacement()
    {
        ITokenStream stream = Plain.Stream(false);
        Assert.AreEqual("", stream.Next(0xF0));
        Assert.AreEqual("", stream.Next(0x9F));
        Assert.AreEqual("", stream.Next(0x98));
        Assert.AreEqual("😀", stream.Next(0x80));
        Assert.AreEqual("", stream.Next(0xE4));
        Assert.AreEqual("\ufffda", stream.Next('a'));
        Assert.AreEqual("", stream.Next(0xC3));
        Assert.AreEqual("\ufffd", stream.Flush());
        Assert.AreEqual("", stream.Flush());
    }

    [TestMethod]
    public void MergesFollowTheDefinition()
    {
        JsonObject json = SmallTokenizer.Json();
        List<string> merges = [.. json["model"]!["merges"]!.AsArray().Select(merge => merge!.GetValue<string>())];
        JsonObject vocabulary = json["model"]!["vocab"]!.AsObject();
        BytePairTokenizer tokenizer = SmallTokenizer.Load(file => SmallTokenizer.SetPreTokenizer(file, SmallTokenizer.ByteLevelStep()));
        Random random = new(4);
        const string Letters = "abthe oqr 123.";
        for (int i = 0; i < 400; i++)
        {
            // Lengths on both sides of where the short method ends.
            string word = new([.. Enumerable.Range(0, random.Next(1, i % 4 == 0 ? 300 : 70)).Select(_ => Letters[random.Next(Letters.Length)])]);
            List<string> symbols = [.. Encoding.UTF8.GetBytes(word).Select(value => ByteLevel.ToText([value]))];
            while (true)
            {
                int best = -1, rank = int.MaxValue;
                for (int j = 0; j + 1 < symbols.Count; j++)
                    if (merges.IndexOf($"{symbols[j]} {symbols[j + 1]}") is >= 0 and int found && found < rank)
                        (best, rank) = (j, found);
                if (best < 0)
                    break;
                symbols[best] += symbols[best + 1];
                symbols.RemoveAt(best + 1);
            }
            CollectionAssert.AreEqual(symbols.Select(symbol => vocabulary[symbol]!.GetValue<int>()).ToArray(), tokenizer.Encode(word, false), word);
        }
    }

    [TestMethod]
    [DataRow(SmallTokenizer.LlamaPattern)]
    [DataRow(@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")]
    [DataRow(@"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")]
    [DataRow(WordScanner.Gpt2Pattern)]
    public void EachScannerCutsAsItsPatternDoes(string pattern)
    {
        WordScanner scanner = WordScanner.For(pattern)!;
        Pattern compiled = Pattern.FromExpression(pattern, "test");
        Random random = new(5);
        for (int i = 0; i < 3000; i++)
        {
            byte[] text = Encoding.UTF8.GetBytes(RandomText.Next(random, 30));
            long steps = Pattern.StepsFor(text.Length);
            for (int at = 0; at < text.Length;)
            {
                Assert.IsTrue(compiled.TryFind(text, at, ref steps, out int start, out int end));
                Assert.AreEqual(at, start);
                Assert.AreEqual(end, scanner.End(text, at), Encoding.UTF8.GetString(text));
                at = end;
            }
        }
    }

    [TestMethod]
    [DataRow('a', 1)]
    [DataRow(' ', 1)]
    [DataRow('\n', 1)]
    [DataRow('中', 3)]
    [DataRow('!', 1)]
    [DataRow('7', 1)]
    public void LongRunsTakeLittleMoreThanLinearTime(char letter, int bytes)
    {
        Plain.Encode(new string(letter, 5_000), false);
        Stopwatch watch = Stopwatch.StartNew();
        int[] ids = Plain.Encode(new string(letter, 100_000), false);
        Assert.IsLessThan(2_000, watch.ElapsedMilliseconds);
        Assert.AreEqual(new string(letter, 100_000), Plain.Decode(ids, false));
        Assert.IsLessThanOrEqualTo(100_000 * bytes, ids.Length);
    }

    [TestMethod]
    public void AMegabyteOfMixedTextTakesAboutASecond()
    {
        Random random = new(6);
        StringBuilder text = new();
        while (text.Length < 1_000_000)
            text.Append(RandomText.Next(random, 50));
        Stopwatch watch = Stopwatch.StartNew();
        Plain.Encode(text.ToString(), false);
        Assert.IsLessThan(2_000, watch.ElapsedMilliseconds);
    }

    [TestMethod]
    public void ThreadsShareATokenizer()
    {
        Random random = new(7);
        string[] texts = [.. Enumerable.Range(0, 200).Select(_ => RandomText.Next(random, 60))];
        int[][] expected = [.. texts.Select(text => SmallTokenizer.Load(json => json["normalizer"] = null).Encode(text, false)).Take(20)];
        Parallel.For(0, 2000, i => CollectionAssert.AreEqual(expected[i % 20], Plain.Encode(texts[i % 20], false)));
    }
}
