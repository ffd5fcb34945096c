using ElmNative.Compute;

namespace ElmNative.Cli.Bench.Kernels;

/// <summary>
/// Memory of one kernel's operands, filled with the same values each time, and their way back to the host. Everything is freed together.
/// </summary>
internal sealed class Operands(IBackend backend) : IDisposable
{
    /// <summary>Values repeat after this many, a prime: no two rows of a matrix in the benchmarks are equal.</summary>
    private const int NoiseLength = 1_048_573;

    private static readonly Lazy<float[]> FloatNoise = new(() => Noise(random => random.NextSingle() * 2 - 1));
    private static readonly Lazy<ushort[]> HalfNoise = new(() => Noise(random => BitConverter.HalfToUInt16Bits((Half)(0.1f * (random.NextSingle() - 0.5f)))));
    private static readonly Lazy<ushort[]> BrainNoise = new(() => Noise(random => Brain(0.1f * (random.NextSingle() - 0.5f))));
    private static readonly Lazy<ushort[]> ActivationNoise = new(() => Noise(random => Brain(random.NextSingle() * 2 - 1)));

    private readonly List<DeviceBuffer> buffers = [];
    private int offset;

    /// <summary>What the operands lie on.</summary>
    public IBackend Backend => backend;

    /// <summary>Bytes of all operands.</summary>
    public long Bytes => buffers.Sum(buffer => buffer.Bytes);

    /// <summary>Uniform values in [-1, 1), F32.</summary>
    public Tensor Random(int rows, int columns) => Fill(Keep(ElementType.F32, rows, columns), FloatNoise.Value);

    /// <summary>Uniform values in [-1, 1) of the backend's activation type.</summary>
    public Tensor Activations(int rows, int columns) => backend.ActivationType == ElementType.F32
        ? Random(rows, columns)
        : Fill(Keep(backend.ActivationType, rows, columns), ActivationNoise.Value);

    /// <summary>Zeros of the backend's activation type, which an operation overwrites.</summary>
    public Tensor Outputs(int rows, int columns)
    {
        Tensor tensor = Keep(backend.ActivationType, rows, columns);
        backend.Zero(tensor);
        return tensor;
    }

    /// <summary>What rounding to a tensor's type may change, as a part of the value: half a unit in the last place of BF16, nothing for F32, whose rounding the tolerances hold.</summary>
    public static double Rounding(Tensor x) => x.Type == ElementType.BF16 ? BrainRounding : 0;

    /// <summary>Half a unit in the last place of a BF16 number, as a part of it.</summary>
    public const double BrainRounding = 1.0 / 256;

    /// <summary>What rounding of inner values (probabilities, slopes of logits) to the activation type may change, as a part of each.</summary>
    public double InnerRounding => backend.ActivationType == ElementType.BF16 ? BrainRounding : 0;

    /// <summary>Uniform values in [-0.05, 0.05) of a stored type.</summary>
    public Tensor Weights(int rows, int columns, ElementType type = ElementType.BF16)
    {
        Tensor stored = type switch
        {
            ElementType.BF16 => Fill(Keep(type, rows, columns), BrainNoise.Value),
            ElementType.F16 => Fill(Keep(type, rows, columns), HalfNoise.Value),
            _ => Fill(Keep(type, rows, columns), FloatNoise.Value),
        };
        if (backend.Memory is not null || rows == 1)
            return stored;
        Tensor adopted = backend.AdoptWeights(stored.Address, type, rows, columns, stored.Buffer!);
        buffers.Add(adopted.Buffer!);
        // A product of no rows packs it, so that no run that is timed does.
        backend.Linear(Zeros(0, columns), adopted, default, Zeros(0, rows), accumulate: false);
        return adopted;
    }

    /// <summary>F32 that an operation overwrites, or starts from zero.</summary>
    public Tensor Zeros(int rows, int columns)
    {
        Tensor tensor = Keep(ElementType.F32, rows, columns);
        backend.Zero(tensor);
        return tensor;
    }

