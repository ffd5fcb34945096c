using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// The rotary embedding's frequencies from a config: the base, and the scaling that <c>rope_scaling</c> (or <c>rope_parameters</c>, its newer name,
/// which holds the base too) asks for. Formulas as in Hugging Face's modeling_rope_utils, in double precision.
/// </summary>
internal static class RotaryScaling
{
    private const double DefaultBase = 10000;

    /// <summary>The angle per position of each of headSize/2 pairs, and the factor on cosines and sines.</summary>
    /// <exception cref="ElmException">a kind of scaling that is not supported, or a value out of range</exception>
    public static (double[] Frequencies, double Scale) Read(JsonSection config, int headSize, int maxPositions)
    {
        JsonSection? scaling = config.Section("rope_scaling") is { } old && old.Any() ? old : config.Section("rope_parameters");
        if (scaling is { } table && table.IsTableOfObjects())
            throw config.Bad(config.Has("rope_parameters") ? "rope_parameters" : "rope_scaling", "differs between kinds of layers, which is not supported");
        // Below 1 + 1e-3 the logarithm of the base, which yarn divides by, is too close to 0.
        double @base = scaling is { } own && own.Has("rope_theta") ? own.Number("rope_theta", 1.001, 1e15) : config.Number("rope_theta", 1.001, 1e15, DefaultBase);
        if (config.Number("partial_rotary_factor", 0, 1, 1) != 1 || scaling?.Number("partial_rotary_factor", 0, 1, 1) is < 1)
            throw config.Bad("partial_rotary_factor", "must be 1: rotating a part of each head is not supported");

        double[] frequencies = new double[headSize / 2];
        for (int j = 0; j < frequencies.Length; j++)
            frequencies[j] = Math.Pow(@base, -2.0 * j / headSize);
        return scaling is { } block ? Scale(block, frequencies, @base, maxPositions) : (frequencies, 1);
    }

    private static (double[], double) Scale(JsonSection block, double[] frequencies, double @base, int maxPositions)
    {
        string key = block.Has("rope_type") ? "rope_type" : "type";
        switch (block.Text(key))
        {
            case null when block.Has("factor"):
                throw block.Bad("rope_type", "is missing: say which kind of scaling the factor belongs to");
            case null or "default":
                return (frequencies, 1);
            case "linear":
                double factor = Factor(block);
                return (Array.ConvertAll(frequencies, frequency => frequency / factor), 1);
            case "llama3":
                return (Llama3(block, frequencies), 1);
            case "yarn":
                return Yarn(block, frequencies, @base, maxPositions);
            default:
                throw block.Bad(key, "is a kind of rotary scaling that is not supported: use a model with default, linear, llama3 or yarn");
        }
    }

    private static double Factor(JsonSection block) => block.Number("factor", 1, 1e6);

    /// <summary>Llama 3.1: long wavelengths are divided by the factor, short ones stay, those between are interpolated.</summary>
    private static double[] Llama3(JsonSection block, double[] frequencies)
    {
        double factor = Factor(block);
        double low = block.Number("low_freq_factor", 1e-6, 1e6);
        double high = block.Number("high_freq_factor", 1e-6, 1e6);
        if (high <= low)
            throw block.Bad("high_freq_factor", "must be larger than low_freq_factor");
        int original = block.Count("original_max_position_embeddings", ModelConfig.MostPositions);
        return Array.ConvertAll(frequencies, frequency =>
        {
            double turns = original * frequency / (2 * Math.PI);
            if (turns < low)
                return frequency / factor;
            if (turns > high)
                return frequency;
            double smooth = (turns - low) / (high - low);
            return (1 - smooth) * frequency / factor + smooth * frequency;
        });
    }

    /// <summary>
    /// YaRN (arXiv 2309.00071): pairs that turn more than beta_fast times within the original context stay, those below beta_slow are
    /// divided by the factor, a linear ramp over the pair's index lies between; cosines and sines are scaled by the attention factor.
    /// </summary>
    private static (double[], double) Yarn(JsonSection block, double[] frequencies, double @base, int maxPositions)
    {
        int original = block.Count("original_max_position_embeddings", ModelConfig.MostPositions, maxPositions);
        double factor = block.Has("factor") ? Factor(block) : Math.Max(1, (double)maxPositions / original);
        // Zero stands for "not given" in these four, as it does in Hugging Face's code.
        double fast = NonZero(block.Number("beta_fast", 0, 1e6, 0), 32);
        double slow = NonZero(block.Number("beta_slow", 0, 1e6, 0), 1);
        double mscale = block.Number("mscale", 0, 1e3, 0);
        double mscaleAllDim = block.Number("mscale_all_dim", 0, 1e3, 0);
        if (fast < slow)
            throw block.Bad("beta_fast", "must not be smaller than beta_slow");
        double scale = block.Has("attention_factor") ? block.Number("attention_factor", 0, 1e3)
            : mscale != 0 && mscaleAllDim != 0 ? Magnitude(factor, mscale) / Magnitude(factor, mscaleAllDim)
            : Magnitude(factor, 1);

        int headSize = 2 * frequencies.Length;
        double low = PairThatTurns(fast), high = PairThatTurns(slow);
        if (block.Flag("truncate", true))
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, headSize - 1));
        if (low == high)
            high += 0.001;
        double[] scaled = new double[frequencies.Length];
        for (int j = 0; j < scaled.Length; j++)
        {
            double ramp = Math.Clamp((j - low) / (high - low), 0, 1);
            scaled[j] = frequencies[j] / factor * ramp + frequencies[j] * (1 - ramp);
        }
        return (scaled, scale);

        // The (fractional) index of the pair that makes so many turns within the original context.
        double PairThatTurns(double turns) => headSize * Math.Log(original / (turns * 2 * Math.PI)) / (2 * Math.Log(@base));
    }

    private static double Magnitude(double factor, double weight) => factor <= 1 ? 1 : 0.1 * weight * Math.Log(factor) + 1;

    private static double NonZero(double value, double otherwise) => value == 0 ? otherwise : value;
}
