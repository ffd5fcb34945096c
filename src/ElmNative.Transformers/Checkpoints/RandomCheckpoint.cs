using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// Writes a model folder with random weights in the exact names and shapes that its config.json asks for, for tests and benchmarks: no
/// model needs to be fetched to measure one of its size. Norms are 1, everything else is close to normal. The same settings give the same
/// bytes. Data is streamed to the disk in small blocks.
/// </summary>
public sealed record RandomCheckpoint
{
    /// <summary>Text of config.json; of any architecture that <see cref="ModelConfig"/> reads.</summary>
    public required string Config { get; init; }

    /// <summary>Element type of every tensor: BF16, F16 or F32.</summary>
    public ElementType Type { get; init; } = ElementType.BF16;

    /// <summary>Number of weight files; above 1 there is an index.</summary>
    public int Shards { get; init; } = 1;

    /// <summary>Seed of the weights.</summary>
    public ulong Seed { get; init; }

    /// <summary>Standard deviation of matrices and biases.</summary>
    public float Deviation { get; init; } = 0.02f;

    /// <summary>
    /// Also write a tokenizer of single bytes with ChatML's special tokens, so that the folder can generate. It needs a vocabulary of 259.
    /// </summary>
    public bool ByteTokenizer { get; init; }

    /// <summary>Names and shapes of all tensors of an architecture, in the order in which they are written.</summary>
    public static IReadOnlyList<(string Name, long[] Shape)> TensorsOf(ModelConfig config)
    {
        List<(string, long[])> tensors = [];
        long hidden = config.HiddenSize, inner = config.IntermediateSize;
        long queries = (long)config.QueryHeads * config.HeadSize, keys = (long)config.KeyHeads * config.HeadSize;
        tensors.Add(("model.embed_tokens.weight", [config.VocabularySize, hidden]));
        for (int layer = 0; layer < config.Layers; layer++)
        {
            string attention = $"model.layers.{layer}.self_attn.", mlp = $"model.layers.{layer}.mlp.";
            foreach ((string name, long rows) in (ReadOnlySpan<(string, long)>)[("q_proj", queries), ("k_proj", keys), ("v_proj", keys)])
            {
                tensors.Add(($"{attention}{name}.weight", [rows, hidden]));
                if (config.AttentionBias)
                    tensors.Add(($"{attention}{name}.bias", [rows]));
            }
            tensors.Add(($"{attention}o_proj.weight", [hidden, queries]));
            if (config.QueryKeyNorm)
            {
                tensors.Add(($"{attention}q_norm.weight", [config.HeadSize]));
                tensors.Add(($"{attention}k_norm.weight", [config.HeadSize]));
            }
            tensors.Add(($"{mlp}gate_proj.weight", [inner, hidden]));
            tensors.Add(($"{mlp}up_proj.weight", [inner, hidden]));
            tensors.Add(($"{mlp}down_proj.weight", [hidden, inner]));
            tensors.Add(($"model.layers.{layer}.input_layernorm.weight", [hidden]));
            tensors.Add(($"model.layers.{layer}.post_attention_layernorm.weight", [hidden]));
        }
        tensors.Add(("model.norm.weight", [hidden]));
        if (config.Architecture == "Qwen2ForProcessRewardModel")
            tensors.AddRange(
                [("score.0.weight", [hidden, hidden]), ("score.0.bias", [hidden]), ("score.2.weight", [2, hidden]), ("score.2.bias", [2])]);
        else if (!config.TiedHead)
            tensors.Add(("lm_head.weight", [config.VocabularySize, hidden]));
        return tensors;
    }

    /// <summary>Writes the folder, creating it where it is missing.</summary>
    /// <exception cref="ElmException">
    /// the config is refused, the folder holds weights already, or it cannot be written; then no part of the model is left behind
    /// </exception>
    public void Write(string folder)
    {
        if (Type == ElementType.I32)
            throw new ArgumentException("weights are floats", nameof(Type));
        byte[] text = Encoding.UTF8.GetBytes(Config);
        ModelConfig config = ModelConfig.Read(JsonSection.Parse(text, Path.Combine(folder, "config.json")), null);
        TensorToWrite[] tensors = [.. TensorsOf(config).Select((tensor, i) => Weights(tensor.Name, tensor.Shape, i))];
        ArgumentOutOfRangeException.ThrowIfLessThan(Shards, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Shards, tensors.Length);
        try
        {
            Directory.CreateDirectory(folder);
            if (Directory.EnumerateFiles(folder, "*.safetensors*").Any())
                throw new ElmException($"{folder} holds weights already: name an empty folder for the random ones");
        }
        catch (Exception error) when (Sentences.IsFileError(error))
        {
            throw new ElmException($"the folder {folder} cannot be made ({error.Message.TrimEnd('.')}): check its name and that you may "
                + "write there", error);
        }
        try
        {
            if (ByteTokenizer)
                RandomCheckpointTokenizer.Write(folder, config.VocabularySize);
            WriteWeights(folder, tensors);
            SafetensorsWriter.WriteText(Path.Combine(folder, "config.json"), text);
        }
        catch (ElmException)
        {
            foreach (string file in Directory.EnumerateFiles(folder, "*.safetensors*"))
                File.Delete(file);
            if (ByteTokenizer)
                RandomCheckpointTokenizer.Delete(folder);
            throw;
        }
    }