    /// <summary>Integers that an operation overwrites.</summary>
    public Tensor Integers(int rows, int columns) => Keep(ElementType.I32, rows, columns);

    /// <summary>Given integers.</summary>
    public Tensor Integers(int rows, int columns, int[] values)
    {
        Tensor tensor = Keep(ElementType.I32, rows, columns);
        backend.Upload<int>(values, tensor);
        return tensor;
    }

    /// <summary>One integer for each index, as a row.</summary>
    public Tensor Indices(int count, Func<int, int> value) => Integers(1, count, [.. Enumerable.Range(0, count).Select(value)]);

    /// <summary>Sampling settings of rows.</summary>
    public Tensor Samplers(SamplingRow[] rows)
    {
        Tensor tensor = Keep(ElementType.I32, rows.Length, 10);
        backend.Upload<SamplingRow>(rows, tensor);
        return tensor;
    }

    /// <summary>All elements of a float tensor, widened.</summary>
    public float[] Read(Tensor tensor)
    {
        float[] values = new float[tensor.Count];
        switch (tensor.Type)
        {
            case ElementType.F32:
                backend.Download<float>(tensor, values);
                break;
            case ElementType.BF16 or ElementType.F16:
                ushort[] stored = new ushort[tensor.Count];
                backend.Download<ushort>(tensor, stored);
                for (int i = 0; i < stored.Length; i++)
                    values[i] = tensor.Type == ElementType.BF16 ? BitConverter.UInt32BitsToSingle((uint)stored[i] << 16) : (float)BitConverter.UInt16BitsToHalf(stored[i]);
                break;
            default:
                throw new ArgumentException($"{tensor.Type} is no float type", nameof(tensor));
        }
        return values;
    }

    /// <summary>One row of a float tensor, widened.</summary>
    public float[] Row(Tensor tensor, int row) => Read(tensor.Slice(row, 1));

    /// <summary>All elements of an integer tensor.</summary>
    public int[] ReadIntegers(Tensor tensor)
    {
        int[] values = new int[tensor.Count];
        backend.Download<int>(tensor, values);
        return values;
    }

    /// <summary>Rows of a matrix that checks look at: the first, the last and some between, at most <paramref name="most"/>.</summary>
    public static IEnumerable<int> Sampled(int rows, int most = 8) =>
        rows <= most ? Enumerable.Range(0, rows) : Enumerable.Range(0, most).Select(i => (int)((long)i * (rows - 1) / (most - 1)));

    /// <inheritdoc/>
    public void Dispose()
    {
        backend.Synchronize();
        foreach (DeviceBuffer buffer in buffers)
            buffer.Dispose();
        buffers.Clear();
    }

    private Tensor Keep(ElementType type, int rows, int columns)
    {
        DeviceBuffer buffer = backend.Allocate(Math.Max(1, (long)rows * columns * type.Size()));
        buffers.Add(buffer);
        return buffer.As(type, rows, columns);
    }

    private Tensor Fill<T>(Tensor tensor, T[] noise) where T : unmanaged
    {
        Tensor flat = tensor.Reshape(checked((int)tensor.Count), 1);
        for (int done = 0; done < flat.Rows;)
        {
            int part = Math.Min(flat.Rows - done, NoiseLength - offset);
            backend.Upload<T>(noise.AsSpan(offset, part), flat.Slice(done, part));
            offset = (offset + part) % NoiseLength;
            done += part;
        }
        return tensor;
    }

    private static ushort Brain(float x) => (ushort)(BitConverter.SingleToUInt32Bits(x) >> 16);

    private static T[] Noise<T>(Func<Random, T> next)
    {
        Random random = new(1);
        T[] values = new T[NoiseLength];
        for (int i = 0; i < values.Length; i++)
            values[i] = next(random);
        return values;
    }
}
