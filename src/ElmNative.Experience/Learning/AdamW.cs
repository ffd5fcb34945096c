using ElmNative.Compute;

namespace ElmNative.Experience.Learning;

/// <summary>
/// AdamW over one memory, with its gradient's norm clipped first, in the order of PyTorch's optimiser. Plain scalar float32 arithmetic in
/// one fixed order (the norm in double), so that every machine gets the same bits.
/// </summary>
/// <param name="count">number of parameters</param>
/// <param name="settings">rates</param>
public sealed class AdamW(int count, AdamWSettings settings)
{
    private readonly float[] first = new float[count];
    private readonly float[] second = new float[count];
    private double power1 = 1, power2 = 1;

    /// <summary>
    /// One step: <c>g *= min(1, maxNorm/(|g| + 1e-6)); theta *= 1 - lr*decay; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g g;
    /// theta -= lr/(1 - b1^t) * m / (sqrt(v)/sqrt(1 - b2^t) + epsilon)</c>.
    /// </summary>
    /// <param name="theta">parameters, updated in place</param>
    /// <param name="gradient">gradient, unchanged</param>
    /// <returns>the gradient's norm before clipping; when it is not finite, nothing was changed</returns>
    public double Step(Span<float> theta, ReadOnlySpan<float> gradient)
    {
        if (theta.Length != count || gradient.Length != count)
            throw new ArgumentException($"{count} parameters, but {theta.Length} values and {gradient.Length} gradients");
        double squares = 0;
        foreach (float value in gradient)
            squares += (double)value * value;
        double norm = Math.Sqrt(squares);
        if (!double.IsFinite(norm))
            return norm;

        power1 *= settings.Beta1;
        power2 *= settings.Beta2;
        float clip = (float)Math.Min(1.0, settings.MaxGradNorm / (norm + 1e-6));
        float decay = (float)(1.0 - (double)settings.LearningRate * settings.WeightDecay);
        float beta1 = settings.Beta1, beta2 = settings.Beta2;
        float rest1 = (float)(1.0 - (double)beta1), rest2 = (float)(1.0 - (double)beta2);
        float rate = (float)(settings.LearningRate / (1.0 - power1));
        float rootCorrection = (float)Math.Sqrt(1.0 - power2);
        for (int i = 0; i < count; i++)
        {
            float g = gradient[i] * clip;
            float m = beta1 * first[i] + rest1 * g;
            float v = beta2 * second[i] + rest2 * g * g;
            first[i] = m;
            second[i] = v;
            theta[i] = theta[i] * decay - rate * (m / (MathF.Sqrt(v) / rootCorrection + settings.Epsilon));
        }
        return norm;
    }
}
