namespace ElmNative.Compute.Cuda;

/// <content>
/// Operations on rows: copies, norms, rotary embedding, SwiGLU, pooling. Kernels: kernels/{copy,scale_rows,gather,rms_norm,rotary,swiglu,fill_uniform,pool_heads}.cu. An index that the CPU refuses (a row, position,
/// slot or range outside its tensor) is passed over here: its row is not written.
/// </content>
public sealed unsafe partial class CudaBackend
{
    private const int WarpThreads = 32, RowThreads = 256, PoolThreads = 512;

    /// <summary>Longest row that one warp normalizes, in elements: four runs of 4 a lane.</summary>
    private const int WarpRow = 512;

    /// <summary>Most blocks in the second direction of a grid.</summary>
    private const int MaxShares = 65535;

    /// <inheritdoc/>
    public void Copy(Tensor source, Tensor destination)
    {
        Require.That(source.IsPresent && destination.IsPresent && source.Rows == destination.Rows && source.Columns == destination.Columns,
            "source and destination must have one shape", nameof(destination));
        string kernel = (source.Type, destination.Type) switch
        {
            (ElementType.F32, ElementType.F32) or (ElementType.I32, ElementType.I32) => "copy_f32_f32",
            (ElementType.F32, ElementType.BF16) => "copy_f32_bf16",
            (ElementType.BF16, ElementType.F32) => "copy_bf16_f32",
            (ElementType.BF16, ElementType.BF16) => "copy_bf16_bf16",
            (ElementType.F16, ElementType.F32) => "copy_f16_f32",
            (ElementType.F16, ElementType.BF16) => "copy_f16_bf16",
            _ => throw new ArgumentException("the destination must be F32 or BF16 and the source of a float type, or both I32", nameof(destination)),
        };
        Get(kernel).Launch(BlocksFor((source.Count + 7) / 8), ElementThreads, 0, source, destination, source.Count);
    }

    /// <inheritdoc/>
    public void ScaleRows(Tensor scales, Tensor x)
    {
        Require.F32(x);
        Require.Shape(scales, ElementType.F32, 1, x.Rows);
        Get("scale_rows_f32").Launch(RowShares(x.Rows, x.Columns), RowThreads, 0, scales, x, x.Columns);
    }

    /// <inheritdoc/>
    public void GatherRows(Tensor source, Tensor indices, Tensor destination)
    {
        RequireF32OrA(destination);
        Require.Floats(source, source.Rows, destination.Columns);
        Require.Shape(indices, ElementType.I32, 1, destination.Rows);
        string kernel = (source.Type, destination.Type) switch
        {
            (ElementType.F32, ElementType.F32) => "gather_rows_f32_f32",
            (ElementType.BF16, ElementType.F32) => "gather_rows_bf16_f32",
            (_, ElementType.F32) => "gather_rows_f16_f32",
            (ElementType.F32, _) => "gather_rows_f32_bf16",
            (ElementType.BF16, _) => "gather_rows_bf16_bf16",
            _ => "gather_rows_f16_bf16",
        };
        Get(kernel).Launch(RowShares(destination.Rows, destination.Columns), RowThreads, 0, source, indices, destination, source.Rows, source.Columns);
    }

    /// <inheritdoc/>
    public void ScatterRows(Tensor source, Tensor indices, Tensor destination)
    {
        RequireF32OrA(destination);
        Require.Shape(source, destination.Type, source.Rows, destination.Columns);
        Require.Shape(indices, ElementType.I32, 1, source.Rows);
        Get(destination.Type == ElementType.F32 ? "scatter_rows_f32" : "scatter_rows_bf16")
            .Launch(RowShares(source.Rows, source.Columns), RowThreads, 0, source, indices, destination, destination.Rows, source.Columns);
    }

    /// <inheritdoc/>
    public void ScatterAddRows(Tensor source, Tensor indices, Tensor destination)
    {
        const int Columns = 4 * RowThreads;
        Require.F32(destination);
        Require.Shape(source, ElementType.F32, source.Rows, destination.Columns);
        Require.Shape(indices, ElementType.I32, 1, source.Rows);
        Get("scatter_add_rows_f32").Launch(new Grid(destination.Rows, Math.Min((source.Columns + Columns - 1) / Columns, MaxShares)), RowThreads, 0,
            source, indices, destination, source.Rows, source.Columns);
    }

