namespace ElmNative.Compute.Cpu;

/// <content>The operations: each checks shapes and types and calls its native counterpart.</content>
public sealed partial class CpuBackend
{
    private const int SamplingRowInts = 10, MostProjections = 8;

    /// <inheritdoc/>
    public void Zero(Tensor x)
    {
        Require.That(x.IsPresent, "x is absent", nameof(x));
        Check(NativeMethods.elm_zero(Context, x));
    }

    /// <inheritdoc/>
    /// <remarks>Activations are F32 here, so that is the only float type that is written.</remarks>
    public void Copy(Tensor source, Tensor destination)
    {
        Require.That(source.IsPresent && destination.IsPresent && source.Rows == destination.Rows && source.Columns == destination.Columns,
            "source and destination must have one shape", nameof(destination));
        Require.That(destination.Type == ElementType.F32
            ? source.Type != ElementType.I32
            : source.Type == ElementType.I32 && destination.Type == ElementType.I32,
            "the destination must be F32 and the source of a float type, or both I32", nameof(destination));
        Check(NativeMethods.elm_copy(Context, source, destination));
    }

    /// <inheritdoc/>
    public void Add(Tensor x, Tensor y)
    {
        Require.F32(y);
        Require.Shape(x, ElementType.F32, y.Rows, y.Columns);
        Check(NativeMethods.elm_add(Context, x, y));
    }

    /// <inheritdoc/>
    public void ScaleRows(Tensor scales, Tensor x)
    {
        Require.F32(x);
        Require.Shape(scales, ElementType.F32, 1, x.Rows);
        Check(NativeMethods.elm_scale_rows(Context, scales, x));
    }

    /// <inheritdoc/>
    public void GatherRows(Tensor source, Tensor indices, Tensor destination)
    {
        Require.F32(destination);
        Require.Floats(source, source.Rows, destination.Columns);
        Require.Shape(indices, ElementType.I32, 1, destination.Rows);
        Check(NativeMethods.elm_gather_rows(Context, source, indices, destination));
    }

    /// <inheritdoc/>
    public void ScatterRows(Tensor source, Tensor indices, Tensor destination)
    {
        Require.F32(destination);
        Require.Shape(source, ElementType.F32, source.Rows, destination.Columns);
        Require.Shape(indices, ElementType.I32, 1, source.Rows);
        Require.That(!Ints(indices).ContainsAnyInRange(int.MinValue, -1), "an index is below 0", nameof(indices));
        Check(NativeMethods.elm_scatter_rows(Context, source, indices, destination));
    }

    /// <inheritdoc/>
    public void ScatterAddRows(Tensor source, Tensor indices, Tensor destination)
    {
        Require.F32(destination);
        Require.Shape(source, ElementType.F32, source.Rows, destination.Columns);
        Require.Shape(indices, ElementType.I32, 1, source.Rows);
        Check(NativeMethods.elm_scatter_add_rows(Context, source, indices, destination));
    }

    /// <inheritdoc/>
    public void RmsNorm(Tensor x, Tensor weight, float epsilon, Tensor y)
    {
        Require.F32(x);
        Require.Floats(weight, 1, x.Columns);
        Require.Shape(y, ElementType.F32, x.Rows, x.Columns);
        Check(NativeMethods.elm_rms_norm(Context, x, weight, epsilon, y));
    }

    /// <inheritdoc/>
    public void RmsNormBackward(Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx)
    {
        Require.F32(x);
        Require.Floats(weight, 1, x.Columns);
        Require.Shape(dy, ElementType.F32, x.Rows, x.Columns);
        Require.Shape(dx, ElementType.F32, x.Rows, x.Columns);
        Check(NativeMethods.elm_rms_norm_backward(Context, x, weight, epsilon, dy, dx));
    }

    /// <inheritdoc/>
    public void Linear(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate)
    {
        Require.F32(x);
        Require.Floats(weight, weight.Rows, x.Columns);
        if (bias.IsPresent)
            Require.Floats(bias, 1, weight.Rows);
        Require.Shape(y, ElementType.F32, x.Rows, weight.Rows);
        Check(NativeMethods.elm_linear(Context, x, Packed(weight), bias, y, accumulate ? 1 : 0));
        GC.KeepAlive(weight.Buffer);
    }

    /// <inheritdoc/>
    public unsafe void Project(Tensor x, ReadOnlySpan<Projection> projections)
    {
        Require.F32(x);
        Require.That(projections.Length <= MostProjections, "there are more than 8 projections", nameof(projections));
        NativeProjection* native = stackalloc NativeProjection[MostProjections];
        for (int i = 0; i < projections.Length; i++)
        {
            (Tensor weight, Tensor bias, Tensor y) = projections[i];
            Require.Floats(weight, weight.Rows, x.Columns);
            if (bias.IsPresent)
                Require.Floats(bias, 1, weight.Rows);
            Require.Shape(y, ElementType.F32, x.Rows, weight.Rows);
            native[i] = new() { Weight = Packed(weight), Bias = bias, Y = y };
        }
        Check(NativeMethods.elm_project(Context, x, native, projections.Length));
        foreach (ref readonly Projection projection in projections)
            GC.KeepAlive(projection.Weight.Buffer);
    }

