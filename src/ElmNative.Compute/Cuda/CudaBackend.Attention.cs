namespace ElmNative.Compute.Cuda;

/// <content>Attention, forward and backward.</content>
public sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void Attention(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void AttentionBackward(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dy, Tensor dq, Tensor dk, Tensor dv) => throw new NotSupportedException();
}
