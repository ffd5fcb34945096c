using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>A tensor to be written: its description and something that writes its bytes.</summary>
public sealed class TensorToWrite
{
    private readonly Action<Stream> write;

    /// <summary>A tensor whose bytes are made while they are written, so that it need never be in memory as a whole.</summary>
    /// <param name="name">name in the file</param>
    /// <param name="type">element type</param>
    /// <param name="shape">dimensions, outermost first</param>
    /// <param name="write">writes exactly the tensor's bytes, little-endian and row-major, to the stream</param>
    public TensorToWrite(string name, ElementType type, IReadOnlyList<long> shape, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(name);
        long count = 1;
        foreach (long dimension in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(dimension, nameof(shape));
            count = checked(count * dimension);
        }
        Name = name;
        Type = type;
        Shape = shape;
        Bytes = checked(count * type.Size());
        this.write = write;
    }

    /// <summary>A float32 tensor; the values are read when the file is written.</summary>
    public static TensorToWrite F32(string name, ReadOnlyMemory<float> values, params long[] shape) =>
        From(name, ElementType.F32, values, shape);

    /// <summary>An int32 tensor; the values are read when the file is written.</summary>
    public static TensorToWrite I32(string name, ReadOnlyMemory<int> values, params long[] shape) =>
        From(name, ElementType.I32, values, shape);

    /// <summary>An F16 tensor; the values are read when the file is written.</summary>
    public static TensorToWrite F16(string name, ReadOnlyMemory<Half> values, params long[] shape) =>
        From(name, ElementType.F16, values, shape);

    /// <summary>A BF16 tensor from the bits of its elements; they are read when the file is written.</summary>
    public static TensorToWrite BF16(string name, ReadOnlyMemory<ushort> bits, params long[] shape) =>
        From(name, ElementType.BF16, bits, shape);

    /// <summary>A copy of a stored tensor, under its name; its file must stay open until it is written.</summary>
    public static unsafe TensorToWrite Copy(StoredTensor tensor) => new(tensor.Name, tensor.Type, tensor.Shape, stream =>
    {
        const int block = 1 << 20;
        for (long done = 0; done < tensor.Bytes; done += block)
            stream.Write(new ReadOnlySpan<byte>((byte*)tensor.Address + done, (int)Math.Min(block, tensor.Bytes - done)));
    });

    /// <summary>Name in the file.</summary>
    public string Name { get; }

    /// <summary>Element type.</summary>
    public ElementType Type { get; }

    /// <summary>Dimensions, outermost first.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>Length in bytes.</summary>
    public long Bytes { get; }

    internal void Write(Stream stream) => write(stream);

    private static TensorToWrite From<T>(string name, ElementType type, ReadOnlyMemory<T> values, long[] shape) where T : unmanaged
    {
        TensorToWrite tensor = new(name, type, shape, stream => stream.Write(MemoryMarshal.AsBytes(values.Span)));
        if (tensor.Bytes / type.Size() != values.Length)
            throw new ArgumentException($"{values.Length} values do not fill the shape {Sentences.Shape(shape)}", nameof(values));
        return tensor;
    }
}

/// <summary>
/// Writes safetensors files. The bytes depend on the arguments only: tensors in the order given, metadata sorted by key, the header padded
/// with spaces to a multiple of 8. A file appears whole or not at all: it is written beside its place under a temporary name, flushed to
/// the disk, and renamed.
/// </summary>
public static class SafetensorsWriter
{
    /// <summary>
    /// Ending of the temporary name. A process killed while it wrote leaves such a file; the next write to the same path replaces it.
    /// </summary>
    public const string TemporaryEnding = ".partial";

    /// <summary>Writes a file, or replaces it.</summary>
    /// <exception cref="ElmException">the folder is missing or unwritable, or the disk is full; nothing new is left behind, and an earlier
    /// file stays</exception>
    /// <exception cref="ArgumentException">two tensors have one name, or a tensor wrote more or fewer bytes than its shape says</exception>
    public static void Write(string path, IReadOnlyList<TensorToWrite> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        byte[] header = Header(tensors, metadata);
        long total = header.Length;
        foreach (TensorToWrite tensor in tensors)
            total = checked(total + tensor.Bytes);
        WriteWhole(path, total, stream =>
        {
            stream.Write(header);
            long written = header.Length;
            foreach (TensorToWrite tensor in tensors)
            {
                tensor.Write(stream);
                written += tensor.Bytes;
                if (stream.Position != written)
                    throw new ArgumentException($"the tensor {tensor.Name} wrote {stream.Position - written + tensor.Bytes} bytes "
                        + $"instead of {tensor.Bytes}", nameof(tensors));
            }
        });
    }

    /// <summary>Writes a file of another kind (a config, an index) with the same promise: whole or not at all.</summary>
    /// <exception cref="ElmException">as <see cref="Write"/></exception>
    public static void WriteText(string path, ReadOnlyMemory<byte> text) =>
        WriteWhole(path, text.Length, stream => stream.Write(text.Span));

    private static void WriteWhole(string path, long bytes, Action<Stream> write)
    {
        string temporary = path + TemporaryEnding;
        bool created = false;
        try
        {
            // Asking for the space first tells of a full disk before anything is written.
            FileStreamOptions options = new()
            {
                Mode = FileMode.Create, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 1 << 16, PreallocationSize = bytes,
            };
            using (FileStream stream = new(temporary, options))
            {
                created = true;
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
            created = false;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ElmException($"{path} cannot be written ({error.Message.TrimEnd('.')}): check that its folder exists, that you may "
                + $"write there, and that the disk has {bytes} bytes free", error);
        }
        finally
        {
            if (created)
                DeleteQuietly(temporary);
        }
    }

    private static void DeleteQuietly(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The error that led here is the one to report.
        }
    }

    private static byte[] Header(IReadOnlyList<TensorToWrite> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        ArrayBufferWriter<byte> buffer = new();
        HashSet<string> names = [];
        using (Utf8JsonWriter json = new(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
                    json.WriteString(key, value);
                json.WriteEndObject();
            }
            long offset = 0;
            foreach (TensorToWrite tensor in tensors)
            {
                if (tensor.Name == "__metadata__" || !names.Add(tensor.Name))
                    throw new ArgumentException($"a file cannot hold two tensors named {tensor.Name}", nameof(tensors));
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", SafetensorsTypes.Name(tensor.Type));
                json.WriteStartArray("shape");
                foreach (long dimension in tensor.Shape)
                    json.WriteNumberValue(dimension);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset = checked(offset + tensor.Bytes));
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        int length = (buffer.WrittenCount + 7) / 8 * 8;
        byte[] header = new byte[8 + length];
        header.AsSpan().Fill((byte)' ');
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)length);
        buffer.WrittenSpan.CopyTo(header.AsSpan(8));
        return header;
    }
}
