using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>Keys of memories, their search, and the optimiser.</summary>
internal static class VectorKernels
{
    /// <summary>The mean over all rows and heads.</summary>
    public static KernelCase Pool(int rows, int width, int headSize) => new($"pool heads [{rows} x {width}]", o =>
    {
        Tensor x = o.Activations(rows, width), y = o.Zeros(1, headSize), ranges = o.Integers(1, 2, [0, rows]);
        Action run = () => o.Backend.PoolHeads(x, ranges, headSize, y);
        return new Kernel(x.Bytes, x.Count, run, () =>
        {
            run();
            Worst worst = new();
            double[] sums = new double[headSize];
            float[] values = o.Read(x), got = o.Read(y);
            for (int i = 0; i < values.Length; i++)
                sums[i % headSize] += values[i];
            for (int i = 0; i < headSize; i++)
                worst.Compare(sums[i] * headSize / values.Length, got[i], 1e-6);
            return worst.Value;
        });
    });

    /// <summary>The nearest of many keys.</summary>
    public static KernelCase Cosine(int queries, int keys, int width, int terms) =>
        new($"cosine top-1 {queries} x {keys} keys of {width}{(terms > 1 ? $" in {terms} terms" : "")}", o =>
        {
            Tensor q = o.Random(queries, width), k = o.Random(keys, width), limits = o.Indices(queries, _ => keys);
            Tensor nearest = o.Integers(queries, 1), scores = o.Zeros(queries, 1);
            Action run = () => o.Backend.CosineTopK(q, k, limits, terms, nearest, scores);
            return new Kernel(k.Bytes, 4.0 * queries * k.Count, run, () =>
            {
                run();
                const double tolerance = 2e-6;
                const int most = 100_000;
                Worst worst = new();
                int[] found = o.ReadIntegers(nearest);
                float[] got = o.Read(scores);
                float[][] vectors = [.. Enumerable.Range(0, queries).Select(i => o.Row(q, i))];
                for (int i = 0; i < queries; i++)
                {
                    worst.Require(found[i] >= 0 && found[i] < keys);
                    if (found[i] >= 0 && found[i] < keys)
                        worst.Compare(Score(vectors[i], o.Row(k, found[i]), terms), got[i], tolerance);
                }
                foreach (int row in Operands.Sampled(keys, most))
                {
                    float[] key = o.Row(k, row);
                    for (int i = 0; i < queries; i++)
                        worst.Require(Score(vectors[i], key, terms) <= got[i] + tolerance);
                }
                return worst.Value;
            });
        });

    /// <summary>The first step of AdamW, with clipping.</summary>
    public static KernelCase Optimiser(int count) => new($"adamw {count}", o =>
    {
        AdamWSettings settings = new(1e-3f, WeightDecay: 0.01f);
        Tensor theta = o.Random(1, count), gradient = o.Random(1, count), m = o.Zeros(1, count), v = o.Zeros(1, count), norm = o.Zeros(1, 1);
        Action run = () => o.Backend.AdamW(theta, gradient, m, v, settings, 1, norm);
        return new Kernel(7.0 * theta.Bytes, 15.0 * count, run, () =>
        {
            float[] before = o.Read(theta), g = o.Read(gradient);
            run();
            Worst worst = new();
            double length = Math.Sqrt(g.Sum(x => (double)x * x)), clip = Math.Min(1, settings.MaxGradNorm / (length + 1e-6));
            float[] after = o.Read(theta), first = o.Read(m), second = o.Read(v);
            worst.Compare(length, o.Read(norm)[0], 1e-6 * length);
            for (int i = 0; i < count; i++)
            {
                double slope = g[i] * clip;
                // Behind one step the corrected moments are the gradient and its square.
                worst.Compare(before[i] * (1 - settings.LearningRate * settings.WeightDecay) - settings.LearningRate * slope / (Math.Abs(slope) + settings.Epsilon), after[i], 1e-6);
                worst.Compare((1 - settings.Beta1) * slope, first[i], 1e-6 * Math.Abs(slope));
                worst.Compare((1 - settings.Beta2) * slope * slope, second[i], 1e-5 * slope * slope);
            }
            return worst.Value;
        });
    });

    private static double Score(float[] query, float[] key, int terms)
    {
        int width = query.Length / terms;
        double score = 0;
        for (int t = 0; t < terms; t++)
        {
            double product = 0, left = 0, right = 0;
            for (int i = t * width; i < (t + 1) * width; i++)
            {
                product += (double)query[i] * key[i];
                left += (double)query[i] * query[i];
                right += (double)key[i] * key[i];
            }
            score += product / Math.Sqrt(left * right) / terms;
        }
        return score;
    }
}
