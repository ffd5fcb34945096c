namespace ElmNative.Compute.Cuda;

/// <content>Attention, forward and backward.</content>
public sealed unsafe partial class CudaBackend
{
    /// <summary>Largest head that the kernels take.</summary>
    private const int LargestHead = 256;

    private const int AttentionThreads = 128;

    /// <summary>Shared memory that the blocks of a multiprocessor may fill together, in bytes (Hopper; where there is less, fewer blocks run at a time).</summary>
    private const int SharedOfMultiprocessor = 224 * 1024;

    /// <summary>Pieces of keys that a block of the decode kernel should have at least, so that blocks end at about the same time.</summary>
    private const int PiecesPerBlock = 6;

    /// <inheritdoc/>
    /// <remarks>
    /// Where the plan has trees, query rows are many and lie segment by segment (prefill, training): blocks take rows and walk the keys. Where it has none (decode), rows
    /// are few: blocks take pieces of keys, and those that consecutive queries have in common are read once. Both are right for any plan.
    /// </remarks>
    public void Attention(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        CheckAttention(plan, shape, q, k, v);
        Require.Shape(y, ElementType.BF16, q.Rows, q.Columns);
        if (logSumExp.IsPresent)
            Require.Shape(logSumExp, ElementType.F32, q.Rows, shape.QueryHeads);
        if (q.Rows == 0)
            return;
        bool exact = IsTileSize(shape.HeadSize) && Aligned(q) && Aligned(k) && Aligned(v) && Aligned(y);
        int size = exact ? shape.HeadSize : shape.HeadSize <= 64 ? 64 : LargestHead;
        if (plan.Trees.IsPresent)
            AttendManyRows(plan, shape, exact, size, q, k, v, y, logSumExp);
        else
            AttendFewRows(plan, shape, exact, size, q, k, v, y, logSumExp);
    }

    /// <inheritdoc/>
    /// <remarks>A query that does not fit the plan adds nothing, and its dq is 0: attention gave NaN for it.</remarks>
    public void AttentionBackward(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dy, Tensor dq, Tensor dk, Tensor dv)
    {
        CheckAttention(plan, shape, q, k, v);
        Require.Shape(plan.Trees, ElementType.I32, plan.Trees.Rows, 2);
        Require.That(k.Rows == q.Rows, "the backward pass needs one store row for each query row", nameof(k));
        Require.Shape(y, ElementType.BF16, q.Rows, q.Columns);
        Require.Shape(logSumExp, ElementType.F32, q.Rows, shape.QueryHeads);
        Require.Shape(dy, ElementType.BF16, q.Rows, q.Columns);
        Require.Shape(dq, ElementType.BF16, q.Rows, q.Columns);
        Require.Shape(dk, ElementType.BF16, k.Rows, k.Columns);
        Require.Shape(dv, ElementType.BF16, k.Rows, k.Columns);
        if (q.Rows == 0)
            return;
        bool exact = IsTileSize(shape.HeadSize) && Aligned(q) && Aligned(k) && Aligned(v) && Aligned(dy) && Aligned(dq) && Aligned(dk) && Aligned(dv);
        int size = exact ? shape.HeadSize : shape.HeadSize <= 64 ? 64 : LargestHead, rowBlocks = exact && size < LargestHead ? 2 : 1;
        int rows = q.Rows, tiles = Tiles(rows, 32), padded = tiles * 32, shares = HeadShares(plan, shape, Tiles(rows, 32 * rowBlocks));
        // 8-byte loads of y and dy
        bool vectors = shape.HeadSize % 4 == 0 && y.Address % 8 == 0 && dy.Address % 8 == 0;

        long statistics = 2L * shape.QueryHeads * padded, partial = shares == 1 ? 0 : 2L * shares * k.Count;
        nint workspace = Workspace(statistics + padded + partial + ((long)tiles * tiles + 3) / 4).Address;
        nint checkedSegments = workspace + (nint)(statistics * sizeof(float)), partialSums = checkedSegments + padded * sizeof(int);
        nint table = partialSums + (nint)(partial * sizeof(float));

        Get("attention_backward_prepare").Launch(checked((int)(((long)padded * shape.QueryHeads + 3) / 4)), AttentionThreads, 0,
            plan.Segments, plan.Segments.Rows, plan.Queries, rows, padded, plan.MaxContext, shape.QueryHeads, shape.HeadSize, vectors ? 1 : 0, y, dy, logSumExp,
            workspace, checkedSegments);
        Get("attention_backward_table").Launch(new Grid(tiles, Tiles(tiles, 64)), AttentionThreads, 0,
            plan.Segments, plan.Segments.Rows, plan.Queries, checkedSegments, rows, table);
        (string byKeys, string byQueries) = (exact, size) switch
        {
            (true, 32) => ("attention_backward_keys_32", "attention_backward_queries_32"),
            (true, 64) => ("attention_backward_keys_64", "attention_backward_queries_64"),
            (true, 96) => ("attention_backward_keys_96", "attention_backward_queries_96"),
            (true, 128) => ("attention_backward_keys_128", "attention_backward_queries_128"),
            (true, _) => ("attention_backward_keys_256", "attention_backward_queries_256"),
            (false, 64) => ("attention_backward_keys_any_64", "attention_backward_queries_any_64"),
            (false, _) => ("attention_backward_keys_any_256", "attention_backward_queries_any_256"),
        };
        int keys = 32 * rowBlocks, queries = 64 * rowBlocks;
        Get(byKeys).Launch(new Grid(Tiles(rows, keys), shape.KeyHeads * shares), AttentionThreads, (2 * keys + 128) * size * 2 + keys * 128 + 1024,
            plan.Segments, plan.Segments.Rows, plan.Queries, checkedSegments, table, rows, padded, shape.QueryHeads, shape.KeyHeads, shape.HeadSize, shape.Scale, shares,
            q, k, v, dy, workspace, dk, dv, partialSums);
        if (shares > 1)
            Get("attention_backward_sum").Launch(new Grid((int)Math.Min((k.Count + 255) / 256, 8L * multiprocessors), 2), 256, 0, partialSums, shares, k.Count, dk, dv);
        Get(byQueries).Launch(new Grid(Tiles(rows, queries), shape.QueryHeads), AttentionThreads, (2 * queries + 128) * size * 2,
            plan.Segments, plan.Segments.Rows, plan.Queries, checkedSegments, table, rows, padded, shape.QueryHeads, shape.KeyHeads, shape.HeadSize, shape.Scale,
            q, k, v, dy, workspace, dq);
    }

