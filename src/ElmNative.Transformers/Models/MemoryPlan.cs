using System.Globalization;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Generation.Scheduling;

namespace ElmNative.Transformers.Models;

/// <summary>What a run asks of a model at most.</summary>
public sealed record MemoryDemand
{
    /// <summary>Completions that decode at once.</summary>
    public required int Sequences { get; init; }

    /// <summary>Positions of the longest of them: soft prompt, prompt and completion.</summary>
    public required int Positions { get; init; }

    /// <summary>Bytes that keys and values may take at once; one completion always fits.</summary>
    public long KeyValueBudget { get; init; } = 4L << 30;

    /// <summary>Rows that a training step walks back through, over all its prompts with their completions; 0 where nothing is trained.</summary>
    public int TrainingRows { get; init; }

    /// <summary>Those of the largest prompt with its completions, which stay together.</summary>
    public int TreeRows { get; init; }

    /// <summary>Bytes for what a backward pass keeps of its layers: past them prompts run in turn, and layers are computed once more.</summary>
    public long ActivationMemory { get; init; } = 4L << 30;

    /// <summary>Bytes of a second model's weights beside the first (a process reward model).</summary>
    public long OtherWeights { get; init; }

    /// <summary>What the backend takes for its own inner results: an allowance.</summary>
    public long Workspace { get; init; } = 512L << 20;
}

/// <summary>One part of a <see cref="MemoryPlan"/>.</summary>
/// <param name="Name">weights, keys and values, ...</param><param name="Bytes">how much</param><param name="Detail">what makes it so much</param>
public sealed record MemoryPart(string Name, long Bytes, string Detail);

/// <summary>
/// How much memory of a device a run needs, known before anything is allocated. The tensors are those that the passes rent, rounded as they are there; a run keeps what it has rented once, so that the parts add up.
/// </summary>
public sealed class MemoryPlan
{
    private readonly long freeable;
    private readonly bool oneTree;

    private MemoryPlan(IReadOnlyList<MemoryPart> parts, bool oneTree)
    {
        Parts = parts;
        freeable = parts.Skip(1).Sum(part => part.Bytes);
        this.oneTree = oneTree;
    }

    /// <summary>Weights, keys and values, decoding, training, workspace.</summary>
    public IReadOnlyList<MemoryPart> Parts { get; }

    /// <summary>Bytes in all.</summary>
    public long Total => Parts.Sum(part => part.Bytes);

    /// <summary>The plan of a run on a backend.</summary>
    public static MemoryPlan Of(ModelConfig config, IBackend backend, MemoryDemand demand) => Of(config, backend.ActivationType, backend.DecodeWindow, demand);

    /// <summary>The same from what a backend says of itself.</summary>
    /// <param name="config">the architecture</param><param name="activations">type of activations, and of the weights where that is BF16; else weights count as 4 bytes each</param>
    /// <param name="window">steps of a decode window</param><param name="demand">what is asked for</param>
    public static MemoryPlan Of(ModelConfig config, ElementType activations, int window, MemoryDemand demand)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(demand.Sequences);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(demand.Positions);
        int positions = Math.Min(demand.Positions, config.MaxPositions);
        long parameters = RandomCheckpoint.TensorsOf(config).Sum(tensor => tensor.Shape.Aggregate(1L, (count, size) => count * size));
        long slots = Slots(config, activations, demand, positions);
        LayerTensors layers = new(config, activations);
        int passRows = PassRows(demand, layers.TrainingBytesPerRow);
        bool recomputes = passRows * layers.TrainingBytesPerRow > demand.ActivationMemory;
        return new MemoryPlan(
        [
            new("weights", parameters * activations.Size() + demand.OtherWeights, $"{Count(parameters)} parameters{(demand.OtherWeights > 0 ? " and a second model's" : "")}"),
            new("keys and values", 2L * config.Layers * Rounded(activations, slots, layers.KeyWidth), $"{Count(slots)} positions"),
            new("decoding", Measure(activations, rent => Decoding(config, layers, window, demand.Sequences, positions, rent)), $"{demand.Sequences} completions of up to {Count(positions)} positions"),
            new("training", passRows == 0 ? 0 : Measure(activations, rent => Training(config, layers, passRows, recomputes, rent)),
                passRows == 0 ? "none" : $"{Count(passRows)} rows{(recomputes ? ", layers computed twice" : "")}"),
            new("workspace", demand.Workspace, "an allowance"),
        ], passRows <= demand.TreeRows);
    }

