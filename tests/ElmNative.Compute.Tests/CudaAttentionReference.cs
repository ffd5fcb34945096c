using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <content>What the results should be, with bounds on their errors; random inputs; plans of decoding sequences.</content>
public sealed partial class CudaAttentionTests
{
    /// <summary>Runs attention on random rows, with NaN in all store rows that nobody sees, and compares y and log-sum-exp with the reference.</summary>
    private static void Check(CudaBackend cuda, AttentionPlan plan, int[] segments, int[] queries, AttentionShape shape, int storeRows, string what, int shift = 0)
    {
        Inputs inputs = new(cuda, shape, queries.Length / 2, storeRows, shift, SeenRows(segments, queries, storeRows));
        (float[] y, float[] log) = inputs.Attend(plan);
        (double[] wanted, double[] bound, double[] wantedLog, double[] logBound) = Expected(segments, queries, shape, inputs);
        Within(wanted, bound, y, what);
        Within(wantedLog, logBound, log, what + ", log sum");
    }

    private static void Within(double[] wanted, double[] bound, float[] got, string what)
    {
        Assert.HasCount(wanted.Length, got, what);
        for (int i = 0; i < wanted.Length; i++)
            if (wanted[i] != got[i] && !(Math.Abs(got[i] - wanted[i]) <= bound[i]))
                Assert.Fail($"{what}: element {i} is {got[i]:R}, but should be {wanted[i]:R} within {bound[i]:R}");
    }

    /// <summary>
    /// Attention in double precision with bounds on what BF16 and float32 may add to it. A kernel rounds each weight p to BF16 (8 significant bits: 2^-8 relative) before the product with v, and y to BF16:
    /// 2^-8 (sum p |v| + |y|). In float32, a score of D exact products errs by at most D 2^-24 of the sum S of their sizes, which shifts p by as much relatively, and the sums over n keys by n 2^-24.
    /// </summary>
    private static (double[] Y, double[] Bound, double[] Log, double[] LogBound) Expected(int[] segments, int[] queries, AttentionShape shape, Inputs x)
    {
        const double Half = Activations.Rounding, Single = 1.0 / (1 << 24);
        int m = queries.Length / 2, size = shape.HeadSize, width = shape.QueryHeads * size, keyWidth = shape.KeyHeads * size;
        double[] y = new double[m * width], bound = new double[m * width], log = new double[m * shape.QueryHeads], logBound = new double[m * shape.QueryHeads];
        for (int i = 0; i < m; i++)
        {
            int[] rows = [.. Reference.Visible(segments, queries[2 * i], queries[2 * i + 1])];
            for (int head = 0; head < shape.QueryHeads; head++)
            {
                int at = i * width + head * size, keyAt = head / (shape.QueryHeads / shape.KeyHeads) * size;
                (double[] p, log[i * shape.QueryHeads + head], double largest) = Weights(shape, x, rows, at, keyAt);
                double single = Single * (2 * (size + 8) * (1 + largest) + rows.Length + 8);
                logBound[i * shape.QueryHeads + head] = single + 4 * Single * Math.Abs(log[i * shape.QueryHeads + head]);
                for (int j = 0; j < size; j++)
                {
                    double sizes = 0;
                    for (int r = 0; r < rows.Length; r++)
                    {
                        double term = p[r] * x.Value[rows[r] * keyWidth + keyAt + j];
                        y[at + j] += term;
                        sizes += Math.Abs(term);
                    }
                    bound[at + j] = 1.01 * Half * (sizes + Math.Abs(y[at + j])) + single * sizes;
                }
            }
        }
        return (y, bound, log, logBound);
    }

