using ElmNative.Compute.Cuda;

namespace ElmNative.Compute.Tests;

/// <summary>Captured graphs: what runs when, what a capture refuses, and what a graph keeps alive.</summary>
[TestClass]
public sealed class CudaGraphTests
{
    [TestMethod]
    public void ACapturedGraphRunsAtItsLaunchesOnly()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1, 2), y = cuda.Row(0, 0), z = cuda.Row(5, 5);
        cuda.Add(x, y);
        int calls = 0;
        using IGraph graph = cuda.Capture(() =>
        {
            calls++;
            cuda.Add(x, y);
            cuda.Add(y, z);
            cuda.Zero(z.Reshape(2, 1).Slice(1, 1));
        });
        CollectionAssert.AreEqual(new float[] { 1, 2 }, cuda.Get(y));
        graph.Launch();
        graph.Launch();
        cuda.Upload<float>([10, 20], x);
        graph.Launch();
        Assert.AreEqual(1, calls);
        CollectionAssert.AreEqual(new float[] { 13, 26 }, cuda.Get(y));
        CollectionAssert.AreEqual(new float[] { 5 + 2 + 3 + 13, 0 }, cuda.Get(z));
        graph.Dispose();
        graph.Dispose();
        Assert.ThrowsExactly<ObjectDisposedException>(graph.Launch);
    }

    [TestMethod]
    public void AnEmptyGraphMayBeLaunched()
    {
        using CudaBackend cuda = CudaDevice.Open();
        using IGraph graph = cuda.Capture(() => { });
        graph.Launch();
        cuda.Synchronize();
    }

    [TestMethod]
    public void AKernelIsNotLaunchedForTheFirstTimeInACapture()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1);
        Assert.AreEqual("the kernel add_f32 cannot be launched for the first time while a graph is captured; run the same operations once before the capture",
            Assert.ThrowsExactly<InvalidOperationException>(() => cuda.Capture(() => cuda.Add(x, x))).Message);
        Kernel found = cuda.Get("add_f32");
        Assert.ThrowsExactly<InvalidOperationException>(() => cuda.Capture(() => found.Launch(1, 1, 0, x, x, 1L)));
        cuda.Add(x, x);
        CollectionAssert.AreEqual(new float[] { 2 }, cuda.Get(x));
    }

    [TestMethod]
    public void WhatAGraphCannotHoldIsRefusedAndTheStreamStaysUsable()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1);
        cuda.Add(x, x);
        Action[] forbidden = [() => cuda.Allocate(4), cuda.Synchronize, () => cuda.Upload<float>([1], x), () => cuda.Get(x), () => cuda.Capture(() => { }),
            () => cuda.AdoptWeights(0, ElementType.F32, 1, 0, x), () => cuda.Workspace(1_000_000)];
        using IGraph graph = cuda.Capture(() => cuda.Add(x, x));
        foreach (Action action in forbidden.Append(graph.Launch))
        {
            Assert.ThrowsExactly<InvalidOperationException>(() => cuda.Capture(() =>
            {
                cuda.Add(x, x);
                action();
            }));
            cuda.Add(x, x);
        }
        Assert.ThrowsExactly<ElmException>(() => cuda.Capture(() => throw new ElmException("the work itself failed")));
        graph.Launch();
        CollectionAssert.AreEqual(new[] { MathF.Pow(2, 1 + forbidden.Length + 1 + 1) }, cuda.Get(x));
    }

    [TestMethod]
    public void WhereEveryLaunchWaitsAGraphCallsItsActionAgain()
    {
        using CudaBackend cuda = new(0, CudaDevice.Options with { WaitsForEveryLaunch = true });
        Tensor x = cuda.Row(1), y = cuda.Row(0);
        int calls = 0;
        using IGraph graph = cuda.Capture(() =>
        {
            calls++;
            cuda.Add(x, y);
        });
        Assert.AreEqual(0, calls);
        graph.Launch();
        graph.Launch();
        Assert.AreEqual(2, calls);
        CollectionAssert.AreEqual(new float[] { 2 }, cuda.Get(y));
    }

    [TestMethod]
    public void ABufferDisposedInACaptureIsFreedBehindIt()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1), gone = cuda.Row(2);
        cuda.Add(x, x);
        int live = cuda.LiveBuffers;
        using (IGraph graph = cuda.Capture(() =>
        {
            cuda.Add(x, x);
            gone.Buffer!.Dispose();
        }))
            graph.Launch();
        Assert.AreEqual(live - 1, cuda.LiveBuffers);
        CollectionAssert.AreEqual(new float[] { 4 }, cuda.Get(x));
    }

    [TestMethod]
    public void AGraphKeepsTheWorkspaceItWasCapturedWith()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int n = 64;
        Tensor x = cuda.Put([.. Enumerable.Range(0, n).Select(i => (float)i)], 1, n), y = cuda.Put(new float[n], 1, n);
        void TwiceThroughTheWorkspace()
        {
            Tensor inner = new(cuda.Workspace(n).Buffer!, 0, ElementType.F32, 1, n);
            cuda.Zero(inner);
            cuda.Add(x, inner);
            cuda.Add(x, inner);
            cuda.Add(inner, y);
        }
        TwiceThroughTheWorkspace();
        IGraph first = cuda.Capture(TwiceThroughTheWorkspace), second = cuda.Capture(TwiceThroughTheWorkspace);
        DeviceBuffer old = cuda.Workspace(n).Buffer!;
        int live = cuda.LiveBuffers;
        DeviceBuffer larger = cuda.Workspace(old.Bytes).Buffer!;
        Assert.AreNotSame(old, larger);
        Assert.AreEqual(live + 1, cuda.LiveBuffers);
        // Whoever got the old memory now would be overwritten.
        using DeviceBuffer other = cuda.Allocate(old.Bytes);
        first.Launch();
        second.Launch();
        TwiceThroughTheWorkspace();
        CollectionAssert.AreEqual(Enumerable.Range(0, n).Select(i => 8f * i).ToArray(), cuda.Get(y));
        first.Dispose();
        Assert.AreNotEqual(0, old.Address);
        second.Dispose();
        Assert.AreEqual(0, old.Address);
        Assert.AreNotEqual(0, larger.Address);
    }
}
