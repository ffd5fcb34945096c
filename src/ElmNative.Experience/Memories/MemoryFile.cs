using System.Globalization;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Experience.Memories;

/// <summary>
/// A memory as a safetensors file: <c>rows</c> [rows, hidden], <c>input_key</c> [hidden], <c>kv_key</c> [layers, headSize], all F32, and
/// the provenance in the header's metadata. Equal memories give equal bytes; a file appears whole or not at all.
/// </summary>
public static class MemoryFile
{
    private const string Format = "elmnative-memory", FormatVersion = "1";

    /// <summary>Writes a memory.</summary>
    /// <exception cref="ElmException">the folder is unwritable or full; nothing is left behind</exception>
    public static void Write(string path, Memory memory, int layers)
    {
        Provenance provenance = memory.Provenance;
        Dictionary<string, string> metadata = new()
        {
            ["format"] = Format,
            ["format_version"] = FormatVersion,
            ["problem"] = provenance.Problem,
            ["index"] = provenance.Index.ToString(CultureInfo.InvariantCulture),
            ["updates"] = provenance.Updates.ToString(CultureInfo.InvariantCulture),
            ["seed"] = provenance.Seed.ToString(CultureInfo.InvariantCulture),
            ["model_fingerprint"] = provenance.ModelFingerprint,
            ["model_type"] = provenance.ModelType,
            ["settings"] = provenance.Settings,
        };
        if (provenance.ProblemId is { } id)
            metadata["problem_id"] = id;
        if (provenance.Label is { } label)
            metadata["label"] = label;
        if (provenance.MajorityRatio is { } ratio)
            metadata["majority_ratio"] = ratio.ToString("R", CultureInfo.InvariantCulture);
        SafetensorsWriter.Write(path,
        [
            TensorToWrite.F32("rows", memory.Rows, memory.RowCount, memory.HiddenSize),
            TensorToWrite.F32("input_key", memory.InputKey, memory.HiddenSize),
            TensorToWrite.F32("kv_key", memory.KvKey, layers, memory.KvKey.Length / layers),
        ], metadata);
    }

    /// <summary>Reads and checks a memory for use with a model.</summary>
    /// <exception cref="ElmException">missing, damaged, no memory, made for another model, or with a value that is not finite</exception>
    public static Memory Read(string path, IPolicy policy)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (file.Metadata.GetValueOrDefault("format") != Format)
            throw new ElmException($"{path} is not a memory of this program: name a file that 'elmn train' or 'elmn stream' wrote");
        if (Text(file, "format_version") is var version && version != FormatVersion)
            throw new ElmException($"{path} has memory format {version}, and this program knows {FormatVersion}: use the program that wrote it");
        string fingerprint = Text(file, "model_fingerprint"), type = Text(file, "model_type");
        if (fingerprint != policy.Fingerprint)
            throw new ElmException($"{path} was made for another model ({type} {Short(fingerprint)}) than this one "
                + $"({policy.ModelType} {Short(policy.Fingerprint)}): use it with its own model, or train a new one");
        Provenance provenance = new(Text(file, "problem"), file.Metadata.GetValueOrDefault("problem_id"), Number<int>(file, "index"),
            file.Metadata.GetValueOrDefault("label"), file.Metadata.ContainsKey("majority_ratio") ? Number<double>(file, "majority_ratio") : null,
            Number<int>(file, "updates"), Number<ulong>(file, "seed"), fingerprint, type, Text(file, "settings"));
        float[] rows = Finite(file, "rows", -1, policy.HiddenSize);
        if (rows.Length == 0)
            throw new ElmException($"{path} has a memory without rows: train a new one");
        return new Memory(rows, Finite(file, "input_key", policy.HiddenSize), Finite(file, "kv_key", policy.Layers, policy.HeadSize), provenance);
    }

    private static string Text(SafetensorsFile file, string key) => file.Metadata.GetValueOrDefault(key)
        ?? throw new ElmException($"{file.Path} lacks the metadata entry {key}: the memory is damaged, train a new one");

    private static T Number<T>(SafetensorsFile file, string key) where T : IParsable<T> =>
        T.TryParse(Text(file, key), CultureInfo.InvariantCulture, out T? value)
        ? value
        : throw new ElmException($"{file.Path} has a metadata entry {key} that is no number: the memory is damaged, train a new one");

    private static float[] Finite(SafetensorsFile file, string name, params ReadOnlySpan<long> shape)
    {
        float[] values = file.ReadF32(name, shape);
        int bad = Array.FindIndex(values, value => !float.IsFinite(value));
        return bad < 0 ? values : throw new ElmException($"{file.Path}: the tensor {name} is not finite at element {bad}: "
            + "the memory is damaged, train a new one");
    }

    private static string Short(string fingerprint) => fingerprint.Length > 12 ? fingerprint[..12] : fingerprint;
}
