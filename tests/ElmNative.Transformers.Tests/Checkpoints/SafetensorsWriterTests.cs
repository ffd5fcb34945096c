using System.Runtime.InteropServices;
using System.Text;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>What is written is read back bit for bit, and a file appears whole or not at all.</summary>
[TestClass]
public sealed class SafetensorsWriterTests
{
    private readonly TemporaryFolder folder = new();

    [TestCleanup]
    public void Clean() => folder.Dispose();

    [TestMethod]
    public void RoundTripKeepsEveryBit()
    {
        // Quiet and signalling NaNs with payloads, both zeros, infinities, subnormals; an odd number of 16-bit values in front, so that what follows is unaligned.
        uint[] bits = [0x7FC0_0001, 0xFFFF_FFFF, 0x7F80_0001, 0x8000_0000, 0, 0x7F80_0000, 0xFF80_0000, 1, 0x3F80_0000];
        ushort[] brain = [0x7FC1, 0xFFFF, 0x7F81];
        Half[] halves = [BitConverter.UInt16BitsToHalf(0x7E01), Half.NegativeZero, Half.Epsilon, (Half)1.5f];
        int[] integers = [int.MinValue, -1, 0, int.MaxValue];
        string path = folder.PathOf("all.safetensors");
        SafetensorsWriter.Write(path,
        [
            TensorToWrite.BF16("z.brain", brain, 3),
            TensorToWrite.F32("a.floats", MemoryMarshal.Cast<uint, float>(bits).ToArray(), 3, 3),
            TensorToWrite.F16("halves", halves, 2, 1, 2),
            TensorToWrite.I32("integers", integers, 4),
            TensorToWrite.F32("scalar", new float[] { 2.5f }),
            TensorToWrite.F32("none", default, 0, 7),
        ], new Dictionary<string, string> { ["z"] = "last \"quoted\" \n line", ["a"] = "中文 🙂 <b>&amp;", [""] = "" });

        using SafetensorsFile file = SafetensorsFile.Open(path);
        CollectionAssert.AreEqual(bits, MemoryMarshal.Cast<float, uint>(file.ReadF32("a.floats", 3, 3)).ToArray());
        CollectionAssert.AreEqual(integers, file.ReadI32("integers", 4));
        CollectionAssert.AreEqual(Array.ConvertAll(brain, b => (uint)b << 16), MemoryMarshal.Cast<float, uint>(file.ReadF32("z.brain", 3)).ToArray());
        CollectionAssert.AreEqual(Array.ConvertAll(halves, half => BitConverter.SingleToUInt32Bits((float)half)),
            MemoryMarshal.Cast<float, uint>(file.ReadF32("halves", 2, 1, 2)).ToArray());
        CollectionAssert.AreEqual(new[] { 2.5f }, file.ReadF32("scalar", []));
        Assert.HasCount(0, file.ReadF32("none", 0, 7));
        Assert.AreEqual("中文 🙂 <b>&amp;", file.Metadata["a"]);
        Assert.AreEqual("last \"quoted\" \n line", file.Metadata["z"]);
        Assert.AreEqual("", file.Metadata[""]);

        // A copy of the stored tensors is the same file.
        string copy = folder.PathOf("copy.safetensors");
        SafetensorsWriter.Write(copy, [.. file.Names.Select(name => TensorToWrite.Copy(file.Get(name)))], file.Metadata);
        CollectionAssert.AreEqual(File.ReadAllBytes(path), File.ReadAllBytes(copy));
    }

    [TestMethod]
    public void BytesAreThoseOfTheFormat()
    {
        string path = folder.PathOf("w.safetensors");
        SafetensorsWriter.Write(path, [TensorToWrite.F32("b", new float[] { 1, 2 }, 1, 2), TensorToWrite.I32("a", new[] { 3 }, 1)],
            new Dictionary<string, string> { ["k2"] = "v", ["k1"] = "w" });
        const string header = """{"__metadata__":{"k1":"w","k2":"v"},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"a":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}}""";
        int padded = (header.Length + 7) / 8 * 8;
        byte[] expected = [.. BitConverter.GetBytes((long)padded), .. Encoding.ASCII.GetBytes(header.PadRight(padded)), 0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 3, 0, 0, 0];
        CollectionAssert.AreEqual(expected, File.ReadAllBytes(path));
        CollectionAssert.AreEqual(new[] { path }, Directory.GetFiles(folder.Root));
    }

