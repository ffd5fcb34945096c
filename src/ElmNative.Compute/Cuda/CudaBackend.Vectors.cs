namespace ElmNative.Compute.Cuda;

/// <content>Memories: nearest keys and the optimizer. Kernels: kernels/{cosine,adamw}.cu.</content>
public sealed unsafe partial class CudaBackend
{
    /// <summary>Keys that a block of the search looks at together, and the threads of a block.</summary>
    private const int CosineTile = 256;

    /// <summary>Most places of a list of nearest keys: two such lists lie in a block's shared memory.</summary>
    private const int MaxNearest = 4096;

    /// <inheritdoc/>
    public void CosineTopK(Tensor queries, Tensor keys, Tensor limits, int terms, Tensor indices, Tensor scores)
    {
        const int BlocksOfMultiprocessor = 4, FloatsOfRank = 2, BytesOfPlace = 16, MostRanks = 1 << 22;
        Require.F32(queries);
        Require.Shape(keys, ElementType.F32, keys.Rows, queries.Columns);
        Require.Shape(limits, ElementType.I32, 1, queries.Rows);
        Require.Divides(terms, queries.Columns);
        Require.Shape(indices, ElementType.I32, queries.Rows, indices.Columns);
        Require.Shape(scores, ElementType.F32, queries.Rows, indices.Columns);
        int kept = Math.Clamp(indices.Columns, 1, Math.Max(keys.Rows, 1));
        Require.That(kept <= MaxNearest, "at most 4096 nearest keys can be asked for", nameof(indices));
        // Enough blocks for the device, but no more lists than fit 32 MB.
        long lists = Math.Clamp(MostRanks / Math.Max((long)queries.Rows * kept, 1), 1, Math.Min(BlocksOfMultiprocessor * multiprocessors, MaxShares));
        int shares = (int)Math.Clamp((keys.Rows + CosineTile - 1) / CosineTile, 1, lists);
        Tensor ranks = Workspace((long)queries.Rows * kept * shares * FloatsOfRank);
        Get("cosine_search").Launch(new Grid(queries.Rows, shares), CosineTile, kept * BytesOfPlace, queries, keys, limits, keys.Rows, keys.Columns, terms, kept, ranks);
        Get("cosine_merge").Launch(queries.Rows, CosineTile, kept * BytesOfPlace, ranks, shares, kept, indices.Columns, indices, scores);
    }

    /// <inheritdoc/>
    public void AdamW(Tensor theta, Tensor grad, Tensor m, Tensor v, AdamWSettings settings, int step, Tensor gradNorm)
    {
        const int ElementsOfBlock = 4096, MostBlocks = 1024;
        Require.F32(theta);
        Require.Shape(grad, ElementType.F32, theta.Rows, theta.Columns);
        Require.Shape(m, ElementType.F32, theta.Rows, theta.Columns);
        Require.Shape(v, ElementType.F32, theta.Rows, theta.Columns);
        Require.Shape(gradNorm, ElementType.F32, 1, 1);
        Require.That(step >= 1, "steps count from 1", nameof(step));
        int blocks = (int)Math.Clamp((theta.Count + ElementsOfBlock - 1) / ElementsOfBlock, 1, MostBlocks);
        Tensor partial = Workspace(blocks);
        Get("adamw_squares").Launch(blocks, ElementThreads, 0, grad, grad.Count, partial);
        Get("adamw_norm").Launch(1, ElementThreads, 0, partial, blocks, gradNorm);
        Get("adamw_update").Launch(BlocksFor(theta.Count), ElementThreads, 0, theta, grad, m, v, theta.Count, gradNorm, settings.MaxGradNorm, settings.LearningRate, settings.Epsilon,
            (float)(1.0 - (double)settings.LearningRate * settings.WeightDecay),
            settings.Beta1, (float)(1.0 - settings.Beta1), (float)(1.0 - Math.Pow(settings.Beta1, step)),
            settings.Beta2, (float)(1.0 - settings.Beta2), (float)(1.0 - Math.Pow(settings.Beta2, step)));
    }
}
