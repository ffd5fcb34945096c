using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Experience.Golden;
using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Tests.Golden;

[TestClass]
public class GoldenReplayTests
{
    [TestMethod]
    [DataRow("tiny-math", "bench/models/tiny-math/model", 29)]
    [DataRow("llama-tiny", "tests/golden/llama-tiny/model", 28)]
    [DataRow("qwen2-tiny-sharded", "tests/golden/qwen2-tiny-sharded/model", 28)]
    public void EveryGoldenValueIsMet(string golden, string folder, int values)
    {
        using CpuBackend backend = new(2);
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(Repository.PathOf(folder), backend);
        List<GoldenRow> rows = [.. GoldenReplay.Replay(model, Repository.Golden(golden))];
        Assert.HasCount(values, rows);
        foreach (GoldenRow row in rows)
            Assert.IsTrue(row.Passed, $"{row.Name}: {row.RelativeL2:e2} against {row.Bar}");
    }

    [TestMethod]
    public void ADifferenceAMissingValueAndANaNFail()
    {
        Assert.IsTrue(GoldenReplay.Compare("x", [1, 2], [1, 2], 0).Passed);
        Assert.IsTrue(GoldenReplay.Compare("x", [1.00001f], [1], 1e-4).Passed);
        Assert.IsFalse(GoldenReplay.Compare("x", [1.001f], [1], 1e-4).Passed);
        Assert.IsFalse(GoldenReplay.Compare("x", [float.NaN, 1], [1, 1], 1).Passed);
        Assert.IsFalse(GoldenReplay.Compare("x", [1], [float.NaN], 1).Passed);
        Assert.IsFalse(GoldenReplay.Compare("x", [1], [1, 1], 1).Passed);
        Assert.IsFalse(GoldenReplay.Compare("x", [], [], 1).Passed);
    }

    [TestMethod]
    public void AFolderWithoutGoldenValuesIsRefused()
    {
        using CpuBackend backend = new(1);
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(Repository.TinyMath, backend);
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => GoldenReplay.Replay(model, Repository.TinyMath)).Message, "holds none of");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => GoldenReplay.Replay(model, "/nowhere")).Message, "/nowhere");
    }
}
