using ElmNative.Compute;

namespace ElmNative.Transformers.Models;

/// <summary>
/// The index arrays of packed trees, without padding. Rows lie tree by tree: the root (soft prompt, then prompt), then its completions as child segments.
/// A completion's last token is a target only, never an input row, so a child has one row less than its completion has tokens. Targets are
/// predicted from the row before them: the first from the root's last row.
/// </summary>
internal sealed class PackedBatch
{
    /// <summary>Packs the trees for a model of a hidden size and a context.</summary>
    /// <exception cref="ElmException">a tree is longer than the context</exception>
    public PackedBatch(IReadOnlyList<PackedTree> trees, int hiddenSize, int maxPositions)
    {
        int segments = 0, rows = 0, targets = 0;
        foreach (PackedTree tree in trees)
        {
            int root = tree.SoftPrompt.Length / hiddenSize + tree.PromptIds.Length;
            if (tree.SoftPrompt.Length % hiddenSize != 0 || root == 0)
                throw new ArgumentException("a tree needs at least one whole row of soft prompt or prompt", nameof(trees));
            segments += 1 + tree.Completions.Count;
            rows += root;
            foreach (int[] completion in tree.Completions)
            {
                if (completion.Length == 0)
                    throw new ArgumentException("a completion needs at least one token", nameof(trees));
                rows += completion.Length - 1;
                targets += completion.Length;
                if (root + completion.Length - 1 > maxPositions)
                    throw new ElmException($"a prompt of {root} rows with a completion of {completion.Length} tokens does not fit the model's context of {maxPositions}; shorten the prompt or --max-tokens");
            }
            if (root > maxPositions)
                throw new ElmException($"a prompt of {root} rows (soft prompt included) does not fit the model's context of {maxPositions}; shorten the prompt");
        }
        Ids = new int[rows];
        Positions = new int[rows];
        Queries = new int[2 * rows];
        Segments = new int[3 * segments];
        Trees = new int[2 * trees.Count];
        RootRows = new int[trees.Count];
        PredictingRows = new int[targets];
        Targets = new int[targets];
        Fill(trees, hiddenSize);
    }

    /// <summary>Token id of each row; -1 for soft-prompt rows.</summary>
    public int[] Ids { get; }

    /// <summary>Position of each row: it continues from the root into its completions.</summary>
    public int[] Positions { get; }

    /// <summary>[rows, 2]: segment and visible rows, as in <see cref="AttentionPlan.Queries"/>.</summary>
    public int[] Queries { get; }

    /// <summary>[segments, 3]: first row, rows, parent.</summary>
    public int[] Segments { get; }

    /// <summary>[trees, 2]: first row and rows of each tree. The soft prompt is its head.</summary>
    public int[] Trees { get; }

    /// <summary>Rows of each tree's root.</summary>
    public int[] RootRows { get; }

    /// <summary>The row whose output predicts each target.</summary>
    public int[] PredictingRows { get; }

    /// <summary>Completion tokens, tree by tree, completion by completion.</summary>
    public int[] Targets { get; }

    /// <summary>Number of rows.</summary>
    public int Rows => Ids.Length;

    /// <summary>Largest number of rows that one row sees.</summary>
    public int MaxContext { get; private set; }

    private void Fill(IReadOnlyList<PackedTree> trees, int hiddenSize)
    {
        int row = 0, segment = 0, target = 0;
        for (int t = 0; t < trees.Count; t++)
        {
            PackedTree tree = trees[t];
            int soft = tree.SoftPrompt.Length / hiddenSize, root = soft + tree.PromptIds.Length, rootSegment = segment;
            Trees[2 * t] = row;
            RootRows[t] = root;
            AddSegment(ref segment, row, root, -1);
            for (int i = 0; i < root; i++)
                AddRow(ref row, i < soft ? -1 : tree.PromptIds[i - soft], i, rootSegment, i + 1);
            int lastOfRoot = row - 1;
            MaxContext = Math.Max(MaxContext, root);
            foreach (int[] completion in tree.Completions)
            {
                int child = segment, first = row;
                AddSegment(ref segment, row, completion.Length - 1, rootSegment);
                for (int i = 0; i < completion.Length; i++)
                {
                    PredictingRows[target] = i == 0 ? lastOfRoot : first + i - 1;
                    Targets[target++] = completion[i];
                    if (i < completion.Length - 1)
                        AddRow(ref row, completion[i], root + i, child, i + 1);
                }
                MaxContext = Math.Max(MaxContext, root + completion.Length - 1);
            }
            Trees[2 * t + 1] = row - Trees[2 * t];
        }
    }

    private void AddSegment(ref int segment, int start, int length, int parent)
    {
        Segments[3 * segment] = start;
        Segments[3 * segment + 1] = length;
        Segments[3 * segment + 2] = parent;
        segment++;
    }

    private void AddRow(ref int row, int id, int position, int segment, int visible)
    {
        Ids[row] = id;
        Positions[row] = position;
        Queries[2 * row] = segment;
        Queries[2 * row + 1] = visible;
        row++;
    }
}
