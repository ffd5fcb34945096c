namespace ElmNative.Compute.Cuda;

/// <content>
/// The head: log-probabilities and their gradient. Kernels: kernels/head.cu, and the backward product of kernels/linear.cu. Logits exist tile by tile in registers; what lies in device memory are
/// statistics of each row in each tile, and in the backward pass the gradient of a chunk of the vocabulary, both of a bounded size.
/// </content>
public sealed unsafe partial class CudaBackend
{
    /// <summary>Bound of the statistics and of the chunk of logit gradients, in bytes each; 128 rows, or 128 columns, may take more. Smaller in tests.</summary>
    internal long HeadWorkspace { get; set; } = 64 << 20;

    private const int StatisticsFloats = 4, MergeRows = 32;

    /// <inheritdoc/>
    public void LogProbs(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor logprobs, Tensor entropy)
    {
        CheckHead(hidden, weight, targets, temperature);
        Require.Shape(logprobs, ElementType.F32, 1, hidden.Rows);
        if (entropy.IsPresent)
            Require.Shape(entropy, ElementType.F32, 1, hidden.Rows);
        if (hidden.Rows == 0)
            return;
        Tiling tiling = HeadTiling(hidden, weight);
        int chunk = HeadRows(tiling, hidden.Rows, weight.Rows);
        Tensor statistics = Workspace(StatisticsCount(tiling, chunk, weight.Rows));
        for (int start = 0; start < hidden.Rows; start += chunk)
        {
            int rows = Math.Min(chunk, hidden.Rows - start);
            Tensor rowTargets = Columns(targets, start, rows);
            HeadStatistics(tiling, hidden.Slice(start, rows), weight, rowTargets, temperature, default, statistics);
            HeadMerge(tiling, statistics, rowTargets, default, Columns(logprobs, start, rows), entropy.IsPresent ? Columns(entropy, start, rows) : default, default, weight.Rows);
        }
    }

    /// <inheritdoc/>
    public void LogProbsBackward(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor dlogprobs, Tensor dhidden)
    {
        CheckHead(hidden, weight, targets, temperature);
        Require.Shape(dlogprobs, ElementType.F32, 1, hidden.Rows);
        Require.Shape(dhidden, ElementType.F32, hidden.Rows, hidden.Columns);
        if (dhidden.Count == 0)
            return;
        int vocabulary = weight.Rows;
        Tiling tiling = HeadTiling(hidden, weight);
        int chunk = HeadRows(tiling, hidden.Rows, vocabulary);
        int width = (int)Math.Min(Blocks(vocabulary, LargeTile), Math.Max(1, HeadWorkspace / sizeof(ushort) / chunk / LargeTile)) * LargeTile;
        // Three parts: the rows' log-sum-exp; the statistics, then the chunk of dlogits; the partial sums of a split product.
        long logSumFloats = WholeLines(chunk), dlogitsFloats = WholeLines(Math.Max(StatisticsCount(tiling, chunk, vocabulary), (long)chunk * width / 2));
        long partialFloats = 0;
        for (int start = 0; start < hidden.Rows; start += chunk)
            for (int first = 0; first < vocabulary; first += width)
            {
                int rows = Math.Min(chunk, hidden.Rows - start), columns = Math.Min(width, vocabulary - first);
                partialFloats = Math.Max(partialFloats, TilingFor(rows, hidden.Columns, columns, Aligned(weight, weight.Columns)).Partials(rows, hidden.Columns));
            }
        DeviceBuffer workspace = Workspace(logSumFloats + dlogitsFloats + partialFloats).Buffer!;
        Tensor partials = new(workspace, (logSumFloats + dlogitsFloats) * sizeof(float), ElementType.F32, 1, 0);
        for (int start = 0; start < hidden.Rows; start += chunk)
        {
            int rows = Math.Min(chunk, hidden.Rows - start);
            Tensor h = hidden.Slice(start, rows), rowTargets = Columns(targets, start, rows), rowWeights = Columns(dlogprobs, start, rows), dh = dhidden.Slice(start, rows);
            Tensor logSum = new(workspace, 0, ElementType.F32, 1, rows), statistics = new(workspace, logSumFloats * sizeof(float), ElementType.F32, 1, 0);
            HeadStatistics(tiling, h, weight, rowTargets, temperature, rowWeights, statistics);
            HeadMerge(tiling, statistics, rowTargets, rowWeights, default, default, logSum, vocabulary);
            for (int first = 0; first < vocabulary; first += width)
            {
                int columns = Math.Min(width, vocabulary - first), stride = (columns + 7) / 8 * 8;
                Tensor part = weight.Slice(first, columns), dlogits = new(workspace, logSumFloats * sizeof(float), ElementType.BF16, rows, stride);
                Get(tiling switch { { Aligned: false } => "head_gradient_unaligned", { Large: true } => "head_gradient_large", _ => "head_gradient_small" }).Launch(
                    tiling.Tiles(rows, columns), tiling.Threads, tiling.Shared, h, part, rowTargets, logSum, rowWeights, 1 / temperature, first, dlogits, stride, rows, columns, h.Columns);
                Multiply(backward: true, TilingFor(rows, hidden.Columns, columns, Aligned(weight, weight.Columns)), dlogits, stride, part, default, dh, accumulate: first > 0, columns, partials, rowWeights);
            }
        }
    }

    /// <summary>Queues the statistics of each row of logits in each tile.</summary>
    private void HeadStatistics(Tiling tiling, Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor rowWeights, Tensor statistics) =>
        Get(tiling switch { { Aligned: false } => "head_statistics_unaligned", { Large: true } => "head_statistics_large", _ => "head_statistics_small" }).Launch(
            tiling.Tiles(hidden.Rows, weight.Rows), tiling.Threads, tiling.Shared, hidden, weight, targets, 1 / temperature, rowWeights, statistics, hidden.Rows, weight.Rows, hidden.Columns);

    /// <summary>Queues what unites the tiles' statistics; outputs may be absent.</summary>
    private void HeadMerge(Tiling tiling, Tensor statistics, Tensor targets, Tensor rowWeights, Tensor logprobs, Tensor entropy, Tensor logSum, int vocabulary) =>
        Get("head_merge").Launch(Blocks(targets.Columns, MergeRows), 256, 0, statistics, targets, rowWeights, logprobs, entropy, logSum, Blocks(vocabulary, tiling.Size), targets.Columns, vocabulary);

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
