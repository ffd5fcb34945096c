using System.Runtime.CompilerServices;
using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>The backend as such: features, buffers, errors, allocations.</summary>
[TestClass]
public sealed class BackendTests
{
    [TestMethod]
    public void DescriptionAndFeaturesNamePathAndThreads()
    {
        CpuFeatures features = CpuBackend.Features;
        Assert.AreEqual("scalar", features.Supported[0]);
        Assert.Contains(features.Chosen, features.Supported);
        Assert.IsGreaterThanOrEqualTo(1, features.Threads);
        using CpuBackend one = new(1, "scalar"), three = new(3), all = new();
        Assert.AreEqual("cpu scalar, 1 thread", one.Description);
        Assert.AreEqual($"cpu {features.Chosen}, 3 threads", three.Description);
        Assert.AreEqual(features.Threads, all.Threads);
    }

    [TestMethod]
    public void AnUnknownPathIsOneClearSentence()
    {
        ElmException unknown = Assert.ThrowsExactly<ElmException>(() => new CpuBackend(1, "avx1024"));
        Assert.AreEqual("the requested path is 'avx1024', but must be scalar, avx2 or avx512", unknown.Message);
        Assert.ThrowsExactly<ArgumentException>(() => new CpuBackend(-1));
    }

    [TestMethod]
    public void BuffersAreAlignedAndAdoptedMemoryIsReadInPlace()
    {
        using CpuBackend cpu = new(1);
        using (DeviceBuffer buffer = cpu.Allocate(100))
            Assert.AreEqual(0, buffer.Address % 64);
        float[] host = GC.AllocateArray<float>(4, pinned: true);
        host[2] = 5;
        object owner = new();
        Tensor adopted = cpu.AdoptWeights(AddressOf(host), ElementType.F32, 1, 4, owner);
        DeviceBuffer borrowed = adopted.Buffer!;
        CollectionAssert.AreEqual(new float[] { 0, 0, 5, 0 }, cpu.Get(adopted));
        borrowed.Dispose();
        borrowed.Dispose();
        Assert.AreEqual(0, borrowed.Address);
        Assert.ThrowsExactly<ElmException>(() => cpu.Allocate(long.MaxValue / 2));
    }

    private static unsafe nint AddressOf(float[] pinned) => (nint)Unsafe.AsPointer(ref pinned[0]);

    [TestMethod]
    public void ADisposedBackendRefusesWork()
    {
        CpuBackend cpu = new(2);
        Tensor x = cpu.Blank(1, 1);
        cpu.Dispose();
        cpu.Dispose();
        Assert.ThrowsExactly<ObjectDisposedException>(() => cpu.Zero(x));
    }

    [TestMethod]
    public void NoOperationAllocatesManagedMemory()
    {
        using CpuBackend cpu = new(2);
        const int m = 20, d = 64, vocabulary = 70;
        AttentionShape shape = new(2, 1, 32, 0.2f);
        TestPlan test = TestPlan.Packed([(12, -1), (8, 0)]);
        AttentionPlan plan = test.On(cpu);
        Tensor x = cpu.Put(Normal(1, m * d), m, d), y = cpu.Blank(m, d), z = cpu.Blank(m, d), weight = cpu.Put(Normal(2, d * d), d, d),
            norm = cpu.Put(Normal(3, d), 1, d);
        Tensor head = cpu.Put(Normal(4, vocabulary * d), vocabulary, d), logits = cpu.Blank(m, vocabulary),
            targets = cpu.Put(new int[m], 1, m), row = cpu.Put(Normal(8, m), 1, m);
        Tensor k = cpu.Put(Normal(5, m * 32), m, 32), v = cpu.Put(Normal(6, m * 32), m, 32), dk = cpu.Blank(m, 32), dv = cpu.Blank(m, 32),
            logSum = cpu.Blank(m, 2);
        Tensor rows = cpu.Put(new SamplingRow[m]), table = cpu.Put(Normal(7, 32), 1, 32), ranges = cpu.Put([0, 3], 1, 2),
            pooled = cpu.Blank(1, 32), one = cpu.Blank(1, 1);
        Tensor indices = cpu.Put(new int[m], m, 1), scores = cpu.Blank(m, 1), first = cpu.Put(new float[m * d], m, d),
            second = cpu.Put(new float[m * d], m, d);
        Tensor state = cpu.Put(new int[m], 1, m), start = cpu.Put([0], 1, 1), drawn = cpu.Put(new int[m], 1, m), history = cpu.Put(new int[m], 1, m), queries = cpu.Put(new int[2 * m], m, 2), none = cpu.Put([1], 1, 1);
        Tensor places = cpu.Put([.. Enumerable.Range(-1, m)], 1, m);
        DecodeState decode = new(state, state, state, queries, rows, state, state, none, start, history, cpu.Blank(1, m));
        float[] host = new float[m * d];
        void All()
        {
            cpu.Upload<float>(host, y);
            cpu.Zero(z);
            cpu.Copy(x, y);
            cpu.Add(x, y);
            cpu.GatherRows(head, targets, y);
            cpu.ScatterRows(x.Slice(0, 1), targets.Reshape(m, 1).Slice(0, 1), y);
            cpu.ScatterAddRows(x, targets, y);
            cpu.RmsNorm(x, norm, 1e-6f, y);
            cpu.RmsNormBackward(x, norm, 1e-6f, y, z);
            cpu.Linear(x, weight, norm, y, true);
            cpu.LinearBackward(y, weight, z, false);
            cpu.Rotary(x, targets, table, 32, false, y);
            cpu.Attention(plan, shape, x, k, v, y, logSum);
            cpu.AttentionBackward(plan, shape, x, k, v, y, logSum, x, z, dk, dv);
            cpu.SwiGlu(x, y, z);
            cpu.SwiGluBackward(x, x, x, y, z);
            cpu.LogProbs(x, head, targets, 1, row, default, default);
            cpu.LogProbs(x, head, targets, 1, row, default, z);
            cpu.ScaleRows(row, z);
            cpu.Linear(x, head, default, logits, false);
            cpu.Sample(logits, rows, targets, row);
            cpu.PoolHeads(x, ranges, 32, pooled);
            cpu.Zero(start);
            cpu.AdvanceDecode(decode, drawn, row);
            cpu.FillUniform(z, 1, 0.1f);
            cpu.RotaryStore(x, k, v, drawn, table, 32, places, dk, dv);
            cpu.Zero(targets);
            cpu.CosineTopK(x, x, targets, 2, indices, scores);
            cpu.AdamW(y, z, first, second, new AdamWSettings(1e-3f), 1, one);
            cpu.Synchronize();
            cpu.Download(y, host);
        }
        All();
        All();
        long before = GC.GetAllocatedBytesForCurrentThread();
        All();
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