    /// <inheritdoc/>
    public void RmsNorm(Tensor x, Tensor weight, float epsilon, Tensor y)
    {
        RequireF32OrA(x);
        Require.Floats(weight, 1, x.Columns);
        RequireF32OrA(y);
        Require.Shape(y, y.Type, x.Rows, x.Columns);
        string kernel = (x.Type, y.Type) switch
        {
            (ElementType.F32, ElementType.F32) => "rms_norm_f32_f32",
            (ElementType.F32, _) => "rms_norm_f32_bf16",
            (_, ElementType.F32) => "rms_norm_bf16_f32",
            _ => "rms_norm_bf16_bf16",
        };
        (int blocks, int threads, int rows) = NormGrid(x.Rows, x.Columns);
        Get(kernel).Launch(blocks, threads, 0, x, weight, (int)weight.Type, epsilon, y, x.Rows, x.Columns, rows);
    }

    /// <inheritdoc/>
    public void RmsNormBackward(Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx)
    {
        RequireF32OrA(x);
        Require.Floats(weight, 1, x.Columns);
        RequireF32OrA(dy);
        Require.Shape(dy, dy.Type, x.Rows, x.Columns);
        RequireF32OrA(dx);
        Require.Shape(dx, dx.Type, x.Rows, x.Columns);
        string kernel = (x.Type, dy.Type, dx.Type) switch
        {
            (ElementType.F32, ElementType.F32, ElementType.F32) => "rms_norm_backward_f32_f32_f32",
            (ElementType.F32, ElementType.F32, _) => "rms_norm_backward_f32_f32_bf16",
            (ElementType.F32, _, ElementType.F32) => "rms_norm_backward_f32_bf16_f32",
            (ElementType.F32, _, _) => "rms_norm_backward_f32_bf16_bf16",
            (_, ElementType.F32, ElementType.F32) => "rms_norm_backward_bf16_f32_f32",
            (_, ElementType.F32, _) => "rms_norm_backward_bf16_f32_bf16",
            (_, _, ElementType.F32) => "rms_norm_backward_bf16_bf16_f32",
            _ => "rms_norm_backward_bf16_bf16_bf16",
        };
        (int blocks, int threads, int rows) = NormGrid(x.Rows, x.Columns);
        Get(kernel).Launch(blocks, threads, 0, x, weight, (int)weight.Type, epsilon, dy, dx, x.Rows, x.Columns, rows);
    }

    /// <inheritdoc/>
    public void Rotary(Tensor x, Tensor positions, Tensor table, int headSize, bool inverse, Tensor y)
    {
        RequireRotary(x, positions, table, headSize);
        Require.Shape(y, ElementType.BF16, x.Rows, x.Columns);
        Get("rotary_bf16").Launch(x.Rows, RotaryThreads(x.Columns), 0, x, positions, table, table.Rows, x.Columns / headSize, headSize / 2, inverse ? 1 : 0, y);
    }

    /// <inheritdoc/>
    public void RotaryStore(Tensor q, Tensor k, Tensor v, Tensor positions, Tensor table, int headSize, Tensor slots, Tensor keyStore, Tensor valueStore)
    {
        RequireRotary(q, positions, table, headSize);
        Require.Shape(k, ElementType.BF16, q.Rows, keyStore.Columns);
        Require.Shape(v, ElementType.BF16, q.Rows, keyStore.Columns);
        Require.Divides(headSize, k.Columns);
        Require.Shape(slots, ElementType.I32, 1, q.Rows);
        Require.Shape(keyStore, ElementType.BF16, keyStore.Rows, keyStore.Columns);
        Require.Shape(valueStore, ElementType.BF16, keyStore.Rows, keyStore.Columns);
        Get("rotary_store_bf16").Launch(q.Rows, RotaryThreads(q.Columns + 3 * k.Columns), 0, q, k, v, positions, table, table.Rows, q.Columns / headSize, k.Columns / headSize, headSize / 2,
            slots, keyStore.Rows, keyStore, valueStore);
    }

