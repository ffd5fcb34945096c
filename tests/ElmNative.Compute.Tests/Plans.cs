namespace ElmNative.Compute.Tests;

/// <summary>Attention plans of test trees: packed rows, where store row i is query row i.</summary>
internal sealed record TestPlan(int[] Segments, int[] Queries, int[] Trees, int MaxContext, int Rows)
{
    /// <summary>
    /// Trees of segments laid out one behind the other; each tree is a list of (rows, parent within the tree or -1).
    /// </summary>
    public static TestPlan Packed(params (int Rows, int Parent)[][] trees)
    {
        List<int> segments = [], queries = [], treeRows = [];
        int row = 0, longest = 0;
        foreach ((int Rows, int Parent)[] tree in trees)
        {
            int firstSegment = segments.Count / 3, firstRow = row;
            foreach ((int rows, int parent) in tree)
            {
                int index = segments.Count / 3;
                segments.AddRange([row, rows, parent < 0 ? -1 : firstSegment + parent]);
                for (int i = 1; i <= rows; i++)
                    queries.AddRange([index, i]);
                row += rows;
                int context = 0;
                for (int s = index; s >= 0; s = segments[3 * s + 2])
                    context += segments[3 * s + 1];
                longest = Math.Max(longest, context);
            }
            treeRows.AddRange([firstRow, row - firstRow]);
        }
        return new TestPlan([.. segments], [.. queries], [.. treeRows], longest, row);
    }

    /// <summary>A few shapes: one row, ragged children, a chain of three, empty segments, more rows than one tile.</summary>
    public static readonly TestPlan[] All =
    [
        Packed([(1, -1)]),
        Packed([(5, -1), (3, 0), (1, 0), (7, 0)], [(2, -1)]),
        Packed([(17, -1), (4, 0), (18, 1), (5, 1), (9, 0)], [(33, -1), (0, 0), (6, 1)], [(1, -1), (1, 0)]),
        Packed([(40, -1), (30, 0), (27, 0), (64, 0)]),
    ];

    public AttentionPlan On(IBackend backend) => new(backend.Put(Segments, Segments.Length / 3, 3),
        backend.Put(Queries, Queries.Length / 2, 2),
        backend.Put(Trees, Trees.Length / 2, 2), MaxContext);
}
