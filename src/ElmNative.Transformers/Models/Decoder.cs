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

/// <summary>
/// The tensors of one layer for a number of rows. Activations (the backend's type) unless a line says otherwise. Inference uses one set for all layers, with Input, Middle and Output the same tensor;
/// training keeps a set a layer, because the backward pass reads all but <see cref="Normed"/>.
/// </summary>
internal struct LayerState
{
    /// <summary>[rows, hidden] residual stream: into the layer, between attention and feed-forward, out of it; F32, whatever the activations are.</summary>
    public Tensor Input, Middle, Output;

    /// <summary>[rows, hidden] scratch: the norm's output, and in the backward pass the residual gradient as an activation.</summary>
    public Tensor Normed;

    /// <summary>[rows, heads * headSize]; rotated queries; rotated keys; values. RawQuery and RawKey: before the q/k norm, where the family has one.</summary>
    public Tensor Query, Key, Value, RawQuery, RawKey;

    /// <summary>[store rows, key heads * headSize]: what is attended to.</summary>
    public Tensor KeyStore, ValueStore;

    /// <summary>[rows, query heads * headSize] and [rows, query heads] (F32; absent at inference).</summary>
    public Tensor Attended, LogSumExp;

    /// <summary>[rows, ffn]; the product goes to <see cref="Product"/>, which may be Gate at inference.</summary>
    public Tensor Gate, Up, Product;

    /// <summary>The same set for the first <paramref name="rows"/> rows only; the store stays whole.</summary>
    public readonly LayerState Head(int rows) => this with
    {
        Input = First(Input, rows), Middle = First(Middle, rows), Output = First(Output, rows), Normed = First(Normed, rows),
        Query = First(Query, rows), Key = First(Key, rows), Value = First(Value, rows),
        RawQuery = First(RawQuery, rows), RawKey = First(RawKey, rows),
        Attended = First(Attended, rows), LogSumExp = First(LogSumExp, rows),
        Gate = First(Gate, rows), Up = First(Up, rows), Product = First(Product, rows),
    };

    private static Tensor First(Tensor x, int rows) => x.IsPresent ? x.Slice(0, rows) : x;
}

/// <summary>The layers of a pre-norm decoder with rotary positions, grouped-query attention and SwiGLU, forward and backward to its input rows.</summary>
internal sealed class Decoder(IBackend backend, ModelConfig config, DecoderWeights weights)
{
    private readonly AttentionShape shape =
        new(config.QueryHeads, config.KeyHeads, config.HeadSize, (float)(1 / Math.Sqrt(config.HeadSize)));

    /// <summary>Width of the queries: query heads x head size.</summary>
    public int QueryWidth => config.QueryHeads * config.HeadSize;

    /// <summary>Width of keys and values: key heads x head size.</summary>
    public int KeyWidth => config.KeyHeads * config.HeadSize;