    /// <summary>
    /// Over how many blocks the query heads of a key head are spread, where each has a tile of keys. All of them where segments have children: all rows of a tree see its root, so that the root's
    /// tiles take far longer than the others. Else the fewest that fill the device; each costs float32 sums as large as dk and dv.
    /// </summary>
    private int HeadShares(in AttentionPlan plan, AttentionShape shape, int keyTiles)
    {
        int group = shape.QueryHeads / shape.KeyHeads, shares = 1;
        if (plan.Segments.Rows > plan.Trees.Rows)
            return group;
        while (shares < group && (group % shares != 0 || (long)keyTiles * shape.KeyHeads * shares < 4 * multiprocessors))
            shares++;
        return shares;
    }

    private void AttendManyRows(in AttentionPlan plan, AttentionShape shape, bool exact, int size, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        bool few = (long)Tiles(q.Rows, 128) * shape.QueryHeads < 2 * multiprocessors;
        int rows = !exact || few || size == LargestHead ? 64 : 128;
        string name = (exact, size, rows) switch
        {
            (true, 32, 64) => "attention_forward_few_32",
            (true, 64, 64) => "attention_forward_few_64",
            (true, 96, 64) => "attention_forward_few_96",
            (true, 128, 64) => "attention_forward_few_128",
            (true, 32, _) => "attention_forward_32",
            (true, 64, _) => "attention_forward_64",
            (true, 96, _) => "attention_forward_96",
            (true, 128, _) => "attention_forward_128",
            (true, _, _) => "attention_forward_256",
            (false, 64, _) => "attention_forward_any_64",
            (false, _, _) => "attention_forward_any_256",
        };
        Get(name).Launch(new Grid(Tiles(q.Rows, rows), shape.QueryHeads), AttentionThreads, (rows + 128) * size * 2 + 64,
            plan.Segments, plan.Segments.Rows, plan.Queries, q.Rows, k.Rows, plan.MaxContext, shape.QueryHeads, shape.KeyHeads, shape.HeadSize, shape.Scale,
            q, k, v, y, logSumExp);
    }

