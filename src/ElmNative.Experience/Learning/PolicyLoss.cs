namespace ElmNative.Experience.Learning;

/// <summary>The value of a policy loss and its gradient.</summary>
/// <param name="Loss">the loss</param>
/// <param name="DLogProbs">d(loss)/d(log-probability) by completion and token</param>
/// <param name="Kl">mean over tokens of the k3 estimate of KL(policy || reference); null without a reference</param>
/// <param name="ClipFraction">fraction of tokens whose ratio lies in the clipped region</param>
public sealed record PolicyLossResult(double Loss, float[][] DLogProbs, double? Kl, double ClipFraction);

/// <summary>
/// The clipped policy-gradient loss of one group with Dr. GRPO's aggregation:
/// <c>loss = 1/(B S) sum_i sum_t [ -min(rho A_i, clip(rho, 1 - eps, 1 + eps) A_i) + beta k3 ]</c>,
/// with rho = exp(lp - lp_old), d = lp_ref - lp and k3 = exp(d) - d - 1. S is the constant length limit, not the padded width, so padding has
/// no part in it. The division by the temperature between log-probabilities and logits belongs to the backward pass of the log-probabilities.
/// </summary>
/// <param name="MaxTokens">S, the length limit of a completion</param>
/// <param name="Beta">weight of the KL term</param>
/// <param name="ClipRange">eps on both sides</param>
public sealed record PolicyLoss(int MaxTokens, double Beta = 0, double ClipRange = 0.2)
{
    /// <summary>Computes the loss of a group of B completions.</summary>
    /// <param name="logProbs">log-probabilities of the completions under the policy</param>
    /// <param name="oldLogProbs">those of the policy that sampled them; null means the same policy, so that the ratio is exactly 1</param>
    /// <param name="referenceLogProbs">those of the reference policy; needed when <see cref="Beta"/> is not 0, else unused</param>
    /// <param name="advantages">one for each completion</param>
    public PolicyLossResult Compute(float[][] logProbs, float[][]? oldLogProbs, float[][]? referenceLogProbs, ReadOnlySpan<double> advantages)
    {
        if (logProbs.Length != advantages.Length)
            throw new ArgumentException($"{logProbs.Length} completions and {advantages.Length} advantages", nameof(advantages));
        if (Beta != 0)
            ArgumentNullException.ThrowIfNull(referenceLogProbs);
        double share = 1.0 / ((double)logProbs.Length * MaxTokens);
        double loss = 0, kl = 0;
        long tokens = 0, clipped = 0;
        float[][] gradient = new float[logProbs.Length][];
        for (int i = 0; i < logProbs.Length; i++)
        {
            float[] current = logProbs[i];
            double advantage = advantages[i];
            gradient[i] = new float[current.Length];
            for (int t = 0; t < current.Length; t++)
            {
                double ratio = oldLogProbs is null ? 1 : Math.Exp((double)current[t] - oldLogProbs[i][t]);
                bool clips = (advantage > 0 && ratio > 1 + ClipRange) || (advantage < 0 && ratio < 1 - ClipRange);
                double bounded = Math.Clamp(ratio, 1 - ClipRange, 1 + ClipRange);
                double value = -Math.Min(ratio * advantage, bounded * advantage);
                double slope = clips ? 0 : -advantage * ratio;
                if (Beta != 0)
                {
                    double difference = (double)referenceLogProbs![i][t] - current[t];
                    double k3 = Math.Exp(difference) - difference - 1;
                    value += Beta * k3;
                    slope += Beta * (1 - Math.Exp(difference));
                    kl += k3;
                }
                loss += value;
                gradient[i][t] = (float)(share * slope);
                tokens++;
                clipped += clips ? 1 : 0;
            }
        }
        double perToken = tokens == 0 ? 0 : 1.0 / tokens;
        return new PolicyLossResult(loss * share, gradient, Beta != 0 ? kl * perToken : null, clipped * perToken);
    }
}

/// <summary>The supervised loss: the mean negative log-probability of one completion's tokens, end token included.</summary>
public static class SftLoss
{
    /// <summary>Loss and d(loss)/d(log-probability).</summary>
    public static (double Loss, float[] DLogProbs) Compute(float[] logProbs)
    {
        double sum = 0;
        foreach (float logProb in logProbs)
            sum += logProb;
        float[] gradient = new float[logProbs.Length];
        Array.Fill(gradient, (float)(-1.0 / logProbs.Length));
        return (-sum / logProbs.Length, gradient);
    }
}
