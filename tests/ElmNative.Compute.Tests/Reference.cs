namespace ElmNative.Compute.Tests;

/// <summary>Every operation once more in plain double precision, straight from its formula.</summary>
internal static class Reference
{
    public static double[] Linear(double[] x, double[] w, double[]? bias, int m, int n, int k)
    {
        double[] y = new double[m * n];
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
            {
                double sum = bias?[j] ?? 0;
                for (int t = 0; t < k; t++)
                    sum += x[i * k + t] * w[j * k + t];
                y[i * n + j] = sum;
            }
        return y;
    }

    public static double[] LinearBackward(double[] dy, double[] w, int m, int n, int k)
    {
        double[] dx = new double[m * k];
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
                for (int t = 0; t < k; t++)
                    dx[i * k + t] += dy[i * n + j] * w[j * k + t];
        return dx;
    }

    public static double[] RmsNorm(double[] x, double[] weight, double epsilon, int m, int d)
    {
        double[] y = new double[m * d];
        for (int i = 0; i < m; i++)
        {
            double squares = 0;
            for (int j = 0; j < d; j++)
                squares += x[i * d + j] * x[i * d + j];
            double root = Math.Sqrt(squares / d + epsilon);
            for (int j = 0; j < d; j++)
                y[i * d + j] = x[i * d + j] / root * weight[j];
        }
        return y;
    }

    public static double[] RmsNormBackward(double[] x, double[] weight, double epsilon, double[] dy, int m, int d)
    {
        double[] dx = new double[m * d];
        for (int i = 0; i < m; i++)
        {
            double squares = 0, along = 0;
            for (int j = 0; j < d; j++)
            {
                squares += x[i * d + j] * x[i * d + j];
                along += dy[i * d + j] * weight[j] * x[i * d + j];
            }
            double root = Math.Sqrt(squares / d + epsilon);
            for (int j = 0; j < d; j++)
                dx[i * d + j] = dy[i * d + j] * weight[j] / root - x[i * d + j] * along / (d * root * root * root);
        }
        return dx;
    }

    public static double[] Rotary(double[] x, int[] positions, double[] table, int headSize, bool inverse, int columns)
    {
        double[] y = new double[x.Length];
        int half = headSize / 2;
        for (int i = 0; i < positions.Length; i++)
            for (int head = 0; head < columns; head += headSize)
                for (int j = 0; j < half; j++)
                {
                    double cosine = table[positions[i] * headSize + j],
                        sine = table[positions[i] * headSize + half + j] * (inverse ? -1 : 1);
                    int at = i * columns + head + j;
                    y[at] = x[at] * cosine - x[at + half] * sine;
                    y[at + half] = x[at + half] * cosine + x[at] * sine;
                }
        return y;
    }

    private static double Silu(double x) => x / (1 + Math.Exp(-x));

    public static double[] SwiGlu(double[] gate, double[] up) => [.. gate.Zip(up, (g, u) => Silu(g) * u)];

    public static (double[] Gate, double[] Up) SwiGluBackward(double[] gate, double[] up, double[] dy)
    {
        double[] dgate = new double[gate.Length], dup = new double[gate.Length];
        for (int i = 0; i < gate.Length; i++)
        {
            double s = 1 / (1 + Math.Exp(-gate[i]));
            dgate[i] = dy[i] * up[i] * s * (1 + gate[i] * (1 - s));
            dup[i] = dy[i] * gate[i] * s;
        }
        return (dgate, dup);
    }

    /// <summary>Softmax of each row of logits / temperature, with the log-sum-exp.</summary>
    public static (double[] P, double LogSum) Softmax(ReadOnlySpan<double> logits, double temperature)
    {
        double[] p = new double[logits.Length];
        double top = double.NegativeInfinity, sum = 0;
        foreach (double z in logits)
            top = Math.Max(top, z / temperature);
        for (int v = 0; v < p.Length; v++)
            sum += p[v] = Math.Exp(logits[v] / temperature - top);
        for (int v = 0; v < p.Length; v++)
            p[v] /= sum;
        return (p, top + Math.Log(sum));
    }

    public static (double[] LogProbs, double[] Entropy) LogProbs(double[] hidden, double[] w, int[] targets, double temperature,
        int vocabulary, int d)
    {
        int m = targets.Length;
        double[] logits = Linear(hidden, w, null, m, vocabulary, d), logprobs = new double[m], entropy = new double[m];
        for (int i = 0; i < m; i++)
        {
            (double[] p, double logSum) = Softmax(logits.AsSpan(i * vocabulary, vocabulary), temperature);
            logprobs[i] = logits[i * vocabulary + targets[i]] / temperature - logSum;
            entropy[i] = -p.Sum(x => x > 0 ? x * Math.Log(x) : 0);
        }
        return (logprobs, entropy);
    }

