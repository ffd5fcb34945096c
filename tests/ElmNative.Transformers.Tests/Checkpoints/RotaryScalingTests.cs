using ElmNative.Transformers.Checkpoints;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>
/// Rotary frequencies against formulas written here in the terms of the papers: wavelengths for Llama 3.1, turns within the original context for YaRN.
/// </summary>
[TestClass]
public sealed class RotaryScalingTests
{
    private static ModelConfig With(string settings, int headSize = 128, int positions = 32768) => Config($$"""
        {"architectures": ["LlamaForCausalLM"], "hidden_size": {{headSize}}, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
         "vocab_size": 9, "max_position_embeddings": {{positions}}, {{settings}}}
        """);

    private static double Plain(double theta, int headSize, int pair) => 1 / Math.Exp(Math.Log(theta) * (2.0 * pair / headSize));

    private static void Same(Func<int, double> expected, ModelConfig config)
    {
        Assert.HasCount(config.HeadSize / 2, config.RotaryFrequencies);
        for (int j = 0; j < config.RotaryFrequencies.Length; j++)
            Assert.AreEqual(1, config.RotaryFrequencies[j] / expected(j), 1e-12, $"pair {j}");
    }

    [TestMethod]
    [DataRow("\"rope_theta\": 1000000.0")]
    [DataRow("\"rope_theta\": 1000000")]
    [DataRow("\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 1000000.0}")]
    [DataRow("\"rope_theta\": 5, \"rope_parameters\": {\"rope_theta\": 1000000.0}")]
    [DataRow("\"rope_theta\": 1000000.0, \"rope_scaling\": {\"type\": \"default\"}")]
    public void Default(string settings)
    {
        ModelConfig config = With(settings);
        Same(j => Plain(1e6, 128, j), config);
        Assert.AreEqual(1, config.RotaryScale);
    }

    [TestMethod]
    [DataRow("\"rope_theta\": 10000.0, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}")]
    [DataRow("\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4.0}")]
    public void Linear(string settings)
    {
        ModelConfig config = With(settings, 64);
        Same(j => Plain(10000, 64, j) / 4, config);
        Assert.AreEqual(1, config.RotaryScale);
    }

    [TestMethod]
    [DataRow(64, 32.0, 1.0, 4.0, 8192)]
    [DataRow(128, 8.0, 1.0, 4.0, 8192)]
    [DataRow(24, 8.0, 1.0, 4.0, 64)]
    [DataRow(48, 3.5, 0.5, 9.0, 1000)]
    public void Llama3(int headSize, double factor, double low, double high, int original)
    {
        ModelConfig config = With(FormattableString.Invariant(
            $"\"rope_theta\": 500000.0, \"rope_scaling\": {{\"rope_type\": \"llama3\", \"factor\": {factor}, \"low_freq_factor\": {low}, \"high_freq_factor\": {high}, \"original_max_position_embeddings\": {original}}}"), headSize);
        int kept = 0, divided = 0, between = 0;
        Same(j =>
        {
            double frequency = Plain(500000, headSize, j), wavelength = 2 * Math.PI / frequency;
            if (wavelength < original / high)
            {
                kept++;
                return frequency;
            }
            if (wavelength > original / low)
            {
                divided++;
                return frequency / factor;
            }
            between++;
            double smooth = (original / wavelength - low) / (high - low);
            return frequency * (smooth + (1 - smooth) / factor);
        }, config);
        Assert.IsTrue(kept > 0 && divided > 0 && between > 0, $"{kept} {between} {divided}");
        Assert.AreEqual(1, config.RotaryScale);
    }

    [TestMethod]
    [DataRow(128, 1e6, 4.0, 32768, 32.0, 1.0, true)]
    [DataRow(64, 10000.0, 16.0, 4096, 32.0, 1.0, true)]
    [DataRow(64, 10000.0, 8.0, 2048, 24.0, 2.0, false)]
    [DataRow(16, 500.0, 2.0, 100, 2.0, 2.0, true)]
    public void Yarn(int headSize, double theta, double factor, int original, double fast, double slow, bool truncate)
    {
        ModelConfig config = With(FormattableString.Invariant(
            $"\"rope_theta\": {theta}, \"rope_scaling\": {{\"rope_type\": \"yarn\", \"factor\": {factor}, \"original_max_position_embeddings\": {original}, \"beta_fast\": {fast}, \"beta_slow\": {slow}, \"truncate\": {(truncate ? "true" : "false")}}}"), headSize);
        // Pair d turns original * theta^(-2d/headSize) / 2 pi times; solved for d.
        double first = headSize / 2.0 * Math.Log(original / (2 * Math.PI * fast), theta), last = headSize / 2.0 * Math.Log(original / (2 * Math.PI * slow), theta);
        if (truncate)
            (first, last) = (Math.Floor(first), Math.Ceiling(last));
        first = Math.Max(first, 0);
        last = Math.Min(last, headSize - 1);
        Same(j =>
        {
            double plain = Plain(theta, headSize, j);
            double weight = j <= first ? 0 : j >= last ? 1 : (j - first) / (last - first);
            return plain * (1 - weight) + plain / factor * weight;
        }, config);
        Assert.AreEqual(1 + Math.Log(factor) / 10, config.RotaryScale, 1e-15);
    }

    [TestMethod]
    public void YarnsFastPairsStayAndItsSlowPairsAreDivided()
    {
        ModelConfig config = With("\"rope_theta\": 1000000.0, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 32768}");
        Assert.AreEqual(Plain(1e6, 128, 10), config.RotaryFrequencies[10], 1e-15);
        Assert.AreEqual(Plain(1e6, 128, 63) / 4, config.RotaryFrequencies[63], 1e-15);
    }

    [TestMethod]
    [DataRow("\"factor\": 4.0, \"attention_factor\": 1.25", 1.25)]
    [DataRow("\"factor\": 40.0, \"mscale\": 0.707, \"mscale_all_dim\": 1.0", (0.0707 * 3.6888794541139363 + 1) / (0.1 * 3.6888794541139363 + 1))]
    [DataRow("\"factor\": 40.0, \"mscale\": 0.707, \"mscale_all_dim\": 0", 0.1 * 3.6888794541139363 + 1)]
    [DataRow("\"factor\": 1.0", 1.0)]
    [DataRow("\"original_max_position_embeddings\": 8192", 0.1 * 1.3862943611198906 + 1)]
    public void YarnsFactorOnCosines(string settings, double expected) =>
        Assert.AreEqual(expected, With($"\"rope_scaling\": {{\"rope_type\": \"yarn\", {settings}}}").RotaryScale, 1e-14);
}
