namespace ElmNative.Experience.Learning;

/// <summary>How much better than its group each rollout did.</summary>
public static class Advantages
{
    /// <summary>Added to the standard deviation before dividing by it, as TRL does.</summary>
    public const double StdEpsilon = 1e-4;

    /// <summary>
    /// reward - mean(rewards) (Dr. GRPO), or that divided by the group's standard deviation + 1e-4 (GRPO). Equal rewards give exactly 0.
    /// </summary>
    /// <param name="rewards">one for each rollout of the group</param>
    /// <param name="scaleByStd">divide by the standard deviation with Bessel's correction</param>
    public static double[] Of(ReadOnlySpan<double> rewards, bool scaleByStd)
    {
        double[] advantages = new double[rewards.Length];
        if (rewards.Length == 0 || rewards.IndexOfAnyExcept(rewards[0]) < 0)
            return advantages;
        double mean = Mean(rewards);
        double scale = scaleByStd ? 1 / (StandardDeviation(rewards) + StdEpsilon) : 1;
        for (int i = 0; i < rewards.Length; i++)
            advantages[i] = (rewards[i] - mean) * scale;
        return advantages;
    }

    /// <summary>Arithmetic mean; 0 for no values.</summary>
    public static double Mean(ReadOnlySpan<double> values)
    {
        double sum = 0;
        foreach (double value in values)
            sum += value;
        return values.Length == 0 ? 0 : sum / values.Length;
    }

    /// <summary>Standard deviation with Bessel's correction; 0 for fewer than two values.</summary>
    public static double StandardDeviation(ReadOnlySpan<double> values)
    {
        if (values.Length < 2)
            return 0;
        double mean = Mean(values), sum = 0;
        foreach (double value in values)
            sum += (value - mean) * (value - mean);
        return Math.Sqrt(sum / (values.Length - 1));
    }
}