    private void WriteWeights(string folder, TensorToWrite[] tensors)
    {
        Dictionary<string, string> metadata = new() { ["format"] = "pt" };
        if (Shards == 1)
        {
            SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), tensors, metadata);
            return;
        }
        long total = tensors.Sum(tensor => tensor.Bytes), before = 0;
        List<TensorToWrite>[] shards = [.. Enumerable.Range(0, Shards).Select(_ => new List<TensorToWrite>())];
        int shard = 0;
        for (int i = 0; i < tensors.Length; i++)
        {
            // On to the next shard once this one has its part of the bytes, or when the tensors left just suffice to give each shard one.
            bool full = before >= total / Shards * (shard + 1) || tensors.Length - i < Shards - shard;
            if (full && shards[shard].Count > 0 && shard + 1 < Shards)
                shard++;
            shards[shard].Add(tensors[i]);
            before += tensors[i].Bytes;
        }
        for (int i = 0; i < Shards; i++)
            SafetensorsWriter.Write(Path.Combine(folder, ShardName(i)), shards[i], metadata);
        SafetensorsWriter.WriteText(Path.Combine(folder, "model.safetensors.index.json"), Index(shards, total));
    }

    private string ShardName(int shard) => $"model-{shard + 1:00000}-of-{Shards:00000}.safetensors";

    private ReadOnlyMemory<byte> Index(List<TensorToWrite>[] shards, long total)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteStartObject("metadata");
            json.WriteNumber("total_size", total);
            json.WriteEndObject();
            json.WriteStartObject("weight_map");
            for (int i = 0; i < shards.Length; i++)
                foreach (TensorToWrite tensor in shards[i])
                    json.WriteString(tensor.Name, ShardName(i));
            json.WriteEndObject();
            json.WriteEndObject();
        }
        return buffer.WrittenMemory;
    }

    private TensorToWrite Weights(string name, long[] shape, int index)
    {
        bool norm = name.EndsWith("norm.weight", StringComparison.Ordinal);
        ulong state = Mix(Seed + 0x9E37_79B9_7F4A_7C15 * (ulong)(index + 1));
        ElementType type = Type;
        long count = shape.Aggregate(1L, (a, b) => a * b);
        return new TensorToWrite(name, type, shape, stream => WriteValues(stream, count, type, norm ? null : state, Deviation));
    }

    /// <summary>Normal values from a state, or ones without it.</summary>
    private static void WriteValues(Stream stream, long count, ElementType type, ulong? state, float deviation)
    {
        const int block = 1 << 14;
        float[] values = new float[block];
        ushort[] narrow = new ushort[block];
        ulong counter = state ?? 0;
        for (long done = 0; done < count; done += block)
        {
            Span<float> part = values.AsSpan(0, (int)Math.Min(block, count - done));
            if (state is null)
                part.Fill(1);
            else
                Fill(part, ref counter, deviation);
            if (type == ElementType.F32)
            {
                stream.Write(MemoryMarshal.AsBytes(part));
                continue;
            }
            for (int i = 0; i < part.Length; i++)
                narrow[i] = type == ElementType.F16 ? BitConverter.HalfToUInt16Bits((Half)part[i]) : RoundToBF16(part[i]);
            stream.Write(MemoryMarshal.AsBytes(narrow.AsSpan(0, part.Length)));
        }
    }

    /// <summary>
    /// The sum of eight uniform 16-bit numbers, centred and scaled: close to normal (no value beyond 4.9 deviations), quick, and the same
    /// on every machine.
    /// </summary>
    private static void Fill(Span<float> values, ref ulong counter, float deviation)
    {
        const float mean = 8 * 65535 / 2f;
        float scale = deviation / (65536 * 0.81649658f); // the deviation of the sum of eight: sqrt(8/12)
        foreach (ref float value in values)
        {
            uint sum = 0;
            for (int draw = 0; draw < 2; draw++)
            {
                ulong bits = Mix(counter += 0x9E37_79B9_7F4A_7C15);
                sum += (uint)((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48));
            }
            value = (sum - mean) * scale;
        }
    }

    /// <summary>SplitMix64's output function (Steele, Lea, Flood 2014).</summary>
    private static ulong Mix(ulong x)
    {
        x = (x ^ x >> 30) * 0xBF58_476D_1CE4_E5B9;
        x = (x ^ x >> 27) * 0x94D0_49BB_1331_11EB;
        return x ^ x >> 31;
    }

    /// <summary>To the nearest BF16, ties to even; for finite values.</summary>
    private static ushort RoundToBF16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)(bits + 0x7FFF + (bits >> 16 & 1) >> 16);
    }
}
