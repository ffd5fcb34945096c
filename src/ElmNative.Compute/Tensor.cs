namespace ElmNative.Compute;

/// <summary>
/// A row-major, contiguous [Rows, Columns] view of a <see cref="DeviceBuffer"/>. A vector is one row. It is a value: slicing
/// allocates nothing. <c>default</c> is the absent tensor (an optional bias, say).
/// </summary>
public readonly record struct Tensor
{
    /// <summary>A view that starts <paramref name="offset"/> bytes into the buffer.</summary>
    /// <exception cref="ArgumentOutOfRangeException">the view does not lie within the buffer</exception>
    public Tensor(DeviceBuffer buffer, long offset, ElementType type, int rows, int columns)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        if (offset + (long)rows * columns * type.Size() > buffer.Bytes)
            throw new ArgumentOutOfRangeException(nameof(rows), $"a [{rows}, {columns}] {type} view at byte {offset} does not fit a buffer of {buffer.Bytes} bytes");
        Buffer = buffer;
        Offset = offset;
        Type = type;
        Rows = rows;
        Columns = columns;
    }

    /// <summary>The memory that this is a view of; null in the absent tensor.</summary>
    public DeviceBuffer? Buffer { get; }

    /// <summary>Bytes from the buffer's start to the first element.</summary>
    public long Offset { get; }

    /// <summary>Element type.</summary>
    public ElementType Type { get; }

    /// <summary>Number of rows.</summary>
    public int Rows { get; }

    /// <summary>Elements of a row.</summary>
    public int Columns { get; }

    /// <summary>False for <c>default</c>, the absent tensor.</summary>
    public bool IsPresent => Buffer is not null;

    /// <summary>Rows x Columns.</summary>
    public long Count => (long)Rows * Columns;

    /// <summary>Length in bytes.</summary>
    public long Bytes => Count * Type.Size();

    /// <summary>Address of the first element in the backend's address space; 0 for the absent tensor.</summary>
    public nint Address => Buffer is null ? 0 : Buffer.Address + (nint)Offset;

    /// <summary>The rows [start, start + count).</summary>
    public Tensor Slice(int start, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)start + count, Rows);
        return new Tensor(Buffer!, Offset + (long)start * Columns * Type.Size(), Type, count, Columns);
    }

    /// <summary>The same elements in another shape of the same count.</summary>
    public Tensor Reshape(int rows, int columns)
    {
        if ((long)rows * columns != Count)
            throw new ArgumentOutOfRangeException(nameof(rows), $"[{Rows}, {Columns}] has not the element count of [{rows}, {columns}]");
        return new Tensor(Buffer!, Offset, Type, rows, columns);
    }
}
