using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>What works row by row or element by element: norms, SwiGLU, rotary embedding, moving rows.</summary>
internal static class RowKernels
{
    private const double Tolerance = 2e-6;
    private const float Epsilon = 1e-6f;

    /// <summary>RMS norm.</summary>
    public static KernelCase Norm(int rows, int width) => new($"rms norm [{rows} x {width}]", o =>
    {
        Tensor x = o.Random(rows, width), weight = o.Weights(1, width), y = o.Outputs(rows, width);
        return Rowwise(x.Bytes + y.Bytes, 4.0 * x.Count, () => o.Backend.RmsNorm(x, weight, Epsilon, y), rows, o, y, row =>
        {
            float[] values = o.Row(x, row), scale = o.Read(weight);
            double root = Root(values);
            return [.. values.Select((value, i) => value / root * scale[i])];
        });
    });

    /// <summary>Its gradient, added to what is there.</summary>
    public static KernelCase NormBackward(int rows, int width) => new($"rms norm backward [{rows} x {width}]", o =>
    {
        Tensor x = o.Random(rows, width), weight = o.Weights(1, width), dy = o.Random(rows, width), dx = o.Zeros(rows, width);
        return Rowwise(4.0 * x.Bytes, 10.0 * x.Count, () => o.Backend.RmsNormBackward(x, weight, Epsilon, dy, dx), rows, o, dx, row =>
        {
            float[] values = o.Row(x, row), slopes = o.Row(dy, row), scale = o.Read(weight);
            double root = Root(values), along = values.Select((value, i) => (double)value * slopes[i] * scale[i]).Sum() / (width * root * root * root);
            return [.. values.Select((value, i) => slopes[i] * (double)scale[i] / root - value * along)];
        });
    });

    /// <summary>silu(gate) * up.</summary>
    public static KernelCase Glu(int rows, int width) => new($"swiglu [{rows} x {width}]", o =>
    {
        Tensor gate = o.Activations(rows, width), up = o.Activations(rows, width), y = o.Outputs(rows, width);
        return Rowwise(3.0 * y.Bytes, 15.0 * y.Count, () => o.Backend.SwiGlu(gate, up, y), rows, o, y,
            row => [.. o.Row(gate, row).Zip(o.Row(up, row), (g, u) => g * Sigmoid(g) * u)]);
    });

    /// <summary>Its two gradients.</summary>
    public static KernelCase GluBackward(int rows, int width) => new($"swiglu backward [{rows} x {width}]", o =>
    {
        Tensor gate = o.Activations(rows, width), up = o.Activations(rows, width), dy = o.Activations(rows, width), dgate = o.Outputs(rows, width), dup = o.Outputs(rows, width);
        Action run = () => o.Backend.SwiGluBackward(gate, up, dy, dgate, dup);
        return new Kernel(5.0 * dy.Bytes, 20.0 * dy.Count, run, () =>
        {
            run();
            Worst worst = new();
            foreach (int row in Operands.Sampled(rows))
            {
                float[] g = o.Row(gate, row), u = o.Row(up, row), d = o.Row(dy, row), gotGate = o.Row(dgate, row), gotUp = o.Row(dup, row);
                for (int i = 0; i < width; i++)
                {
                    double s = Sigmoid(g[i]);
                    double slope = d[i] * (double)u[i] * s * (1 + g[i] * (1 - s)), other = d[i] * g[i] * s;
                    worst.Compare(slope, gotGate[i], Tolerance + Operands.Rounding(dgate) * Math.Abs(slope));
                    worst.Compare(other, gotUp[i], Tolerance + Operands.Rounding(dup) * Math.Abs(other));
                }
            }
            return worst.Value;
        });
    });

    /// <summary>The rotary embedding of all heads.</summary>
    public static KernelCase Rotary(int rows, int width, int headSize) => new($"rotary [{rows} x {width}]", o =>
    {
        const int positions = 1024;
        Tensor x = o.Activations(rows, width), y = o.Outputs(rows, width), table = o.Random(positions, headSize), at = o.Indices(rows, i => i % positions);
        return Rowwise(2.0 * x.Bytes, 3.0 * x.Count, () => o.Backend.Rotary(x, at, table, headSize, inverse: false, y), rows, o, y, row =>
        {
            float[] values = o.Row(x, row), angles = o.Row(table, row % positions);
            int half = headSize / 2;
            return [.. values.Select((value, i) => i % headSize < half
                ? (double)value * angles[i % headSize] - (double)values[i + half] * angles[half + i % headSize]
                : (double)value * angles[i % headSize - half] + (double)values[i - half] * angles[i % headSize])];
        });
    });

