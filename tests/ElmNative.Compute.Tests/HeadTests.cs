using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Log-probabilities of the vocabulary head and their gradient.</summary>
[TestClass]
public sealed class HeadTests
{
    // The last two need several chunks of rows.
    private static readonly (int M, int Vocabulary, int D)[] Sizes = [(0, 5, 4), (1, 1, 3), (3, 17, 8), (13, 719, 33), (1100, 40, 16),
        (100, 12000, 5)];

    [TestMethod]
    public void LogProbsEntropyAndGradientMatchTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int vocabulary, int d) in Sizes)
            foreach (ElementType type in FloatTypes)
                foreach (float temperature in new[] { 1f, 0.6f })
                {
                    float[] hidden = Normal(1, m * d), weight = Normal(2, vocabulary * d), gradients = Normal(3, m);
                    for (int i = 1; i < m; i += 3)
                        gradients[i] = 0;
                    Random random = new(5);
                    int[] targets = [.. Enumerable.Range(0, m).Select(_ => random.Next(vocabulary))];
                    Tensor ht = cpu.Put(hidden, m, d), wt = cpu.Put(weight, vocabulary, d, type, 1), tt = cpu.Put(targets, 1, m);
                    Tensor logprobs = cpu.Blank(1, m), entropy = cpu.Blank(1, m), dhidden = cpu.Blank(m, d);
                    string what = $"{type} {m}x{vocabulary}x{d} at {temperature}";
                    double[] w = Rounded(weight, type);
                    (double[] wanted, double[] wantedEntropy) = Reference.LogProbs(Doubles(hidden), w, targets, temperature, vocabulary, d);
                    cpu.LogProbs(ht, wt, tt, temperature, logprobs, entropy);
                    Near(wanted, cpu.Get(logprobs), 2e-6, what, 4);
                    Near(wantedEntropy, cpu.Get(entropy), 3e-6, what + " entropy");
                    Tensor alone = cpu.Blank(1, m);
                    cpu.LogProbs(ht, wt, tt, temperature, alone, default);
                    SameBits(cpu.Get(logprobs), cpu.Get(alone), "without the entropy");
                    cpu.LogProbsBackward(ht, wt, tt, temperature, cpu.Put(gradients, 1, m), dhidden);
                    // What rounds: logits relative to their size, in chains of at most 128 terms, and sums as long as the vocabulary.
                    double[] logits = Reference.Linear(Doubles(hidden), w, null, m, vocabulary, d);
                    double largest = logits.Select(Math.Abs).Append(0).Max() / temperature;
                    Near(Reference.LogProbsBackward(Doubles(hidden), w, targets, temperature, Doubles(gradients), vocabulary, d),
                        cpu.Get(dhidden), 6e-8 * (8 + Math.Sqrt(vocabulary) + largest * Math.Sqrt(Math.Min(d, 128)) / 2),
                        what + " gradient", 2);
                    for (int i = 1; i < m; i += 3)
                        SameBits(new float[d], cpu.Get(dhidden.Slice(i, 1)), "row without a gradient");
                }
    }

    [TestMethod]
    public void ExtremeLogitsGiveFiniteLogProbs()
    {
        using CpuBackend cpu = new(1);
        Tensor hidden = cpu.Put([1f], 1, 1), weight = cpu.Put([3e4f, -3e4f, 2e4f], 3, 1), logprobs = cpu.Blank(1, 1),
            entropy = cpu.Blank(1, 1), dhidden = cpu.Blank(1, 1);
        cpu.LogProbs(hidden, weight, cpu.Put([1], 1, 1), 1, logprobs, entropy);
        Near([-6e4], cpu.Get(logprobs), 1e-6, "log-probability");
        Near([0], cpu.Get(entropy), 1e-6, "entropy");
        cpu.LogProbsBackward(hidden, weight, cpu.Put([1], 1, 1), 1, cpu.Put([1f], 1, 1), dhidden);
        Near([-6e4], cpu.Get(dhidden), 1e-6, "gradient");
    }
}
