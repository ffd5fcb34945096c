using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace ElmNative.Compute.Cpu;

/// <summary>Host memory that the buffer owns, aligned to 64 bytes.</summary>
internal sealed unsafe class HostBuffer : DeviceBuffer
{
    private const nuint Alignment = 64;

    /// <exception cref="ElmException">out of memory</exception>
    public HostBuffer(long bytes) : base(Reserve(bytes), bytes) { }

    public override void Dispose()
    {
        if (Address != 0)
            NativeMemory.AlignedFree((void*)Address);
        Address = 0;
    }

    private static nint Reserve(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        try
        {
            return (nint)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1), Alignment);
        }
        catch (OutOfMemoryException cause)
        {
            throw new ElmException($"cannot allocate {bytes} bytes of memory; use smaller batches or a smaller model", cause);
        }
    }
}

/// <summary>Host memory of somebody else, whom the buffer keeps alive.</summary>
internal class BorrowedBuffer(nint address, long bytes, object owner) : DeviceBuffer(address, bytes)
{
    private object? owner = owner;

    /// <summary>Who keeps the memory valid; null once disposed.</summary>
    public object? Owner => owner;

    public override void Dispose()
    {
        Address = 0;
        owner = null;
    }
}

/// <summary>A stored weight matrix of somebody else, and its packed copy once a product has asked for it. Look-ups read it as stored.</summary>
internal sealed class WeightBuffer(nint address, ElementType type, int rows, int columns, object owner)
    : BorrowedBuffer(address, (long)rows * columns * type.Size(), owner)
{
    private PackedMatrix? packed;

    /// <summary>A view of the matrix as products take it: all of it packed, at the first call; a part, or another shape or type, as it lies.</summary>
    /// <exception cref="ObjectDisposedException">the buffer is disposed</exception>
    /// <exception cref="ElmException">out of memory</exception>
    public NativeTensor Packed(CpuBackend backend, Tensor view)
    {
        ObjectDisposedException.ThrowIf(Owner is null, this);
        if (view.Type != type || view.Rows != rows || view.Columns != columns)
            return view;
        if (packed is null)
        {
            packed = backend.Pack(As(type, rows, columns));
            // Look-ups may still come, but they touch few rows.
            (Owner as IMappedMemory)?.Forget(Address, Bytes);
        }
        return new() { Data = packed.Address, Type = NativeMethods.PackedMatrix, Rows = rows, Columns = columns };
    }

    /// <inheritdoc/>
    public override long ProductBytes => packed?.Bytes ?? Bytes;

    public override void Dispose()
    {
        packed?.Dispose();
        packed = null;
        base.Dispose();
    }
}

/// <summary>An <c>elm_matrix</c> of elm_cpu.h.</summary>
internal sealed class PackedMatrix : SafeHandleZeroOrMinusOneIsInvalid
{
    public PackedMatrix(nint matrix) : base(ownsHandle: true) => SetHandle(matrix);

    public nint Address => handle;

    public long Bytes => NativeMethods.elm_matrix_bytes(handle);

    protected override bool ReleaseHandle()
    {
        NativeMethods.elm_free_matrix(handle);
        return true;
    }
}
