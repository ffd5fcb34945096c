using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// A safetensors file, memory-mapped. Opening reads and checks the header; data is read from the disk when it is touched.
/// The tensors' addresses are valid until <see cref="Dispose"/>. Numbers are little-endian, in the file and on every machine that is supported.
/// </summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    private readonly SafetensorsHeader header;
    private readonly MemoryMappedFile map;
    private readonly MemoryMappedViewAccessor view;
    private readonly Dictionary<string, StoredTensor> tensors = [];
    private byte* data;

    private SafetensorsFile(string path, SafetensorsHeader header, MemoryMappedFile map, long dataStart)
    {
        Path = path;
        this.header = header;
        this.map = map;
        view = map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        data = start + view.PointerOffset + dataStart;
        foreach (SafetensorsEntry entry in header.Entries.Values)
            if (SafetensorsTypes.ElementType(entry.Type) is ElementType type)
                tensors.Add(entry.Name, new StoredTensor(entry.Name, type, entry.Shape, (nint)(data + entry.Start), entry.End - entry.Start));
    }

    /// <summary>The file, as it was given to <see cref="Open"/>.</summary>
    public string Path { get; }

    /// <summary>The text of the header's <c>__metadata__</c>; empty where it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => header.Metadata;

    /// <summary>The tensors of the element types that the project computes with. <see cref="Names"/> has the others too.</summary>
    public IReadOnlyDictionary<string, StoredTensor> Tensors => tensors;

    /// <summary>Names of all tensors, of whatever type.</summary>
    public IEnumerable<string> Names => header.Entries.Keys;

    /// <summary>What the header says of each tensor, of whatever type.</summary>
    internal IReadOnlyDictionary<string, SafetensorsEntry> Entries => header.Entries;

    /// <summary>Maps a file and checks its header.</summary>
    /// <exception cref="ElmException">the file is missing, unreadable, empty, cut short, or breaks a rule of the format</exception>
    public static SafetensorsFile Open(string path)
    {
        if (!File.Exists(path))
            throw new ElmException(Directory.Exists(path)
                ? $"{path} is a folder: name a safetensors file"
                : $"{path} does not exist: name a safetensors file");
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
            long fileBytes = stream.Length;
            if (fileBytes < 8)
                throw Sentences.Damaged(path, fileBytes == 0 ? "is empty" : $"has {fileBytes} bytes, too few for a safetensors header");
            Span<byte> length = stackalloc byte[8];
            stream.ReadExactly(length);
            int headerBytes = SafetensorsHeader.CheckLength(BinaryPrimitives.ReadUInt64LittleEndian(length), fileBytes, path);
            byte[] json = GC.AllocateUninitializedArray<byte>(headerBytes);
            stream.ReadExactly(json);
            SafetensorsHeader header = SafetensorsHeader.Parse(json, fileBytes - 8 - headerBytes, path);
            MemoryMappedFile map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            try
            {
                return new SafetensorsFile(path, header, map, 8 + headerBytes);
            }
            catch
            {
                map.Dispose();
                throw;
            }
        }
        catch (Exception error) when (Sentences.IsFileError(error))
        {
            throw Sentences.Unreadable(path, error);
        }
    }

    /// <summary>True when the file holds a tensor of that name, of whatever type.</summary>
    public bool Has(string name) => header.Entries.ContainsKey(name);

    /// <summary>A tensor of an expected shape; -1 in the shape stands for any size of that dimension.</summary>
    /// <exception cref="ElmException">missing, of another shape, or of a type that the project does not compute with: names file and tensor</exception>
    public StoredTensor Get(string name, params ReadOnlySpan<long> shape)
    {
        StoredTensor tensor = Get(name);
        bool same = tensor.Shape.Count == shape.Length;
        for (int i = 0; same && i < shape.Length; i++)
            same = shape[i] < 0 || shape[i] == tensor.Shape[i];
        return same ? tensor : throw new ElmException(
            $"{Path}: the tensor {Sentences.Quote(name)} has the shape {Sentences.Shape([.. tensor.Shape])}, but {Sentences.Shape(shape)} is needed: the file belongs to another model or setting");
    }

    /// <summary>A tensor of any shape.</summary>
    /// <exception cref="ElmException">missing, or of a type that the project does not compute with: names file and tensor</exception>
    public StoredTensor Get(string name)
    {
        ObjectDisposedException.ThrowIf(data is null, this);
        if (tensors.TryGetValue(name, out StoredTensor? tensor))
            return tensor;
        throw header.Entries.TryGetValue(name, out SafetensorsEntry? entry)
            ? new ElmException($"{Path}: the tensor {Sentences.Quote(name)} has elements of type {entry.Type}, which is not supported: convert it to F32, BF16 or F16")
            : new ElmException($"{Path} has no tensor {Sentences.Quote(name)}: the file belongs to another model, or is incomplete");
    }

    /// <summary>A float tensor of an expected shape (-1: any size) as float32, row-major. BF16 and F16 widen exactly.</summary>
    /// <exception cref="ElmException">as <see cref="Get(string, ReadOnlySpan{long})"/>, or the elements are integers, or too many for an array</exception>
    public float[] ReadF32(string name, params ReadOnlySpan<long> shape) => Widen(Get(name, shape));

    /// <summary>A float tensor of any shape as float32, row-major. BF16 and F16 widen exactly.</summary>
    /// <exception cref="ElmException">as <see cref="Get(string)"/>, or the elements are integers, or too many for an array</exception>
    public float[] ReadF32(string name) => Widen(Get(name));

    /// <summary>An I32 tensor of an expected shape (-1: any size), row-major.</summary>
    /// <exception cref="ElmException">as <see cref="Get(string, ReadOnlySpan{long})"/>, or the elements are floats, or too many for an array</exception>
    public int[] ReadI32(string name, params ReadOnlySpan<long> shape) => Integers(Get(name, shape));

    /// <summary>An I32 tensor of any shape, row-major.</summary>
    /// <exception cref="ElmException">as <see cref="Get(string)"/>, or the elements are floats, or too many for an array</exception>
    public int[] ReadI32(string name) => Integers(Get(name));

    /// <summary>The bytes [start, end) of the data section.</summary>
    internal ReadOnlySpan<byte> Bytes(long start, int count)
    {
        ObjectDisposedException.ThrowIf(data is null, this);
        return new ReadOnlySpan<byte>(data + start, count);
    }

    /// <summary>Unmaps the file; the tensors' addresses are no longer valid. Safe to call twice.</summary>
    public void Dispose()
    {
        if (data is null)
            return;
        data = null;
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        map.Dispose();
    }

    private float[] Widen(StoredTensor tensor)
    {
        if (tensor.Type == ElementType.I32)
            throw new ElmException($"{Path}: the tensor {Sentences.Quote(tensor.Name)} holds integers (I32), but floats are needed: the file belongs to another model or setting");
        int count = CountFor(tensor);
        float[] values = GC.AllocateUninitializedArray<float>(count);
        void* source = (void*)tensor.Address;
        // The source may be unaligned, so it is copied as bytes first, into the upper half of the result where the elements are narrower.
        Span<byte> target = MemoryMarshal.AsBytes(values.AsSpan());
        if (tensor.Type == ElementType.F32)
        {
            new ReadOnlySpan<byte>(source, target.Length).CopyTo(target);
            return values;
        }
        Span<byte> narrow = target[(count * 2)..];
        new ReadOnlySpan<byte>(source, count * 2).CopyTo(narrow);
        if (tensor.Type == ElementType.BF16)
        {
            ReadOnlySpan<ushort> upper = MemoryMarshal.Cast<byte, ushort>(narrow);
            Span<uint> bits = MemoryMarshal.Cast<float, uint>(values.AsSpan());
            for (int i = 0; i < count; i++)
                bits[i] = (uint)upper[i] << 16;
        }
        else
        {
            ReadOnlySpan<Half> halves = MemoryMarshal.Cast<byte, Half>(narrow);
            for (int i = 0; i < count; i++)
                values[i] = (float)halves[i];
        }
        return values;
    }

    private int[] Integers(StoredTensor tensor)
    {
        if (tensor.Type != ElementType.I32)
            throw new ElmException($"{Path}: the tensor {Sentences.Quote(tensor.Name)} holds floats ({tensor.Type}), but integers (I32) are needed: the file belongs to another model or setting");
        int[] values = GC.AllocateUninitializedArray<int>(CountFor(tensor));
        Span<byte> target = MemoryMarshal.AsBytes(values.AsSpan());
        new ReadOnlySpan<byte>((void*)tensor.Address, target.Length).CopyTo(target);
        return values;
    }

    private int CountFor(StoredTensor tensor) => tensor.Count <= int.MaxValue / 4
        ? (int)tensor.Count
        : throw new ElmException($"{Path}: the tensor {Sentences.Quote(tensor.Name)} has {tensor.Count} elements, too many to copy into an array");
}
