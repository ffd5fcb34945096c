using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

[TestClass]
public sealed class CudaTests
{
    [TestMethod]
    public void AddMatchesTheReference()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (int n in new[] { 0, 1, 7, 1000, 100003 })
        {
            float[] x = Normal(1, n), y = Normal(2, n);
            Tensor sum = cuda.Put(y, 1, n);
            cuda.Add(cuda.Put(x, 1, n), sum);
            Near([.. x.Zip(y, (a, b) => (double)a + b)], cuda.Get(sum), 1e-7, $"{n} elements");
        }
    }
}
