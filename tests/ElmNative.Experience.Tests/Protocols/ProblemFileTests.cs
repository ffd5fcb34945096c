using System.Text;
using ElmNative.Compute;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Tests.Support;

namespace ElmNative.Experience.Tests.Protocols;

[TestClass]
public sealed class ProblemFileTests
{
    [TestMethod]
    public void Fields_are_read_and_numbers_kept_as_written()
    {
        ProblemSet set = Read("\uFEFF{\"problem\": \"a\", \"id\": 7, \"answer\": 27.0, \"other\": [1]}\r\n\n  \n{\"problem\":\"b\\u00e9\",\"family\":\"f\",\"answer\":null}");
        Assert.AreEqual(new Problem("a", "7", "27.0"), set.Problems[0]);
        Assert.AreEqual(new Problem("bé", Family: "f"), set.Problems[1]);
        Assert.HasCount(2, set.Problems);
        Assert.HasCount(64, set.Hash);
    }

    [TestMethod]
    public void A_limit_reads_the_first_problems_and_leaves_the_hash_alone()
    {
        const string text = "{\"problem\":\"a\"}\n{\"problem\":\"b\"}\nbroken";
        ProblemSet set = Read(text, limit: 2);
        Assert.HasCount(2, set.Problems);
        Assert.AreEqual(Read(text, limit: 1).Hash, set.Hash);
    }

    [TestMethod]
    [DataRow("{\"problem\":\"a\"}\n{\"problem\":", "line 2 is not valid JSON")]
    [DataRow("{\"problem\":\"a\"}\n\n[1]", "line 3 is not a JSON object")]
    [DataRow("{\"text\":\"a\"}", "line 1 has no text under \"problem\"")]
    [DataRow("{\"problem\":\" \"}", "line 1 has no text under \"problem\"")]
    [DataRow("{\"problem\":5}", "line 1: \"problem\" must be text")]
    [DataRow("{\"problem\":\"a\",\"answer\":[1]}", "line 1: \"answer\" must be text or a number")]
    [DataRow("{\"problem\":\"\\ud800\"}", "line 1 is not valid JSON")]
    [DataRow("", "holds no problems")]
    [DataRow("\n \n", "holds no problems")]
    public void Bad_data_is_one_sentence_with_the_line(string text, string expected)
    {
        ElmException error = Assert.ThrowsExactly<ElmException>(() => Read(text));
        StringAssert.Contains(error.Message, expected);
        StringAssert.Contains(error.Message, "data.jsonl");
        Assert.DoesNotContain("\n", error.Message);
    }

    [TestMethod]
    public void Bytes_that_are_no_utf8_are_refused()
    {
        using TestFolder folder = new();
        File.WriteAllBytes(folder.In("data.jsonl"), [.. "{\"problem\":\""u8, 0xFF, 0xFE, .. "\"}"u8]);
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => ProblemFile.Read(folder.In("data.jsonl"))).Message, "line 1 is not valid JSON");
    }

    [TestMethod]
    public void A_missing_file_is_named()
    {
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => ProblemFile.Read("/nowhere/x.jsonl")).Message, "/nowhere/x.jsonl is missing");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => ProblemFile.Read(Path.GetTempPath())).Message, "cannot be read");
    }

    private static ProblemSet Read(string text, int? limit = null)
    {
        using TestFolder folder = new();
        File.WriteAllText(folder.In("data.jsonl"), text, new UTF8Encoding(false));
        return ProblemFile.Read(folder.In("data.jsonl"), limit);
    }
}