    /// <inheritdoc/>
    public void SwiGlu(Tensor gate, Tensor up, Tensor y)
    {
        Require.Shape(y, ElementType.BF16, y.Rows, y.Columns);
        Require.Shape(gate, ElementType.BF16, y.Rows, y.Columns);
        Require.Shape(up, ElementType.BF16, y.Rows, y.Columns);
        Get("swiglu_bf16").Launch(BlocksFor((y.Count + 7) / 8), ElementThreads, 0, gate, up, y, y.Count);
    }

    /// <inheritdoc/>
    public void SwiGluBackward(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup)
    {
        Require.Shape(dy, ElementType.BF16, dy.Rows, dy.Columns);
        Require.Shape(gate, ElementType.BF16, dy.Rows, dy.Columns);
        Require.Shape(up, ElementType.BF16, dy.Rows, dy.Columns);
        Require.Shape(dgate, ElementType.BF16, dy.Rows, dy.Columns);
        Require.Shape(dup, ElementType.BF16, dy.Rows, dy.Columns);
        Get("swiglu_backward_bf16").Launch(BlocksFor((dy.Count + 7) / 8), ElementThreads, 0, gate, up, dy, dgate, dup, dy.Count);
    }

    /// <inheritdoc/>
    public void FillUniform(Tensor x, ulong seed, float magnitude)
    {
        Require.Floats(x, x.Rows, x.Columns);
        Get(x.Type switch { ElementType.F32 => "fill_uniform_f32", ElementType.BF16 => "fill_uniform_bf16", _ => "fill_uniform_f16" })
            .Launch(BlocksFor((x.Count + 3) / 4), ElementThreads, 0, x, x.Count, (uint)seed, (uint)(seed >> 32), magnitude);
    }

    /// <inheritdoc/>
    public void PoolHeads(Tensor x, Tensor ranges, int headSize, Tensor y)
    {
        Require.Shape(x, ElementType.BF16, x.Rows, x.Columns);
        Require.Divides(headSize, x.Columns);
        Require.Shape(ranges, ElementType.I32, ranges.Rows, 2);
        Require.Shape(y, ElementType.F32, ranges.Rows, headSize);
        Get("pool_heads_bf16").Launch(ranges.Rows, PoolThreads, 0, x, ranges, x.Rows, x.Columns / headSize, headSize, y);
    }

    /// <summary>F32 or the activation type, of any shape.</summary>
    private static void RequireF32OrA(Tensor x, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(x))] string name = "") =>
        Require.Shape(x, x.Type == ElementType.F32 ? ElementType.F32 : ElementType.BF16, x.Rows, x.Columns, name);

    private static void RequireRotary(Tensor x, Tensor positions, Tensor table, int headSize)
    {
        Require.Shape(x, ElementType.BF16, x.Rows, x.Columns);
        Require.Divides(headSize, x.Columns);
        Require.That(headSize % 2 == 0, "the head size must be even", nameof(headSize));
        Require.Shape(positions, ElementType.I32, 1, x.Rows);
        Require.Shape(table, ElementType.F32, table.Rows, headSize);
    }

    /// <summary>A grid of rows and of shares of 8 columns a thread.</summary>
    private static Grid RowShares(int rows, int columns) => new(rows, Math.Min((columns + 8 * RowThreads - 1) / (8 * RowThreads), MaxShares));

    /// <summary>Short rows: a warp each. Long rows: a block each, of a thread for 8 elements.</summary>
    private static (int Blocks, int Threads, int RowsOfBlock) NormGrid(int rows, int columns)
    {
        const int Warps = RowThreads / WarpThreads;
        return columns <= WarpRow ? ((rows + Warps - 1) / Warps, RowThreads, Warps) : (rows, Math.Min(WholeWarps((columns + 7) / 8), 512), 1);
    }

    /// <summary>A thread for a run of 8 pairs, which are 16 of the row's elements.</summary>
    private static int RotaryThreads(int columns) => Math.Min(WholeWarps((columns + 15) / 16), RowThreads);

    /// <summary>So many threads, rounded up to warps; one warp at least.</summary>
    private static int WholeWarps(int threads) => Math.Max((threads + WarpThreads - 1) / WarpThreads, 1) * WarpThreads;
}