    [TestMethod]
    public void AnOpenFileCanBeReplacedAndKeepsItsOldContent()
    {
        string path = folder.PathOf("w.safetensors");
        SafetensorsWriter.Write(path, [TensorToWrite.F32("w", new float[] { 1 }, 1)]);
        using SafetensorsFile old = SafetensorsFile.Open(path);
        SafetensorsWriter.Write(path, [TensorToWrite.F32("w", new float[] { 2 }, 1)]);
        using SafetensorsFile replaced = SafetensorsFile.Open(path);
        Assert.AreEqual(1, old.ReadF32("w")[0]);
        Assert.AreEqual(2, replaced.ReadF32("w")[0]);
    }

    [TestMethod]
    public void MissingFolderIsASentence()
    {
        Refused(() => SafetensorsWriter.Write(folder.PathOf("none/w.safetensors"), []), "none/w.safetensors", "cannot be written");
        string file = folder.Write("file", "x");
        Refused(() => SafetensorsWriter.Write(Path.Combine(file, "w.safetensors"), []), "w.safetensors", "cannot be written");
    }

    [TestMethod]
    public void AFullDiskLeavesTheOldFileAndNothingElse()
    {
        string path = folder.PathOf("w.safetensors");
        SafetensorsWriter.Write(path, [TensorToWrite.F32("w", new float[] { 1 }, 1)]);
        byte[] before = File.ReadAllBytes(path);
        // 2^60 bytes fit no disk; the space is asked for before any value is made.
        TensorToWrite huge = new("w", ElementType.F32, [1L << 58], _ => Assert.Fail("wrote into a full disk"));
        Refused(() => SafetensorsWriter.Write(path, [huge]), path, "disk");
        CollectionAssert.AreEqual(before, File.ReadAllBytes(path));
        CollectionAssert.AreEqual(new[] { path }, Directory.GetFiles(folder.Root));
    }

    [TestMethod]
    public void AnErrorHalfwayLeavesNothing()
    {
        string path = folder.PathOf("w.safetensors");
        TensorToWrite broken = new("v", ElementType.F32, [2], stream =>
        {
            stream.Write(new byte[4]);
            throw new IOException("No space left on device");
        });
        Refused(() => SafetensorsWriter.Write(path, [TensorToWrite.F32("w", new float[1 << 16], 1 << 16), broken]), path, "No space left");
        TensorToWrite brief = new("v", ElementType.F32, [2], stream => stream.Write(new byte[4]));
        StringAssert.Contains(Assert.ThrowsExactly<ArgumentException>(() => SafetensorsWriter.Write(path, [brief])).Message, "wrote 4 bytes instead of 8");
        Assert.HasCount(0, Directory.GetFiles(folder.Root));
    }

    [TestMethod]
    public void ALeftoverOfAKilledWriteIsReplaced()
    {
        string path = folder.PathOf("w.safetensors");
        folder.Write("w.safetensors" + SafetensorsWriter.TemporaryEnding, new string('x', 1000));
        SafetensorsWriter.Write(path, [TensorToWrite.F32("w", new float[] { 1 }, 1)]);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.AreEqual(1, file.ReadF32("w", 1)[0]);
        Assert.HasCount(1, Directory.GetFiles(folder.Root));
    }

    [TestMethod]
    public void MistakenCallsAreRefused()
    {
        Assert.ThrowsExactly<ArgumentException>(() => TensorToWrite.F32("w", new float[3], 2));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => TensorToWrite.F32("w", new float[3], -3));
        TensorToWrite tensor = TensorToWrite.F32("w", new float[1], 1);
        Assert.ThrowsExactly<ArgumentException>(() => SafetensorsWriter.Write(folder.PathOf("w"), [tensor, tensor]));
        Assert.HasCount(0, Directory.GetFiles(folder.Root));
    }
}
