using System.Text;
using System.Text.Json.Nodes;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization;
using ElmNative.Transformers.Tokenization.Patterns;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>The components of tokenizer.json one by one, and what is refused.</summary>
[TestClass]
public class TokenizerComponentTests
{
    private static string[] Pieces(BytePairTokenizer tokenizer, string text) =>
        [.. tokenizer.Encode(text, false).Select(id => tokenizer.Decode([id], false))];

    /// <summary>The pieces of text, without merges: bytes with a mark between pieces would not show, so whole words are tokens here.</summary>
    private static string[] Cut(string text, params JsonNode[] steps)
    {
        BytePairTokenizer tokenizer = SmallTokenizer.Load(json =>
        {
            SmallTokenizer.SetPreTokenizer(json, steps);
            json["model"]!["ignore_merges"] = true;
            JsonObject vocabulary = json["model"]!["vocab"]!.AsObject();
            for (int start = 0; start < text.Length; start++)
                for (int end = start + 1; end <= text.Length; end++)
                    foreach (string piece in (string[])[text[start..end], " " + text[start..end]])
                        vocabulary.TryAdd(ByteLevel.ToText(Encoding.UTF8.GetBytes(piece)), vocabulary.Count);
            json["added_tokens"] = new JsonArray();
        });
        return Pieces(tokenizer, text);
    }

    [TestMethod]
    [DataRow("Removed", false, "the|final|countdown")]
    [DataRow("Isolated", false, "the|-|final|-|-|countdown")]
    [DataRow("MergedWithPrevious", false, "the-|final-|-|countdown")]
    [DataRow("MergedWithNext", false, "the|-final|-|-countdown")]
    [DataRow("Contiguous", false, "the|-|final|--|countdown")]
    [DataRow("Removed", true, "-|-|-")]
    public void SplitArrangesItsMatches(string behavior, bool invert, string expected)
    {
        Assert.AreEqual(expected, string.Join('|', Cut("the-final--countdown", SmallTokenizer.Split("-", behavior, invert), SmallTokenizer.ByteLevelStep())));
        JsonObject literal = SmallTokenizer.Split("-", behavior, invert);
        literal["pattern"] = new JsonObject { ["String"] = "-" };
        Assert.AreEqual(expected, string.Join('|', Cut("the-final--countdown", literal, SmallTokenizer.ByteLevelStep())));
    }

    [TestMethod]
    public void DigitsPrefixSpaceAndGpt2Words()
    {
        JsonObject digits = new() { ["type"] = "Digits", ["individual_digits"] = true };
        Assert.AreEqual("a|1|2|b", string.Join('|', Cut("a12b", digits, SmallTokenizer.ByteLevelStep())));
        digits = new() { ["type"] = "Digits", ["individual_digits"] = false };
        Assert.AreEqual("a|12|b", string.Join('|', Cut("a12b", digits, SmallTokenizer.ByteLevelStep())));
        Assert.AreEqual(" you|'re| 12|!!", string.Join('|', Cut("you're 12!!", SmallTokenizer.ByteLevelStep(prefix: true, regex: true))));
        Assert.AreEqual(" a| b", string.Join('|', Cut("a b", SmallTokenizer.ByteLevelStep(prefix: true, regex: true))));
    }

    [TestMethod]
    [DataRow(@"\p{L}+|\p{N}++", "ab12 c", "0-2 2-4 5-6")]
    [DataRow(@"a{2,3}?", "aaaaa", "0-2 2-4")]
    [DataRow(@"(?:ab)*c|(?>a+)b", "ababc aab", "0-5 6-9")]
    [DataRow(@"[a-c&x]+|[^\W\d]", "abx_9é", "0-3 3-4 5-7")]
    [DataRow(@"(?i)straSSe|k", "STRASSE k \u212a", "0-7 8-9 10-13")]
    [DataRow(@"(?i:x)y|(?-i)z", "XyxYZz", "0-2 5-6")]
    [DataRow(@"^a|b$", "a\nab\nb", "0-1 2-3 3-4 5-6")]
    [DataRow(@"\Aa|b\z", "a\nab", "0-1 3-4")]
    [DataRow(@"foo(?=bar)|x(?!y)", "foobar foo xyx", "0-3 13-14")]
    [DataRow(@"[^\r\n\p{L}\p{N}]?+\p{L}+|.", "😀a\u0301", "0-5 5-7")]
    [DataRow(@"[一-龥]+|\x{1F600}|é", "中文😀é", "0-6 6-10 10-12")]
    [DataRow(@"(a|b)+?c|[]x]", "abc]x", "0-3 3-4 4-5")]
    public void PatternsMatchAsRegularExpressions(string expression, string text, string expected)
    {
        Pattern pattern = Pattern.FromExpression(expression, "test");
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        long steps = 10_000;
        List<string> found = [];
        for (int at = 0; at <= bytes.Length && pattern.TryFind(bytes, at, ref steps, out int start, out int end); at = end)
            found.Add($"{start}-{end}");
        Assert.AreEqual(expected, string.Join(' ', found));
    }

