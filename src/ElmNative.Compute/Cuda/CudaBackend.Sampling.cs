namespace ElmNative.Compute.Cuda;

/// <content>Sampling and the decode loop.</content>
public sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void Sample(Tensor logits, Tensor rows, Tensor tokens, Tensor logprobs) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void AdvanceDecode(in DecodeState state, Tensor drawnTokens, Tensor drawnLogProbs) => throw new NotSupportedException();
}
