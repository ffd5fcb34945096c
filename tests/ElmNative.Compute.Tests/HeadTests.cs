using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Log-probabilities of the vocabulary head and their gradient.</summary>
[TestClass]
public sealed class HeadTests
{
    // The last two need several chunks of rows.
    private static readonly (int M, int Vocabulary, int D)[] Sizes = [(0, 5, 4), (1, 1, 3), (3, 17, 8), (13, 719, 33), (1100, 40, 16),
        (250, 4500, 5)];

    [TestMethod]
    public void LogProbsEntropyAndGradientMatchTheReference()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int vocabulary, int d) in Sizes)
            foreach (ElementType type in FloatTypes)
                foreach (float temperature in new[] { 1f, 0.6f })
                {
                    float[] hidden = Normal(1, m * d), weight = Normal(2, vocabulary * d);
                    Random random = new(5);
                    int[] targets = [.. Enumerable.Range(0, m).Select(_ => random.Next(vocabulary))];
                    Tensor ht = cpu.Put(hidden, m, d), wt = cpu.Put(weight, vocabulary, d, type, 1), tt = cpu.Put(targets, 1, m);
                    Tensor logprobs = cpu.Blank(1, m), entropy = cpu.Blank(1, m), gradient = cpu.Blank(m, d);
                    string what = $"{type} {m}x{vocabulary}x{d} at {temperature}";
                    double[] w = Rounded(weight, type);
                    (double[] wanted, double[] wantedEntropy) = Reference.LogProbs(Doubles(hidden), w, targets, temperature, vocabulary, d);
                    cpu.LogProbs(ht, wt, tt, temperature, logprobs, entropy, gradient);
                    Near(wanted, cpu.Get(logprobs), 2e-6, what, 4);
                    Near(wantedEntropy, cpu.Get(entropy), 3e-6, what + " entropy");
                    // What rounds: logits relative to their size, in chains of at most 128 terms, and sums as long as the vocabulary.
                    double[] logits = Reference.Linear(Doubles(hidden), w, null, m, vocabulary, d);
                    double largest = logits.Select(Math.Abs).Append(0).Max() / temperature;
                    Near(Reference.LogProbsGradient(Doubles(hidden), w, targets, temperature, vocabulary, d),
                        cpu.Get(gradient), 6e-8 * (8 + Math.Sqrt(vocabulary) + largest * Math.Sqrt(Math.Min(d, 128)) / 2),
                        what + " gradient", 2);
                }
    }

    [TestMethod]
    public void AnAbsentOutputChangesNoBitOfTheOthers()
    {
        using CpuBackend cpu = new(2);
        foreach ((int m, int vocabulary, int d) in Sizes)
        {
            Tensor hidden = cpu.Put(Normal(1, m * d), m, d), weight = cpu.Put(Normal(2, vocabulary * d), vocabulary, d, ElementType.BF16),
                targets = cpu.Put([.. Enumerable.Range(0, m).Select(i => i * 7 % vocabulary)], 1, m);
            (float[] LogProbs, float[] Entropy, float[] Gradient) Run(bool withEntropy, bool withGradient)
            {
                Tensor logprobs = cpu.Blank(1, m), entropy = cpu.Blank(1, m), gradient = cpu.Blank(m, d);
                cpu.LogProbs(hidden, weight, targets, 0.8f, logprobs, withEntropy ? entropy : default, withGradient ? gradient : default);
                return (cpu.Get(logprobs), cpu.Get(entropy), cpu.Get(gradient));
            }
            (float[] wanted, float[] wantedEntropy, float[] wantedGradient) = Run(true, true);
            string what = $"{m}x{vocabulary}x{d}";
            SameBits(wanted, Run(false, false).LogProbs, what + " alone");
            SameBits(wanted, Run(true, false).LogProbs, what + " without the gradient");
            SameBits(wantedEntropy, Run(true, false).Entropy, what + " entropy without the gradient");
            SameBits(wanted, Run(false, true).LogProbs, what + " without the entropy");
            SameBits(wantedGradient, Run(false, true).Gradient, what + " gradient without the entropy");
        }
    }

    /// <summary>A gradient that comes from the log-probabilities themselves: along single coordinates, by central differences in double precision.</summary>
    [TestMethod]
    public void GradientIsTheDerivativeOfTheLogProbs()
    {
        using CpuBackend cpu = new(2);
        const int M = 20, Vocabulary = 200, D = 24;
        float[] hidden = Normal(1, M * D), weight = Normal(2, Vocabulary * D);
        int[] targets = [.. Enumerable.Range(0, M).Select(i => i * 31 % Vocabulary)];
        Tensor gradient = cpu.Blank(M, D);
        cpu.LogProbs(cpu.Put(hidden, M, D), cpu.Put(weight, Vocabulary, D), cpu.Put(targets, 1, M), 0.7f, cpu.Blank(1, M), default, gradient);
        float[] got = cpu.Get(gradient);
        double[] moved = Doubles(hidden), w = Doubles(weight);
        const double Step = 1e-4;
        foreach (int at in new[] { 0, 7, 100, 255, M * D - 1 })
        {
            double difference = (LogProb(at, Step) - LogProb(at, -Step)) / (2 * Step);
            Assert.AreEqual(difference, got[at], 1e-5 * (1 + Math.Abs(difference)), $"element {at}");
        }

        double LogProb(int at, double step)
        {
            moved[at] = hidden[at] + step;
            double result = Reference.LogProbs(moved, w, targets, 0.7f, Vocabulary, D).LogProbs[at / D];
            moved[at] = hidden[at];
            return result;
        }
    }

    [TestMethod]
    public void ExtremeLogitsGiveFiniteLogProbs()
    {
        using CpuBackend cpu = new(1);
        Tensor hidden = cpu.Put([1f], 1, 1), weight = cpu.Put([3e4f, -3e4f, 2e4f], 3, 1), logprobs = cpu.Blank(1, 1),
            entropy = cpu.Blank(1, 1), gradient = cpu.Blank(1, 1);
        cpu.LogProbs(hidden, weight, cpu.Put([1], 1, 1), 1, logprobs, entropy, gradient);
        Near([-6e4], cpu.Get(logprobs), 1e-6, "log-probability");
        Near([0], cpu.Get(entropy), 1e-6, "entropy");
        Near([-6e4], cpu.Get(gradient), 1e-6, "gradient");
    }
}