    [TestMethod]
    [DataRow(@"(a+)+$|b")]
    [DataRow(@"(?:a|a)*b")]
    [DataRow(@"(?:a*?a*?)+?b")]
    public void APatternThatExplodesEndsInAnError(string expression)
    {
        BytePairTokenizer? tokenizer = null;
        ElmException error = Assert.ThrowsExactly<ElmException>(() =>
        {
            tokenizer = SmallTokenizer.Load(json => SmallTokenizer.SetPreTokenizer(
                json, SmallTokenizer.Split(expression, "Isolated"), SmallTokenizer.ByteLevelStep()));
            tokenizer.Encode(new string('a', 3000) + "c", false);
        });
        StringAssert.Contains(error.Message, "tokenizer.json");
    }

    [TestMethod]
    public void NormalFormCIsUnicodes()
    {
        (string Text, string Normal)[] cases =
        [
            ("e\u0301", "é"), ("\u212b", "Å"), ("\u1100\u1161\u11a8", "각"), ("\uac00\u11a8", "각"), ("\u0958", "\u0915\u093c"), ("a\u0301\u0323", "ạ\u0301"),
            ("\ufb01", "\ufb01"), ("\u0344", "\u0308\u0301"), ("a\u0315\u0300\u05ae\u0300b", "\u00e0\u05ae\u0300\u0315b"), ("plain", "plain"), ("", ""), ("\u0301", "\u0301"),
            ("x\u0301e\u0301\u0302 ế", "x\u0301é\u0302 ế"), ("\U0001D15E", "\U0001D157\U0001D165"),
        ];
        foreach ((string text, string normal) in cases)
            Assert.AreEqual(normal, Encoding.UTF8.GetString(new Normalizer.Nfc().Apply(Encoding.UTF8.GetBytes(text))));
        Random random = new(8);
        for (int i = 0; i < 2000; i++)
        {
            byte[] text = Encoding.UTF8.GetBytes(RandomText.Next(random, 20));
            byte[] once = new Normalizer.Nfc().Apply(text);
            CollectionAssert.AreEqual(once, new Normalizer.Nfc().Apply(once));
            CollectionAssert.AreEqual(once, new Normalizer.Nfc().Apply(new Normalizer.Nfd().Apply(text)));
        }
    }

    [TestMethod]
    public void CharacterClassesAreUnicodes()
    {
        Assert.AreEqual(CharacterClasses.Letter, CharacterClasses.Kind(0x10400));
        Assert.AreEqual(CharacterClasses.Number, CharacterClasses.Kind('½'));
        Assert.AreEqual(CharacterClasses.Number, CharacterClasses.Kind(0x1D7D8));
        Assert.AreEqual(CharacterClasses.Space, CharacterClasses.Kind(0x85));
        Assert.AreEqual(CharacterClasses.Other, CharacterClasses.Kind(0x200B));
        Assert.AreEqual(CharacterClasses.Other, CharacterClasses.Kind(0x1C));
        Assert.AreEqual(CharacterClasses.Other, CharacterClasses.Kind(0x301));
        int[] spaces = [.. Enumerable.Range(0, 0x110000).Where(point => CharacterClasses.Kind(point) == CharacterClasses.Space)];
        CollectionAssert.AreEqual(
            (int[])[9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, .. Enumerable.Range(0x2000, 11), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000], spaces);
    }

