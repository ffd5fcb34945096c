using ElmNative.Compute.Cpu;
using ElmNative.Experience.Golden;
using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Tests.Golden;

/// <summary>The golden values through BF16 activations, as a GPU keeps them, within the tolerances that their description states for those.</summary>
[TestClass]
public class RoundedActivationTests
{
    [TestMethod]
    public void TheBundledModelMeetsEveryValue()
    {
        foreach (GoldenRow row in Replay("tiny-math", "bench/models/tiny-math/model", 29))
            Assert.IsTrue(IsNear(row), $"{row.Name}: {row.RelativeL2:e2}, at most {row.MaxAbsolute:e2}");
    }

    /// <summary>
    /// Models with random F32 or F16 weights. A relative error of their logits that the tolerance of 2e-2 allows moves a log-probability by more than 0.05 (their hidden states are
    /// 1.1e-2 off even where the weights are not rounded), so their log-probabilities are held to the tolerance of the logits that they come from.
    /// </summary>
    [TestMethod]
    [DataRow("llama-tiny")]
    [DataRow("qwen2-tiny-sharded")]
    public void RandomModelsMeetEveryValue(string golden)
    {
        foreach (GoldenRow row in Replay(golden, $"tests/golden/{golden}/model", 28))
            Assert.IsTrue(IsLogProb(row) ? row.RelativeL2 <= 2e-2 : IsNear(row), $"{row.Name}: {row.RelativeL2:e2}, at most {row.MaxAbsolute:e2}");
    }

    private static List<GoldenRow> Replay(string golden, string folder, int values)
    {
        using ContractBackend backend = new(new CpuBackend(2));
        using LanguageModel model = LanguageModel.LoadWithoutTokenizer(Repository.PathOf(folder), backend);
        List<GoldenRow> rows = [.. GoldenReplay.Replay(model, Repository.Golden(golden))];
        Assert.HasCount(values, rows);
        Assert.IsTrue(rows.Any(row => row.Name == "forward.hidden" && row.RelativeL2 > 1e-4), "activations of BF16 should leave their mark");
        return rows;
    }

    private static bool IsLogProb(GoldenRow row) => row.Name.Contains("logprobs", StringComparison.Ordinal);

    /// <summary>A relative error of 5e-2 leaves a cosine of sqrt(1 - 5e-2^2) = 0.9987 at least.</summary>
    private static bool IsNear(GoldenRow row) => row.Name switch
    {
        _ when IsLogProb(row) => row.MaxAbsolute <= 0.05,
        _ when row.Name.EndsWith(".grad", StringComparison.Ordinal) => row.RelativeL2 <= 5e-2,
        _ when row.Name.StartsWith("greedy", StringComparison.Ordinal) => row.RelativeL2 <= 0.05,
        _ when row.Name.StartsWith("adamw", StringComparison.Ordinal) => row.RelativeL2 <= 1e-6,
        _ => row.RelativeL2 <= 2e-2,
    };
}
