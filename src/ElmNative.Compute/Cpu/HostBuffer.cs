using System.Runtime.InteropServices;

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
internal sealed class BorrowedBuffer(nint address, long bytes, object owner) : DeviceBuffer(address, bytes)
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
