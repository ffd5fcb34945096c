using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>Attention over packed trees, over a cache with a shared prefix, and its gradients.</summary>
internal static class AttentionKernels
{
    private const double Tolerance = 5e-6;

    /// <summary>One prompt.</summary>
    public static KernelCase Prefill(AttentionShape shape, int length) => new($"attention {length} rows, {Name(shape)}", o =>
    {
        Trees trees = new(1, length, 0, 0);
        Stored s = new(o, shape, trees.Rows, trees.Rows);
        return Forward(o, shape, trees, trees.On(o), s, s.LogSumExp);
    });

    /// <summary>Prompts with completions behind them, as a training step packs them.</summary>
    public static KernelCase Forward(AttentionShape shape, int groups, int root, int children, int length) =>
        new($"attention {groups} x ({root} + {children} x {length}) rows, {Name(shape)}", o =>
        {
            Trees trees = new(groups, root, children, length);
            Stored s = new(o, shape, trees.Rows, trees.Rows);
            return Forward(o, shape, trees, trees.On(o), s, s.LogSumExp);
        });

    /// <summary>One step of completions that share a prefix.</summary>
    public static KernelCase Decode(AttentionShape shape, int sequences, int prefix, int own) =>
        new($"decode attention {sequences} x ({prefix} shared + {own}), {Name(shape)}", o =>
        {
            Trees trees = new(1, prefix, sequences, own, lastRowsOnly: true);
            Stored s = new(o, shape, sequences, trees.StoreRows);
            return Forward(o, shape, trees, trees.On(o), s, default);
        });

    /// <summary>Gradients to queries, keys and values of packed trees.</summary>
    public static KernelCase Backward(AttentionShape shape, int groups, int root, int children, int length) =>
        new($"attention backward {groups} x ({root} + {children} x {length}) rows, {Name(shape)}", o =>
        {
            Trees trees = new(groups, root, children, length);
            AttentionPlan plan = trees.On(o);
            Stored s = new(o, shape, trees.Rows, trees.Rows);
            Tensor dy = o.Activations(trees.Rows, s.Query.Columns);
            Tensor dq = o.Outputs(trees.Rows, s.Query.Columns), dk = o.Outputs(trees.Rows, s.Key.Columns), dv = o.Outputs(trees.Rows, s.Key.Columns);
            o.Backend.Attention(plan, shape, s.Query, s.Key, s.Value, s.Output, s.LogSumExp);
            Action run = () => o.Backend.AttentionBackward(plan, shape, s.Query, s.Key, s.Value, s.Output, s.LogSumExp, dy, dq, dk, dv);
            return new Kernel(2.0 * (s.Query.Bytes + s.Key.Bytes + s.Value.Bytes + s.Output.Bytes), 10.0 * trees.Pairs * shape.QueryHeads * shape.HeadSize, run, () =>
            {
                run();
                return CheckBackward(o, shape, trees, s, dy, dq, dk, dv);
            });
        });

    private static Kernel Forward(Operands o, AttentionShape shape, Trees trees, AttentionPlan plan, Stored s, Tensor logSumExp)
    {
        Action run = () => o.Backend.Attention(plan, shape, s.Query, s.Key, s.Value, s.Output, logSumExp);
        double bytes = s.Query.Bytes + s.Key.Bytes + s.Value.Bytes + s.Output.Bytes;
        return new Kernel(bytes, 4.0 * trees.Pairs * shape.QueryHeads * shape.HeadSize, run, () =>
        {
            run();
            Worst worst = new();
            float[] keys = o.Read(s.Key), values = o.Read(s.Value);
            foreach (int row in Operands.Sampled(s.Query.Rows, 24))
            {
                float[] query = o.Row(s.Query, row), got = o.Row(s.Output, row);
                int[] seen = [.. trees.Visible(row)];
                for (int head = 0; head < shape.QueryHeads; head++)
                {
                    (double[] p, double logSum) = Probabilities(shape, query, keys, seen, head);
                    if (logSumExp.IsPresent)
                        worst.Compare(logSum, o.Row(logSumExp, row)[head], Tolerance * (1 + Math.Abs(logSum)));
                    int width = shape.KeyHeads * shape.HeadSize, at = KeyColumn(shape, head);
                    for (int j = 0; j < shape.HeadSize; j++)
                    {
                        double wanted = 0, terms = 0;
                        for (int i = 0; i < seen.Length; i++)
                        {
                            double term = p[i] * values[seen[i] * width + at + j];
                            wanted += term;
                            terms += Math.Abs(term);
                        }
                        worst.Compare(wanted, got[head * shape.HeadSize + j], Tolerance + o.InnerRounding * terms + Operands.Rounding(s.Output) * Math.Abs(wanted));
                    }
                }
            }
            return worst.Value;
        });
    }

