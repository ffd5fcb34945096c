namespace ElmNative.Compute;

/// <summary>
/// The operations of a decoder with a trainable soft prompt, on one device. Few, and each with a stated contract:
/// <list type="bullet">
/// <item>Shapes are written [rows, columns]. A stands for <see cref="ActivationType"/>: what passes between the operations of a layer. The residual stream and its gradient,
/// soft prompts, logits and log-probabilities are F32. Weights are of the types that <see cref="AdoptWeights"/> gives them. Sums are kept in float32.</item>
/// <item>Batch invariance on the CPU: the bits of an output row depend on that row's own inputs only, never on the rows beside it, on their
/// number, or on the number of threads. A GPU gives the same bits for the same batch.</item>
/// <item>Operations are queued in order on one stream; <see cref="Download{T}"/> and <see cref="Synchronize"/> wait for them. Inputs and outputs must
/// not overlap unless a line allows it.</item>
/// <item>Any row count may be 0.</item>
/// <item>A wrong shape or type is an <see cref="ArgumentException"/> (a bug of the caller); a failing device is an <see cref="ElmException"/>.</item>
/// </list>
/// No call allocates managed memory.
/// </summary>
public interface IBackend : IDisposable
{
    /// <summary>What it runs on, for reports: for example <c>cpu avx512, 2 threads</c>.</summary>
    string Description { get; }

    /// <summary>The type of activations, A in the contracts below: F32 on the CPU, BF16 on a GPU.</summary>
    ElementType ActivationType { get; }

    /// <summary>The device's own memory, or null where tensors lie in the host's.</summary>
    DeviceMemory? Memory { get; }

    /// <summary>
    /// How many decode steps are queued before the host looks at what they drew. 1 where the host computes and a look is free; more where a look waits for a device: then whoever decodes also
    /// pads its batches to a few sizes and launches a captured graph for each.
    /// </summary>
    int DecodeWindow => Memory is null ? 1 : 8;

    /// <summary>Allocates uninitialised memory, aligned to 64 bytes at least.</summary>
    /// <exception cref="ElmException">out of memory: says what was asked for</exception>
    DeviceBuffer Allocate(long bytes);

    /// <summary>
    /// Makes a stored weight readable for the operations: in place where the device can read the host's memory, else as a copy, in the type that its kernels read (a GPU rounds
    /// F32 and F16 matrices to BF16, to the nearest even; the CPU reads in place and packs a copy for products). The memory stays valid and unchanged as long as <paramref name="owner"/> lives (a mapped checkpoint); the address
    /// may have any alignment. The caller disposes the returned tensor's buffer.
    /// </summary>
    /// <param name="address">first byte, row-major</param><param name="type">a float type</param><param name="rows">1 for a vector (a norm, a bias)</param><param name="columns">elements of a row</param>
    /// <param name="owner">kept alive by the buffer</param>
    Tensor AdoptWeights(nint address, ElementType type, int rows, int columns, object owner);

    /// <summary>
    /// Fills a tensor of a float type with uniform values in [-magnitude, magnitude): element i is a function of (seed, i) alone, from Philox4x32-10 with
    /// key (seed low, seed high) and counter (i / 4 low, i / 4 high, 0, 0), word w = i mod 4: ((w >> 8) * 2^-23 - 1) * magnitude in float32, where only the last product rounds;
    /// then rounded to the type, to the nearest even. The same values on every backend.
    /// </summary>
    void FillUniform(Tensor x, ulong seed, float magnitude);

    /// <summary>
    /// Keeps the operations that <paramref name="work"/> queues, to launch them again and again: tensors, shapes and plan sizes are those of now, contents those of each launch. Nothing runs
    /// yet. A GPU captures one graph; the CPU calls the action at each launch. The action may neither allocate, upload, download nor synchronize. The same operations have run at
    /// least once before with these shapes, so that the backend's own memory has grown to what they need.
    /// </summary>
    IGraph Capture(Action work);

    /// <summary>Copies from the host into a tensor. The span holds exactly the tensor's bytes.</summary>
    void Upload<T>(ReadOnlySpan<T> source, Tensor destination) where T : unmanaged;

