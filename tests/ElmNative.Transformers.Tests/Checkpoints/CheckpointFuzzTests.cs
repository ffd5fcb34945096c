using System.Buffers.Binary;
using System.Text;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using static ElmNative.Transformers.Tests.Checkpoints.CheckpointTestKit;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>
/// 20,000 damaged files, the same ones every time: each one loads, and then all that it promises can be read, or is refused with one sentence.
/// None makes the process crash or ask for memory beyond the file's own size class.
/// </summary>
[TestClass]
public sealed class CheckpointFuzzTests
{
    // An exception with its stack trace and the sentence take some tens of kilobytes.
    private const int MostAllocated = 400_000;

    private static readonly string[] Fragments =
    [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\ud800", "\\u0000", "\0", "\t", " ", "null", "true", "false", "-1", "0", "1", "2", "1.0", "0.5", "-0", "1e2", "1e999", "-1e999",
        "4294967296", "2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551615", "99999999999999999999999", "\"F32\"", "\"BF16\"", "\"F4\"", "\"F64\"", "\"\"",
        "\"__metadata__\":{\"a\":\"b\"},", "\"dtype\":\"I32\",", "\"shape\":[4,0],", "\"data_offsets\":[0,8],", "[0,0]", "[[[[[[[[[[", "NaN", "/*x*/", "\"rope_scaling\":{\"type\":\"yarn\"},",
        "\"rope_scaling\":{\"rope_type\":\"llama3\"},", "\"head_dim\":4,", "\"eos_token_id\":[1],", "ÿ", "\"head_dim\":null,", "\"architectures\":[],", "\"sliding_window\":5,",
    ];

    [TestMethod]
    public void DamagedSafetensorsFilesLoadOrAreRefused()
    {
        using TemporaryFolder folder = new();
        string path = folder.PathOf("model.safetensors");
        byte[][] seeds = [Seed(""), Seed(""" "__metadata__":{"format":"pt","k":"some longer text, of which nothing depends"},""")];
        Random random = new(1);
        int loaded = 0;
        foreach (byte[] file in Mutants(seeds, 8, 12_000, random))
        {
            folder.Write("model.safetensors", file);
            loaded += Survives(path, () =>
            {
                using SafetensorsFile opened = SafetensorsFile.Open(path);
                long covered = 0;
                foreach (StoredTensor tensor in opened.Tensors.Values)
                {
                    covered += tensor.Bytes;
                    if (tensor.Type != ElementType.I32)
                        Assert.IsGreaterThanOrEqualTo(-1, WeightCheck.FirstNonFinite(tensor));
                    if (tensor.Type != ElementType.I32)
                        Assert.HasCount((int)tensor.Count, opened.ReadF32(tensor.Name));
                    else
                        Assert.HasCount((int)tensor.Count, opened.ReadI32(tensor.Name));
                }
                Assert.IsLessThan(file.Length, covered);
            });
        }
        // Some mutants are still valid files: the fuzzer reaches past the checks.
        Assert.IsGreaterThan(120, loaded);
        Assert.IsLessThan(6000, loaded);
    }

    [TestMethod]
    public void DamagedConfigsLoadOrAreRefused()
    {
        string llama = File.ReadAllText(Repository.PathOf("tests", "golden", "llama-tiny", "model", "config.json"));
        string yarn = TinyConfig.Replace("\"rope_theta\"", "\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 32}, \"head_dim\": 4, \"rope_theta\"");
        byte[][] seeds = [.. new[] { TinyConfig, ModelShapes.Qwen25Half, llama, yarn }.Select(Encoding.UTF8.GetBytes)];
        Random random = new(2);
        int loaded = 0;
        foreach (byte[] text in Mutants(seeds, 0, 7_000, random))
            loaded += Survives("config.json", () =>
            {
                ModelConfig config = ModelConfig.Read(JsonSection.Parse(text, "config.json"), null);
                Assert.IsTrue(config.RotaryFrequencies.All(double.IsFinite) && double.IsFinite(config.RotaryScale));
                Assert.AreEqual(0, config.QueryHeads % config.KeyHeads);
                Assert.IsTrue(config.HiddenSize > 0 && config.HeadSize % 2 == 0 && config.RotaryFrequencies.Length == config.HeadSize / 2);
            });
        Assert.IsGreaterThan(500, loaded);
        Assert.IsLessThan(5000, loaded);
    }