    /// <inheritdoc/>
    public void LinearBackward(Tensor dy, Tensor weight, Tensor dx, bool accumulate)
    {
        Require.F32(dy);
        Require.Floats(weight, dy.Columns, weight.Columns);
        Require.Shape(dx, ElementType.F32, dy.Rows, weight.Columns);
        Check(NativeMethods.elm_linear_backward(Context, dy, Packed(weight), dx, accumulate ? 1 : 0));
        GC.KeepAlive(weight.Buffer);
    }

    /// <inheritdoc/>
    public void Rotary(Tensor x, Tensor positions, Tensor table, int headSize, bool inverse, Tensor y)
    {
        Require.F32(x);
        Require.Divides(headSize, x.Columns);
        Require.That(headSize % 2 == 0, "the head size must be even", nameof(headSize));
        Require.Shape(positions, ElementType.I32, 1, x.Rows);
        Require.Shape(table, ElementType.F32, table.Rows, headSize);
        Require.Shape(y, ElementType.F32, x.Rows, x.Columns);
        Check(NativeMethods.elm_rotary(Context, x, positions, table, headSize, inverse ? 1 : 0, default, y));
    }

    /// <inheritdoc/>
    public void RotaryStore(Tensor q, Tensor k, Tensor v, Tensor positions, Tensor table, int headSize, Tensor slots, Tensor keyStore, Tensor valueStore)
    {
        Rotary(q, positions, table, headSize, inverse: false, q);
        Require.Shape(k, ElementType.F32, q.Rows, keyStore.Columns);
        Require.Divides(headSize, k.Columns);
        Require.Shape(slots, ElementType.I32, 1, q.Rows);
        Require.F32(keyStore);
        Require.Shape(v, ElementType.F32, q.Rows, k.Columns);
        Require.Shape(valueStore, ElementType.F32, keyStore.Rows, keyStore.Columns);
        Check(NativeMethods.elm_rotary(Context, k, positions, table, headSize, 0, slots, keyStore));
        Check(NativeMethods.elm_scatter_rows(Context, v, slots, valueStore));
    }

    /// <inheritdoc/>
    public void Attention(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        NativeAttentionPlan native = CheckPlan(plan, shape, q, k, v);
        Require.Shape(y, ElementType.F32, q.Rows, q.Columns);
        if (logSumExp.IsPresent)
            Require.Shape(logSumExp, ElementType.F32, q.Rows, shape.QueryHeads);
        Check(NativeMethods.elm_attention(Context, native, q, k, v, y, logSumExp));
    }

    /// <inheritdoc/>
    public void AttentionBackward(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dy, Tensor dq, Tensor dk, Tensor dv)
    {
        NativeAttentionPlan native = CheckPlan(plan, shape, q, k, v);
        Require.Shape(plan.Trees, ElementType.I32, plan.Trees.Rows, 2);
        Require.That(k.Rows == q.Rows, "the backward pass needs one store row for each query row", nameof(k));
        Require.Shape(y, ElementType.F32, q.Rows, q.Columns);
        Require.Shape(logSumExp, ElementType.F32, q.Rows, shape.QueryHeads);
        Require.Shape(dy, ElementType.F32, q.Rows, q.Columns);
        Require.Shape(dq, ElementType.F32, q.Rows, q.Columns);
        Require.Shape(dk, ElementType.F32, k.Rows, k.Columns);
        Require.Shape(dv, ElementType.F32, k.Rows, k.Columns);
        Check(NativeMethods.elm_attention_backward(Context, native, q, k, v, y, logSumExp, dy, dq, dk, dv));
    }

    /// <inheritdoc/>
    public void SwiGlu(Tensor gate, Tensor up, Tensor y)
    {
        Require.F32(y);
        Require.Shape(gate, ElementType.F32, y.Rows, y.Columns);
        Require.Shape(up, ElementType.F32, y.Rows, y.Columns);
        Check(NativeMethods.elm_swiglu(Context, gate, up, y));
    }

    /// <inheritdoc/>
    public void SwiGluBackward(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup)
    {
        Require.F32(dy);
        Require.Shape(gate, ElementType.F32, dy.Rows, dy.Columns);
        Require.Shape(up, ElementType.F32, dy.Rows, dy.Columns);
        Require.Shape(dgate, ElementType.F32, dy.Rows, dy.Columns);
        Require.Shape(dup, ElementType.F32, dy.Rows, dy.Columns);
        Check(NativeMethods.elm_swiglu_backward(Context, gate, up, dy, dgate, dup));
    }

