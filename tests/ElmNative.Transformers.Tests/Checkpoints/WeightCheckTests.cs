using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>NaN and infinite weights are found wherever they are.</summary>
[TestClass]
public sealed unsafe class WeightCheckTests
{
    [TestMethod]
    [DataRow(ElementType.F32, 0x7F7F_FFFFu, 0x7F80_0000u)]
    [DataRow(ElementType.F32, 0x8000_0000u, 0xFFC0_0001u)]
    [DataRow(ElementType.F32, 0xFF7F_FFFFu, 0x7F80_0001u)]
    [DataRow(ElementType.BF16, 0x7F7Fu, 0x7F80u)]
    [DataRow(ElementType.BF16, 0x80FFu, 0xFFFFu)]
    [DataRow(ElementType.F16, 0x7BFFu, 0x7C00u)]
    [DataRow(ElementType.F16, 0xFBFFu, 0xFE00u)]
    public void FoundAtEveryPlaceAndAlignment(ElementType type, uint finite, uint broken)
    {
        int size = type.Size();
        byte[] memory = new byte[size * 300 + 8];
        fixed (byte* start = memory)
            foreach (int count in (int[])[0, 1, 7, 31, 64, 65, 127, 128, 129, 300])
                for (int shift = 0; shift < 3; shift++)
                {
                    byte* at = start + shift;
                    void Put(int i, uint bits) => new ReadOnlySpan<byte>(&bits, size).CopyTo(new Span<byte>(at + i * size, size));
                    for (int i = 0; i < count; i++)
                        Put(i, finite);
                    StoredTensor tensor = new("w", type, [count], (nint)at, count * size);
                    Assert.AreEqual(-1, WeightCheck.FirstNonFinite(tensor));
                    for (int i = count - 1; i >= 0; i--)
                    {
                        Put(i, broken);
                        Assert.AreEqual(i, WeightCheck.FirstNonFinite(tensor));
                    }
                }
    }

    [TestMethod]
    public void TheErrorNamesFileTensorAndElement()
    {
        using TemporaryFolder folder = new();
        folder.Write("config.json", TinyConfig);
        float[] values = new float[3 * 5];
        values[7] = float.NaN;
        SafetensorsWriter.Write(folder.PathOf("model.safetensors"), [TensorToWrite.F32("w", values, 3, 5), TensorToWrite.F32("v", new float[4], 4)]);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Root);
        WeightCheck.RequireFinite(checkpoint, checkpoint.Get("v", 4));
        Refused(() => WeightCheck.RequireFinite(checkpoint, checkpoint.Get("w", 3, 5)), "model.safetensors", "\"w\"", "[1, 2]", "NaN");
        Assert.ThrowsExactly<ArgumentException>(() => WeightCheck.FirstNonFinite(new StoredTensor("i", ElementType.I32, [0], 0, 0)));
    }
}