    [TestMethod]
    public void DamagedIndexesLoadOrAreRefused()
    {
        using TemporaryFolder folder = new();
        new RandomCheckpoint { Config = TinyConfig, Shards = 2 }.Write(folder.Root);
        byte[] index = Encoding.UTF8.GetBytes(File.ReadAllText(folder.PathOf("model.safetensors.index.json"))
            .Replace("\"total_size\"", "\"note\": \"some longer text, of which nothing depends, so that a good part of the file may change\", \"total_size\""));
        Random random = new(3);
        int loaded = 0;
        foreach (byte[] text in Mutants([index], 0, 1_000, random))
        {
            folder.Write("model.safetensors.index.json", text);
            loaded += Survives(folder.Root, () =>
            {
                using Checkpoint checkpoint = Checkpoint.Open(folder.Root);
                Assert.IsGreaterThan(0, checkpoint.Names.Count());
            });
        }
        Assert.IsGreaterThan(10, loaded);
        Assert.IsLessThan(800, loaded);
    }

    /// <summary>1 when the action loads, 0 when it is refused with a sentence that names the file; anything else fails the test.</summary>
    private static int Survives(string named, Action load)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        int loaded = 0;
        try
        {
            load();
            loaded = 1;
        }
        catch (ElmException error)
        {
            StringAssert.Contains(error.Message, named);
            CheckSentence(error.Message);
        }
        Assert.IsLessThan(MostAllocated, GC.GetAllocatedBytesForCurrentThread() - before);
        return loaded;
    }

    private static byte[] Seed(string metadata) => Safetensors(
        $$"""{{{metadata}}"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b.weight":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]},"c":{"dtype":"I32","shape":[],"data_offsets":[34,38]},"d":{"dtype":"F16","shape":[0,4],"data_offsets":[38,38]} }""", 38);

    /// <summary>Files that differ from a seed in one to three places. In the first <paramref name="headBytes"/> bytes only single bytes change, and rarely.</summary>
    private static IEnumerable<byte[]> Mutants(byte[][] seeds, int headBytes, int count, Random random)
    {
        for (int n = 0; n < count; n++)
        {
            List<byte> file = [.. seeds[random.Next(seeds.Length)]];
            for (int changes = random.Next(1, 4); changes > 0; changes--)
                Mutate(file, headBytes, random);
            // Mostly the length in front is made to fit again, so that the JSON behind it is what is tested.
            if (headBytes == 8 && file.Count >= 8 && random.Next(20) != 0)
            {
                int end = file.LastIndexOf((byte)'}') + 1;
                byte[] length = new byte[8];
                BinaryPrimitives.WriteInt64LittleEndian(length, Math.Max(0, end - 8));
                for (int i = 0; i < 8; i++)
                    file[i] = length[i];
            }
            yield return [.. file];
        }
    }

    private static void Mutate(List<byte> file, int headBytes, Random random)
    {
        if (file.Count <= headBytes + 1)
            return;
        int at = random.Next(headBytes, file.Count), length = Math.Min(random.Next(1, 12), file.Count - at);
        switch (random.Next(11))
        {
            case 0:
                file[random.Next(10) == 0 ? random.Next(file.Count) : at] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                file[at] = (byte)random.Next(256);
                break;
            case 2:
                file.RemoveRange(at, length);
                break;
            case 3:
                file.InsertRange(at, file.GetRange(at, length));
                break;
            case 4:
                file.InsertRange(at, Encoding.UTF8.GetBytes(Fragments[random.Next(Fragments.Length)]));
                break;
            case 5:
                file.RemoveRange(at, file.Count - at);
                break;
            case 6 or 7:
                ReplaceNumber(file, at, random);
                break;
            case 8 or 9:
                // A letter for a letter keeps the JSON whole.
                at = file.FindIndex(at, b => char.IsAsciiLetter((char)b));
                if (at >= 0)
                    file[at] = (byte)("abdefnrstuFIB"[random.Next(13)]);
                break;
            default:
                int from = random.Next(headBytes, file.Count), many = Math.Min(length * 5, file.Count - from);
                file.InsertRange(at, file.GetRange(from, many));
                break;
        }
    }

    /// <summary>Replaces the next number after a place: the change that most often leaves valid JSON with a wrong meaning.</summary>
    private static void ReplaceNumber(List<byte> file, int at, Random random)
    {
        while (at < file.Count && !char.IsAsciiDigit((char)file[at]))
            at++;
        int end = at;
        while (end < file.Count && char.IsAsciiDigit((char)file[end]))
            end++;
        file.RemoveRange(at, end - at);
        string number = random.Next(4) switch
        {
            0 => Fragments[random.Next(Fragments.Length)],
            1 => random.NextInt64().ToString(),
            2 => random.Next(3000).ToString(),
            _ => random.Next(40).ToString(),
        };
        file.InsertRange(at, Encoding.UTF8.GetBytes(number));
    }
}