    /// <summary>Waits for all queued work, then copies a tensor to the host. The span holds exactly the tensor's bytes.</summary>
    void Download<T>(Tensor source, Span<T> destination) where T : unmanaged;

    /// <summary>Waits for all queued work.</summary>
    void Synchronize();

    /// <summary>Sets every byte to zero.</summary>
    void Zero(Tensor x);

    /// <summary>destination = source, same shape: between any float types of A, F32 and (as a source) stored weights, rounded to the nearest even; or I32 to I32.</summary>
    void Copy(Tensor source, Tensor destination);

    /// <summary>y += x, elementwise, F32.</summary>
    void Add(Tensor x, Tensor y);

    /// <summary>x[i, j] *= scales[i]; a row with scale 0 becomes 0, whatever it held, infinities and NaN included.</summary>
    /// <param name="scales">F32 [1, m]</param><param name="x">F32 [m, d]</param>
    void ScaleRows(Tensor scales, Tensor x);

    /// <summary>
    /// destination[i] = source[indices[i]] for i with indices[i] >= 0; other rows of the destination stay untouched. The embedding look-up: the source
    /// may be of a stored type and is widened.
    /// </summary>
    /// <param name="source">[n, d], any float type</param><param name="indices">I32 [1, m]</param><param name="destination">F32 or A [m, d]</param>
    void GatherRows(Tensor source, Tensor indices, Tensor destination);

    /// <summary>destination[indices[i]] = source[i]; indices are distinct (keeping hidden states in their places).</summary>
    /// <param name="source">F32 or A [m, d]</param><param name="indices">I32 [1, m]</param><param name="destination">the same type, [n, d]</param>
    void ScatterRows(Tensor source, Tensor indices, Tensor destination);

    /// <summary>destination[indices[i]] += source[i]; indices may repeat and are then added in rising i.</summary>
    /// <param name="source">F32 [m, d]</param><param name="indices">I32 [1, m]</param><param name="destination">F32 [n, d]</param>
    void ScatterAddRows(Tensor source, Tensor indices, Tensor destination);

    /// <summary>y = x / sqrt(mean(x^2) + epsilon) * weight, row by row.</summary>
    /// <param name="x">F32 or A [m, d]</param><param name="weight">[1, d], any float type</param><param name="epsilon">added to the mean square</param><param name="y">F32 or A [m, d], may be x itself</param>
    void RmsNorm(Tensor x, Tensor weight, float epsilon, Tensor y);

    /// <summary>dx += d(loss)/d(x) of <see cref="RmsNorm"/>, given dy = d(loss)/d(y); each F32 or A.</summary>
    void RmsNormBackward(Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx);

    /// <summary>y = x W^T + bias, or y += that.</summary>
    /// <param name="x">A [m, k]</param><param name="weight">[n, k], any float type, as stored by Hugging Face (out x in)</param>
    /// <param name="bias">[1, n], any float type, or absent</param><param name="y">F32 or A [m, n]</param><param name="accumulate">add to y (a residual) instead of overwriting it</param>
    void Linear(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate);

    /// <summary>Several <see cref="Linear"/> layers of the same rows (queries, keys and values; gate and up), each overwriting its y: the same bits as one after another, in one go where that is faster.</summary>
    /// <param name="x">A [m, k]</param><param name="projections">at most 8</param>
    void Project(Tensor x, ReadOnlySpan<Projection> projections)
    {
        foreach (ref readonly Projection projection in projections)
            Linear(x, projection.Weight, projection.Bias, projection.Y, accumulate: false);
    }

    /// <summary>dx = dy W, or dx += that: the gradient of <see cref="Linear"/> to its input.</summary>
    /// <param name="dy">A [m, n]</param><param name="weight">[n, k], any float type</param><param name="dx">F32 or A [m, k]</param><param name="accumulate">add instead of overwriting</param>
    void LinearBackward(Tensor dy, Tensor weight, Tensor dx, bool accumulate);

    /// <summary>
    /// Rotates each head's pairs (j, j + headSize/2) by the angle of the row's position (the half-split layout of Hugging Face), or back by it:
    /// the inverse rotation is also the gradient. y may be x itself.
    /// </summary>
    /// <param name="x">A [m, heads * headSize]</param><param name="positions">I32 [1, m]</param>
    /// <param name="table">F32 [max positions, headSize]: headSize/2 cosines, then headSize/2 sines</param>
    /// <param name="headSize">even</param><param name="inverse">rotate back</param><param name="y">A [m, heads * headSize]</param>
    void Rotary(Tensor x, Tensor positions, Tensor table, int headSize, bool inverse, Tensor y);

