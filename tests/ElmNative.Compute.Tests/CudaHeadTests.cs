using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>
/// Log-probabilities and their gradient on the GPU. Inputs are rounded to BF16 first; logits, exponentials and their sums are in single precision, with the tolerances of the CPU's tests. In the gradient each
/// d(log-probability)/d(logit) is rounded to BF16, half a unit in the last of 8 bits: an element is off by at most 2^-8 of the sum of its terms' sizes.
/// </summary>
[TestClass]
public sealed class CudaHeadTests
{
    // Below, on and above the sizes of tiles; odd vocabularies and hidden sizes (no 16-byte copies).
    private static readonly (int M, int Vocabulary, int D)[] Sizes = [(0, 5, 8), (1, 1, 3), (3, 17, 8), (13, 719, 33), (64, 129, 40), (65, 300, 72), (150, 719, 16), (150, 50, 72), (2, 6000, 8)];

    [TestMethod]
    public void LogProbsEntropyAndGradientMatchTheReference()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach ((int m, int vocabulary, int d) in Sizes)
            foreach (float temperature in new[] { 1f, 0.6f })
                Check(cuda, m, vocabulary, d, temperature);
    }

    /// <summary>Little workspace: rows in several chunks, and the vocabulary too.</summary>
    [TestMethod]
    public void ChunksOfRowsAndOfTheVocabularyMatchTheReference()
    {
        using CudaBackend cuda = CudaDevice.Open();
        cuda.HeadWorkspace = 10_000;
        Check(cuda, 300, 300, 16, 1);
        Check(cuda, 140, 719, 9, 0.8f);
        Check(cuda, 70, 1300, 8, 1);
    }

    private static void Check(CudaBackend cuda, int m, int vocabulary, int d, float temperature)
    {
        float[] hidden = Normal(1, m * d), weight = Normal(2, vocabulary * d);
        int[] targets = Targets(m, vocabulary);
        double[] h = Rounded(hidden, ElementType.BF16), w = Rounded(weight, ElementType.BF16);
        Tensor ht = cuda.Put(hidden, m, d, ElementType.BF16), wt = cuda.Put(weight, vocabulary, d, ElementType.BF16), tt = cuda.Put(targets, 1, m);
        Tensor logprobs = cuda.Blank(1, m), entropy = cuda.Blank(1, m), gradient = cuda.Blank(m, d);
        string what = $"{m}x{vocabulary}x{d} at {temperature}";
        (double[] wanted, double[] wantedEntropy) = Reference.LogProbs(h, w, targets, temperature, vocabulary, d);
        cuda.LogProbs(ht, wt, tt, temperature, logprobs, entropy, gradient);
        Near(wanted, cuda.Get(logprobs), 2e-6, what, 4);
        Near(wantedEntropy, cuda.Get(entropy), 3e-6, what + " entropy");
        Tensor alone = cuda.Blank(1, m), otherEntropy = cuda.Blank(1, m), again = cuda.Blank(m, d);
        cuda.LogProbs(ht, wt, tt, temperature, alone, default, default);
        SameBits(cuda.Get(logprobs), cuda.Get(alone), "alone");
        cuda.LogProbs(ht, wt, tt, temperature, alone, otherEntropy, default);
        SameBits(cuda.Get(logprobs), cuda.Get(alone), "without the gradient");
        SameBits(cuda.Get(entropy), cuda.Get(otherEntropy), "entropy without the gradient");

        double[] wantedGradient = Reference.LogProbsGradient(h, w, targets, temperature, vocabulary, d), sizes = TermSizes(h, w, targets, temperature, vocabulary, d);
        float[] got = cuda.Get(gradient);
        for (int i = 0; i < got.Length; i++)
            if (!(Math.Abs(got[i] - wantedGradient[i]) <= (Activations.Rounding + 1e-5) * sizes[i] + 1e-6))
                Assert.Fail($"{what}: element {i} of the gradient is {got[i]:R}, but should be {wantedGradient[i]:R}");
        cuda.LogProbs(ht, wt, tt, temperature, alone, default, again);
        SameBits(cuda.Get(logprobs), cuda.Get(alone), "without the entropy");
        SameBits(got, cuda.Get(again), "gradient without the entropy");
    }

    /// <summary>A gradient that comes from the log-probabilities themselves: along single coordinates, by central differences in double precision.</summary>
    [TestMethod]
    public void GradientIsTheDerivativeOfTheLogProbs()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int M = 20, Vocabulary = 200, D = 24;
        float[] hidden = Normal(1, M * D), weight = Normal(2, Vocabulary * D);
        int[] targets = Targets(M, Vocabulary);
        double[] h = Rounded(hidden, ElementType.BF16), w = Rounded(weight, ElementType.BF16);
        Tensor gradient = cuda.Blank(M, D);
        cuda.LogProbs(cuda.Put(hidden, M, D, ElementType.BF16), cuda.Put(weight, Vocabulary, D, ElementType.BF16), cuda.Put(targets, 1, M), 0.7f, cuda.Blank(1, M), default, gradient);
        float[] got = cuda.Get(gradient);
        double[] sizes = TermSizes(h, w, targets, 0.7f, Vocabulary, D);
        const double Step = 1e-4;
        foreach (int at in new[] { 0, 7, 100, 255, M * D - 1 })
        {
            double difference = (LogProb(at, Step) - LogProb(at, -Step)) / (2 * Step);
            Assert.AreEqual(difference, got[at], (Activations.Rounding + 1e-5) * sizes[at] + 1e-5, $"element {at}");
        }

        double LogProb(int at, double step)
        {
            double[] moved = [.. h];
            moved[at] += step;
            return Reference.LogProbs(moved, w, targets, 0.7f, Vocabulary, D).LogProbs[at / D];
        }
    }

    [TestMethod]
    public void ExtremeLogitsGiveFiniteLogProbs()
    {
        using CudaBackend cuda = CudaDevice.Open();
        // Exact in BF16.
        Tensor hidden = cuda.Put([1f], 1, 1, ElementType.BF16), weight = cuda.Put([32768f, -32768f, 16384f], 3, 1, ElementType.BF16), logprobs = cuda.Blank(1, 1), entropy = cuda.Blank(1, 1), gradient = cuda.Blank(1, 1);
        cuda.LogProbs(hidden, weight, cuda.Put([1], 1, 1), 1, logprobs, entropy, gradient);
        Near([-65536], cuda.Get(logprobs), 1e-6, "log-probability");
        Near([0], cuda.Get(entropy), 1e-6, "entropy");
        Near([-65536], cuda.Get(gradient), 1e-6, "gradient");
    }

    /// <summary>A target outside the vocabulary has no log-probability, and takes nothing from its neighbours.</summary>
    [TestMethod]
    public void TargetsOutsideTheVocabularyAreNotANumber()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int M = 4, Vocabulary = 70, D = 8;
        float[] hidden = Normal(1, M * D), weight = Normal(2, Vocabulary * D);
        Tensor ht = cuda.Put(hidden, M, D, ElementType.BF16), wt = cuda.Put(weight, Vocabulary, D, ElementType.BF16), logprobs = cuda.Blank(1, M), wanted = cuda.Blank(1, M);
        cuda.LogProbs(ht, wt, cuda.Put([3, 4, 5, 6], 1, M), 1, wanted, default, default);
        cuda.LogProbs(ht, wt, cuda.Put([3, -1, 70, 6], 1, M), 1, logprobs, default, default);
        float[] got = cuda.Get(logprobs), right = cuda.Get(wanted);
        Assert.IsTrue(float.IsNaN(got[1]) && float.IsNaN(got[2]));
        SameBits([right[0], right[3]], [got[0], got[3]], "the other rows");
    }

    [TestMethod]
    public void ACallAllocatesNothing()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int M = 70, Vocabulary = 130, D = 16;
        Tensor hidden = cuda.Put(Normal(1, M * D), M, D, ElementType.BF16), weight = cuda.Put(Normal(2, Vocabulary * D), Vocabulary, D, ElementType.BF16), targets = cuda.Put(Targets(M, Vocabulary), 1, M);
        Tensor logprobs = cuda.Blank(1, M), entropy = cuda.Blank(1, M), gradient = cuda.Blank(M, D);
        Run();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Run();
        Assert.AreEqual(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Run()
        {
            cuda.LogProbs(hidden, weight, targets, 0.9f, logprobs, default, default);
            cuda.LogProbs(hidden, weight, targets, 0.9f, logprobs, entropy, gradient);
        }
    }

    private static int[] Targets(int m, int vocabulary)
    {
        Random random = new(5);
        return [.. Enumerable.Range(0, m).Select(_ => random.Next(vocabulary))];
    }

    /// <summary>For each element of the gradient, the sum of its terms' absolute values.</summary>
    private static double[] TermSizes(double[] h, double[] w, int[] targets, float temperature, int vocabulary, int d)
    {
        int m = targets.Length;
        double[] logits = Reference.Linear(h, w, null, m, vocabulary, d), dlogits = new double[m * vocabulary];
        for (int i = 0; i < m; i++)
        {
            double[] p = Reference.Softmax(logits.AsSpan(i * vocabulary, vocabulary), temperature).P;
            for (int v = 0; v < vocabulary; v++)
                dlogits[i * vocabulary + v] = Math.Abs((v == targets[i] ? 1 : 0) - p[v]) / temperature;
        }
        return Reference.LinearBackward(dlogits, [.. w.Select(Math.Abs)], m, vocabulary, d);
    }
}
