using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Pooling, nearest keys and the optimizer on the GPU.</summary>
[TestClass]
public sealed class CudaVectorTests : VectorContract
{
    private protected override IBackend Open() => CudaDevice.Open();

    [TestMethod]
    public void PoolHeadsOfManyRows()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int rows = 700, columns = 128, headSize = 64;
        double[] x = Rounded(Normal(1, rows * columns), ElementType.BF16), wanted = new double[headSize];
        Tensor y = cuda.Blank(1, headSize);
        cuda.PoolHeads(cuda.Put([.. x.Select(v => (float)v)], rows, columns, ElementType.BF16), cuda.Put([1, rows - 1], 1, 2), headSize, y);
        for (int i = columns; i < x.Length; i++)
            wanted[i % headSize] += x[i] / (2 * (rows - 1));
        Near(wanted, cuda.Get(y), 1e-6, "mean");
    }

    [TestMethod]
    public void RangesOutsideTheRowsArePassedOver()
    {
        using CudaBackend cuda = CudaDevice.Open();
        float[] before = Normal(2, 3 * 24);
        Tensor x = cuda.Put(Normal(1, 9 * 48), 9, 48, ElementType.BF16), y = cuda.Put(before, 3, 24);
        cuda.PoolHeads(x, cuda.Put([8, 2, -1, 3, 0, 10], 3, 2), 24, y);
        SameBits(before, cuda.Get(y), "means");
    }

    [TestMethod]
    public void ALimitBeyondTheKeysShowsNone()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Put(Normal(1, 5 * 8), 5, 8), indices = cuda.Put(new int[10], 5, 2), scores = cuda.Blank(5, 2);
        cuda.CosineTopK(x, x.Slice(0, 3), cuda.Put([3, 4, int.MaxValue, -1, int.MinValue], 1, 5), 1, indices, scores);
        CollectionAssert.AreEqual(Enumerable.Repeat(-1, 8).ToArray(), cuda.GetInts(indices)[2..]);
        Assert.AreEqual(0, cuda.GetInts(indices)[0]);
        SameBits(new float[8], cuda.Get(scores).AsSpan(2), "scores");
    }

    [TestMethod]
    public void WrongShapesAreRefused()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Blank(2, 4), half = cuda.Nothing(2, 4, ElementType.BF16), indices = cuda.Put([0, 1], 1, 2), one = cuda.Blank(1, 1), keys = cuda.Blank(5000, 4);
        Assert.ThrowsExactly<ArgumentException>(() => cuda.PoolHeads(x, indices.Reshape(1, 2), 4, cuda.Blank(1, 4)));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.PoolHeads(half, indices.Reshape(1, 2), 3, cuda.Blank(1, 3)));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.CosineTopK(x, keys, indices, 3, indices.Reshape(2, 1), cuda.Blank(2, 1)));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.AdamW(x, x, x, half, new AdamWSettings(1), 1, one));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.AdamW(x, x, x, x, new AdamWSettings(1), 0, one));
        Tensor many = cuda.Put(new int[2 * 4097], 2, 4097);
        ArgumentException named = Assert.ThrowsExactly<ArgumentException>(() => cuda.CosineTopK(x, keys, indices, 1, many, cuda.Blank(2, 4097)));
        StringAssert.Contains(named.Message, "at most 4096");
    }

    [TestMethod]
    public void NoCallAllocatesManagedMemory()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Blank(2, 8), limits = cuda.Put([2, 2], 1, 2), indices = cuda.Put([0, 0], 2, 1), scores = cuda.Blank(2, 1), norm = cuda.Blank(1, 1);
        AdamWSettings settings = new(1e-3f);
        cuda.CosineTopK(x, x, limits, 2, indices, scores);
        cuda.AdamW(x, x, x, x, settings, 1, norm);
        long before = GC.GetAllocatedBytesForCurrentThread();
        cuda.CosineTopK(x, x, limits, 2, indices, scores);
        cuda.AdamW(x, x, x, x, settings, 1, norm);
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