    /// <inheritdoc/>
    public void LogProbs(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor logprobs, Tensor entropy, Tensor gradient)
    {
        CheckHead(hidden, weight, targets, temperature);
        Require.Shape(logprobs, ElementType.F32, 1, hidden.Rows);
        if (entropy.IsPresent)
            Require.Shape(entropy, ElementType.F32, 1, hidden.Rows);
        if (gradient.IsPresent)
            Require.Shape(gradient, ElementType.F32, hidden.Rows, hidden.Columns);
        Check(NativeMethods.elm_log_probs(Context, hidden, Packed(weight), targets, temperature, logprobs, entropy, gradient));
        GC.KeepAlive(weight.Buffer);
    }

    /// <inheritdoc/>
    public void Sample(Tensor logits, Tensor rows, Tensor tokens, Tensor logprobs)
    {
        Require.F32(logits);
        Require.Shape(rows, ElementType.I32, logits.Rows, SamplingRowInts);
        Require.Shape(tokens, ElementType.I32, 1, logits.Rows);
        Require.Shape(logprobs, ElementType.F32, 1, logits.Rows);
        Check(NativeMethods.elm_sample(Context, logits, rows, tokens, logprobs));
    }

    /// <inheritdoc/>
    public void PoolHeads(Tensor x, Tensor ranges, int headSize, Tensor y)
    {
        Require.F32(x);
        Require.Divides(headSize, x.Columns);
        Require.Shape(ranges, ElementType.I32, ranges.Rows, 2);
        Require.Shape(y, ElementType.F32, ranges.Rows, headSize);
        Check(NativeMethods.elm_pool_heads(Context, x, ranges, headSize, y));
    }

    /// <inheritdoc/>
    public void CosineTopK(Tensor queries, Tensor keys, Tensor limits, int terms, Tensor indices, Tensor scores)
    {
        Require.F32(queries);
        Require.Shape(keys, ElementType.F32, keys.Rows, queries.Columns);
        Require.Shape(limits, ElementType.I32, 1, queries.Rows);
        Require.Divides(terms, queries.Columns);
        Require.Shape(indices, ElementType.I32, queries.Rows, indices.Columns);
        Require.Shape(scores, ElementType.F32, queries.Rows, indices.Columns);
        Check(NativeMethods.elm_cosine_top_k(Context, queries, keys, limits, terms, indices, scores));
    }

    /// <inheritdoc/>
    public void AdamW(Tensor theta, Tensor grad, Tensor m, Tensor v, AdamWSettings settings, int step, Tensor gradNorm)
    {
        Require.F32(theta);
        Require.Shape(grad, ElementType.F32, theta.Rows, theta.Columns);
        Require.Shape(m, ElementType.F32, theta.Rows, theta.Columns);
        Require.Shape(v, ElementType.F32, theta.Rows, theta.Columns);
        Require.Shape(gradNorm, ElementType.F32, 1, 1);
        Require.That(step >= 1, "steps count from 1", nameof(step));
        NativeAdamWSettings native = new()
        {
            LearningRate = settings.LearningRate,
            Beta1 = settings.Beta1,
            Beta2 = settings.Beta2,
            Epsilon = settings.Epsilon,
            WeightDecay = settings.WeightDecay,
            MaxGradNorm = settings.MaxGradNorm,
            Step = step,
        };
        Check(NativeMethods.elm_adamw(Context, theta, grad, m, v, native, gradNorm));
    }

    private static void CheckHead(Tensor hidden, Tensor weight, Tensor targets, float temperature)
    {
        Require.F32(hidden);
        Require.Floats(weight, weight.Rows, hidden.Columns);
        Require.Shape(targets, ElementType.I32, 1, hidden.Rows);
        Require.That(temperature > 0, "the temperature must be above 0", nameof(temperature));
    }

    private static NativeAttentionPlan CheckPlan(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v)
    {
        Require.That(shape.KeyHeads > 0 && shape.QueryHeads > 0 && shape.QueryHeads % shape.KeyHeads == 0,
            "the number of query heads must be a multiple of the number of key heads", nameof(shape));
        Require.That(shape.HeadSize > 0, "the head size must be above 0", nameof(shape));
        Require.That(plan.MaxContext >= 0, "the largest context must not be negative", nameof(plan));
        Require.Shape(q, ElementType.F32, q.Rows, shape.QueryHeads * shape.HeadSize);
        Require.Shape(k, ElementType.F32, k.Rows, shape.KeyHeads * shape.HeadSize);
        Require.Shape(v, ElementType.F32, k.Rows, shape.KeyHeads * shape.HeadSize);
        Require.Shape(plan.Segments, ElementType.I32, plan.Segments.Rows, 3);
        Require.Shape(plan.Queries, ElementType.I32, q.Rows, 2);
        return new NativeAttentionPlan
        {
            Segments = plan.Segments,
            Queries = plan.Queries,
            Trees = plan.Trees,
            MaxContext = plan.MaxContext,
            QueryHeads = shape.QueryHeads,
            KeyHeads = shape.KeyHeads,
            HeadSize = shape.HeadSize,
            Scale = shape.Scale,
        };
    }
}
