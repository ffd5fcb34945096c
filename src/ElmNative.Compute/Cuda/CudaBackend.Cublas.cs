namespace ElmNative.Compute.Cuda;

/// <content>Dense products through cuBLASLt, where its library is there.</content>
public sealed unsafe partial class CudaBackend
{
    /// <summary>
    /// Queues y = x W^T + bias (or y += that) as <see cref="Linear"/> defines it, through cuBLASLt. False, with nothing queued, where it cannot: the library is absent or switched off, x or the weight is not
    /// BF16, the bias is not of y's type, the product is empty, or the library has no algorithm for it; the caller then takes the project's own kernel. Shapes are checked by the caller.
    /// </summary>
    /// <param name="x">BF16 [m, k]</param><param name="weight">BF16 [n, k]</param><param name="bias">[1, n] of y's type, or absent</param>
    /// <param name="y">BF16 or F32 [m, n]</param><param name="accumulate">add to y instead of overwriting it</param>
    private bool TryCublasLt(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate) => false;

    /// <summary>Queues dx = dy W (or dx += that) as <see cref="LinearBackward"/> defines it; false as for <see cref="TryCublasLt"/>.</summary>
    /// <param name="dy">BF16 [m, n]</param><param name="weight">BF16 [n, k]</param><param name="dx">BF16 or F32 [m, k]</param><param name="accumulate">add to dx instead of overwriting it</param>
    private bool TryCublasLtBackward(Tensor dy, Tensor weight, Tensor dx, bool accumulate) => false;
}
