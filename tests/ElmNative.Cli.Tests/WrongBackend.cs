using ElmNative.Compute;

namespace ElmNative.Cli.Tests;

/// <summary>A backend that computes everything a little wrong: every output value is off by a hundredth, every index by one.</summary>
/// <param name="inner">does the work</param>
/// <param name="zero">also fill zeros wrongly</param>
internal sealed class WrongBackend(IBackend inner, bool zero) : IBackend
{
    public string Description => inner.Description;
    public DeviceBuffer Allocate(long bytes) => inner.Allocate(bytes);
    public ElementType ActivationType => inner.ActivationType;
    public DeviceMemory? Memory => inner.Memory;
    public Tensor AdoptWeights(nint address, ElementType type, int rows, int columns, object owner) => inner.AdoptWeights(address, type, rows, columns, owner);
    public IGraph Capture(Action work) => inner.Capture(work);
    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination) where T : unmanaged => inner.Upload(source, destination);
    public void Download<T>(Tensor source, Span<T> destination) where T : unmanaged => inner.Download(source, destination);
    public void Synchronize() => inner.Synchronize();
    public void Dispose() => inner.Dispose();

    public void Zero(Tensor x)
    {
        inner.Zero(x);
        if (zero)
            Spoil(x);
    }

    public void Copy(Tensor source, Tensor destination)
    {
        inner.Copy(source, destination);
        Spoil(destination);
    }

    public void Add(Tensor x, Tensor y)
    {
        inner.Add(x, y);
        Spoil(y);
    }

    public void ScaleRows(Tensor scales, Tensor x)
    {
        inner.ScaleRows(scales, x);
        Spoil(x);
    }

    public void GatherRows(Tensor source, Tensor indices, Tensor destination)
    {
        inner.GatherRows(source, indices, destination);
        Spoil(destination);
    }

    public void ScatterRows(Tensor source, Tensor indices, Tensor destination)
    {
        inner.ScatterRows(source, indices, destination);
        Spoil(destination);
    }

    public void ScatterAddRows(Tensor source, Tensor indices, Tensor destination)
    {
        inner.ScatterAddRows(source, indices, destination);
        Spoil(destination);
    }

    public void RmsNorm(Tensor x, Tensor weight, float epsilon, Tensor y)
    {
        inner.RmsNorm(x, weight, epsilon, y);
        Spoil(y);
    }

    public void RmsNormBackward(Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx)
    {
        inner.RmsNormBackward(x, weight, epsilon, dy, dx);
        Spoil(dx);
    }

    public void Linear(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate)
    {
        inner.Linear(x, weight, bias, y, accumulate);
        Spoil(y);
    }

    public void LinearBackward(Tensor dy, Tensor weight, Tensor dx, bool accumulate)
    {
        inner.LinearBackward(dy, weight, dx, accumulate);
        Spoil(dx);
    }

    public void Rotary(Tensor x, Tensor positions, Tensor table, int headSize, bool inverse, Tensor y)
    {
        inner.Rotary(x, positions, table, headSize, inverse, y);
        Spoil(y);
    }

    public void RotaryStore(Tensor q, Tensor k, Tensor v, Tensor positions, Tensor table, int headSize, Tensor slots, Tensor keyStore, Tensor valueStore)
    {
        inner.RotaryStore(q, k, v, positions, table, headSize, slots, keyStore, valueStore);
        Spoil(q);
        Spoil(keyStore);
        Spoil(valueStore);
    }

    public void FillUniform(Tensor x, ulong seed, float magnitude)
    {
        inner.FillUniform(x, seed, magnitude);
        Spoil(x);
    }

    public void AdvanceDecode(in DecodeState state, Tensor drawnTokens, Tensor drawnLogProbs)
    {
        inner.AdvanceDecode(state, drawnTokens, drawnLogProbs);
        Spoil(state.Tokens);
    }

    public void Attention(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        inner.Attention(plan, shape, q, k, v, y, logSumExp);
        Spoil(y);
    }

    public void AttentionBackward(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dy, Tensor dq, Tensor dk, Tensor dv)
    {
        inner.AttentionBackward(plan, shape, q, k, v, y, logSumExp, dy, dq, dk, dv);
        Spoil(dv);
    }

    public void SwiGlu(Tensor gate, Tensor up, Tensor y)
    {
        inner.SwiGlu(gate, up, y);
        Spoil(y);
    }

    public void SwiGluBackward(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup)
    {
        inner.SwiGluBackward(gate, up, dy, dgate, dup);
        Spoil(dup);
    }

    public void LogProbs(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor logprobs, Tensor entropy, Tensor gradient)
    {
        inner.LogProbs(hidden, weight, targets, temperature, logprobs, entropy, gradient);
        Spoil(gradient.IsPresent ? gradient : logprobs);
    }

    public void Sample(Tensor logits, Tensor rows, Tensor tokens, Tensor logprobs)
    {
        inner.Sample(logits, rows, tokens, logprobs);
        Spoil(tokens);
    }

    public void PoolHeads(Tensor x, Tensor ranges, int headSize, Tensor y)
    {
        inner.PoolHeads(x, ranges, headSize, y);
        Spoil(y);
    }

    public void CosineTopK(Tensor queries, Tensor keys, Tensor limits, int terms, Tensor indices, Tensor scores)
    {
        inner.CosineTopK(queries, keys, limits, terms, indices, scores);
        Spoil(indices);
    }

    public void AdamW(Tensor theta, Tensor grad, Tensor m, Tensor v, AdamWSettings settings, int step, Tensor gradNorm)
    {
        inner.AdamW(theta, grad, m, v, settings, step, gradNorm);
        Spoil(theta);
    }

    private void Spoil(Tensor x)
    {
        if (x.Type == ElementType.I32)
        {
            int[] indices = new int[x.Count];
            inner.Download<int>(x, indices);
            inner.Upload<int>(Array.ConvertAll(indices, index => index + 1), x);
            return;
        }
        float[] values = new float[x.Count];
        inner.Download<float>(x, values);
        inner.Upload<float>(Array.ConvertAll(values, value => value + 0.01f), x);
    }
}