    [TestMethod]
    [DataRow("a<x> b", "a|<x>| b")]
    [DataRow("a<x><x>b", "a|<x>|<x>|b")]
    [DataRow("a  <l>  b", "a|<l>| | b")]
    [DataRow("a  <r>  b", "a| | |<r>|b")]
    [DataRow("word aword wordb word.", "word| |a|w|o|r|d| |w|o|r|d|b| |word|.")]
    [DataRow("<x><xyz><xy", "<x>|<xyz>|<|x|y")]
    [DataRow("éé|e\u0301e\u0301", "éé|\\||éé")]
    [DataRow("<|end|>", "<|end|>")]
    public void AddedTokensAreFoundInTheText(string text, string expected)
    {
        BytePairTokenizer tokenizer = SmallTokenizer.Load(json =>
        {
            json["model"]!["merges"] = new JsonArray();
            int next = 1000;
            json["added_tokens"] = new JsonArray(
                SmallTokenizer.Added(next++, "<x>"),
                SmallTokenizer.Added(next++, "<xyz>", special: true),
                SmallTokenizer.Added(next++, "<l>", lstrip: true),
                SmallTokenizer.Added(next++, "<r>", rstrip: true),
                SmallTokenizer.Added(next++, "word", singleWord: true),
                SmallTokenizer.Added(next++, "éé", normalized: true),
                SmallTokenizer.Added(next++, "<|end|>", special: true),
                SmallTokenizer.Added(next++, ""));
            json["model"]!["vocab"]!.AsObject()["Ġb"] = 900;
            json["model"]!["ignore_merges"] = true;
            json["added_tokens"]![4]!["id"] = 1004;
        });
        // The decoder reads an added é as the byte 0xE9, so the id is compared instead.
        string[] pieces = [.. tokenizer.Encode(text, false).Select(id => id == 1005 ? "éé" : tokenizer.Decode([id], false).Replace("|", text.Contains("end") ? "|" : "\\|"))];
        Assert.AreEqual(expected, string.Join('|', pieces));
    }

    [TestMethod]
    public void TheConfigAddsTokensAndOverridesTheirFlags()
    {
        BytePairTokenizer tokenizer = SmallTokenizer.Load(config:
            """{"added_tokens_decoder": {"2000": {"content": "<new>", "special": true}, "900": {"content": "<tool>", "special": true}}}""",
            change: json => json["added_tokens"]![1]!["id"] = 900);
        Assert.AreEqual(2000, tokenizer.IdOf("<new>"));
        Assert.AreEqual(2001, tokenizer.VocabularySize);
        Assert.AreEqual("ab", tokenizer.Decode(tokenizer.Encode("a<new><tool>b", false), skipSpecialTokens: true));
        Assert.AreEqual("", tokenizer.Decode([1999], false), "models have rows beyond their tokenizer's vocabulary");
        Assert.AreEqual("", tokenizer.Decode([-1], false));
        Assert.AreEqual("", tokenizer.Stream(false).Next(5000));
    }

    [TestMethod]
    public void PostProcessorsAddTheirTokens()
    {
        JsonNode Special(string name) => new JsonObject { ["SpecialToken"] = new JsonObject { ["id"] = name, ["type_id"] = 0 } };
        JsonNode Ids(params int[] ids) => new JsonObject { ["ids"] = new JsonArray([.. ids.Select(id => (JsonNode)id)]) };
        BytePairTokenizer tokenizer = SmallTokenizer.Load(json => json["post_processor"] = new JsonObject
        {
            ["type"] = "Sequence",
            ["processors"] = new JsonArray(
                new JsonObject { ["type"] = "ByteLevel" },
                new JsonObject
                {
                    ["type"] = "TemplateProcessing",
                    ["single"] = new JsonArray(Special("s"), new JsonObject { ["Sequence"] = new JsonObject { ["id"] = "A" } }, Special("e")),
                    ["special_tokens"] = new JsonObject { ["s"] = Ids(1, 2), ["e"] = Ids(3) },
                },
                new JsonObject { ["type"] = "RobertaProcessing", ["cls"] = new JsonArray("<s>", 4), ["sep"] = new JsonArray("</s>", 5) }),
        });
        CollectionAssert.AreEqual((int[])[4, 1, 2, 'z', 3, 5], tokenizer.Encode("z", true));
        CollectionAssert.AreEqual((int[])['z'], tokenizer.Encode("z", false));
    }

    [TestMethod]
    public void MergesMayBeLists()
    {
        BytePairTokenizer lists = SmallTokenizer.Load(json => json["model"]!["merges"] = new JsonArray(
            [.. json["model"]!["merges"]!.AsArray().Select(merge => (JsonNode)new JsonArray([.. merge!.GetValue<string>().Split(' ').Select(part => (JsonNode)part)]))]));
        BytePairTokenizer merged = SmallTokenizer.Load();
        const string Text = "The other mother, then these 中文 abababab  .";
        CollectionAssert.AreEqual(merged.Encode(Text, false), lists.Encode(Text, false));
        // The model may also stand with its merges before its vocabulary.
        BytePairTokenizer turned = SmallTokenizer.Load(json =>
        {
            JsonObject model = json["model"]!.AsObject();
            JsonNode vocabulary = model["vocab"]!;
            model.Remove("vocab");
            model["vocab"] = vocabulary;
        });
        CollectionAssert.AreEqual(merged.Encode(Text, false), turned.Encode(Text, false));
    }

