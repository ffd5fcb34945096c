using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>Matrix products and what follows the head: logits, log-probabilities, their gradients.</summary>
internal static class DenseKernels
{
    /// <summary>What a float32 sum may be off, as a part of the sum of its terms' magnitudes.</summary>
    private const double SumError = 2e-6;

    /// <summary>What a log-probability may be off.</summary>
    private const double LogProbError = 2e-5;

    /// <summary>Products with more columns are logits, which are F32 on every device.</summary>
    private const int LargestLayer = 100_000;

    /// <summary>y = x W^T with [m, k] and [n, k].</summary>
    public static KernelCase Linear(int m, int k, int n, ElementType type) => new($"linear [{m} x {k}] {n} {Name(type)}", o =>
    {
        Tensor x = o.Activations(m, k), weight = o.Weights(n, k, type), y = n > LargestLayer ? o.Zeros(m, n) : o.Outputs(m, n);
        Action run = () => o.Backend.Linear(x, weight, default, y, accumulate: false);
        return new Kernel(weight.Buffer!.ProductBytes + x.Bytes + y.Bytes, 2.0 * m * n * k, run, () =>
        {
            run();
            Worst worst = new();
            float[][] inputs = [.. Operands.Sampled(m).Select(i => o.Row(x, i))], outputs = [.. Operands.Sampled(m).Select(i => o.Row(y, i))];
            foreach (int j in Operands.Sampled(n, 200))
            {
                float[] column = o.Row(weight, j);
                for (int i = 0; i < inputs.Length; i++)
                {
                    (double sum, double size) = Dot(inputs[i], column);
                    worst.Compare(sum, outputs[i][j], SumError * size + Operands.Rounding(y) * Math.Abs(sum));
                }
            }
            return worst.Value;
        });
    });

    /// <summary>dx = dy W with [m, n] and [n, k].</summary>
    public static KernelCase LinearBackward(int m, int k, int n, ElementType type) => new($"linear backward [{m} x {n}] {k} {Name(type)}", o =>
    {
        Tensor dy = o.Activations(m, n), weight = o.Weights(n, k, type), dx = o.Outputs(m, k);
        Action run = () => o.Backend.LinearBackward(dy, weight, dx, accumulate: false);
        return new Kernel(weight.Buffer!.ProductBytes + dy.Bytes + dx.Bytes, 2.0 * m * n * k, run, () =>
        {
            run();
            Worst worst = new();
            int[] sampled = [.. Operands.Sampled(m, 4)];
            Sums[] sums = [.. sampled.Select(_ => new Sums(k))];
            float[][] slopes = [.. sampled.Select(i => o.Row(dy, i))];
            for (int j = 0; j < n; j++)
            {
                float[] row = o.Row(weight, j);
                for (int i = 0; i < sums.Length; i++)
                    sums[i].Add(slopes[i][j], row);
            }
            for (int i = 0; i < sums.Length; i++)
                sums[i].Compare(o.Row(dx, sampled[i]), SumError, Operands.Rounding(dx), worst);
            return worst.Value;
        });
    });

    /// <summary>Log-probabilities and entropies of targets.</summary>
    public static KernelCase LogProbs(int rows, int width, int vocabulary) => new($"log-probabilities [{rows} x {width}] {vocabulary} bf16", o =>
    {
        Head head = new(o, rows, width, vocabulary);
        Tensor logProbs = o.Zeros(1, rows), entropy = o.Zeros(1, rows);
        Action run = () => o.Backend.LogProbs(head.Hidden, head.Weight, head.Targets, 1f, logProbs, entropy, default);
        return new Kernel(head.Weight.Buffer!.ProductBytes + head.Hidden.Bytes, 2.0 * rows * width * vocabulary, run, () =>
        {
            run();
            Worst worst = new();
            float[] got = o.Read(logProbs), gotEntropy = o.Read(entropy);
            foreach ((int row, double[] logits) in head.Logits())
            {
                double[] p = Softmax(logits, 1);
                worst.Compare(Math.Log(p[head.Target(row)]), got[row], LogProbError);
                worst.Compare(-p.Sum(x => x > 0 ? x * Math.Log(x) : 0), gotEntropy[row], 5 * LogProbError);
            }
            return worst.Value;
        });
    });

