using System.Text;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>Every way in which a safetensors file can be wrong is refused with a sentence that names the file, and the tensor where there is one.</summary>
[TestClass]
public sealed class SafetensorsFormatTests
{
    private readonly TemporaryFolder folder = new();

    [TestCleanup]
    public void Clean() => folder.Dispose();

    [TestMethod]
    [DataRow("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}""", 9, "w", "8 bytes", DisplayName = "size against offsets")]
    [DataRow("""{"w":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}""", 8, "w", "F99", DisplayName = "unknown dtype")]
    [DataRow("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 4, "w", "ends at byte 8", DisplayName = "beyond the end")]
    [DataRow("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 9, "1 bytes after", DisplayName = "bytes left over")]
    [DataRow("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"v":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12, "v", "overlaps", "w", DisplayName = "overlap")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"v":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""", 12, "v", "hole of 4", DisplayName = "hole")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "w", "hole of 4", DisplayName = "hole at the start")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "w", "twice", DisplayName = "name twice")]
    [DataRow("""{"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "w", "one dtype", DisplayName = "dtype twice")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}""", 4, "w", "two shapes", DisplayName = "shape twice")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]}}""", 4, "w", "data_offsets twice", DisplayName = "offsets twice")]
    [DataRow("""{"w":{"shape":[1],"data_offsets":[0,4]}}""", 4, "w", "no dtype", DisplayName = "no dtype")]
    [DataRow("""{"w":{"dtype":"F32","data_offsets":[0,4]}}""", 4, "w", "no shape", DisplayName = "no shape")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1]}}""", 4, "w", "no data_offsets", DisplayName = "no offsets")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "w", "data_offsets", DisplayName = "end before start")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""", 4, "w", "two data_offsets", DisplayName = "one offset")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}""", 4, "w", "data_offsets", DisplayName = "three offsets")]
    [DataRow("""{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "w", "shape", DisplayName = "negative size")]
    [DataRow("""{"w":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "w", "shape", DisplayName = "fractional size")]
    [DataRow("""{"w":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}""", 4, "w", "shape", DisplayName = "size as text")]
    [DataRow("""{"w":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}""", 4, "w", "shape", DisplayName = "shape as number")]
    [DataRow("""{"w":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}""", 4, "w", "shape", DisplayName = "size beyond 64 bits")]
    [DataRow("""{"w":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}""", 0, "w", "larger than any file", DisplayName = "product wraps to zero")]
    [DataRow("""{"w":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}}""", 0, "w", "larger than any file", DisplayName = "bytes wrap to zero")]
    [DataRow("""{"w":{"dtype":"F32","shape":[0,9223372036854775807,9223372036854775807,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,0]}}""", 0, "w", "more than 32", DisplayName = "too many dimensions")]
    [DataRow("""{"w":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}""", 1, "w", "F4", DisplayName = "half a byte left")]
    [DataRow("""{"w":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}""", 4, "w", "dtype", DisplayName = "dtype as number")]
    [DataRow("""{"w":[1]}""", 0, "w", "object", DisplayName = "tensor as list")]
    [DataRow("""{"__metadata__":{"a":1}}""", 0, "__metadata__", "\"a\"", DisplayName = "metadata that is not text")]
    [DataRow("""{"__metadata__":{"a":"1","a":"2"}}""", 0, "__metadata__", "twice", DisplayName = "metadata twice")]
    [DataRow("""{"__metadata__":[]}""", 0, "__metadata__", "object", DisplayName = "metadata as list")]
    [DataRow("""[1]""", 0, "brace", DisplayName = "not an object")]
    [DataRow(""" {}""", 0, "brace", DisplayName = "space in front")]
    [DataRow("""{"w":""", 0, "JSON", DisplayName = "cut JSON")]
    [DataRow("""{} x""", 0, "JSON", DisplayName = "text after the object")]
    [DataRow("""{"a\ud800":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}""", 4, "Unicode", DisplayName = "half a character")]
    [DataRow("""{"w":{"x":[[[[[[[[[1]]]]]]]]]}}""", 0, "JSON", DisplayName = "too deep")]
    public void MalformedHeader(string header, int dataBytes, params string[] parts)
    {
        string path = folder.Write("bad.safetensors", Safetensors(header, dataBytes));
        Refused(() => SafetensorsFile.Open(path), [path, .. parts]);
    }

    [TestMethod]
    [DataRow(new byte[0], "is empty")]
    [DataRow(new byte[] { 1, 0, 0 }, "3 bytes")]
    [DataRow(new byte[] { 2, 0, 0, 0, 0, 0, 0, 0 }, "2 bytes, but only 0 follow")]
    [DataRow(new byte[] { 3, 0, 0, 0, 0, 0, 0, 0, (byte)'{', (byte)'}' }, "3 bytes, but only 2 follow")]
    [DataRow(new byte[] { 255, 255, 255, 255, 255, 255, 255, 255, (byte)'{', (byte)'}' }, "18446744073709551615")]
    [DataRow(new byte[] { 1, 0, 0, 0, 0, 0, 0, 0, (byte)'{', (byte)'}' }, "too short")]
    [DataRow(new byte[] { 4, 0, 0, 0, 0, 0, 0, 0, (byte)'{', 0xFF, (byte)'}', 32 }, "UTF-8")]
    public void MalformedBytes(byte[] bytes, string part)
    {
        string path = folder.Write("bad.safetensors", bytes);
        Refused(() => SafetensorsFile.Open(path), path, part);
    }

    [TestMethod]
    public void TooLongAHeaderIsRefusedBeforeItIsRead()
    {
        string path = folder.PathOf("long.safetensors");
        using (FileStream stream = File.Create(path))
        {
            stream.Write(BitConverter.GetBytes(100_000_001L));
            stream.SetLength(100_000_009);
        }
        long before = GC.GetAllocatedBytesForCurrentThread();
        Refused(() => SafetensorsFile.Open(path), path, "at most 100000000");
        Assert.IsLessThan(1 << 20, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [TestMethod]
    public void MissingFileAndFolder()
    {
        Refused(() => SafetensorsFile.Open(folder.PathOf("none.safetensors")), "none.safetensors", "does not exist");
        Refused(() => SafetensorsFile.Open(folder.Root), folder.Root, "is a folder");
        Refused(() => SafetensorsFile.Open(""), "does not exist");
    }

    [TestMethod]
    public void EveryDtypeOfTheFormatIsCheckedAndOnlySomeAreFetched()
    {
        (string Type, int Elements, int Bytes)[] types =
        [
            ("BOOL", 1, 1), ("U8", 1, 1), ("I8", 1, 1), ("F8_E5M2", 1, 1), ("F8_E4M3", 1, 1), ("F8_E8M0", 1, 1), ("F4", 2, 1), ("F6_E2M3", 4, 3), ("F6_E3M2", 4, 3),
            ("I16", 1, 2), ("U16", 1, 2), ("F16", 1, 2), ("BF16", 1, 2), ("I32", 1, 4), ("U32", 1, 4), ("F32", 1, 4), ("F64", 1, 8), ("I64", 1, 8), ("U64", 1, 8), ("C64", 1, 8),
        ];
        StringBuilder header = new("{");
        int offset = 0;
        foreach ((string type, int elements, int bytes) in types)
        {
            header.Append(header.Length > 1 ? "," : "").Append($$"""
                "{{type}}":{"dtype":"{{type}}","shape":[{{elements}}],"data_offsets":[{{offset}},{{offset + bytes}}]}
                """);
            offset += bytes;
        }
        string path = folder.Write("all.safetensors", Safetensors(header.Append('}').ToString(), offset));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.AreEqual(types.Length, file.Names.Count());
        CollectionAssert.AreEquivalent(new[] { "F16", "BF16", "I32", "F32" }, file.Tensors.Keys.ToArray());
        foreach ((string type, _, _) in types)
            if (!file.Tensors.ContainsKey(type))
                Refused(() => file.Get(type), path, $"\"{type}\"", "convert");
        Refused(() => file.ReadF32("I32", 1), path, "\"I32\"", "integers");
        Refused(() => file.ReadI32("BF16", 1), path, "\"BF16\"", "floats");
        CollectionAssert.AreEqual(new float[] { 0 }, file.ReadF32("BF16", 1));
    }

    [TestMethod]
    public void ScalarsEmptyTensorsPaddingAndForeignKeysAreFine()
    {
        string path = folder.Write("odd.safetensors", Safetensors(
            """{"none":{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]},"one":{"dtype":"F32","shape":[],"data_offsets":[0,4],"note":{"x":[1]}},"__metadata__":null}      """, 4));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.HasCount(1, file.ReadF32("one", []));
        Assert.HasCount(0, file.ReadF32("none", 3, -1));
        Assert.HasCount(0, file.Metadata);
        string empty = folder.Write("empty.safetensors", Safetensors("{}"));
        using SafetensorsFile nothing = SafetensorsFile.Open(empty);
        Assert.HasCount(0, nothing.Tensors);
    }

    [TestMethod]
    public void FetchingSaysWhatIsThereAndWhatIsNeeded()
    {
        string path = folder.Write("w.safetensors", Safetensors("""{"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}""", 8));
        SafetensorsFile file = SafetensorsFile.Open(path);
        Refused(() => file.Get("w", 2, 2), path, "\"w\"", "[2, 1]", "[2, 2]");
        Refused(() => file.Get("w", 2), path, "[2, 1]", "[2]");
        Refused(() => file.Get("w", -1, 2), "[any, 2]");
        Refused(() => file.Get("v"), path, "\"v\"", "has no tensor");
        Assert.AreEqual(8, file.Get("w", -1, 1).Bytes);
        file.Dispose();
        file.Dispose();
        Assert.ThrowsExactly<ObjectDisposedException>(() => file.Get("w"));
    }

    [TestMethod]
    public void NamesInErrorsAreShortAndPrintable()
    {
        string name = new('x', 5000);
        string path = folder.Write("w.safetensors", Safetensors("""{"a\n\u001b[31mNAME":{"dtype":"F32","shape":[2,1],"data_offsets":[0,4]}}""".Replace("NAME", name), 4));
        Refused(() => SafetensorsFile.Open(path), path, "a??[31mxxx", "...");
    }
}
