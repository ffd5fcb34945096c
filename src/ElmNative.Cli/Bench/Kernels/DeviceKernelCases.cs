using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>
/// The operations at sizes of the bundled model, which take no time, and of Qwen2.5-Math-7B: hidden 3584, 28 query and 4 key heads of 128, ffn 18944, vocabulary 152064;
/// a memory step of 8 rollouts of 700 tokens behind a prompt of 200.
/// </summary>
internal static class DeviceKernelCases
{
    private const int Hidden = 3584, Inner = 18944, KeyWidth = 512, Vocabulary = 152064, Prompt = 200, Rollouts = 8, Length = 700, StepRows = Prompt + Rollouts * Length;

    /// <summary>All cases in the order of the table.</summary>
    public static IEnumerable<KernelCase> All() => [.. Products(), .. KernelCases.Rowwise(128, 128, 32), .. KernelCases.Rowwise(StepRows, Hidden, 128), .. Attentions(), .. Head(), .. Vectors()];

    private static IEnumerable<KernelCase> Products()
    {
        foreach (int m in new[] { 1, 2, 4, 8, 16, 32, 64, 512, StepRows })
        {
            yield return DenseKernels.Linear(m, Hidden, Inner, ElementType.BF16);
            yield return DenseKernels.Linear(m, Inner, Hidden, ElementType.BF16);
        }
        foreach (int m in new[] { 1, 8 })
        {
            yield return DenseKernels.Linear(m, Hidden, Hidden, ElementType.BF16);
            yield return DenseKernels.Linear(m, Hidden, KeyWidth, ElementType.BF16);
            yield return DenseKernels.Linear(m, Hidden, Vocabulary, ElementType.BF16);
        }
        foreach (int m in new[] { 512, StepRows })
        {
            yield return DenseKernels.LinearBackward(m, Hidden, Inner, ElementType.BF16);
            yield return DenseKernels.LinearBackward(m, Inner, Hidden, ElementType.BF16);
        }
        foreach (int m in new[] { 8, 128 })
        {
            yield return DenseKernels.Linear(m, 128, 256, ElementType.BF16);
            yield return DenseKernels.LinearBackward(m, 128, 256, ElementType.BF16);
        }
    }

    private static IEnumerable<KernelCase> Attentions()
    {
        AttentionShape small = new(4, 2, 32, 1 / MathF.Sqrt(32)), large = new(28, 4, 128, 1 / MathF.Sqrt(128));
        yield return AttentionKernels.Decode(small, sequences: 8, prefix: 60, own: 20);
        yield return AttentionKernels.Forward(small, groups: 2, root: 40, children: 3, length: 20);
        yield return AttentionKernels.Backward(small, groups: 2, root: 40, children: 3, length: 20);
        yield return AttentionKernels.Prefill(large, 4096);
        yield return AttentionKernels.Backward(large, groups: 1, root: 4096, children: 0, length: 0);
        yield return AttentionKernels.Forward(large, groups: 1, Prompt, Rollouts, Length);
        yield return AttentionKernels.Backward(large, groups: 1, Prompt, Rollouts, Length);
        yield return AttentionKernels.Decode(large, sequences: 1, prefix: Prompt, own: Length);
        foreach (int sequences in new[] { 8, 64 })
            yield return AttentionKernels.Decode(large, sequences, prefix: Prompt, own: Length);
        yield return AttentionKernels.Decode(large, sequences: 64, prefix: 4096, own: 512);
    }

    private static IEnumerable<KernelCase> Head()
    {
        yield return DenseKernels.LogProbs(64, 128, 719);
        yield return DenseKernels.LogProbsGradient(64, 128, 719);
        yield return DenseKernels.LogProbs(Rollouts * Length, Hidden, Vocabulary);
        yield return DenseKernels.LogProbsGradient(Rollouts * Length, Hidden, Vocabulary);
        yield return SampleKernels.Sample("temperature", 8, 719, new SamplingRow { Temperature = 1, TopP = 1 });
        foreach (int rows in new[] { 8, 64 })
        {
            yield return SampleKernels.Sample("greedy", rows, Vocabulary, new SamplingRow { TopP = 1 });
            yield return SampleKernels.Sample("temperature", rows, Vocabulary, new SamplingRow { Temperature = 1, TopP = 1 });
            yield return SampleKernels.Sample("top-k, top-p, min-p", rows, Vocabulary, new SamplingRow { Temperature = 1, TopK = 50, TopP = 0.9f, MinP = 0.01f });
        }
    }

    private static IEnumerable<KernelCase> Vectors()
    {
        yield return VectorKernels.Cosine(1, 1_000, 896, 1);
        yield return VectorKernels.Cosine(1, 1_000_000, 896, 1);
        yield return VectorKernels.Cosine(8, 10_000, 28 * 128, 28);
        yield return VectorKernels.Optimiser(20 * 128);
        yield return VectorKernels.Optimiser(20 * Hidden);
    }
}
