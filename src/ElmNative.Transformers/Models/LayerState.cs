using ElmNative.Compute;

namespace ElmNative.Transformers.Models;

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
