using ElmNative.Compute;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Tests.Support;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Experience.Tests.Memories;

[TestClass]
public sealed class MemoryFileTests
{
    private readonly FakePolicy policy = new();

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void A_memory_comes_back_as_it_was_written_in_equal_bytes(bool complete)
    {
        using TestFolder folder = new();
        Memory memory = Sample(complete);
        MemoryFile.Write(folder.In("a.safetensors"), memory, policy.Layers);
        MemoryFile.Write(folder.In("b.safetensors"), memory, policy.Layers);
        CollectionAssert.AreEqual(File.ReadAllBytes(folder.In("a.safetensors")), File.ReadAllBytes(folder.In("b.safetensors")));
        Memory read = MemoryFile.Read(folder.In("a.safetensors"), policy);
        CollectionAssert.AreEqual(memory.Rows, read.Rows);
        CollectionAssert.AreEqual(memory.InputKey, read.InputKey);
        CollectionAssert.AreEqual(memory.KvKey, read.KvKey);
        Assert.AreEqual(memory.Provenance, read.Provenance);
        Assert.AreEqual(20, read.RowCount);
    }

    [TestMethod]
    public void A_memory_of_another_model_is_refused()
    {
        using TestFolder folder = new();
        MemoryFile.Write(folder.In("a.safetensors"), Sample(true), policy.Layers);
        ElmException error = Assert.ThrowsExactly<ElmException>(() => MemoryFile.Read(folder.In("a.safetensors"), new FakePolicy { Fingerprint = "other" }));
        StringAssert.Contains(error.Message, "a.safetensors was made for another model (fake 00fake)");
    }

    [TestMethod]
    public void A_safetensors_file_of_another_kind_is_refused()
    {
        using TestFolder folder = new();
        SafetensorsWriter.Write(folder.In("a.safetensors"), [TensorToWrite.F32("rows", new float[8], 1, 8)]);
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => MemoryFile.Read(folder.In("a.safetensors"), policy)).Message, "is not a memory");
    }

    [TestMethod]
    public void A_value_that_is_not_finite_is_refused()
    {
        using TestFolder folder = new();
        Memory memory = Sample(true);
        memory.Rows[5] = float.NaN;
        MemoryFile.Write(folder.In("a.safetensors"), memory, policy.Layers);
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => MemoryFile.Read(folder.In("a.safetensors"), policy)).Message, "rows is not finite at element 5");
    }

    [TestMethod]
    public void A_file_cut_at_any_byte_is_refused()
    {
        using TestFolder folder = new();
        MemoryFile.Write(folder.In("a.safetensors"), Sample(true), policy.Layers);
        byte[] whole = File.ReadAllBytes(folder.In("a.safetensors"));
        for (int length = 0; length < whole.Length; length += 13)
        {
            File.WriteAllBytes(folder.In("cut.safetensors"), whole[..length]);
            Assert.ThrowsExactly<ElmException>(() => MemoryFile.Read(folder.In("cut.safetensors"), policy));
        }
    }

    [TestMethod]
    public void A_store_with_a_gap_is_refused_and_recovered_up_to_the_gap()
    {
        using TestFolder folder = new();
        MemoryStore store = MemoryStore.Recover(folder.In("memories"), policy, limit: 0);
        for (int i = 0; i < 4; i++)
            store.Add(Sample(true) with { Provenance = Sample(true).Provenance with { Index = i } });
        Assert.HasCount(4, MemoryStore.Open(folder.In("memories"), policy).Memories);
        File.Delete(store.PathOf(2));
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => MemoryStore.Open(folder.In("memories"), policy)).Message, "0002.safetensors is missing");
        MemoryStore recovered = MemoryStore.Recover(folder.In("memories"), policy, limit: 4);
        Assert.HasCount(2, recovered.Memories);
        recovered.KeepFirst(1);
        Assert.AreEqual("0000.safetensors", string.Join(" ", Directory.EnumerateFiles(folder.In("memories")).Select(Path.GetFileName)));
    }

    private Memory Sample(bool complete)
    {
        float[] Values(int count) => [.. Enumerable.Range(0, count).Select(i => 1f / (i + 3))];
        return new Memory(Values(20 * policy.HiddenSize), Values(policy.HiddenSize), Values(policy.Layers * policy.HeadSize),
            new Provenance("A \"quoted\" problem, née 2 < 3?", complete ? "s001" : null, 7, complete ? @"\frac{1}{2}" : null, complete ? 0.625 : null, 9,
                ulong.MaxValue, policy.Fingerprint, policy.ModelType, "{\"steps\":10}"));
    }
}
