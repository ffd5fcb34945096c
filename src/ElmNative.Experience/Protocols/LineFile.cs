using ElmNative.Experience.Memories;

namespace ElmNative.Experience.Protocols;

/// <summary>
/// A file that grows by whole lines. A last line without its line break was cut off by a killed process: opening leaves it out, and the
/// next write replaces it. A write that fails takes back what it wrote.
/// </summary>
internal sealed class LineFile : IDisposable
{
    private readonly FileStream stream;
    private readonly string path;
    private readonly List<long> ends = [];
    private readonly List<byte[]> lines = [];

    /// <summary>Opens or creates a file.</summary>
    /// <exception cref="Compute.ElmException">it cannot be opened for reading and writing</exception>
    public LineFile(string path)
    {
        this.path = path;
        FileStream? opened = null;
        FileErrors.Explain(path, () =>
        {
            opened = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
            byte[] bytes = new byte[opened.Length];
            opened.ReadExactly(bytes);
            for (int start = 0, length; (length = bytes.AsSpan(start).IndexOf((byte)'\n')) >= 0; start += length + 1)
            {
                lines.Add(bytes[start..(start + length)]);
                ends.Add(start + length + 1);
            }
        });
        stream = opened!;
    }

    /// <summary>The whole lines found at opening, without their line breaks; less what <see cref="KeepFirst"/> cut.</summary>
    public IReadOnlyList<byte[]> Lines => lines;

    /// <summary>Cuts the file after its first lines, torn rest included.</summary>
    public void KeepFirst(int count)
    {
        long end = count == 0 ? 0 : ends[count - 1];
        lines.RemoveRange(count, lines.Count - count);
        ends.RemoveRange(count, ends.Count - count);
        FileErrors.Explain(path, () =>
        {
            if (stream.Length != end)
                stream.SetLength(end);
            stream.Position = end;
        });
    }

    /// <summary>Bytes in the file. Call <see cref="KeepFirst"/> once before.</summary>
    public long End => stream.Position;

    /// <summary>Cuts the file back to an earlier <see cref="End"/>.</summary>
    public void CutTo(long end)
    {
        FileErrors.Explain(path, () =>
        {
            stream.SetLength(end);
            stream.Position = end;
        });
    }

    /// <summary>Appends bytes that end in a line break, in one write. Call <see cref="KeepFirst"/> once before.</summary>
    /// <param name="bytes">whole lines</param>
    /// <param name="toDisk">wait until they are on the disk</param>
    /// <exception cref="Compute.ElmException">the disk is full or gone; the file is as it was before</exception>
    public void Append(ReadOnlySpan<byte> bytes, bool toDisk)
    {
        byte[] content = bytes.ToArray();
        long end = stream.Position;
        FileErrors.Explain(path, () =>
        {
            try
            {
                stream.Write(content);
                stream.Flush(toDisk);
            }
            catch
            {
                stream.SetLength(end);
                stream.Position = end;
                throw;
            }
        });
    }

    /// <inheritdoc/>
    public void Dispose() => stream.Dispose();
}
