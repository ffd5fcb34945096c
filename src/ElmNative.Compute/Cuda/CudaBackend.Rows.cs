namespace ElmNative.Compute.Cuda;

/// <content>Operations on rows: norms, rotary embedding, gathers and scatters.</content>
public sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void Copy(Tensor source, Tensor destination) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void GatherRows(Tensor source, Tensor indices, Tensor destination) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void ScatterRows(Tensor source, Tensor indices, Tensor destination) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void ScatterAddRows(Tensor source, Tensor indices, Tensor destination) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void RmsNorm(Tensor x, Tensor weight, float epsilon, Tensor y) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void RmsNormBackward(Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Rotary(Tensor x, Tensor positions, Tensor table, int headSize, bool inverse, Tensor y) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void RotaryStore(Tensor q, Tensor k, Tensor v, Tensor positions, Tensor table, int headSize, Tensor slots, Tensor keyStore, Tensor valueStore) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void SwiGlu(Tensor gate, Tensor up, Tensor y) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void SwiGluBackward(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void FillUniform(Tensor x, ulong seed, float magnitude) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void PoolHeads(Tensor x, Tensor ranges, int headSize, Tensor y) => throw new NotSupportedException();
}
