using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>The step of a decode loop on the GPU, alone and in a captured graph.</summary>
[TestClass]
public sealed class CudaDecodeTests
{
    [TestMethod]
    [DataRow(0, new int[0])]
    [DataRow(1, new[] { 3 })]
    [DataRow(11, new int[0])]
    [DataRow(300, new[] { 3, 5 })]
    public void AdvanceDecodeFollowsItsContract(int m, int[] endTokens)
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int steps = 5;
        DecodeLoop loop = new(cuda, m, steps, endTokens);
        // One step more than the history has room for: it moves the sequences and records nothing.
        for (int step = 0; step <= steps; step++)
            loop.Step();
    }

    /// <summary>One captured step, launched again and again, draws what one call after the other draws: positions are the device's own.</summary>
    [TestMethod]
    public void ADecodeLoopRunsAsAGraph()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int m = 11, vocabulary = 300, steps = 5;
        Tensor logits = cuda.Put(Normal(1, m * vocabulary), m, vocabulary), tokens = cuda.Put(new int[m], 1, m), logprobs = cuda.Blank(1, m);
        DecodeState captured = new DecodeLoop(cuda, m, steps, [3]).State, called = new DecodeLoop(cuda, m, steps, [3]).State;
        void Step(in DecodeState state)
        {
            cuda.Sample(logits, state.Sampling, tokens, logprobs);
            cuda.AdvanceDecode(state, tokens, logprobs);
        }
        for (int step = 0; step < steps; step++)
            Step(called);
        using (IGraph graph = cuda.Capture(() => Step(captured)))
            for (int step = 0; step < steps; step++)
                graph.Launch();
        CollectionAssert.AreEqual(cuda.GetInts(called.HistoryTokens), cuda.GetInts(captured.HistoryTokens));
        SameBits(cuda.Get(called.HistoryLogProbs), cuda.Get(captured.HistoryLogProbs), "log-probabilities");
        CollectionAssert.AreEqual(cuda.GetInts(called.Sampling), cuda.GetInts(captured.Sampling));
        CollectionAssert.AreEqual(new int[m], cuda.GetInts(captured.Left));
        Assert.IsGreaterThan(2, cuda.GetInts(captured.HistoryTokens).Where(token => token >= 0).Distinct().Count());
    }

    [TestMethod]
    public void WrongShapesAreRefused()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor two = cuda.Put([0, 0], 1, 2), logprobs = cuda.Blank(1, 2);
        ArgumentException named = Assert.ThrowsExactly<ArgumentException>(() => cuda.AdvanceDecode(new DecodeLoop(cuda, 2, 3, [5]).State with { Queries = two }, two, logprobs));
        StringAssert.Contains(named.Message, "Queries");
    }

    [TestMethod]
    public void NoCallAllocatesManagedMemory()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor tokens = cuda.Put([0, 0], 1, 2), logprobs = cuda.Blank(1, 2);
        DecodeState state = new DecodeLoop(cuda, 2, 4, [3]).State;
        cuda.AdvanceDecode(state, tokens, logprobs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        cuda.AdvanceDecode(state, tokens, logprobs);
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
