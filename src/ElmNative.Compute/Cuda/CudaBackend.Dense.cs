namespace ElmNative.Compute.Cuda;

/// <content>
/// Matrix products. Up to <see cref="SkinnyRows"/> rows stream the weight (kernels/skinny.cu); more go to cuBLASLt where it is there, else to the tensor-core product of kernels/linear.cu.
/// </content>
public sealed unsafe partial class CudaBackend
{
    /// <summary>Rows up to which a forward product is limited by the bytes of the weight rather than by sums.</summary>
    private const int SkinnyRows = 16;

    // The tiles of kernels/tile.h: rows and columns, threads, and shared memory of a block.
    private const int LargeTile = 128, LargeTileThreads = 256, LargeTileShared = 64 * 1024, SmallTile = 64, SmallTileThreads = 128, SmallTileShared = 48 * 1024;

    /// <summary>The least part of a reduction that is worth a block of its own.</summary>
    private const int LeastSplit = 512;

    /// <summary>Takes the project's own product even where cuBLASLt is there: for its tests, and to measure the two side by side.</summary>
    internal bool UsesOwnProducts { get; set; }

    /// <inheritdoc/>
    public void Linear(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate)
    {
        Require.Shape(x, ElementType.BF16, x.Rows, x.Columns);
        Require.Shape(weight, ElementType.BF16, weight.Rows, x.Columns);
        if (bias.IsPresent)
            Require.Shape(bias, bias.Type is ElementType.F32 ? ElementType.F32 : ElementType.BF16, 1, weight.Rows);
        Require.Shape(y, y.Type is ElementType.F32 ? ElementType.F32 : ElementType.BF16, x.Rows, weight.Rows);
        if (y.Count == 0)
            return;
        if (x.Rows <= SkinnyRows)
            Skinny(x, weight, bias, y, accumulate);
        else if (UsesOwnProducts || !TryCublasLt(x, weight, bias, y, accumulate))
        {
            Tiling tiling = TilingFor(x.Rows, weight.Rows, x.Columns, Aligned(x, x.Columns) && Aligned(weight, weight.Columns));
            Multiply(backward: false, tiling, x, x.Columns, weight, bias, y, accumulate, x.Columns, PartialsOf(tiling, y));
        }
    }

    /// <inheritdoc/>
    public void LinearBackward(Tensor dy, Tensor weight, Tensor dx, bool accumulate)
    {
        Require.Shape(dy, ElementType.BF16, dy.Rows, dy.Columns);
        Require.Shape(weight, ElementType.BF16, dy.Columns, weight.Columns);
        Require.Shape(dx, dx.Type is ElementType.F32 ? ElementType.F32 : ElementType.BF16, dy.Rows, weight.Columns);
        if (dx.Count == 0 || (!UsesOwnProducts && TryCublasLtBackward(dy, weight, dx, accumulate)))
            return;
        Tiling tiling = TilingFor(dy.Rows, weight.Columns, dy.Columns, Aligned(dy, dy.Columns) && Aligned(weight, weight.Columns));
        Multiply(backward: true, tiling, dy, dy.Columns, weight, default, dx, accumulate, dy.Columns, PartialsOf(tiling, dx));
    }

    /// <summary>The product for few rows. The more columns, the more rows of the weight a block takes (8, 16 or 32), as long as there are blocks enough to fill the device.</summary>
    private void Skinny(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate)
    {
        int n = weight.Rows;
        (string kernel, int rowsOfBlock, int shared) = !Aligned(x, x.Columns) || !Aligned(weight, weight.Columns) ? ("skinny_unaligned", 16, 64 * 1024)
            : n >= 2 * 32 * multiprocessors ? ("skinny_32", 32, 96 * 1024)
            : n >= 16 * multiprocessors ? ("skinny_16", 16, 64 * 1024)
            : ("skinny_8", 8, 48 * 1024);
        Get(kernel).Launch(Blocks(n, rowsOfBlock), 256, shared, x, weight, bias, TypeCode(bias), y, TypeCode(y), accumulate ? 1 : 0, x.Rows, n, x.Columns);
    }