    /// <summary>
    /// Compares gradients with those in double precision. On top of the float32 errors of <see cref="Expected"/>, with u = 2^-8: dy * y sums y rounded to BF16, which shifts ds by p scale u sum |dy y|; p and
    /// ds are rounded before their products; so are dq, dk and dv.
    /// </summary>
    private static void CheckBackward(CudaBackend cuda, TestPlan plan, AttentionShape shape, string what, int shift = 0)
    {
        const double Half = 1.01 * Activations.Rounding, Single = 1.0 / (1 << 24);
        Inputs x = new(cuda, shape, plan.Rows, plan.Rows, shift);
        (float[] dq, float[] dk, float[] dv, double[] dy) = x.Differentiate(plan);
        double[] wantedQ = new double[dq.Length], wantedK = new double[dk.Length], wantedV = new double[dv.Length];
        double[] boundQ = new double[dq.Length], boundK = new double[dk.Length], boundV = new double[dv.Length];
        int size = shape.HeadSize, width = shape.QueryHeads * size, keyWidth = shape.KeyHeads * size;
        for (int i = 0; i < plan.Rows; i++)
        {
            int[] rows = [.. Reference.Visible(plan.Segments, plan.Queries[2 * i], plan.Queries[2 * i + 1])];
            for (int head = 0; head < shape.QueryHeads; head++)
            {
                int at = i * width + head * size, keyAt = head / (shape.QueryHeads / shape.KeyHeads) * size;
                (double[] p, _, double largest) = Weights(shape, x, rows, at, keyAt);
                double single = Single * (2 * (size + 8) * (1 + largest) + plan.Rows * shape.QueryHeads + 8), mean = 0, slopeSizes = 0;
                double[] dp = new double[rows.Length], dpSizes = new double[rows.Length];
                for (int j = 0; j < size; j++)
                {
                    double y = 0;
                    for (int r = 0; r < rows.Length; r++)
                    {
                        double term = dy[at + j] * x.Value[rows[r] * keyWidth + keyAt + j];
                        dp[r] += term;
                        dpSizes[r] += Math.Abs(term);
                        y += p[r] * x.Value[rows[r] * keyWidth + keyAt + j];
                        slopeSizes += p[r] * Math.Abs(term);
                    }
                    mean += dy[at + j] * y;
                }
                for (int r = 0; r < rows.Length; r++)
                {
                    double ds = p[r] * (dp[r] - mean) * shape.Scale;
                    // y itself errs by u (sum p |v| + |y|), at most 2 u sum p |v|
                    double dsBound = Half * Math.Abs(ds) + p[r] * shape.Scale * (2 * Half * slopeSizes + single * (dpSizes[r] + slopeSizes));
                    for (int j = 0; j < size; j++)
                    {
                        int key = rows[r] * keyWidth + keyAt + j;
                        wantedQ[at + j] += ds * x.Key[key];
                        wantedK[key] += ds * x.Query[at + j];
                        wantedV[key] += p[r] * dy[at + j];
                        boundQ[at + j] += dsBound * Math.Abs(x.Key[key]) + single * Math.Abs(ds * x.Key[key]);
                        boundK[key] += dsBound * Math.Abs(x.Query[at + j]) + single * Math.Abs(ds * x.Query[at + j]);
                        boundV[key] += (Half + single) * p[r] * Math.Abs(dy[at + j]);
                    }
                }
            }
        }
        foreach ((double[] wanted, double[] bound, float[] got, string name) in new[] { (wantedQ, boundQ, dq, "dq"), (wantedK, boundK, dk, "dk"), (wantedV, boundV, dv, "dv") })
        {
            for (int i = 0; i < wanted.Length; i++)
                bound[i] += Half * Math.Abs(wanted[i]);
            Within(wanted, bound, got, $"{what}, {name}");
        }
    }

    /// <summary>Probabilities over the rows, their log-sum-exp, and the largest scaled sum of |q k|.</summary>
    private static (double[] P, double Log, double Largest) Weights(AttentionShape shape, Inputs x, int[] rows, int at, int keyAt)
    {
        double[] scores = new double[rows.Length];
        double largest = 0, top = double.NegativeInfinity, total = 0;
        for (int r = 0; r < rows.Length; r++)
        {
            double sum = 0, sizes = 0;
            for (int j = 0; j < shape.HeadSize; j++)
            {
                double term = x.Query[at + j] * x.Key[rows[r] * shape.KeyHeads * shape.HeadSize + keyAt + j];
                sum += term;
                sizes += Math.Abs(term);
            }
            scores[r] = shape.Scale * sum;
            top = Math.Max(top, scores[r]);
            largest = Math.Max(largest, shape.Scale * sizes);
        }
        foreach (double score in scores)
            total += Math.Exp(score - top);
        double log = rows.Length > 0 ? top + Math.Log(total) : double.NegativeInfinity;
        return ([.. scores.Select(score => Math.Exp(score - log))], log, largest);
    }

    private static bool[] SeenRows(int[] segments, int[] queries, int storeRows)
    {
        bool[] seen = new bool[storeRows];
        for (int i = 0; i < queries.Length / 2; i++)
            foreach (int row in Reference.Visible(segments, queries[2 * i], queries[2 * i + 1]))
                seen[row] = true;
        return seen;
    }

    /// <summary>Random queries, keys and values, rounded to BF16.</summary>
    private sealed class Inputs
    {
        private readonly CudaBackend cuda;
        private readonly AttentionShape shape;
        private readonly int shift;

