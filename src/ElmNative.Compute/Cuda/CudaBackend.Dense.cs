namespace ElmNative.Compute.Cuda;

/// <content>Matrix products.</content>
public sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void Linear(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void LinearBackward(Tensor dy, Tensor weight, Tensor dx, bool accumulate) => throw new NotSupportedException();
}
