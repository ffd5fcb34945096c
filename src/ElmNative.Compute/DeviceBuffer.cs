namespace ElmNative.Compute;

/// <summary>
/// A block of memory of one backend: host memory for the CPU, device memory for a GPU. Whoever allocates it disposes it;
/// <see cref="Tensor"/>s are views of it and must not outlive it.
/// </summary>
public abstract class DeviceBuffer : IDisposable
{
    /// <summary>A buffer at an address of the backend's address space.</summary>
    protected DeviceBuffer(nint address, long bytes)
    {
        Address = address;
        Bytes = bytes;
    }

    /// <summary>First byte, in the backend's address space (not necessarily readable by the host); 0 once disposed.</summary>
    public nint Address { get; protected set; }

    /// <summary>Length in bytes.</summary>
    public long Bytes { get; }

    /// <summary>Bytes that a product reads of a weight that lies here; other than <see cref="Bytes"/> where the backend has packed it.</summary>
    public virtual long ProductBytes => Bytes;

    /// <summary>A row-major view of the whole buffer or its head: [rows, columns] of a type.</summary>
    public Tensor As(ElementType type, int rows, int columns) => new(this, 0, type, rows, columns);

    /// <summary>Gives the memory back (or lets go of what it borrows). Safe to call twice.</summary>
    public abstract void Dispose();
}