    /// <summary>d(logprobs[i])/d(hidden[i]), row by row.</summary>
    public static double[] LogProbsGradient(double[] hidden, double[] w, int[] targets, double temperature, int vocabulary, int d)
    {
        int m = targets.Length;
        double[] logits = Linear(hidden, w, null, m, vocabulary, d), dlogits = new double[m * vocabulary];
        for (int i = 0; i < m; i++)
        {
            double[] p = Softmax(logits.AsSpan(i * vocabulary, vocabulary), temperature).P;
            for (int v = 0; v < vocabulary; v++)
                dlogits[i * vocabulary + v] = ((v == targets[i] ? 1 : 0) - p[v]) / temperature;
        }
        return LinearBackward(dlogits, w, m, vocabulary, d);
    }

    /// <summary>The store rows that a query sees, ancestors first.</summary>
    public static List<int> Visible(int[] segments, int segment, int own)
    {
        List<int> rows = segments[3 * segment + 2] is var parent and >= 0 ? Visible(segments, parent, segments[3 * parent + 1]) : [];
        rows.AddRange(Enumerable.Range(segments[3 * segment], own));
        return rows;
    }

    public static (double[] Y, double[] LogSumExp) Attention(int[] segments, int[] queries, AttentionShape shape, double[] q, double[] k,
        double[] v)
    {
        int m = queries.Length / 2, size = shape.HeadSize, width = shape.QueryHeads * size, keyWidth = shape.KeyHeads * size;
        double[] y = new double[m * width], logSumExp = new double[m * shape.QueryHeads];
        for (int i = 0; i < m; i++)
        {
            List<int> rows = Visible(segments, queries[2 * i], queries[2 * i + 1]);
            for (int head = 0; head < shape.QueryHeads; head++)
            {
                int at = i * width + head * size, keyAt = head / (shape.QueryHeads / shape.KeyHeads) * size;
                double[] scores = [.. rows.Select(row => shape.Scale * Enumerable.Range(0, size).Sum(j =>
                    q[at + j] * k[row * keyWidth + keyAt + j]))];
                (double[] p, double logSum) = Softmax(scores, 1);
                logSumExp[i * shape.QueryHeads + head] = rows.Count > 0 ? logSum : double.NegativeInfinity;
                for (int r = 0; r < rows.Count; r++)
                    for (int j = 0; j < size; j++)
                        y[at + j] += p[r] * v[rows[r] * keyWidth + keyAt + j];
            }
        }
        return (y, logSumExp);
    }

    public static (double[] Q, double[] K, double[] V) AttentionBackward(
        int[] segments, int[] queries, AttentionShape shape, double[] q, double[] k, double[] v, double[] dy)
    {
        int m = queries.Length / 2, size = shape.HeadSize, width = shape.QueryHeads * size, keyWidth = shape.KeyHeads * size;
        double[] dq = new double[q.Length], dk = new double[k.Length], dv = new double[v.Length];
        for (int i = 0; i < m; i++)
        {
            List<int> rows = Visible(segments, queries[2 * i], queries[2 * i + 1]);
            for (int head = 0; head < shape.QueryHeads; head++)
            {
                int at = i * width + head * size, keyAt = head / (shape.QueryHeads / shape.KeyHeads) * size;
                double[] scores = [.. rows.Select(row => shape.Scale * Enumerable.Range(0, size).Sum(j =>
                    q[at + j] * k[row * keyWidth + keyAt + j]))];
                double[] p = Softmax(scores, 1).P;
                double[] dp = [.. rows.Select(row => Enumerable.Range(0, size).Sum(j => dy[at + j] * v[row * keyWidth + keyAt + j]))];
                double mean = p.Zip(dp, (a, b) => a * b).Sum();
                for (int r = 0; r < rows.Count; r++)
                {
                    double ds = p[r] * (dp[r] - mean) * shape.Scale;
                    for (int j = 0; j < size; j++)
                    {
                        int keyIndex = rows[r] * keyWidth + keyAt + j;
                        dq[at + j] += ds * k[keyIndex];
                        dk[keyIndex] += ds * q[at + j];
                        dv[keyIndex] += p[r] * dy[at + j];
                    }
                }
            }
        }
        return (dq, dk, dv);
    }
}