    /// <summary>Embedding look-up.</summary>
    public static KernelCase Gather(int rows, int width) => new($"gather rows [{rows} x {width}] bf16", o =>
    {
        const int vocabulary = 32768;
        Tensor table = o.Weights(vocabulary, width), y = o.Zeros(rows, width), ids = o.Indices(rows, i => i * 7919 % vocabulary);
        return Rowwise(1.5 * y.Bytes, 0, () => o.Backend.GatherRows(table, ids, y), rows, o, y, row => Doubles(o.Row(table, row * 7919 % vocabulary)));
    });

    /// <summary>Rows to other places.</summary>
    public static KernelCase Scatter(int rows, int width) => new($"scatter rows [{rows} x {width}]", o =>
    {
        Tensor x = o.Random(rows, width), y = o.Zeros(rows, width), slots = o.Indices(rows, i => rows - 1 - i);
        return Rowwise(2.0 * x.Bytes, 0, () => o.Backend.ScatterRows(x, slots, y), rows, o, y, row => Doubles(o.Row(x, rows - 1 - row)));
    });

    /// <summary>Rows added in other places.</summary>
    public static KernelCase ScatterAdd(int rows, int width) => new($"scatter add rows [{rows} x {width}]", o =>
    {
        Tensor x = o.Random(rows, width), y = o.Zeros(rows, width), slots = o.Indices(rows, i => rows - 1 - i);
        return Rowwise(3.0 * x.Bytes, x.Count, () => o.Backend.ScatterAddRows(x, slots, y), rows, o, y, row => Doubles(o.Row(x, rows - 1 - row)));
    });

    /// <summary>y += x.</summary>
    public static KernelCase Add(int rows, int width) => new($"add [{rows} x {width}]", o =>
    {
        Tensor x = o.Random(rows, width), y = o.Zeros(rows, width);
        return Rowwise(3.0 * x.Bytes, x.Count, () => o.Backend.Add(x, y), rows, o, y, row => Doubles(o.Row(x, row)));
    });

    /// <summary>Each row of x times a number. The numbers are 1 and -1, so that x stays of its size however often it runs.</summary>
    public static KernelCase Scale(int rows, int width) => new($"scale rows [{rows} x {width}]", o =>
    {
        Tensor x = o.Random(rows, width), scales = o.Zeros(1, rows);
        o.Backend.Upload<float>([.. Enumerable.Range(0, rows).Select(Sign)], scales);
        float[] before = o.Read(x);
        return Rowwise(2.0 * x.Bytes, x.Count, () => o.Backend.ScaleRows(scales, x), rows, o, x, row => [.. before.Skip(row * width).Take(width).Select(value => (double)Sign(row) * value)]);

        static float Sign(int row) => row % 3 == 0 ? -1 : 1;
    });

    /// <summary>y = x.</summary>
    public static KernelCase Copy(int rows, int width) => new($"copy [{rows} x {width}]", o =>
    {
        Tensor x = o.Random(rows, width), y = o.Zeros(rows, width);
        return Rowwise(2.0 * x.Bytes, 0, () => o.Backend.Copy(x, y), rows, o, y, row => Doubles(o.Row(x, row)));
    });

    /// <summary>y = 0.</summary>
    public static KernelCase Zero(int rows, int width) => new($"zero [{rows} x {width}]", o =>
    {
        Tensor y = o.Random(rows, width);
        return Rowwise(y.Bytes, 0, () => o.Backend.Zero(y), rows, o, y, _ => new double[width]);
    });

    /// <summary>A kernel whose output rows are compared one by one. What accumulates must start from zeros.</summary>
    private static Kernel Rowwise(double bytes, double flops, Action run, int rows, Operands o, Tensor output, Func<int, double[]> reference) => new(bytes, flops, run, () =>
    {
        run();
        Worst worst = new();
        foreach (int row in Operands.Sampled(rows))
        {
            double[] wanted = reference(row);
            float[] got = o.Row(output, row);
            for (int i = 0; i < got.Length; i++)
                worst.Compare(wanted[i], got[i], Tolerance * (1 + Math.Abs(wanted[i])) + Operands.Rounding(output) * Math.Abs(wanted[i]));
        }
        return worst.Value;
    });

    private static double Root(float[] values) => Math.Sqrt(values.Sum(value => (double)value * value) / values.Length + Epsilon);

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    private static double[] Doubles(float[] values) => Array.ConvertAll(values, value => (double)value);
}
