using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Tests.Support;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Experience.Tests.Learning;

[TestClass]
public sealed class AdamWTests
{
    [TestMethod]
    [DataRow("tiny-math")]
    [DataRow("llama-tiny")]
    public void Four_steps_match_the_golden_values(string model)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(Repository.Golden(model), "adamw.safetensors"));
        float[] theta = golden.ReadF32("theta0");
        AdamW optimiser = new(theta.Length, new AdamWSettings(0.01f, WeightDecay: 0.01f));
        for (int step = 0; step < 4; step++)
        {
            float[] gradient = golden.ReadF32($"grad{step}");
            double norm = optimiser.Step(theta, gradient);
            Assert.AreEqual(Math.Sqrt(gradient.Sum(g => (double)g * g)), norm, 1e-12 * norm);
            Assert.IsLessThan(1e-6, Closeness.RelativeError(theta, golden.ReadF32($"theta{step + 1}")), $"step {step + 1}");
        }
    }

    [TestMethod]
    public void First_step_moves_every_coordinate_by_the_rate()
    {
        float[] theta = [1f];
        new AdamW(1, new AdamWSettings(0.125f)).Step(theta, [1f]);
        Assert.AreEqual(1 - 0.125 / (1 + 1e-8), theta[0], 1e-7);
    }

    [TestMethod]
    public void A_long_gradient_is_clipped_to_norm_one()
    {
        // A large epsilon makes the step proportional to the clipped gradient: lr * g / (g + eps).
        const float epsilon = 1e6f;
        float[] theta = [0f, 0f];
        double norm = new AdamW(2, new AdamWSettings(1e6f, Epsilon: epsilon)).Step(theta, [6f, 8f]);
        Assert.AreEqual(10.0, norm);
        double scale = 1.0 / (10 + 1e-6);
        Assert.AreEqual(-6 * scale, theta[0], 1e-5);
        Assert.AreEqual(-8 * scale, theta[1], 1e-5);
    }

    [TestMethod]
    public void A_gradient_that_is_not_finite_changes_nothing()
    {
        float[] theta = [1f, 2f];
        AdamW optimiser = new(2, new AdamWSettings(0.1f));
        Assert.IsFalse(double.IsFinite(optimiser.Step(theta, [float.NaN, 1f])));
        CollectionAssert.AreEqual(new[] { 1f, 2f }, theta);
    }
}
