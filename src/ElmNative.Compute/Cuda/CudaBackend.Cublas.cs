namespace ElmNative.Compute.Cuda;

/// <content>Dense products through cuBLASLt, where its library is there.</content>
public sealed unsafe partial class CudaBackend
{
    private const int CublasWorkspaceBytes = 32 << 20;

    private readonly CudaOptions cublasOptions;
    private CublasLt? cublas;
    private string? dense;

    /// <summary>What computes dense products and why, for reports: for example <c>dense products by cuBLASLt 13.0.0</c>. Loads the library.</summary>
    internal string DenseProducts
    {
        get
        {
            Enter();
            OpenCublas();
            return dense!;
        }
    }

    /// <summary>
    /// Queues y = x W^T + bias (or y += that) as <see cref="Linear"/> defines it, through cuBLASLt. False, with nothing queued, where it cannot:
    /// the library is absent or switched off, x or the weight is not BF16, the bias is not of y's type or not aligned to 16 bytes, the product is
    /// empty, or the library has no algorithm for it; the caller then takes the project's own kernel. Shapes are checked by the caller.
    /// </summary>
    /// <param name="x">BF16 [m, k]</param><param name="weight">BF16 [n, k]</param><param name="bias">[1, n] of y's type, or absent</param>
    /// <param name="y">BF16 or F32 [m, n]</param><param name="accumulate">add to y instead of overwriting it</param>
    internal bool TryCublasLt(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate) =>
        OpenCublas() is { } library && Suits(x, weight, y) && (!bias.IsPresent || bias.Type == y.Type)
        && library.Linear(stream, x, weight, bias, y, accumulate);

    /// <summary>Queues dx = dy W (or dx += that) as <see cref="LinearBackward"/> defines it; false as for <see cref="TryCublasLt"/>.</summary>
    /// <param name="dy">BF16 [m, n]</param><param name="weight">BF16 [n, k]</param><param name="dx">BF16 or F32 [m, k]</param>
    /// <param name="accumulate">add to dx instead of overwriting it</param>
    internal bool TryCublasLtBackward(Tensor dy, Tensor weight, Tensor dx, bool accumulate) =>
        OpenCublas() is { } library && Suits(dy, weight, dx) && library.LinearBackward(stream, dy, weight, dx, accumulate);

    private static bool Suits(Tensor x, Tensor weight, Tensor y) => x.Type == ElementType.BF16 && weight.Type == ElementType.BF16
        && y.Type is ElementType.BF16 or ElementType.F32 && x.Count > 0 && weight.Count > 0;

    /// <summary>The library, looked for at the first call; null where there is none.</summary>
    private CublasLt? OpenCublas()
    {
        Enter();
        if (dense is not null)
            return cublas;
        if (stream.IsCapturing)
            throw new InvalidOperationException("cuBLASLt cannot be loaded while a graph is captured; run the same operations once before " +
                "the capture");
        cublas = CublasLt.Open(cublasOptions, memory.Allocate, CublasWorkspaceBytes, out string reason);
        if (cublas is not null)
            context.Keep();
        dense = cublas is not null ? $"dense products by {reason}" : $"dense products by the project's own kernels ({reason})";
        return cublas;
    }
}
