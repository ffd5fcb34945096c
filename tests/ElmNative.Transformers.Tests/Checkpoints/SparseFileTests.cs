using System.Diagnostics;
using System.Text;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>Runs a test only where the temporary folder can hold a file of 15 GB, of which next to nothing is written.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class LargeSparseFileAttribute : ConditionBaseAttribute
{
    public LargeSparseFileAttribute() : base(ConditionMode.Include) => IgnoreMessage = "needs a temporary folder that holds a sparse file of 15 GB";

    public override string GroupName => "large sparse file";

    public override bool IsConditionMet
    {
        get
        {
            using TemporaryFolder folder = new();
            try
            {
                using FileStream stream = File.Create(folder.PathOf("probe"));
                stream.SetLength(SparseFileTests.DataBytes);
                return true;
            }
            catch (IOException)
            {
                return false;
            }
        }
    }
}

/// <summary>Opening a folder of 15 GB costs its header only.</summary>
[TestClass]
public sealed class SparseFileTests
{
    internal const long DataBytes = 15_000_000_000 / 8 * 8;

    public TestContext TestContext { get; set; } = null!;

    [TestMethod, LargeSparseFile]
    public void OpeningFifteenGigabytesReadsTheHeader()
    {
        using TemporaryFolder folder = new();
        folder.Write("config.json", TinyConfig);
        string path = folder.PathOf("model.safetensors");
        StringBuilder header = new("{");
        const int tensors = 1000;
        for (int i = 0; i < tensors; i++)
            header.Append(i == 0 ? "" : ",").Append($$"""
                "w{{i}}":{"dtype":"BF16","shape":[{{DataBytes / tensors / 2}}],"data_offsets":[{{DataBytes / tensors * i}},{{DataBytes / tensors * (i + 1)}}]}
                """);
        byte[] head = Safetensors(header.Append('}').ToString());
        using (FileStream stream = File.Create(path))
        {
            stream.Write(head);
            stream.SetLength(head.Length + DataBytes);
        }

        long residentBefore = Resident();
        Stopwatch time = Stopwatch.StartNew();
        using Checkpoint checkpoint = Checkpoint.Open(folder.Root);
        double openMilliseconds = time.Elapsed.TotalMilliseconds;
        long residentOpened = Resident();
        time.Restart();
        Assert.HasCount(64, checkpoint.Fingerprint);
        double fingerprintMilliseconds = time.Elapsed.TotalMilliseconds;
        long residentHashed = Resident();
        TestContext.WriteLine($"15 GB, {tensors} tensors: opened in {openMilliseconds:F1} ms, +{(residentOpened - residentBefore) / 1e6:F1} MB resident; "
            + $"fingerprint in {fingerprintMilliseconds:F0} ms, +{(residentHashed - residentOpened) / 1e6:F1} MB");
        StoredTensor last = checkpoint.Get($"w{tensors - 1}", DataBytes / tensors / 2);
        Assert.AreEqual(-1, WeightCheck.FirstNonFinite(last with { Bytes = 1 << 16 }));
        Assert.IsLessThan(2000, openMilliseconds);
        Assert.IsLessThan(50_000_000, residentOpened - residentBefore);
        Assert.IsLessThan(400_000_000, residentHashed - residentBefore);
    }

    private static long Resident()
    {
        using Process self = Process.GetCurrentProcess();
        return self.WorkingSet64;
    }
}
