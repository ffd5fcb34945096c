using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>Drawing tokens.</summary>
internal static class SampleKernels
{
    /// <summary>A draw from each row of logits.</summary>
    public static KernelCase Sample(string kind, int rows, int vocabulary, SamplingRow settings) => new($"sample {kind} [{rows} x {vocabulary}]", o =>
    {
        SamplingRow[] each = [.. Enumerable.Range(0, rows).Select(i => settings with { Rollout = (uint)i })];
        Tensor logits = o.Random(rows, vocabulary), samplers = o.Samplers(each), tokens = o.Integers(1, rows), logProbs = o.Zeros(1, rows);
        Action run = () => o.Backend.Sample(logits, samplers, tokens, logProbs);
        return new Kernel(logits.Bytes, 10.0 * logits.Count, run, () =>
        {
            run();
            Worst worst = new();
            int[] drawn = o.ReadIntegers(tokens);
            float[] got = o.Read(logProbs);
            foreach (int row in Operands.Sampled(rows, 4))
            {
                double[] values = Array.ConvertAll(o.Row(logits, row), value => (double)value);
                double[] p = DenseKernels.Softmax(values, settings.Temperature > 0 ? settings.Temperature : 1);
                int token = drawn[row];
                worst.Require(token >= 0 && token < vocabulary && (settings.Temperature > 0 ? IsDrawn(p, each[row], token) : values[token] == values.Max()));
                if (token >= 0 && token < vocabulary)
                    worst.Compare(Math.Log(p[token]), got[row], 2e-5);
            }
            return worst.Value;
        });
    });

    /// <summary>True where a row's uniform number falls on a token of the filtered distribution, or so near that rounding decides.</summary>
    private static bool IsDrawn(double[] p, SamplingRow row, int token)
    {
        const double rounding = 2e-5;
        int[] order = [.. Enumerable.Range(0, p.Length).OrderByDescending(v => p[v]).ThenBy(v => v)];
        int kept = row.TopK > 0 ? Math.Min(row.TopK, order.Length) : order.Length;
        if (row.TopP < 1)
        {
            double total = order.Take(kept).Sum(v => p[v]), mass = 0;
            int count = 0;
            while (count < kept && mass < row.TopP * total)
                mass += p[order[count++]];
            kept = count;
        }
        int[] candidates = [.. order.Take(kept).Where(v => p[v] >= row.MinP * p[order[0]]).Order()];
        double sum = candidates.Sum(v => p[v]), before = candidates.TakeWhile(v => v < token).Sum(v => p[v]) / sum, u = Uniform(row);
        return Array.BinarySearch(candidates, token) >= 0 && u >= before - rounding && u <= before + p[token] / sum + rounding;
    }

    /// <summary>53 bits of Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) as a number in [0, 1).</summary>
    private static double Uniform(SamplingRow row)
    {
        uint a = row.Problem, b = row.Step, c = row.Rollout, d = row.Position, low = row.SeedLow, high = row.SeedHigh;
        for (int round = 0; round < 10; round++)
        {
            ulong first = 0xD2511F53ul * a, second = 0xCD9E8D57ul * c;
            (a, b, c, d) = ((uint)(second >> 32) ^ b ^ low, (uint)second, (uint)(first >> 32) ^ d ^ high, (uint)first);
            low += 0x9E3779B9;
            high += 0xBB67AE85;
        }
        return (((ulong)(a >> 5) << 26) + (b >> 6)) / 9007199254740992.0;
    }
}