        public Inputs(CudaBackend cuda, AttentionShape shape, int rows, int storeRows, int shift, bool[]? seen = null)
        {
            (this.cuda, this.shape, this.shift) = (cuda, shape, shift);
            int width = shape.QueryHeads * shape.HeadSize, keyWidth = shape.KeyHeads * shape.HeadSize;
            float[] q = Normal(1, (long)rows * width), k = Normal(2, (long)storeRows * keyWidth), v = Normal(3, (long)storeRows * keyWidth);
            for (int row = 0; row < storeRows; row++)
                if (seen is not null && !seen[row])
                {
                    k.AsSpan(row * keyWidth, keyWidth).Fill(float.NaN);
                    v.AsSpan(row * keyWidth, keyWidth).Fill(float.NaN);
                }
            (Query, Key, Value) = (Rounded(q, ElementType.BF16), Rounded(k, ElementType.BF16), Rounded(v, ElementType.BF16));
            Q = cuda.Put(q, rows, width, ElementType.BF16, shift);
            K = cuda.Put(k, storeRows, keyWidth, ElementType.BF16, shift);
            V = cuda.Put(v, storeRows, keyWidth, ElementType.BF16, shift);
        }

        public double[] Query { get; }
        public double[] Key { get; }
        public double[] Value { get; }
        public Tensor Q { get; }
        public Tensor K { get; }
        public Tensor V { get; }

        public (float[] Y, float[] LogSumExp) Attend(AttentionPlan plan)
        {
            Tensor y = cuda.Nothing(Q.Rows, Q.Columns, ElementType.BF16, shift), log = cuda.Blank(Q.Rows, shape.QueryHeads);
            cuda.Attention(plan, shape, Q, K, V, y, log);
            return (cuda.Read(y), cuda.Get(log));
        }

        /// <summary>Gradients of sum(dy * y) for random dy, which it returns too; attention runs first, for y and the log-sum-exp.</summary>
        public (float[] Q, float[] K, float[] V, double[] Dy) Differentiate(TestPlan plan)
        {
            float[] slopes = Normal(4, Q.Count);
            Tensor y = cuda.Nothing(Q.Rows, Q.Columns, ElementType.BF16, shift), log = cuda.Blank(Q.Rows, shape.QueryHeads), dy = cuda.Put(slopes, Q.Rows, Q.Columns, ElementType.BF16, shift);
            Tensor dq = cuda.Nothing(Q.Rows, Q.Columns, ElementType.BF16, shift), dk = cuda.Nothing(K.Rows, K.Columns, ElementType.BF16, shift), dv = cuda.Nothing(K.Rows, K.Columns, ElementType.BF16, shift);
            AttentionPlan native = plan.On(cuda);
            cuda.Attention(native, shape, Q, K, V, y, log);
            cuda.AttentionBackward(native, shape, Q, K, V, y, log, dy, dq, dk, dv);
            return (cuda.Read(dq), cuda.Read(dk), cuda.Read(dv), Rounded(slopes, ElementType.BF16));
        }
    }

    /// <summary>
    /// Sequences that decode: prefixes of some rows, each with a group of sequences that have seen some of up to `capacity` rows of their own; all at scattered places of a store. A group of no
    /// sequences is a prefix that nobody uses. The last query is an empty row: a segment without rows and without a parent.
    /// </summary>
    private sealed class DecodePlan
    {
        public DecodePlan((int Prefix, int Sequences)[] groups, int seed, int capacity)
        {
            Random random = new(seed);
            List<(int Rows, int Parent)> segments = [.. groups.Select(group => (group.Prefix, -1))];
            List<int> queries = [];
            for (int g = 0; g < groups.Length; g++)
                for (int i = 0; i < groups[g].Sequences; i++)
                {
                    queries.AddRange([segments.Count, i == 0 ? capacity : random.Next(capacity + 1)]);
                    segments.Add((capacity, g));
                }
            queries.AddRange([segments.Count, 0]);
            segments.Add((0, -1));
            Segments = new int[3 * segments.Count];
            foreach (int s in Enumerable.Range(0, segments.Count).OrderBy(_ => random.Next()))
            {
                StoreRows += random.Next(3);
                (Segments[3 * s], Segments[3 * s + 1], Segments[3 * s + 2]) = (StoreRows, segments[s].Rows, segments[s].Parent);
                StoreRows += segments[s].Rows;
            }
            Queries = [.. queries];
        }

        public int[] Segments { get; }
        public int[] Queries { get; }
        public int StoreRows { get; }

        public AttentionPlan On(CudaBackend cuda, int maxContext) =>
            new(cuda.Put(Segments, Segments.Length / 3, 3), cuda.Put(Queries, Queries.Length / 2, 2), default, maxContext);
    }
}
