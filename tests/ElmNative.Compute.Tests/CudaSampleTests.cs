using ElmNative.Compute.Cpu;
using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Draws on the GPU: those of the CPU, each alone as in its batch.</summary>
[TestClass]
public sealed class CudaSampleTests : SampleContract
{
    private protected override int Draws => 250;

    private protected override IBackend Open() => CudaDevice.Open();

    /// <summary>The CPU's token and log-probability for the same logits; another token only where the uniform number falls on the border of two tokens, within the rounding of float sums.</summary>
    [TestMethod]
    [DataRow(1, 1)]
    [DataRow(7, 12)]
    [DataRow(128, 12)]
    [DataRow(129, 12)]
    [DataRow(1000, 24)]
    [DataRow(4100, 12)]
    [DataRow(8191, 12)]
    [DataRow(152064, 4)]
    public void DrawsAreThoseOfTheCpu(int vocabulary, int draws)
    {
        using CudaBackend cuda = CudaDevice.Open();
        using CpuBackend cpu = new(2);
        (float Temperature, int TopK, float TopP, float MinP)[] settings =
        [
            (1, 0, 1, 0), (0.8f, 0, 0.95f, 0), (1, 50, 1, 0), (1.5f, 0, 1, 0.01f), (1, 40, 0.9f, 0.02f), (0, 0, 1, 0), (3, 0, 0.999f, 0), (1, 3000, 1, 0), (2, 3000, 0.99f, 0), (0.05f, 0, 0.5f, 0),
            (1, 1, 1, 0), (1, 0, 0.99999f, 0),
        ];
        SamplingRow[] rows = [.. Enumerable.Range(0, draws).Select(i =>
            Row(settings[i % settings.Length].Temperature, settings[i % settings.Length].TopK, settings[i % settings.Length].TopP, settings[i % settings.Length].MinP, (uint)i))];
        float[] logits = Normal(vocabulary, (long)draws * vocabulary, 3);
        // Masked tokens, and logits on a coarse grid, which tie.
        for (int i = 0; i < logits.Length; i += 3)
            logits[i] = MathF.Round(logits[i] * 4) / 4;
        for (int i = 0; i < logits.Length; i += 5)
            logits[i] = i % 10 == 0 && vocabulary > 1 ? float.NegativeInfinity : logits[i];
        (int[] wanted, float[] wantedLogProbs) = Sample(cpu, logits, rows);
        (int[] got, float[] gotLogProbs) = Sample(cuda, logits, rows);
        for (int i = 0; i < draws; i++)
        {
            float[] row = logits[(i * vocabulary)..((i + 1) * vocabulary)];
            if (wanted[i] == got[i])
                Assert.AreEqual(wantedLogProbs[i], gotLogProbs[i], 4e-6 * (1 + Math.Abs(wantedLogProbs[i])), $"draw {i}");
            else
                Assert.IsTrue(OnABorder(row, rows[i], wanted[i], got[i]), $"draw {i} of {vocabulary} is {got[i]}, on the CPU {wanted[i]}");
        }
    }

    private static bool OnABorder(float[] logits, SamplingRow row, int first, int second)
    {
        double[] p = Reference.Softmax(Doubles(logits), row.Temperature).P;
        HashSet<int> candidates = Candidates(logits, row);
        double mass = candidates.Sum(v => p[v]), below = candidates.Where(v => v < Math.Max(first, second)).Sum(v => p[v]);
        return candidates.Contains(first) && candidates.Contains(second) && Math.Abs(below / mass - Uniform(row)) < 1e-6;
    }

    [TestMethod]
    public void ADrawDoesNotDependOnItsBatch()
    {
        using CudaBackend cuda = CudaDevice.Open();
        float[] logits = Normal(1, 5 * 999);
        SamplingRow[] rows = [Row(), Row(topK: 5), Row(topP: 0.5f), Row(2, position: 4), Row(0)];
        (int[] tokens, float[] logprobs) = Sample(cuda, logits, rows);
        for (int i = 0; i < rows.Length; i++)
        {
            (int[] token, float[] logprob) = Sample(cuda, logits[(i * 999)..((i + 1) * 999)], rows[i]);
            Assert.AreEqual(tokens[i], token[0]);
            SameBits(logprobs.AsSpan(i, 1), logprob, $"row {i}");
        }
    }

    [TestMethod]
    public void NoRowsAndNoVocabularyAreAllowed()
    {
        using CudaBackend cuda = CudaDevice.Open();
        cuda.Sample(cuda.Blank(0, 5), cuda.Put(Array.Empty<SamplingRow>()), cuda.Put([], 1, 0), cuda.Blank(1, 0));
        CollectionAssert.AreEqual(new[] { -1, -1 }, Sample(cuda, [], Row(), Row(0)).Tokens);
    }

    [TestMethod]
    public void WrongShapesAreRefused()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor logits = cuda.Blank(2, 4), rows = cuda.Put(new SamplingRow[2]), two = cuda.Put([0, 0], 1, 2), probabilities = cuda.Blank(1, 2);
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Sample(logits, rows, two, two));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Sample(logits, rows.Slice(0, 1), two, probabilities));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Sample(cuda.Blank(1, 1 << 20), rows.Slice(0, 1), two.Reshape(2, 1).Slice(0, 1), probabilities.Reshape(2, 1).Slice(0, 1)));
    }

    [TestMethod]
    public void NoCallAllocatesManagedMemory()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor logits = cuda.Put(Normal(1, 20), 2, 10), rows = cuda.Put([Row(), Row()]), tokens = cuda.Put([0, 0], 1, 2), logprobs = cuda.Blank(1, 2);
        cuda.Sample(logits, rows, tokens, logprobs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        cuda.Sample(logits, rows, tokens, logprobs);
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
