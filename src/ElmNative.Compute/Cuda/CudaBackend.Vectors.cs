namespace ElmNative.Compute.Cuda;

/// <content>Memories: nearest keys and the optimizer.</content>
public sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void CosineTopK(Tensor queries, Tensor keys, Tensor limits, int terms, Tensor indices, Tensor scores) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void AdamW(Tensor theta, Tensor grad, Tensor m, Tensor v, AdamWSettings settings, int step, Tensor gradNorm) => throw new NotSupportedException();
}
