namespace ElmNative.Compute.Cuda;

/// <summary>Memory of a GPU. One that nobody disposes is given back at the end of its backend.</summary>
internal sealed class CudaBuffer(CudaMemory memory, nint address, long bytes) : DeviceBuffer(address, bytes)
{
    /// <inheritdoc/>
    public override void Dispose()
    {
        if (Address == 0)
            return;
        nint address = Address;
        Address = 0;
        memory.Free(this, address);
    }

    /// <summary>The device address of a tensor's first element; 0 for the absent tensor.</summary>
    /// <exception cref="ArgumentException">the tensor lies in another backend's memory</exception>
    /// <exception cref="ObjectDisposedException">its buffer is disposed</exception>
    public static ulong AddressOf(Tensor x)
    {
        if (x.Buffer is null)
            return 0;
        if (x.Buffer is not CudaBuffer buffer)
            throw new ArgumentException("a tensor of another backend's memory was given to the CUDA backend", nameof(x));
        ObjectDisposedException.ThrowIf(buffer.Address == 0, buffer);
        return (ulong)x.Address;
    }

    /// <summary>The backend has ended and its memory with it.</summary>
    internal nint Lose()
    {
        nint address = Address;
        Address = 0;
        return address;
    }
}
