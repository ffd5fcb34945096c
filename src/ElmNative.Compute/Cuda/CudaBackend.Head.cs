namespace ElmNative.Compute.Cuda;

/// <content>The head: log-probabilities and their gradient.</content>
public sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void LogProbs(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor logprobs, Tensor entropy) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void LogProbsBackward(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor dlogprobs, Tensor dhidden) => throw new NotSupportedException();
}