    /// <summary>Queries, keys and values of a layer before the rotary embedding (and after the q/k norm, where the family has one).</summary>
    public void Project(int layer, in LayerState s)
    {
        LayerWeights w = weights.Layers[layer];
        backend.RmsNorm(s.Input, w.InputNorm, config.RmsNormEpsilon, s.Normed);
        backend.Linear(s.Normed, w.Query, w.QueryBias, config.QueryKeyNorm ? s.RawQuery : s.Query, accumulate: false);
        backend.Linear(s.Normed, w.Key, w.KeyBias, config.QueryKeyNorm ? s.RawKey : s.Key, accumulate: false);
        backend.Linear(s.Normed, w.Value, w.ValueBias, s.Value, accumulate: false);
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
        backend.Linear(s.Normed, w.Gate, default, s.Gate, accumulate: false);
        backend.Linear(s.Normed, w.Up, default, s.Up, accumulate: false);
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

    /// <summary>One set of tensors for <paramref name="rows"/> rows that serves every layer at inference; the store is the caller's.</summary>
    public LayerState RentInferenceState(RentedTensors rent, int rows)
    {
        Tensor residual = rent.F32(rows, config.HiddenSize), gate = rent.Activation(rows, config.IntermediateSize);
        return new LayerState
        {
            Input = residual, Middle = residual, Output = residual,
            Normed = rent.Activation(rows, config.HiddenSize),
            Query = rent.Activation(rows, QueryWidth),
            Key = rent.Activation(rows, KeyWidth),
            Value = rent.Activation(rows, KeyWidth),
            RawQuery = config.QueryKeyNorm ? rent.Activation(rows, QueryWidth) : default,
            RawKey = config.QueryKeyNorm ? rent.Activation(rows, KeyWidth) : default,
            Attended = rent.Activation(rows, QueryWidth),
            Gate = gate, Up = rent.Activation(rows, config.IntermediateSize), Product = gate,
        };
    }

    /// <summary>The tensors of one layer that a backward pass reads; Input and the scratch are the caller's to share.</summary>
    public LayerState RentTrainingState(RentedTensors rent, int rows, Tensor input, Tensor normed, Tensor product)
    {
        LayerState state = new()
        {
            Input = input, Middle = rent.F32(rows, config.HiddenSize), Output = rent.F32(rows, config.HiddenSize),
            Normed = normed,
            Query = rent.Activation(rows, QueryWidth),
            Key = rent.Activation(rows, KeyWidth),
            Value = rent.Activation(rows, KeyWidth),
            RawQuery = config.QueryKeyNorm ? rent.Activation(rows, QueryWidth) : default,
            RawKey = config.QueryKeyNorm ? rent.Activation(rows, KeyWidth) : default,
            Attended = rent.Activation(rows, QueryWidth),
            LogSumExp = rent.F32(rows, config.QueryHeads),
            Gate = rent.Activation(rows, config.IntermediateSize), Up = rent.Activation(rows, config.IntermediateSize), Product = product,
        };
        state.KeyStore = state.Key;
        state.ValueStore = state.Value;
        return state;
    }

    /// <summary>Scratch for <see cref="Backward"/>, shared by all layers.</summary>
    /// <param name="rent">owner of what is not shared</param><param name="rows">rows of the pass</param><param name="normed">the layers' <see cref="LayerState.Normed"/>, free in the backward pass</param>
    /// <param name="product">the layers' <see cref="LayerState.Product"/>, likewise</param>
    public LayerGradients RentGradients(RentedTensors rent, int rows, Tensor normed, Tensor product) => new()
    {
        Normed = normed.Type == ElementType.F32 ? normed : rent.F32(rows, config.HiddenSize),
        Upstream = normed,
        Product = product,
        Attended = rent.Activation(rows, QueryWidth),
        Query = rent.Activation(rows, QueryWidth),
        Key = rent.Activation(rows, KeyWidth),
        Value = rent.Activation(rows, KeyWidth),
        RawQuery = config.QueryKeyNorm ? rent.Activation(rows, QueryWidth) : default,
        RawKey = config.QueryKeyNorm ? rent.Activation(rows, KeyWidth) : default,
    };

    /// <summary>Bytes that a training pass keeps for each row and all layers.</summary>
    public long TrainingBytesPerRow => (long)config.Layers * (sizeof(float) * (2L * config.HiddenSize + config.QueryHeads)
        + backend.ActivationType.Size() * (2L * QueryWidth + 2 * KeyWidth + 2 * config.IntermediateSize + (config.QueryKeyNorm ? QueryWidth + KeyWidth : 0)));

    private Tensor Heads(Tensor x) => x.Reshape((int)(x.Count / config.HeadSize), config.HeadSize);
}

/// <summary>Scratch of the backward pass, [rows, ...] like the activations they belong to.</summary>
internal struct LayerGradients
{
    /// <summary>F32: three products add to it.</summary>
    public Tensor Normed;

    /// <summary>Activation: the residual gradient as the products read it.</summary>
    public Tensor Upstream;

    /// <summary>Activations.</summary>
    public Tensor Product, Attended, Query, Key, Value, RawQuery, RawKey;
}
