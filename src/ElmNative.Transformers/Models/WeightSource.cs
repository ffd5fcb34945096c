using System.Security.Cryptography;
using System.Text;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Transformers.Models;

/// <summary>Where a model's weights come from: stored in a folder, or random. It puts them on a backend one by one, by the tensor names of Hugging Face.</summary>
internal interface IWeightSource : IDisposable
{
    /// <summary>The architecture.</summary>
    ModelConfig Config { get; }

    /// <summary>The folder, or another name for messages.</summary>
    string Name { get; }

    /// <summary>A hexadecimal digest that tells the weights from others.</summary>
    string Fingerprint { get; }

    /// <summary>Puts a [rows, columns] matrix on the backend. The caller disposes its buffer, before the source.</summary>
    /// <exception cref="ElmException">it is missing or of another shape or type</exception>
    Tensor Matrix(string name, int rows, int columns);

    /// <summary>The same for a vector: [1, size].</summary>
    Tensor Vector(string name, int size);

    /// <summary>Refuses weights that are NaN or infinite.</summary>
    /// <param name="most">leave the check out if there are more bytes</param>
    /// <exception cref="ElmException">names the tensor and the element</exception>
    void RequireFinite(long most);
}

/// <summary>The weights of a mapped checkpoint, in place where the backend can read them there.</summary>
/// <param name="checkpoint">disposed with this</param><param name="backend">where they go</param><param name="progress">told the bytes done and in all, after each tensor</param>
internal sealed class StoredWeights(Checkpoint checkpoint, IBackend backend, Action<long, long>? progress) : IWeightSource
{
    private readonly List<StoredTensor> placed = [];
    private long done, total = -1;

    /// <inheritdoc/>
    public ModelConfig Config => checkpoint.Config;

    /// <inheritdoc/>
    public string Name => checkpoint.Folder;

    /// <inheritdoc/>
    public string Fingerprint => checkpoint.Fingerprint;

    /// <inheritdoc/>
    public Tensor Matrix(string name, int rows, int columns) => Place(checkpoint.Get(name, rows, columns), rows, columns);

    /// <inheritdoc/>
    public Tensor Vector(string name, int size) => Place(checkpoint.Get(name, size), 1, size);

    /// <inheritdoc/>
    public void RequireFinite(long most)
    {
        if (placed.Sum(tensor => tensor.Bytes) <= most)
            foreach (StoredTensor tensor in placed)
                WeightCheck.RequireFinite(checkpoint, tensor);
    }

    /// <inheritdoc/>
    public void Dispose() => checkpoint.Dispose();

    private Tensor Place(StoredTensor stored, int rows, int columns)
    {
        Tensor tensor = backend.AdoptWeights(stored.Address, stored.Type, rows, columns, checkpoint);
        placed.Add(stored);
        done += stored.Bytes;
        if (progress is not null)
        {
            if (total < 0)
                total = RandomCheckpoint.TensorsOf(Config).Where(known => checkpoint.Has(known.Name)).Sum(known => checkpoint.Get(known.Name, known.Shape).Bytes);
            progress(done, total);
        }
        return tensor;
    }
}

/// <summary>
/// Random weights made on the device, for measurements at the size of a model whose checkpoint is not at hand: BF16, norms 1, biases 0, matrices uniform with the deviation that released models begin with. The same
/// values on every backend.
/// </summary>
/// <param name="config">the architecture</param><param name="seed">seed of the matrices</param><param name="backend">where they go</param><param name="progress">told the bytes done and in all, after each tensor</param>
internal sealed class RandomWeights(ModelConfig config, ulong seed, IBackend backend, Action<long, long>? progress) : IWeightSource
{
    private const ushort One = 0x3F80;

    /// <summary>A uniform distribution on [-m, m) has the deviation m / sqrt(3): 0.02 here.</summary>
    private const float Magnitude = 0.034641016f;

    private readonly long total = RandomCheckpoint.TensorsOf(config).Sum(tensor => tensor.Shape.Aggregate((long)ElementType.BF16.Size(), (bytes, size) => bytes * size));
    private readonly List<DeviceBuffer> made = [];
    private long done;

    /// <inheritdoc/>
    public ModelConfig Config => config;

    /// <inheritdoc/>
    public string Name => $"random {config.ModelType}";

    /// <inheritdoc/>
    public string Fingerprint { get; } = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(
        $"random {seed} {string.Join(' ', RandomCheckpoint.TensorsOf(config).Select(tensor => $"{tensor.Name} {string.Join('x', tensor.Shape)}"))}")));

    /// <inheritdoc/>
    public Tensor Matrix(string name, int rows, int columns)
    {
        Tensor tensor = Allocate(rows, columns);
        backend.FillUniform(tensor, SeedOf(name), Magnitude);
        if (backend.Memory is null)
        {
            // In the host's memory they are like weights of a file.
            made.Add(tensor.Buffer!);
            tensor = backend.AdoptWeights(tensor.Address, tensor.Type, rows, columns, tensor.Buffer!);
        }
        return Placed(tensor);
    }

    /// <inheritdoc/>
    public Tensor Vector(string name, int size)
    {
        Tensor tensor = Allocate(1, size);
        if (name.EndsWith(".bias", StringComparison.Ordinal))
        {
            backend.Zero(tensor);
        }
        else
        {
            ushort[] ones = new ushort[size];
            Array.Fill(ones, One);
            backend.Upload<ushort>(ones, tensor);
        }
        return Placed(tensor);
    }

    /// <inheritdoc/>
    public void RequireFinite(long most) { }

    /// <inheritdoc/>
    public void Dispose() => made.ForEach(buffer => buffer.Dispose());

    /// <summary>Tensors of one model differ: the seed goes with the name.</summary>
    private ulong SeedOf(string name) => BitConverter.ToUInt64(SHA256.HashData(Encoding.UTF8.GetBytes($"{seed} {name}")));

    private Tensor Allocate(int rows, int columns) => backend.Allocate((long)rows * columns * ElementType.BF16.Size()).As(ElementType.BF16, rows, columns);

    private Tensor Placed(Tensor tensor)
    {
        done += tensor.Bytes;
        progress?.Invoke(done, total);
        return tensor;
    }
}
