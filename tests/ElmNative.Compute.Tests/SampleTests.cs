using ElmNative.Compute.Cpu;

namespace ElmNative.Compute.Tests;

/// <summary>Draws on the CPU.</summary>
[TestClass]
public sealed class SampleTests : SampleContract
{
    private protected override int Draws => 20000;

    private protected override IBackend Open() => new CpuBackend(2);

    [TestMethod]
    [DataRow(new uint[] { 0, 0, 0, 0 }, new uint[] { 0, 0 }, new uint[] { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 })]
    [DataRow(new uint[] { ~0u, ~0u, ~0u, ~0u }, new uint[] { ~0u, ~0u }, new uint[] { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd })]
    [DataRow(new uint[] { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, new uint[] { 0xa4093822, 0x299f31d0 },
        new uint[] { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 })]
    public unsafe void PhiloxGivesItsKnownAnswers(uint[] counter, uint[] key, uint[] wanted)
    {
        uint[] output = new uint[4];
        fixed (uint* c = counter, k = key, o = output)
            NativeMethods.elm_philox(c, k, o);
        CollectionAssert.AreEqual(wanted, output);
    }
}
