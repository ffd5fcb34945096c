namespace ElmNative.Compute.Cuda;

/// <content>
/// The head: log-probabilities and their gradient. Kernels: kernels/head.cu, and the backward product of kernels/linear.cu. Logits exist tile by tile in registers; what lies in device memory are
/// statistics of each row in each tile, and then the gradients of a chunk of the vocabulary, both of a bounded size.
/// </content>
public sealed unsafe partial class CudaBackend
{
    /// <summary>Bound of the statistics and of the chunk of logit gradients, in bytes each; 128 rows, or 128 columns, may take more. Smaller in tests.</summary>
    internal long HeadWorkspace { get; set; } = 64 << 20;

    private const int StatisticsFloats = 4, MergeRows = 32;

    /// <inheritdoc/>
    public void LogProbs(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor logprobs, Tensor entropy, Tensor gradient)
    {
        CheckHead(hidden, weight, targets, temperature);
        Require.Shape(logprobs, ElementType.F32, 1, hidden.Rows);
        if (entropy.IsPresent)
            Require.Shape(entropy, ElementType.F32, 1, hidden.Rows);
        if (gradient.IsPresent)
            Require.Shape(gradient, ElementType.F32, hidden.Rows, hidden.Columns);
        if (hidden.Rows == 0)
            return;
        int vocabulary = weight.Rows;
        Tiling tiling = HeadTiling(hidden, weight);
        int chunk = HeadRows(tiling, hidden.Rows, vocabulary), width = 0;
        // The statistics, which with a gradient share their place with the chunk of dlogits; behind that, with a gradient, the rows' log-sum-exp and the partial sums of a split product.
        bool differentiates = gradient.IsPresent && gradient.Count > 0;
        long sharedFloats = StatisticsCount(tiling, chunk, vocabulary), logSumFloats = 0, partialFloats = 0;
        if (differentiates)
        {
            width = (int)Math.Min(Blocks(vocabulary, LargeTile), Math.Max(1, HeadWorkspace / sizeof(ushort) / chunk / LargeTile)) * LargeTile;
            sharedFloats = WholeLines(Math.Max(sharedFloats, (long)chunk * width / 2));
            logSumFloats = WholeLines(chunk);
            partialFloats = GradientPartials(hidden, weight, chunk, width);
        }
        DeviceBuffer workspace = Workspace(sharedFloats + logSumFloats + partialFloats).Buffer!;
        Tensor statistics = new(workspace, 0, ElementType.F32, 1, 0), partials = new(workspace, (sharedFloats + logSumFloats) * sizeof(float), ElementType.F32, 1, 0);
        for (int start = 0; start < hidden.Rows; start += chunk)
        {
            int rows = Math.Min(chunk, hidden.Rows - start);
            Tensor h = hidden.Slice(start, rows), rowTargets = Columns(targets, start, rows), logSum = differentiates ? new(workspace, sharedFloats * sizeof(float), ElementType.F32, 1, rows) : default;
            Get(tiling switch { { Aligned: false } => "head_statistics_unaligned", { Large: true } => "head_statistics_large", _ => "head_statistics_small" }).Launch(
                tiling.Tiles(rows, vocabulary), tiling.Threads, tiling.Shared, h, weight, rowTargets, 1 / temperature, statistics, rows, vocabulary, h.Columns);
            Get("head_merge").Launch(Blocks(rows, MergeRows), 256, 0, statistics, rowTargets, Columns(logprobs, start, rows), entropy.IsPresent ? Columns(entropy, start, rows) : default, logSum,
                Blocks(vocabulary, tiling.Size), rows, vocabulary);
            if (differentiates)
                HeadGradient(tiling, h, weight, rowTargets, temperature, logSum, gradient.Slice(start, rows), width, workspace, partials);
        }
    }

    /// <summary>Queues the gradient of a chunk of rows: dlogits of <paramref name="width"/> entries of the vocabulary at a time, at the workspace's start, and their product with those rows of the weight.</summary>
    private void HeadGradient(Tiling tiling, Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor logSum, Tensor gradient, int width, DeviceBuffer workspace, Tensor partials)
    {
        for (int first = 0; first < weight.Rows; first += width)
        {
            int columns = Math.Min(width, weight.Rows - first), stride = (columns + 7) / 8 * 8;
            Tensor part = weight.Slice(first, columns), dlogits = new(workspace, 0, ElementType.BF16, hidden.Rows, stride);
            Get(tiling switch { { Aligned: false } => "head_gradient_unaligned", { Large: true } => "head_gradient_large", _ => "head_gradient_small" }).Launch(
                tiling.Tiles(hidden.Rows, columns), tiling.Threads, tiling.Shared, hidden, part, targets, logSum, 1 / temperature, first, dlogits, stride, hidden.Rows, columns, hidden.Columns);
            Multiply(backward: true, GradientTiling(weight, hidden.Rows, columns), dlogits, stride, part, default, gradient, accumulate: first > 0, columns, partials);
        }
    }

    /// <summary>F32 elements that the products of any chunk of rows and of the vocabulary take for their partial sums.</summary>
    private long GradientPartials(Tensor hidden, Tensor weight, int chunk, int width)
    {
        long most = 0;
        for (int start = 0; start < hidden.Rows; start += chunk)
            for (int first = 0; first < weight.Rows; first += width)
            {
                int rows = Math.Min(chunk, hidden.Rows - start);
                most = Math.Max(most, GradientTiling(weight, rows, Math.Min(width, weight.Rows - first)).Partials(rows, hidden.Columns));
            }
        return most;
    }

    private Tiling GradientTiling(Tensor weight, int rows, int columns) => TilingFor(rows, weight.Columns, columns, Aligned(weight, weight.Columns));

    private Tiling HeadTiling(Tensor hidden, Tensor weight) =>
        TilingFor(hidden.Rows, weight.Rows, 0, Aligned(hidden, hidden.Columns) && Aligned(weight, weight.Columns));

    /// <summary>Rows whose statistics fit the workspace: a multiple of a tile, or all.</summary>
    private int HeadRows(Tiling tiling, int rows, int vocabulary) =>
        (int)Math.Min(rows, Math.Max(1, HeadWorkspace / (sizeof(float) * StatisticsFloats) / Blocks(vocabulary, tiling.Size) / LargeTile) * LargeTile);

    private static long StatisticsCount(Tiling tiling, int rows, int vocabulary) => (long)Blocks(vocabulary, tiling.Size) * rows * StatisticsFloats;

    /// <summary>A number of floats that ends at a multiple of 256 bytes.</summary>
    private static long WholeLines(long floats) => (floats + 63) / 64 * 64;

    /// <summary>The elements [start, start + count) of a vector.</summary>
    private static Tensor Columns(Tensor x, int start, int count) => new(x.Buffer!, x.Offset + (long)start * x.Type.Size(), x.Type, 1, count);

    private static void CheckHead(Tensor hidden, Tensor weight, Tensor targets, float temperature)
    {
        Require.Shape(hidden, ElementType.BF16, hidden.Rows, hidden.Columns);
        Require.Shape(weight, ElementType.BF16, weight.Rows, hidden.Columns);
        Require.That(weight.Rows > 0, "the vocabulary is empty", nameof(weight));
        Require.Shape(targets, ElementType.I32, 1, hidden.Rows);
        Require.That(temperature > 0, "the temperature must be above 0", nameof(temperature));
    }
}
