using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Transformers.Models;

/// <summary>The shapes of a decoder's tensors: rents what a pass of a number of rows needs.</summary>
/// <param name="config">the architecture</param><param name="activations">the backend's type of activations</param>
internal sealed class LayerTensors(ModelConfig config, ElementType activations)
{
    /// <summary>Width of the queries: query heads x head size.</summary>
    public int QueryWidth => config.QueryHeads * config.HeadSize;

    /// <summary>Width of keys and values: key heads x head size.</summary>
    public int KeyWidth => config.KeyHeads * config.HeadSize;

    /// <summary>One set of tensors for <paramref name="rows"/> rows that serves every layer at inference; the store is the caller's.</summary>
    public LayerState RentInferenceState(RentedTensors rent, int rows)
    {
        Tensor residual = rent.F32(rows, config.HiddenSize);
        LayerState state = RentActivations(rent, rows);
        return state with { Input = residual, Middle = residual, Output = residual, Normed = rent.Activation(rows, config.HiddenSize), Product = state.Gate };
    }

    /// <summary>The tensors of one layer that a backward pass reads; Input and the scratch are the caller's to share.</summary>
    private LayerState RentTrainingState(RentedTensors rent, int rows, Tensor input, Tensor normed, Tensor product)
    {
        LayerState state = RentActivations(rent, rows);
        return state with
        {
            Input = input, Middle = rent.F32(rows, config.HiddenSize), Output = rent.F32(rows, config.HiddenSize), Normed = normed, Product = product,
            KeyStore = state.Key, ValueStore = state.Value, LogSumExp = rent.F32(rows, config.QueryHeads),
        };
    }

    /// <summary>The activations of a layer that inference and training both have a place for; nothing else of the set.</summary>
    private LayerState RentActivations(RentedTensors rent, int rows) => new()
    {
        Query = rent.Activation(rows, QueryWidth),
        Key = rent.Activation(rows, KeyWidth),
        Value = rent.Activation(rows, KeyWidth),
        RawQuery = config.QueryKeyNorm ? rent.Activation(rows, QueryWidth) : default,
        RawKey = config.QueryKeyNorm ? rent.Activation(rows, KeyWidth) : default,
        Attended = rent.Activation(rows, QueryWidth),
        Gate = rent.Activation(rows, config.IntermediateSize),
        Up = rent.Activation(rows, config.IntermediateSize),
    };

    /// <summary>Scratch for <see cref="Decoder.Backward"/>, shared by all layers.</summary>
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
        + activations.Size() * (2L * QueryWidth + 2 * KeyWidth + 2 * config.IntermediateSize + (config.QueryKeyNorm ? QueryWidth + KeyWidth : 0)));

    /// <summary>
    /// The sets of tensors that the backward pass reads, bottom to top. With <paramref name="recompute"/> one set serves every layer and only the layers' inputs are kept.
    /// </summary>
    /// <param name="rent">owner of the tensors</param><param name="rows">rows of the pass</param><param name="recompute">keep inputs only</param><param name="x">F32 [rows, hidden]: the embedded rows</param>
    /// <param name="normed">shared <see cref="LayerState.Normed"/></param><param name="product">shared <see cref="LayerState.Product"/></param>
    public LayerState[] RentTrainingStates(RentedTensors rent, int rows, bool recompute, Tensor x, Tensor normed, Tensor product)
    {
        LayerState[] states = new LayerState[config.Layers];
        for (int i = 0; i < states.Length; i++)
        {
            states[i] = i == 0 || !recompute ? RentTrainingState(rent, rows, x, normed, product) : states[0] with { Input = x, Output = rent.F32(rows, config.HiddenSize) };
            x = states[i].Output;
        }
        return states;
    }
}
