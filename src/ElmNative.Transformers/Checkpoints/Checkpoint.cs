using System.Runtime.InteropServices;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>A Hugging Face model folder: config.json and its weights, memory-mapped. Opening reads headers only.</summary>
public sealed partial class Checkpoint : IDisposable, IMappedMemory
{
    private const string SingleFile = "model.safetensors";
    private const string IndexFile = "model.safetensors.index.json";
    private const long MostIndexBytes = 100_000_000;

    private readonly SafetensorsFile[] files;
    private readonly Dictionary<string, SafetensorsFile> fileOf;
    private readonly Lazy<string> fingerprint;

    private Checkpoint(string folder, ModelConfig config, SafetensorsFile[] files, Dictionary<string, SafetensorsFile> fileOf)
    {
        Folder = folder;
        Config = config;
        this.files = files;
        this.fileOf = fileOf;
        fingerprint = new Lazy<string>(() => CheckpointFingerprint.Compute(Path.Combine(folder, "config.json"), fileOf));
    }

    /// <inheritdoc/>
    public void Forget(nint address, long bytes)
    {
        const int DontNeed = 4;
        if (!OperatingSystem.IsLinux())
            return;
        // Whole pages only: the ones at the borders may belong to a neighbour.
        nint page = Environment.SystemPageSize, first = (address + page - 1) / page * page, end = (nint)((address + bytes) / page * page);
        if (end > first)
            _ = madvise(first, (nuint)(end - first), DontNeed);
    }

    [LibraryImport("libc")]
    private static partial int madvise(nint address, nuint length, int advice);

    /// <summary>Opens the folder.</summary>
    /// <exception cref="ElmException">missing folder or file, malformed header, offsets outside the file or overlapping, ...</exception>
    public static Checkpoint Open(string folder)
    {
        ModelConfig config = ModelConfig.Load(folder);
        List<SafetensorsFile> files = [];
        try
        {
            Dictionary<string, SafetensorsFile> fileOf = File.Exists(Path.Combine(folder, SingleFile)) ? OpenSingle(folder, files)
                : File.Exists(Path.Combine(folder, IndexFile)) ? OpenShards(folder, files)
                : throw new ElmException(NoWeights(folder));
            RefuseUnusedWeights(fileOf);
            return new Checkpoint(folder, config, [.. files], fileOf);
        }
        catch
        {
            foreach (SafetensorsFile file in files)
                file.Dispose();
            throw;
        }
    }

    /// <summary>The folder.</summary>
    public string Folder { get; }

    /// <summary>The architecture.</summary>
    public ModelConfig Config { get; }

    /// <summary>Names of all stored tensors.</summary>
    public IEnumerable<string> Names => fileOf.Keys;

    /// <summary>True when the weights hold a tensor of that name.</summary>
    public bool Has(string name) => fileOf.ContainsKey(name);

    /// <summary>A tensor of an expected shape and a float type. It must not outlive the checkpoint.</summary>
    /// <exception cref="ElmException">missing, of another shape, or of a type that weights may not have: names file and tensor</exception>
    public StoredTensor Get(string name, params ReadOnlySpan<long> shape)
    {
        if (!fileOf.TryGetValue(name, out SafetensorsFile? file))
            throw new ElmException(
                $"{(files.Length == 1 ? files[0].Path : Path.Combine(Folder, IndexFile))} has no tensor {Sentences.Quote(name)}, which "
                    + "the architecture of config.json needs: fetch the model again, or correct config.json");
        StoredTensor tensor = file.Get(name, shape);
        return tensor.Type != ElementType.I32 ? tensor
            : throw new ElmException($"{file.Path}: the tensor {Sentences.Quote(name)} has elements of type I32, which weights may not "
                + "have: convert it to F32, BF16 or F16");
    }

    /// <summary>The file that holds a tensor.</summary>
    /// <exception cref="KeyNotFoundException">no such tensor</exception>
    public string FileOf(string name) => fileOf[name].Path;

    /// <summary>
    /// SHA-256, in hexadecimal, over config.json, every tensor's name, type and shape, and sampled blocks of the data (all of it where it
    /// is small): tells models apart without reading gigabytes. The same weights in one file or in shards have the same fingerprint.
    /// </summary>
    public string Fingerprint => fingerprint.Value;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (SafetensorsFile file in files)
            file.Dispose();
    }

    private static Dictionary<string, SafetensorsFile> OpenSingle(string folder, List<SafetensorsFile> files)
    {
        SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, SingleFile));
        files.Add(file);
        return file.Names.ToDictionary(name => name, _ => file);
    }

    private static Dictionary<string, SafetensorsFile> OpenShards(string folder, List<SafetensorsFile> files)
    {
        string indexPath = Path.Combine(folder, IndexFile);
        JsonSection index = JsonSection.Load(indexPath, MostIndexBytes);
        JsonSection map = index.Section("weight_map") ?? throw new ElmException($"{indexPath} has no weight_map: fetch the file again");
        Dictionary<string, SafetensorsFile> shards = [], fileOf = [];
        foreach ((string tensor, string shard) in map.TextMembers())
        {
            if (!shards.TryGetValue(shard, out SafetensorsFile? file))
            {
                string path = ShardPath(folder, indexPath, shard);
                if (!File.Exists(path))
                    throw new ElmException($"{path} does not exist, but {IndexFile} lists it as a shard of the weights: fetch the "
                        + "missing shard");
                files.Add(file = SafetensorsFile.Open(path));
                shards.Add(shard, file);
            }
            if (!file.Has(tensor))
                throw new ElmException($"{file.Path} has no tensor {Sentences.Quote(tensor)}, but {IndexFile} says that it is there: "
                    + "fetch the shard and the index again");
            fileOf.Add(tensor, file);
        }
        return fileOf.Count > 0 ? fileOf : throw new ElmException($"{indexPath} has an empty weight_map: fetch the file again");
    }

    /// <summary>A shard lies in the model's own folder; an index that points elsewhere is refused.</summary>
    private static string ShardPath(string folder, string indexPath, string shard)
    {
        bool plain = shard.EndsWith(".safetensors", StringComparison.Ordinal) && shard.Length <= 255
            && !shard.AsSpan().ContainsAny("/\\:") && !shard.Any(char.IsControl);
        return plain ? Path.Combine(folder, shard)
            : throw new ElmException($"{indexPath}: weight_map names the shard {Sentences.Quote(shard)}, which is not the plain name of "
                + "a safetensors file in the folder: correct the index");
    }

    /// <summary>Weights that the decoder would ignore and so compute something else than the model: better to refuse them.</summary>
    private static void RefuseUnusedWeights(Dictionary<string, SafetensorsFile> fileOf)
    {
        foreach (string name in fileOf.Keys)
            if (name.EndsWith("self_attn.o_proj.bias", StringComparison.Ordinal))
                throw new ElmException($"{fileOf[name].Path} has the tensor {Sentences.Quote(name)}, and a bias on the attention's "
                    + "output projection is not supported: use another model");
    }

    private static string NoWeights(string folder) =>
        $"{folder} has neither {SingleFile} nor {IndexFile}: " + (Directory.EnumerateFiles(folder, "pytorch_model*.bin").Any()
            ? "convert its pytorch_model.bin to safetensors"
            : "name a folder that holds the weights as safetensors");
}
