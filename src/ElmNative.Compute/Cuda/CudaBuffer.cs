namespace ElmNative.Compute.Cuda;

/// <summary>Memory of a GPU.</summary>
internal sealed class CudaBuffer(CudaBackend backend, nint address, long bytes) : DeviceBuffer(address, bytes)
{
    /// <inheritdoc/>
    public override void Dispose()
    {
        if (Address != 0)
            backend.Free(Address);
        Address = 0;
    }
}
