using ElmNative.Experience.Learning;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Experience.Tests.Learning;

/// <summary>
/// The losses on the log-probabilities of an independent implementation. (The model's own log-probabilities and gradients are replayed
/// elsewhere.)
/// </summary>
[TestClass]
public sealed class GoldenLossTests
{
    [TestMethod]
    [DataRow("tiny-math", "plain", false, 0.0)]
    [DataRow("tiny-math", "std", true, 0.0)]
    [DataRow("tiny-math", "kl", true, 0.04)]
    [DataRow("llama-tiny", "plain", false, 0.0)]
    [DataRow("llama-tiny", "std", true, 0.0)]
    [DataRow("llama-tiny", "kl", true, 0.04)]
    public void Policy_losses_match(string model, string name, bool scaleByStd, double beta)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(Repository.Golden(model), "policy.safetensors"));
        int[] lengths = golden.ReadI32("completion_lengths");
        double[] advantages = Advantages.Of(Array.ConvertAll(golden.ReadF32("rewards"), r => (double)r), scaleByStd);
        float[] expected = golden.ReadF32(scaleByStd ? "advantages_std" : "advantages");
        for (int i = 0; i < advantages.Length; i++)
            Assert.AreEqual(expected[i], advantages[i], 1e-6);
        PolicyLossResult result = new PolicyLoss(2048, beta).Compute(Split(golden.ReadF32($"{name}.logprobs"), lengths), null,
            Split(golden.ReadF32("ref_logprobs_tau0.6"), lengths), advantages);
        double loss = golden.ReadF32($"{name}.loss")[0];
        Assert.AreEqual(loss, result.Loss, 1e-5 * Math.Abs(loss));
    }

    [TestMethod]
    [DataRow("tiny-math")]
    [DataRow("llama-tiny")]
    public void The_supervised_loss_matches(string model)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(Repository.Golden(model), "policy.safetensors"));
        double loss = golden.ReadF32("sft.loss")[0];
        Assert.AreEqual(loss, SftLoss.Compute(Split(golden.ReadF32("plain.logprobs"), golden.ReadI32("completion_lengths"))[0]).Loss, 1e-5 * loss);
    }

    private static float[][] Split(float[] values, int[] lengths)
    {
        int next = 0;
        return Array.ConvertAll(lengths, length => values[next..(next += length)]);
    }
}