    [TestMethod]
    public void BytesWithoutATokenAreLeftOutOrUnknown()
    {
        void Without(JsonObject json)
        {
            json["model"]!["vocab"]!.AsObject().Remove("z");
            json["model"]!["merges"] = new JsonArray();
        }

        CollectionAssert.AreEqual((int[])['a', 'b'], SmallTokenizer.Load(Without).Encode("azzb", false));
        BytePairTokenizer unknown = SmallTokenizer.Load(json => { Without(json); json["model"]!["unk_token"] = "?"; });
        CollectionAssert.AreEqual((int[])['a', '?', '?', 'b'], unknown.Encode("azzb", false));
        unknown = SmallTokenizer.Load(json => { Without(json); json["model"]!["unk_token"] = "?"; json["model"]!["fuse_unk"] = true; });
        CollectionAssert.AreEqual((int[])['a', '?', 'b'], unknown.Encode("azzb", false));
    }

    [TestMethod]
    public void WhatIsNotSupportedIsNamed()
    {
        JsonObject Type(string type) => new() { ["type"] = type };
        (Action<JsonObject> Change, string Names)[] cases =
        [
            (json => json["model"]!["type"] = "Unigram", "Unigram"),
            (json => json["model"]!["vocab"] = new JsonObject(), "vocabulary"),
            (json => json["model"]!.AsObject().Remove("vocab"), "vocabulary"),
            (json => json.Remove("model"), "vocabulary"),
            (json => json["normalizer"] = Type("NFKC"), "NFKC"),
            (json => json["pre_tokenizer"] = Type("Metaspace"), "Metaspace"),
            (json => json["pre_tokenizer"] = null, "ByteLevel"),
            (json => json["decoder"] = Type("WordPiece"), "WordPiece"),
            (json => json["decoder"] = null, "decoder"),
            (json => json["post_processor"] = Type("Odd"), "Odd"),
            (json => json["model"]!["dropout"] = 0.1, "dropout"),
            (json => json["model"]!["end_of_word_suffix"] = "</w>", "end_of_word_suffix"),
            (json => json["model"]!["unk_token"] = "<none>", "<none>"),
            (json => json["model"]!["merges"]!.AsArray().Add("q zz"), $"merge {SmallTokenizer.MergeCount + 1}"),
            (json => json["model"]!["merges"]!.AsArray().Add("abc"), $"merge {SmallTokenizer.MergeCount + 1}"),
            (json => json["model"]!["vocab"]!["a"] = 5, "id 5"),
            (json => json["model"]!["vocab"]!["a"] = 2_000_000_000, "vocabulary has an id"),
            (json => json["model"]!["vocab"]!["a"] = -1, "vocabulary has an id"),
            (json => json["added_tokens"]![0]!["id"] = 7, "<|end|>"),
            (json => json["added_tokens"]![0]!["id"] = 2_000_000_000, "<|end|>"),
            (json => SmallTokenizer.SetPreTokenizer(json, SmallTokenizer.Split(@"(?<=a)b", "Isolated"), SmallTokenizer.ByteLevelStep()), "pattern"),
            (json => SmallTokenizer.SetPreTokenizer(json, SmallTokenizer.Split(@"\p{Han}", "Isolated"), SmallTokenizer.ByteLevelStep()), "Han"),
            (json => SmallTokenizer.SetPreTokenizer(json, SmallTokenizer.ByteLevelStep(), SmallTokenizer.Split("a", "Isolated")), "ByteLevel"),
        ];
        foreach ((Action<JsonObject> change, string names) in cases)
        {
            string message = Assert.ThrowsExactly<ElmException>(() => SmallTokenizer.Load(change), names).Message;
            StringAssert.Contains(message, "tokenizer.json");
            StringAssert.Contains(message, names);
        }
    }

    [TestMethod]
    public void AMissingOrBrokenFileIsNamed()
    {
        using TemplateFolder folder = new("{}");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => BytePairTokenizer.Load(folder.Path)).Message, "tokenizer.json");
        folder.Write("tokenizer.json", SmallTokenizer.Json().ToJsonString()[..1000]);
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => BytePairTokenizer.Load(folder.Path)).Message, "tokenizer.json");
        folder.Write("tokenizer.json", SmallTokenizer.Json().ToJsonString());
        folder.Write("tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {}}}");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => BytePairTokenizer.Load(folder.Path)).Message, "tokenizer_config.json");
    }
}