    /// <summary>Log-probabilities with their gradients to the hidden states: two products (a GPU computes the first of them twice).</summary>
    public static KernelCase LogProbsGradient(int rows, int width, int vocabulary) => new($"log-probabilities and gradient [{rows} x {width}] {vocabulary} bf16", o =>
    {
        Head head = new(o, rows, width, vocabulary);
        Tensor logProbs = o.Zeros(1, rows), gradient = o.Zeros(rows, width);
        Action run = () => o.Backend.LogProbs(head.Hidden, head.Weight, head.Targets, 1f, logProbs, default, gradient);
        return new Kernel(head.Weight.Buffer!.ProductBytes + head.Hidden.Bytes + gradient.Bytes, 4.0 * rows * width * vocabulary, run, () =>
        {
            run();
            Worst worst = new();
            float[] got = o.Read(logProbs);
            (int Row, double[] P)[] sampled = [.. head.Logits().Select(logits => (logits.Row, Softmax(logits.Values, 1)))];
            foreach ((int row, double[] p) in sampled)
                worst.Compare(Math.Log(p[head.Target(row)]), got[row], LogProbError);
            Sums[] sums = [.. sampled.Select(_ => new Sums(width))];
            for (int v = 0; v < vocabulary; v++)
            {
                float[] row = o.Row(head.Weight, v);
                for (int i = 0; i < sums.Length; i++)
                    sums[i].Add((v == head.Target(sampled[i].Row) ? 1 : 0) - sampled[i].P[v], row);
            }
            for (int i = 0; i < sums.Length; i++)
                sums[i].Compare(o.Row(gradient, sampled[i].Row), 5 * SumError + o.InnerRounding, Operands.Rounding(gradient), worst);
            return worst.Value;
        });
    });

    /// <summary>softmax(logits / temperature).</summary>
    public static double[] Softmax(double[] logits, double temperature)
    {
        double top = logits.Max() / temperature;
        double[] p = Array.ConvertAll(logits, logit => Math.Exp(logit / temperature - top));
        double sum = p.Sum();
        return Array.ConvertAll(p, x => x / sum);
    }

    /// <summary>The product of two vectors and the sum of its terms' magnitudes.</summary>
    public static (double Sum, double Size) Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        double sum = 0, size = 0;
        for (int i = 0; i < left.Length; i++)
        {
            double term = (double)left[i] * right[i];
            sum += term;
            size += Math.Abs(term);
        }
        return (sum, size);
    }

    private static string Name(ElementType type) => type.ToString().ToLowerInvariant();

    /// <summary>The head of a language model: hidden states, the output matrix, targets.</summary>
    private sealed class Head(Operands o, int rows, int width, int vocabulary)
    {
        public Tensor Hidden { get; } = o.Activations(rows, width);
        public Tensor Weight { get; } = o.Weights(vocabulary, width);
        public Tensor Targets { get; } = o.Indices(rows, i => i * 31 % vocabulary);

        public int Target(int row) => row * 31 % vocabulary;

        /// <summary>Logits of some rows, few where the vocabulary is large.</summary>
        public IEnumerable<(int Row, double[] Values)> Logits()
        {
            int[] sampled = [.. Operands.Sampled(rows, vocabulary > 10_000 ? 2 : 8)];
            float[][] inputs = [.. sampled.Select(row => o.Row(Hidden, row))];
            double[][] logits = [.. sampled.Select(_ => new double[vocabulary])];
            for (int v = 0; v < vocabulary; v++)
            {
                float[] column = o.Row(Weight, v);
                for (int i = 0; i < inputs.Length; i++)
                    logits[i][v] = Dot(inputs[i], column).Sum;
            }
            return sampled.Zip(logits);
        }
    }

    /// <summary>A weighted sum of rows in double precision, with the magnitudes of its terms.</summary>
    private sealed class Sums(int width)
    {
        private readonly double[] sums = new double[width], sizes = new double[width];

        public void Add(double factor, float[] row)
        {
            for (int i = 0; i < row.Length; i++)
            {
                double term = factor * row[i];
                sums[i] += term;
                sizes[i] += Math.Abs(term);
            }
        }

        public void Compare(float[] got, double ofTerms, double ofSum, Worst worst)
        {
            for (int i = 0; i < got.Length; i++)
                worst.Compare(sums[i], got[i], ofTerms * sizes[i] + ofSum * Math.Abs(sums[i]));
        }
    }
}
