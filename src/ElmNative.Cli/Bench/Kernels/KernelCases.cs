using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>
/// Every operation of <see cref="IBackend"/>: on the processor at sizes of the bundled model (hidden 128) and of Qwen2.5-0.5B (hidden 896), on a device of its own memory at sizes of the bundled
/// model and of Qwen2.5-Math-7B (<see cref="DeviceKernelCases"/>).
/// </summary>
internal static class KernelCases
{
    /// <summary>All cases for a backend, in the order of the table.</summary>
    public static IEnumerable<KernelCase> For(IBackend backend) => backend.Memory is null
        ? [.. Products(), .. Rowwise(128, 128, 32), .. Rowwise(4096, 896, 64), .. Attentions(), .. Vocabulary(), .. Vectors()]
        : DeviceKernelCases.All();

    private static IEnumerable<KernelCase> Products()
    {
        const int hidden = 896, inner = 4864, keys = 128, vocabulary = 151936;
        foreach (int m in new[] { 1, 2, 4, 8, 16, 32, 64, 512, 2048 })
            yield return DenseKernels.Linear(m, hidden, inner, ElementType.BF16);
        foreach (int m in new[] { 1, 8, 64, 512, 2048 })
            yield return DenseKernels.LinearBackward(m, hidden, inner, ElementType.BF16);
        foreach (int m in new[] { 1, 8, 512 })
        {
            yield return DenseKernels.Linear(m, inner, hidden, ElementType.BF16);
            yield return DenseKernels.Linear(m, hidden, keys, ElementType.BF16);
            yield return DenseKernels.Linear(m, hidden, inner, ElementType.F16);
            yield return DenseKernels.Linear(m, hidden, inner, ElementType.F32);
        }
        foreach (int m in new[] { 1, 8 })
            yield return DenseKernels.Linear(m, hidden, vocabulary, ElementType.BF16);
        foreach (int m in new[] { 8, 128, 4096 })
        {
            yield return DenseKernels.Linear(m, 128, 256, ElementType.BF16);
            yield return DenseKernels.LinearBackward(m, 128, 256, ElementType.BF16);
        }
    }

    /// <summary>Every operation on rows at one size; SwiGLU at twice the width.</summary>
    public static IEnumerable<KernelCase> Rowwise(int rows, int width, int headSize) =>
    [
        RowKernels.Norm(rows, width), RowKernels.NormBackward(rows, width), RowKernels.Glu(rows, 2 * width), RowKernels.GluBackward(rows, 2 * width), RowKernels.Rotary(rows, width, headSize),
        RowKernels.Gather(rows, width), RowKernels.Scatter(rows, width), RowKernels.ScatterAdd(rows, width), RowKernels.Add(rows, width), RowKernels.Scale(rows, width), RowKernels.Copy(rows, width), RowKernels.Zero(rows, width),
        VectorKernels.Pool(rows, width, headSize),
    ];

    private static IEnumerable<KernelCase> Attentions()
    {
        foreach ((int heads, int keyHeads, int size) in new[] { (4, 2, 32), (14, 2, 64) })
        {
            AttentionShape shape = new(heads, keyHeads, size, 1 / MathF.Sqrt(size));
            yield return AttentionKernels.Prefill(shape, 512);
            yield return AttentionKernels.Decode(shape, sequences: 1, prefix: 170, own: 100);
            yield return AttentionKernels.Decode(shape, sequences: 64, prefix: 170, own: 100);
            yield return AttentionKernels.Forward(shape, groups: 4, root: 170, children: 8, length: 100);
            yield return AttentionKernels.Backward(shape, groups: 4, root: 170, children: 8, length: 100);
        }
    }

    private static IEnumerable<KernelCase> Vocabulary()
    {
        foreach ((int rows, int width, int vocabulary) in new[] { (1024, 128, 719), (256, 896, 151936) })
        {
            yield return DenseKernels.LogProbs(rows, width, vocabulary);
            yield return DenseKernels.LogProbsGradient(rows, width, vocabulary);
        }
        yield return SampleKernels.Sample("temperature", 128, 719, new SamplingRow { Temperature = 1, TopP = 1 });
        yield return SampleKernels.Sample("greedy", 8, 151936, new SamplingRow { TopP = 1 });
        yield return SampleKernels.Sample("temperature", 8, 151936, new SamplingRow { Temperature = 1, TopP = 1 });
        yield return SampleKernels.Sample("top-k, top-p, min-p", 8, 151936, new SamplingRow { Temperature = 1, TopK = 50, TopP = 0.9f, MinP = 0.01f });
    }

    private static IEnumerable<KernelCase> Vectors()
    {
        yield return VectorKernels.Cosine(1, 10_000, 896, 1);
        yield return VectorKernels.Cosine(8, 10_000, 24 * 64, 24);
        yield return VectorKernels.Optimiser(20 * 896);
    }
}
