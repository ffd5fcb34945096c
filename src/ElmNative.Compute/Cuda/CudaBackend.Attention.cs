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
    public void AttentionBackward(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dy, Tensor dq, Tensor dk, Tensor dv) => throw new NotSupportedException();

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
        const int PlanQueries = 256, LeastPiece = 64, LargestPiece = 512;
        string name = (exact, size) switch
        {
            (true, 32) => "attention_decode_32",
            (true, 64) => "attention_decode_64",
            (true, 96) => "attention_decode_96",
            (true, 128) => "attention_decode_128",
            (true, _) => "attention_decode_256",
            (false, 64) => "attention_decode_any_64",
            (false, _) => "attention_decode_any_256",
        };
        int keysAtOnce = size == LargestHead ? 32 : 64, shared = 256 * size + 8 * keysAtOnce * size + 1024 + 6160;
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
