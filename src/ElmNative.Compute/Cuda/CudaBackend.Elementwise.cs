namespace ElmNative.Compute.Cuda;

/// <content>Operations on elements, one by one. Kernels: kernels/add.cu.</content>
public sealed unsafe partial class CudaBackend
{
    private const int ElementThreads = 256;

    /// <inheritdoc/>
    public void Zero(Tensor x)
    {
        Require.That(x.IsPresent, "x is absent", nameof(x));
        Enter();
        if (x.Bytes > 0)
            driver.Check(driver.SetBytes(CudaBuffer.AddressOf(x), 0, (nuint)x.Bytes, stream.Handle), "cuMemsetD8Async");
    }

    /// <inheritdoc/>
    public void Add(Tensor x, Tensor y)
    {
        Require.F32(y);
        Require.Shape(x, ElementType.F32, y.Rows, y.Columns);
        Get("add_f32").Launch(BlocksFor(y.Count), ElementThreads, 0, x, y, y.Count);
    }

    /// <summary>Blocks for an elementwise kernel whose threads stride over the elements: enough to fill the device, not more.</summary>
    private int BlocksFor(long count) => (int)Math.Min((count + ElementThreads - 1) / ElementThreads, 8L * multiprocessors);
}
