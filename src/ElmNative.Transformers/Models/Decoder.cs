using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Transformers.Models;

/// <summary>
/// The rows that a layer works on: their positions, where their keys and values go, and what they attend to.
/// </summary>
/// <param name="Positions">I32 [1, rows]</param>
/// <param name="Slots">I32 [1, rows]: row of the key/value store for each row; absent when <see cref="LayerState.Key"/> already is the right part of the store</param>
/// <param name="Plan">who attends to what</param>
/// <param name="Rotary">cosines and sines up to the largest position</param>
internal readonly record struct RowLayout(Tensor Positions, Tensor Slots, AttentionPlan Plan, Tensor Rotary);

/// <summary>The layers of a pre-norm decoder with rotary positions, grouped-query attention and SwiGLU, forward and backward to its input rows.</summary>
internal sealed class Decoder(IBackend backend, ModelConfig config, DecoderWeights weights)
{
    private readonly AttentionShape shape =
        new(config.QueryHeads, config.KeyHeads, config.HeadSize, (float)(1 / Math.Sqrt(config.HeadSize)));

    /// <summary>Queries, keys and values of a layer before the rotary embedding (and after the q/k norm, where the family has one).</summary>
    public void Project(int layer, in LayerState s)
    {
        LayerWeights w = weights.Layers[layer];
        backend.RmsNorm(s.Input, w.InputNorm, config.RmsNormEpsilon, s.Normed);
        backend.Project(s.Normed,
        [
            new(w.Query, w.QueryBias, config.QueryKeyNorm ? s.RawQuery : s.Query),
            new(w.Key, w.KeyBias, config.QueryKeyNorm ? s.RawKey : s.Key),
            new(w.Value, w.ValueBias, s.Value),
        ]);
        if (config.QueryKeyNorm)
        {
            backend.RmsNorm(Heads(s.RawQuery), w.QueryNorm, config.RmsNormEpsilon, Heads(s.Query));
            backend.RmsNorm(Heads(s.RawKey), w.KeyNorm, config.RmsNormEpsilon, Heads(s.Key));
        }
    }

    /// <summary>Rotation, attention and feed-forward: from the projections to the layer's output.</summary>
    public void Mix(int layer, in RowLayout rows, in LayerState s)
    {
        LayerWeights w = weights.Layers[layer];
        if (rows.Slots.IsPresent)
        {
            backend.RotaryStore(s.Query, s.Key, s.Value, rows.Positions, rows.Rotary, config.HeadSize, rows.Slots, s.KeyStore, s.ValueStore);
        }
        else
        {
            backend.Rotary(s.Query, rows.Positions, rows.Rotary, config.HeadSize, inverse: false, s.Query);
            backend.Rotary(s.Key, rows.Positions, rows.Rotary, config.HeadSize, inverse: false, s.Key);
        }
        backend.Attention(rows.Plan, shape, s.Query, s.KeyStore, s.ValueStore, s.Attended, s.LogSumExp);
        if (s.Middle != s.Input)
            backend.Copy(s.Input, s.Middle);
        backend.Linear(s.Attended, w.Output, default, s.Middle, accumulate: true);

        backend.RmsNorm(s.Middle, w.MiddleNorm, config.RmsNormEpsilon, s.Normed);
        backend.Project(s.Normed, [new(w.Gate, default, s.Gate), new(w.Up, default, s.Up)]);
        backend.SwiGlu(s.Gate, s.Up, s.Product);
        if (s.Output != s.Middle)
            backend.Copy(s.Middle, s.Output);
        backend.Linear(s.Product, w.Down, default, s.Output, accumulate: true);
    }

    /// <summary>
    /// One layer backward: <paramref name="gradient"/> is d(loss)/d(output) on entry and d(loss)/d(input) on return, F32 [rows, hidden].
    /// Packed rows only (row i of the store is row i). The set's Gate, Up and Product are overwritten.
    /// </summary>
    public void Backward(int layer, in RowLayout rows, in LayerState s, in LayerGradients g, Tensor gradient)
    {
        LayerWeights w = weights.Layers[layer];
        Tensor upstream = AsActivation(gradient, g.Upstream);
        backend.LinearBackward(upstream, w.Down, g.Product, accumulate: false);
        backend.SwiGluBackward(s.Gate, s.Up, g.Product, s.Gate, s.Up);
        backend.LinearBackward(s.Gate, w.Gate, g.Normed, accumulate: false);
        backend.LinearBackward(s.Up, w.Up, g.Normed, accumulate: true);
        backend.RmsNormBackward(s.Middle, w.MiddleNorm, config.RmsNormEpsilon, g.Normed, gradient);

        upstream = AsActivation(gradient, g.Upstream);
        backend.LinearBackward(upstream, w.Output, g.Attended, accumulate: false);
        backend.AttentionBackward(rows.Plan, shape, s.Query, s.KeyStore, s.ValueStore, s.Attended, s.LogSumExp, g.Attended, g.Query, g.Key, g.Value);
        backend.Rotary(g.Query, rows.Positions, rows.Rotary, config.HeadSize, inverse: true, g.Query);
        backend.Rotary(g.Key, rows.Positions, rows.Rotary, config.HeadSize, inverse: true, g.Key);
        Tensor query = g.Query, key = g.Key;
        if (config.QueryKeyNorm)
        {
            query = g.RawQuery;
            key = g.RawKey;
            backend.Zero(query);
            backend.Zero(key);
            backend.RmsNormBackward(Heads(s.RawQuery), w.QueryNorm, config.RmsNormEpsilon, Heads(g.Query), Heads(query));
            backend.RmsNormBackward(Heads(s.RawKey), w.KeyNorm, config.RmsNormEpsilon, Heads(g.Key), Heads(key));
        }
        backend.LinearBackward(query, w.Query, g.Normed, accumulate: false);
        backend.LinearBackward(key, w.Key, g.Normed, accumulate: true);
        backend.LinearBackward(g.Value, w.Value, g.Normed, accumulate: true);
        backend.RmsNormBackward(s.Input, w.InputNorm, config.RmsNormEpsilon, g.Normed, gradient);
    }

    /// <summary>The residual gradient as the products read it: itself where activations are F32, else rounded into <paramref name="scratch"/>.</summary>
    private Tensor AsActivation(Tensor gradient, Tensor scratch)
    {
        if (gradient.Type == scratch.Type)
            return gradient;
        backend.Copy(gradient, scratch);
        return scratch;
    }

    private Tensor Heads(Tensor x) => x.Reshape((int)(x.Count / config.HeadSize), config.HeadSize);
}
