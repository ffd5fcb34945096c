using ElmNative.Compute.Cpu;

namespace ElmNative.Compute.Tests;

/// <summary>Pooling, nearest keys and the optimizer on the CPU.</summary>
[TestClass]
public sealed class VectorTests : VectorContract
{
    private protected override IBackend Open() => new CpuBackend(2);
}