    /// <summary>The last tree whole, for the query heads of the last key head: the others differ in their numbers only.</summary>
    private static double CheckBackward(Operands o, AttentionShape shape, Trees trees, Stored s, Tensor dy, Tensor dq, Tensor dk, Tensor dv)
    {
        int size = shape.HeadSize, width = shape.KeyHeads * size, share = shape.QueryHeads / shape.KeyHeads, firstHead = shape.QueryHeads - share, at = KeyColumn(shape, firstHead);
        int firstRow = trees.Rows - trees.TreeRows;
        float[] keys = o.Read(s.Key), values = o.Read(s.Value);
        double[] wantedKeys = new double[trees.TreeRows * size], wantedValues = new double[trees.TreeRows * size];
        // What rounding probabilities, slopes of scores and the output to the activation type may change: nothing where that is F32.
        double[] slackKeys = new double[trees.TreeRows * size], slackValues = new double[trees.TreeRows * size];
        double inner = o.InnerRounding;
        Worst worst = new();
        for (int row = firstRow; row < trees.Rows; row++)
        {
            float[] query = o.Row(s.Query, row), slopes = o.Row(dy, row), output = o.Row(s.Output, row), gotQuery = o.Row(dq, row);
            int[] seen = [.. trees.Visible(row)];
            for (int head = firstHead; head < shape.QueryHeads; head++)
            {
                double[] p = Probabilities(shape, query, keys, seen, head).P, dp = new double[seen.Length], wantedQuery = new double[size], slackQuery = new double[size];
                int queryAt = head * size;
                double mean = 0, meanTerms = 0;
                for (int j = 0; j < size; j++)
                    meanTerms += Math.Abs((double)slopes[queryAt + j] * output[queryAt + j]);
                for (int i = 0; i < seen.Length; i++)
                {
                    for (int j = 0; j < size; j++)
                        dp[i] += (double)slopes[queryAt + j] * values[seen[i] * width + at + j];
                    mean += p[i] * dp[i];
                }
                for (int i = 0; i < seen.Length; i++)
                {
                    double score = p[i] * (dp[i] - mean) * shape.Scale;
                    double slack = inner * (Math.Abs(score) + p[i] * meanTerms * shape.Scale);
                    int key = seen[i] * width + at, gradient = (seen[i] - firstRow) * size;
                    for (int j = 0; j < size; j++)
                    {
                        wantedQuery[j] += score * keys[key + j];
                        wantedKeys[gradient + j] += score * query[queryAt + j];
                        wantedValues[gradient + j] += p[i] * slopes[queryAt + j];
                        slackQuery[j] += slack * Math.Abs(keys[key + j]);
                        slackKeys[gradient + j] += slack * Math.Abs(query[queryAt + j]);
                        slackValues[gradient + j] += inner * p[i] * Math.Abs(slopes[queryAt + j]);
                    }
                }
                for (int j = 0; j < size; j++)
                    worst.Compare(wantedQuery[j], gotQuery[queryAt + j], Tolerance + slackQuery[j] + Operands.Rounding(dq) * Math.Abs(wantedQuery[j]));
            }
        }
        for (int row = 0; row < trees.TreeRows; row++)
        {
            float[] gotKey = o.Row(dk, firstRow + row), gotValue = o.Row(dv, firstRow + row);
            for (int j = 0; j < size; j++)
            {
                // Sums over up to a thousand queries and several heads.
                double key = wantedKeys[row * size + j], value = wantedValues[row * size + j];
                worst.Compare(key, gotKey[at + j], 10 * Tolerance * (1 + Math.Abs(key)) + slackKeys[row * size + j] + Operands.Rounding(dk) * Math.Abs(key));
                worst.Compare(value, gotValue[at + j], 10 * Tolerance * (1 + Math.Abs(value)) + slackValues[row * size + j] + Operands.Rounding(dv) * Math.Abs(value));
            }
        }
        return worst.Value;
    }