    /// <summary>
    /// <see cref="Rotary"/> of queries and keys with the write into the KV cache, in one: q is rotated in place; row i of keyStore[slots[i]] becomes the rotated row i of k, valueStore[slots[i]] that of v. Slots are
    /// distinct; a row with a slot below 0 stores nothing.
    /// </summary>
    /// <param name="q">A [m, queryHeads * headSize]</param><param name="k">A [m, keyHeads * headSize], not changed</param><param name="v">A [m, keyHeads * headSize]</param><param name="positions">I32 [1, m]</param>
    /// <param name="table">as for <see cref="Rotary"/></param><param name="headSize">even</param><param name="slots">I32 [1, m]</param>
    /// <param name="keyStore">A [slots, keyHeads * headSize]</param><param name="valueStore">like keyStore</param>
    void RotaryStore(Tensor q, Tensor k, Tensor v, Tensor positions, Tensor table, int headSize, Tensor slots, Tensor keyStore, Tensor valueStore);

    /// <summary>
    /// Softmax attention of query rows over a key/value store, as <paramref name="plan"/> says. The order of summation follows the
    /// keys as the query sees them, outermost ancestor first, whatever rows of the store they lie in: on the CPU decode and prefill give the same bits.
    /// </summary>
    /// <param name="plan">who attends to what</param><param name="shape">heads</param>
    /// <param name="q">A [m, queryHeads * headSize]</param><param name="k">A [store rows, keyHeads * headSize]</param><param name="v">like k</param>
    /// <param name="y">A [m, queryHeads * headSize]; zeros for a query that sees nothing</param><param name="logSumExp">F32 [m, queryHeads] of the scaled scores, for the backward pass; or absent</param>
    void Attention(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp);

    /// <summary>
    /// Gradients of <see cref="Attention"/> over packed rows (store row i is query row i), all A: dq, dk and dv are overwritten. Probabilities are recomputed from
    /// logSumExp. A tree's gradients depend on that tree only; dk and dv add up in rising query row.
    /// </summary>
    void AttentionBackward(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dy, Tensor dq, Tensor dk, Tensor dv);

    /// <summary>y = silu(gate) * up, all A [m, d]; y may be gate or up itself.</summary>
    void SwiGlu(Tensor gate, Tensor up, Tensor y);

    /// <summary>dgate and dup of <see cref="SwiGlu"/>, overwritten; they may be dy, gate or up themselves.</summary>
    void SwiGluBackward(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup);

    /// <summary>
    /// logprobs[i] = log softmax(hidden[i] W^T / temperature)[targets[i]], chunk by chunk, so that the [m, vocabulary] matrix never exists whole; and, where asked for, how each changes with its hidden state:
    /// gradient[i] = d(logprobs[i])/d(hidden[i]) = 1/temperature sum_v ([v = target] - p_v) W_v. A backward pass multiplies that by d(loss)/d(logprobs[i]) (<see cref="ScaleRows"/>) instead of computing the logits
    /// once more. On the CPU the log-probabilities have the same bits as <see cref="Linear"/> followed by the log-probability that <see cref="Sample"/> reports; everywhere they and the entropies have the same bits with
    /// a gradient and without.
    /// </summary>
    /// <param name="hidden">A [m, d]</param><param name="weight">[vocabulary, d], any float type</param><param name="targets">I32 [1, m]</param>
    /// <param name="temperature">above 0</param><param name="logprobs">F32 [1, m]</param><param name="entropy">F32 [1, m], -sum p log p of the same distribution; or absent</param>
    /// <param name="gradient">F32 [m, d], overwritten; or absent, which spares one product on the CPU and two on a GPU</param>
    void LogProbs(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor logprobs, Tensor entropy, Tensor gradient);