    private void AttendFewRows(in AttentionPlan plan, AttentionShape shape, bool exact, int size, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        const int PlanQueries = 256, LeastPiece = 64, LargestPiece = 1024;
        bool narrow = exact && size == 128 && SharedOfDecode(size, 64) > sharedOfBlock;
        string name = (exact, size) switch
        {
            (true, 32) => "attention_decode_32",
            (true, 64) => "attention_decode_64",
            (true, 96) => "attention_decode_96",
            (true, 128) => narrow ? "attention_decode_narrow_128" : "attention_decode_128",
            (true, _) => "attention_decode_256",
            (false, 64) => "attention_decode_any_64",
            (false, _) => "attention_decode_any_256",
        };
        int shared = SharedOfDecode(size, narrow || size == LargestHead ? 32 : 64);
        int blocks = multiprocessors * Math.Clamp(SharedOfMultiprocessor / shared, 1, 4), chunks = Tiles(q.Rows, PlanQueries);
        // The sizes follow from shapes and the largest context, not from what the plan holds, so that a captured launch serves a growing context.
        long keys = (long)q.Rows * shape.KeyHeads * plan.MaxContext;
        int piece = (int)Math.Clamp(keys / ((long)blocks * PiecesPerBlock) / LeastPiece * LeastPiece, LeastPiece, LargestPiece);
        int slots = plan.MaxContext / piece + 2;
        long vectors = (long)q.Rows * shape.QueryHeads, sums = vectors * slots * shape.HeadSize;
        nint workspace = Workspace(sums + 2 * vectors * slots).Address, softmax = workspace + (nint)(sums * sizeof(float));
        long pieces = (long)Math.Min(q.Rows, PlanQueries) * slots * shape.KeyHeads * Tiles(shape.QueryHeads / shape.KeyHeads, 64);
        Get(name).Launch(new Grid((int)Math.Min(pieces, Tiles(blocks, chunks)), chunks), AttentionThreads, shared,
            plan.Segments, plan.Segments.Rows, plan.Queries, q.Rows, k.Rows, plan.MaxContext, shape.QueryHeads, shape.KeyHeads, shape.HeadSize, shape.Scale, piece, slots,
            q, k, v, workspace, softmax);
        Get("attention_decode_combine").Launch(checked((int)((vectors + 3) / 4)), AttentionThreads, 0,
            plan.Segments, plan.Segments.Rows, plan.Queries, q.Rows, k.Rows, plan.MaxContext, shape.QueryHeads, shape.HeadSize, piece, slots, workspace, softmax, y, logSumExp);
    }

    /// <summary>Bytes of shared memory of a block of the decode kernels.</summary>
    private static int SharedOfDecode(int size, int keysAtOnce) => 256 * size + 8 * keysAtOnce * size + 1024 + 6160;

    private static int Tiles(int rows, int size) => (rows + size - 1) / size;

    /// <summary>Head sizes whose tiles are copied in pieces of 16 bytes.</summary>
    private static bool IsTileSize(int headSize) => headSize is 32 or 64 or 96 or 128 or 256;

    /// <summary>True when the first element lies at a multiple of 16 bytes; for the head sizes of <see cref="IsTileSize"/> all heads of all rows then do.</summary>
    private static bool Aligned(Tensor x) => x.Address % 16 == 0;

    /// <summary>
    /// Checks what the host can see. Indices of the plan are on the device: the kernels read nothing for a query that leads outside the store or beyond the largest context, and give NaN.
    /// </summary>
    private static void CheckAttention(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v)
    {
        Require.That(shape.KeyHeads > 0 && shape.QueryHeads > 0 && shape.QueryHeads % shape.KeyHeads == 0,
            "the number of query heads must be a multiple of the number of key heads", nameof(shape));
        Require.That(shape.HeadSize > 0, "the head size must be above 0", nameof(shape));
        Require.That(shape.Scale > 0, "the scale must be above 0", nameof(shape));
        Require.That(plan.MaxContext >= 0, "the largest context must not be negative", nameof(plan));
        if (shape.HeadSize > LargestHead)
            throw new ElmException($"heads of {shape.HeadSize} elements are larger than {LargestHead}, the most that attention on a GPU takes; use --device cpu for this model");
        Require.Shape(q, ElementType.BF16, q.Rows, shape.QueryHeads * shape.HeadSize);
        Require.Shape(k, ElementType.BF16, k.Rows, shape.KeyHeads * shape.HeadSize);
        Require.Shape(v, ElementType.BF16, k.Rows, shape.KeyHeads * shape.HeadSize);
        Require.Shape(plan.Segments, ElementType.I32, plan.Segments.Rows, 3);
        Require.Shape(plan.Queries, ElementType.I32, q.Rows, 2);
    }
}