    private static (double[] P, double LogSum) Probabilities(AttentionShape shape, float[] query, float[] keys, int[] seen, int head)
    {
        int size = shape.HeadSize, width = shape.KeyHeads * size, at = KeyColumn(shape, head);
        double[] scores = new double[seen.Length];
        for (int i = 0; i < seen.Length; i++)
        {
            double sum = 0;
            for (int j = 0; j < size; j++)
                sum += (double)query[head * size + j] * keys[seen[i] * width + at + j];
            scores[i] = sum * shape.Scale;
        }
        double top = scores.Max();
        return (DenseKernels.Softmax(scores, 1), top + Math.Log(scores.Sum(score => Math.Exp(score - top))));
    }

    private static int KeyColumn(AttentionShape shape, int head) => head / (shape.QueryHeads / shape.KeyHeads) * shape.HeadSize;

    private static string Name(AttentionShape shape) => $"{shape.QueryHeads}/{shape.KeyHeads} heads of {shape.HeadSize}";

    /// <summary>The tensors that every attention needs.</summary>
    private sealed class Stored(Operands o, AttentionShape shape, int queryRows, int storeRows)
    {
        public Tensor Query { get; } = o.Activations(queryRows, shape.QueryHeads * shape.HeadSize);
        public Tensor Key { get; } = o.Activations(storeRows, shape.KeyHeads * shape.HeadSize);
        public Tensor Value { get; } = o.Activations(storeRows, shape.KeyHeads * shape.HeadSize);
        public Tensor Output { get; } = o.Outputs(queryRows, shape.QueryHeads * shape.HeadSize);
        public Tensor LogSumExp { get; } = o.Zeros(queryRows, shape.QueryHeads);
    }

    /// <summary>Trees of one shape: a root and its children, row by row in the store; queries are all rows, or the last row of each child only.</summary>
    private sealed class Trees(int groups, int root, int children, int length, bool lastRowsOnly = false)
    {
        public int TreeRows => root + children * length;
        public int StoreRows => groups * TreeRows;
        public int Rows => lastRowsOnly ? groups * children : StoreRows;

        /// <summary>How many (query, key) pairs there are.</summary>
        public double Pairs => Enumerable.Range(0, Rows).Sum(row => (double)VisibleCount(Place(row)));

        /// <summary>Store rows that a query row sees, the root's first.</summary>
        public IEnumerable<int> Visible(int query)
        {
            (int tree, int child, int own) = Place(query);
            int first = tree * TreeRows;
            return child < 0 ? Enumerable.Range(first, own) : Enumerable.Range(first, root).Concat(Enumerable.Range(first + root + child * length, own));
        }

        public AttentionPlan On(Operands o)
        {
            int perTree = 1 + children;
            int[] segments = new int[3 * groups * perTree], queries = new int[2 * Rows], trees = new int[2 * groups];
            for (int tree = 0; tree < groups; tree++)
            {
                int first = tree * TreeRows;
                (trees[2 * tree], trees[2 * tree + 1]) = (first, TreeRows);
                for (int child = -1; child < children; child++)
                {
                    int at = 3 * (tree * perTree + child + 1);
                    (segments[at], segments[at + 1], segments[at + 2]) = child < 0 ? (first, root, -1) : (first + root + child * length, length, tree * perTree);
                }
            }
            for (int row = 0; row < Rows; row++)
            {
                (int tree, int child, int own) = Place(row);
                (queries[2 * row], queries[2 * row + 1]) = (tree * perTree + child + 1, own);
            }
            return new AttentionPlan(o.Integers(groups * perTree, 3, segments), o.Integers(Rows, 2, queries), lastRowsOnly ? default : o.Integers(groups, 2, trees), root + length);
        }

        private int VisibleCount((int Tree, int Child, int Own) place) => place.Own + (place.Child < 0 ? 0 : root);

        private (int Tree, int Child, int Own) Place(int query)
        {
            if (lastRowsOnly)
                return (query / children, query % children, length);
            int within = query % TreeRows;
            return within < root ? (query / TreeRows, -1, within + 1) : (query / TreeRows, (within - root) / length, (within - root) % length + 1);
        }
    }
}