    /// <summary>
    /// Draws one token from each row of logits. The candidates are those that top-k, then top-p, then min-p leave of softmax(logits/temperature); one is drawn by
    /// inverse transform in rising token id. The reported log-probability is that of the unfiltered softmax(logits/temperature) (temperature 1 where greedy),
    /// the one that <see cref="LogProbs"/> recomputes.
    /// </summary>
    /// <param name="logits">F32 [m, vocabulary]</param><param name="rows">m <see cref="SamplingRow"/>s as I32 [m, 10]</param>
    /// <param name="tokens">I32 [1, m]; -1 for a row with a NaN or without any finite logit</param><param name="logprobs">F32 [1, m]</param>
    void Sample(Tensor logits, Tensor rows, Tensor tokens, Tensor logprobs);

    /// <summary>
    /// One step of a decode loop on the device, behind <see cref="Sample"/>: records what was drawn in the history's row <see cref="DecodeState.Step"/> and moves every sequence that goes on to its next position. See
    /// <see cref="DecodeState"/>.
    /// </summary>
    /// <param name="state">m sequences; changed</param><param name="drawnTokens">I32 [1, m]</param><param name="drawnLogProbs">F32 [1, m]</param>
    void AdvanceDecode(in DecodeState state, Tensor drawnTokens, Tensor drawnLogProbs);

    /// <summary>y[r] = mean over rows [start, start + count) of range r and over all heads of x: a [headSize] vector for each range (keys and queries of memories).</summary>
    /// <param name="x">A [m, heads * headSize]; heads = 1 gives the plain mean of rows</param><param name="ranges">I32 [n, 2]: start, count (0 gives zeros)</param>
    /// <param name="headSize">elements of a head</param><param name="y">F32 [n, headSize]</param>
    void PoolHeads(Tensor x, Tensor ranges, int headSize, Tensor y);

    /// <summary>
    /// The k keys nearest to each query: score = mean over terms of cos(query term, key term), where a key is terms vectors of columns/terms elements side by side.
    /// A term with a norm under 1e-12 or not finite on either side counts 0. Falling score, ties to the smaller index; unused places are index -1.
    /// </summary>
    /// <param name="queries">F32 [m, d]</param><param name="keys">F32 [n, d]</param><param name="limits">I32 [1, m]: query i looks at keys [0, limits[i]) only</param>
    /// <param name="terms">divides d</param><param name="indices">I32 [m, k]</param><param name="scores">F32 [m, k]</param>
    void CosineTopK(Tensor queries, Tensor keys, Tensor limits, int terms, Tensor indices, Tensor scores);

    /// <summary>
    /// One AdamW step (PyTorch's order) after clipping the gradient's norm: g *= min(1, maxNorm/(|g| + 1e-6)); theta *= 1 - lr*decay; m, v updated; theta -= lr * mhat/(sqrt(vhat) + epsilon).
    /// All tensors F32 of one shape; theta, m and v are updated in place, grad is not changed.
    /// </summary>
    /// <param name="theta">parameters</param><param name="grad">gradient</param><param name="m">first moment</param><param name="v">second moment</param>
    /// <param name="settings">rates</param><param name="step">1 for the first step</param><param name="gradNorm">F32 [1, 1]: the norm before clipping</param>
    void AdamW(Tensor theta, Tensor grad, Tensor m, Tensor v, AdamWSettings settings, int step, Tensor gradNorm);
}

/// <summary>One layer of <see cref="IBackend.Project"/>.</summary>
/// <param name="Weight">[n, k], any float type</param><param name="Bias">[1, n], any float type, or absent</param><param name="Y">F32 or A [m, n]</param>
public readonly record struct Projection(Tensor Weight, Tensor Bias, Tensor Y);

/// <summary>The rates of <see cref="IBackend.AdamW"/>; defaults of PyTorch and of Hugging Face's TrainingArguments.</summary>
/// <param name="LearningRate">step size</param><param name="Beta1">decay of the first moment</param><param name="Beta2">decay of the second moment</param>
/// <param name="Epsilon">added to the root of the second moment</param><param name="WeightDecay">decoupled decay</param><param name="MaxGradNorm">clipping norm; infinity for none</param>
public readonly record struct AdamWSettings(
    float LearningRate, float Beta1 = 0.9f, float Beta2 = 0.999f, float Epsilon = 1e-8f, float WeightDecay = 0f, float MaxGradNorm = 1f);