    /// <summary>Refuses a run that does not fit, before anything is allocated.</summary>
    /// <exception cref="ElmException">one sentence: what each part needs, what is free, and what to lower</exception>
    public void Require(DeviceMemory memory)
    {
        if (Total <= memory.FreeBytes)
            return;
        throw new ElmException($"the run needs {Size(Total)} of device memory ({string.Join(", ", Parts.Where(part => part.Bytes > 0).Select(part => $"{part.Name} {Size(part.Bytes)}"))}) and "
            + $"{Size(memory.FreeBytes)} of {Size(memory.TotalBytes)} are free: {Advice(memory.FreeBytes)}");
    }

    /// <summary>The plan in a line, as it is printed before a run.</summary>
    public override string ToString() => $"memory: {string.Join(", ", Parts.Where(part => part.Bytes > 0).Select(part => $"{part.Name} {Size(part.Bytes)} ({part.Detail})"))}, {Size(Total)} in all";

    /// <summary>Bytes with a binary unit: 14.18 GiB.</summary>
    public static string Size(long bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB"];
        double value = bytes;
        int unit = 0;
        for (; value >= 1024 && unit < units.Length - 1; unit++)
            value /= 1024;
        return value.ToString(unit == 0 ? "0" : "0.00", CultureInfo.InvariantCulture) + " " + units[unit];
    }

    private string Advice(long free)
    {
        if (Total - freeable > free)
            return "the weights alone do not fit, so use a smaller model or a device with more memory";
        MemoryPart largest = Parts.Skip(1).Take(3).MaxBy(part => part.Bytes)!;
        return largest.Name switch
        {
            "training" => oneTree ? "lower --max-tokens or --group, or free memory on the device" : "lower --activation-memory, or free memory on the device",
            _ => "lower --max-tokens or --parallel, or free memory on the device",
        };
    }

    /// <summary>Slots of the key/value store where no two completions share a prefix.</summary>
    private static long Slots(ModelConfig config, ElementType activations, MemoryDemand demand, int positions) =>
        Math.Max(positions, Math.Min((long)demand.Sequences * positions, demand.KeyValueBudget / SlotStore.BytesPerSlot(config, activations)));

    /// <summary>Rows of the largest pass that a step is split into.</summary>
    private static int PassRows(MemoryDemand demand, long bytesPerRow) =>
        (int)Math.Min(demand.TrainingRows, Math.Max(demand.TreeRows, demand.ActivationMemory / bytesPerRow));

    /// <summary>The tensors of a decode batch and of a prefill; a few numbers a row are left out.</summary>
    private static void Decoding(ModelConfig config, LayerTensors layers, int window, int sequences, int positions, RentedTensors rent)
    {
        int rows = DecodeBatch.RowsFor(window, sequences);
        rent.Activation(sequences, config.HiddenSize);
        rent.Activation(rows, config.HiddenSize);
        rent.F32(DecodeBatch.LogitRowsFor(window, config.VocabularySize, rows), config.VocabularySize);
        rent.F32((int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)positions), config.HeadSize);
        layers.RentInferenceState(rent, rows);
        layers.RentInferenceState(rent, (int)Math.Min(Math.Max(Prefill.PassRows, positions), (long)sequences * positions));
    }

    /// <summary>The tensors of a <see cref="PackedPass"/> that is walked back, with every row a target.</summary>
    private static void Training(ModelConfig config, LayerTensors layers, int rows, bool recomputes, RentedTensors rent)
    {
        Tensor x = rent.F32(rows, config.HiddenSize), normed = rent.Activation(rows, config.HiddenSize), product = rent.Activation(rows, config.IntermediateSize);
        layers.RentTrainingStates(rent, rows, recomputes, x, normed, product);
        layers.RentGradients(rent, rows, normed, product);
        rent.Activation(rows, config.HiddenSize);
        for (int i = 0; i < 4; i++)
            rent.F32(rows, config.HiddenSize);
    }

    /// <summary>Bytes of what an action rents.</summary>
    private static long Measure(ElementType activations, Action<RentedTensors> action)
    {
        long bytes = 0;
        using BufferCache cache = new(size =>
        {
            bytes += size;
            return new PlannedBuffer(size);
        }, activations);
        using RentedTensors rent = new(cache);
        action(rent);
        return bytes;
    }

    private static long Rounded(ElementType type, long rows, int columns) => BufferCache.RoundUp(Math.Max(64, rows * columns * type.Size()));

    private static string Count(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>A buffer that is only counted.</summary>
    private sealed class PlannedBuffer(long bytes) : DeviceBuffer(0, bytes)
    {
        public override void Dispose() { }
    }
}