    /// <summary>
    /// The project's own product C = A B for more rows: forward A = x, B = W^T, C = y; backward A = dy, B = W, C = dx.
    /// </summary>
    /// <param name="backward">which of the two</param><param name="tiling">of <see cref="TilingFor"/></param><param name="a">BF16; its rows start <paramref name="stride"/> elements apart</param>
    /// <param name="stride">at least <paramref name="depth"/></param><param name="weight">BF16 [n, k]</param><param name="bias">[1, columns], or absent</param><param name="c">F32 or BF16 [rows, columns]</param>
    /// <param name="accumulate">add to c instead of overwriting it</param><param name="depth">length of the reduction</param>
    /// <param name="partials">F32, <see cref="Tiling.Partials"/> elements at least; not touched where that is 0</param>
    private void Multiply(bool backward, Tiling tiling, Tensor a, int stride, Tensor weight, Tensor bias, Tensor c, bool accumulate, int depth, Tensor partials)
    {
        bool split = tiling.Splits > 1;
        string kernel = (backward, tiling.Aligned, tiling.Large) switch
        {
            (false, true, true) => "linear_large",
            (false, true, false) => "linear_small",
            (false, false, _) => "linear_unaligned",
            (true, true, true) => "linear_backward_large",
            (true, true, false) => "linear_backward_small",
            (true, false, _) => "linear_backward_unaligned",
        };
        Get(kernel).Launch(new Grid(tiling.Tiles(c.Rows, c.Columns), tiling.Splits), tiling.Threads, tiling.Shared,
            a, stride, weight, weight.Columns, split ? default : bias, split ? 0 : TypeCode(bias), split ? partials : c, split ? 1 : TypeCode(c), accumulate && !split ? 1 : 0,
            c.Rows, c.Columns, depth, tiling.SplitDepth);
        if (split)
            Get("linear_sum").Launch(BlocksFor(c.Count), ElementThreads, 0, partials, tiling.Splits, bias, TypeCode(bias), c, TypeCode(c), accumulate ? 1 : 0, c.Rows, c.Columns);
    }

    /// <summary>
    /// Large tiles where they fill the device, else small ones; and where even those are too few, the reduction in parts that a second launch adds up. A function of the shape and the device alone.
    /// </summary>
    private Tiling TilingFor(int rows, int columns, int depth, bool aligned)
    {
        bool large = aligned && rows > SmallTile && columns > SmallTile && (long)Blocks(rows, LargeTile) * Blocks(columns, LargeTile) >= multiprocessors;
        long tiles = (long)Blocks(rows, SmallTile) * Blocks(columns, SmallTile);
        int splits = large || tiles >= 2 * multiprocessors ? 1 : (int)Math.Clamp(depth / LeastSplit, 1, (2 * multiprocessors + tiles - 1) / tiles);
        int splitDepth = Math.Max(1, Blocks(Blocks(depth, splits), SmallTile)) * SmallTile;
        return new Tiling(large, aligned, Math.Max(1, Blocks(depth, splitDepth)), splitDepth);
    }

    /// <summary>Workspace for the partial products of a split reduction, absent where there is none.</summary>
    private Tensor PartialsOf(Tiling tiling, Tensor c) => tiling.Splits > 1 ? Workspace(tiling.Partials(c.Rows, c.Columns)) : default;

    /// <summary>True when the kernels may copy 16 bytes at a time: the matrix starts at a multiple of that, and its rows are multiples of it apart.</summary>
    private static bool Aligned(Tensor x, int stride) => x.Address % 16 == 0 && stride % 8 == 0;

    /// <summary>How many parts of a size cover a count.</summary>
    private static int Blocks(int count, int size) => (int)(((long)count + size - 1) / size);

    /// <summary>A tensor's type as the dense kernels take it: 0 absent, 1 F32, 2 BF16.</summary>
    private static int TypeCode(Tensor x) => !x.IsPresent ? 0 : x.Type is ElementType.F32 ? 1 : 2;

    /// <summary>How a product is cut into blocks.</summary>
    /// <param name="Large">tiles of 128 x 128, else of 64 x 64</param><param name="Aligned">copied 16 bytes at a time, else element by element</param>
    /// <param name="Splits">parts of the reduction</param><param name="SplitDepth">length of a part, a multiple of a stage's depth</param>
    private readonly record struct Tiling(bool Large, bool Aligned, int Splits, int SplitDepth)
    {
        public int Size => Large ? LargeTile : SmallTile;

        public int Threads => Large ? LargeTileThreads : SmallTileThreads;

        public int Shared => Large ? LargeTileShared : SmallTileShared;

        public int Tiles(int rows, int columns) => checked(Blocks(rows, Size) * Blocks(columns, Size));

        /// <summary>F32 elements of the partial products; 0 where the reduction is not split.</summary>
        public long Partials(int rows, int columns) => Splits > 1 ? (long)Splits * rows * columns : 0;
    }
}
