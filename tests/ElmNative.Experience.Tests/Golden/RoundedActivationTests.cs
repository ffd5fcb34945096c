using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Compute.Cuda;
using ElmNative.Experience.Golden;
using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Tests.Golden;

/// <summary>
/// The golden values through BF16 activations, within the tolerances that their description states for those (<see cref="GoldenBars.Brain"/>): on the processor with its activations rounded, and on
/// a GPU or the stand-in for one.
/// </summary>
[TestClass]
public class RoundedActivationTests
{
    static RoundedActivationTests() => GpuOrStandIn.Use();

    [TestMethod]
    public void TheBundledModelMeetsEveryValue()
    {
        using ContractBackend backend = new(new CpuBackend(2));
        foreach (GoldenRow row in Replay(backend, "tiny-math", "bench/models/tiny-math/model", 29))
            Assert.IsTrue(row.Passed, Describe(row));
    }

    /// <summary>
    /// Models with random F32 or F16 weights. A relative error of their logits that the tolerance of 2e-2 allows moves a log-probability by more than 0.05 (their hidden states are
    /// 1.1e-2 off even where the weights are not rounded), so their log-probabilities are held to the tolerance of the logits that they come from.
    /// </summary>
    [TestMethod]
    [DataRow("llama-tiny", false)]
    [DataRow("llama-tiny", true)]
    [DataRow("qwen2-tiny-sharded", false)]
    [DataRow("qwen2-tiny-sharded", true)]
    public void RandomModelsMeetEveryValueButLogProbs(string golden, bool onGpu)
    {
        using IBackend backend = onGpu ? new CudaBackend() : new ContractBackend(new CpuBackend(2));
        foreach (GoldenRow row in Replay(backend, golden, $"tests/golden/{golden}/model", 28))
            Assert.IsTrue(row.Bar.IsAbsolute ? row.RelativeL2 <= GoldenBars.Brain.Values.Limit : row.Passed, Describe(row));
    }

    private static List<GoldenRow> Replay(IBackend backend, string golden, string folder, int values)
    {
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(Repository.PathOf(folder), backend);
        List<GoldenRow> rows = [.. GoldenReplay.Replay(model, Repository.Golden(golden))];
        Assert.HasCount(values, rows);
        Assert.IsTrue(rows.Any(row => row.Name == "forward.hidden" && row.RelativeL2 > 1e-4), "activations of BF16 should leave their mark");
        return rows;
    }

    private static string Describe(GoldenRow row) => $"{row.Name}: {row.RelativeL2:e2}, at most {row.MaxAbsolute:e2}, against {row.Bar}";
}
