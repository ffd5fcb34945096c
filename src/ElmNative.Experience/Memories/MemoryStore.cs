using System.Globalization;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Experience.Memories;

/// <summary>Memories in order of creation, each in a file <c>0000.safetensors</c>, <c>0001.safetensors</c>, ... of one folder.</summary>
public sealed class MemoryStore
{
    private const string Ending = ".safetensors";

    private readonly IPolicy policy;
    private readonly List<Memory> memories = [];

    private MemoryStore(string folder, IPolicy policy)
    {
        Folder = folder;
        this.policy = policy;
    }

    /// <summary>The folder.</summary>
    public string Folder { get; }

    /// <summary>The memories, in order of creation.</summary>
    public IReadOnlyList<Memory> Memories => memories;

    /// <summary>Opens a folder for use: all its memories, which must be numbered from 0 without a gap.</summary>
    /// <exception cref="ElmException">no such folder, a gap, or a file that is no memory for this model</exception>
    public static MemoryStore Open(string folder, IPolicy policy)
    {
        if (!Directory.Exists(folder))
            throw new ElmException($"{folder} does not exist: name a folder of memories");
        MemoryStore store = new(folder, policy);
        List<int> numbers = [.. store.Files().Select(f => f.Number).Order()];
        for (int i = 0; i < numbers.Count; i++)
        {
            if (numbers[i] != i)
                throw new ElmException($"{store.PathOf(i)} is missing, though later memories are there: restore it");
            store.memories.Add(MemoryFile.Read(store.PathOf(i), policy));
        }
        return store;
    }

    /// <summary>
    /// Opens a folder to write to, made if need be, with as many of its first memories as are sound and belong to their place, and at most
    /// <paramref name="limit"/>. No file is changed.
    /// </summary>
    /// <exception cref="ElmException">the folder cannot be made</exception>
    public static MemoryStore Recover(string folder, IPolicy policy, int limit)
    {
        FileErrors.Explain(folder, () => Directory.CreateDirectory(folder));
        MemoryStore store = new(folder, policy);
        while (store.memories.Count < limit && store.TryRead(store.memories.Count) is { } memory)
            store.memories.Add(memory);
        return store;
    }

    /// <summary>The file of a memory.</summary>
    public string PathOf(int index) => Path.Combine(Folder, index.ToString("D4", CultureInfo.InvariantCulture) + Ending);

    /// <summary>Writes the next memory.</summary>
    /// <exception cref="ElmException">the folder is unwritable or full; nothing is left behind</exception>
    public void Add(Memory memory)
    {
        MemoryFile.Write(PathOf(memories.Count), memory, policy.Layers);
        memories.Add(memory);
    }

    /// <summary>Keeps the first memories and deletes the files of all others, half-written ones included.</summary>
    public void KeepFirst(int count)
    {
        if (memories.Count > count)
            memories.RemoveRange(count, memories.Count - count);
        FileErrors.Explain(Folder, () =>
        {
            foreach (string partial in Directory.EnumerateFiles(Folder, "*" + Ending + SafetensorsWriter.TemporaryEnding).ToArray())
                File.Delete(partial);
            foreach ((string path, int number) in Files().ToArray())
                if (number >= count)
                    File.Delete(path);
        });
    }

    private Memory? TryRead(int index)
    {
        try
        {
            return MemoryFile.Read(PathOf(index), policy) is { } memory && memory.Provenance.Index == index ? memory : null;
        }
        catch (ElmException)
        {
            return null;
        }
    }

    private IEnumerable<(string Path, int Number)> Files()
    {
        foreach (string path in Directory.EnumerateFiles(Folder, "*" + Ending))
            if (int.TryParse(Path.GetFileNameWithoutExtension(path), NumberStyles.None, CultureInfo.InvariantCulture, out int number))
                yield return (path, number);
    }
}
