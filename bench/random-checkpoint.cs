#:project ../src/ElmNative.Transformers/ElmNative.Transformers.csproj
#:property PublishAot=false

// Writes a model folder with random weights in the shape of a released model, to try and measure what such a model costs.
//   dotnet run bench/random-checkpoint.cs -- SHAPE FOLDER [SHARDS] [BF16|F16|F32] [SEED]
// SHAPE: a name of ModelShapes (qwen2.5-0.5b, llama-3.2-1b, ...), or the path of a config.json.

using System.Diagnostics;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

if (args.Length is < 2 or > 5)
{
    Console.Error.WriteLine($"usage: random-checkpoint SHAPE FOLDER [SHARDS] [BF16|F16|F32] [SEED]; SHAPE is {string.Join(", ", ModelShapes.Names)} or a config.json");
    return 2;
}
try
{
    RandomCheckpoint checkpoint = new()
    {
        Config = File.Exists(args[0]) ? File.ReadAllText(args[0]) : ModelShapes.Json(args[0]),
        Shards = args.Length > 2 ? int.Parse(args[2]) : 1,
        Type = args.Length > 3 ? Enum.Parse<ElementType>(args[3]) : ElementType.BF16,
        Seed = args.Length > 4 ? ulong.Parse(args[4]) : 0,
        ByteTokenizer = true,
    };
    Stopwatch time = Stopwatch.StartNew();
    checkpoint.Write(args[1]);
    long bytes = new DirectoryInfo(args[1]).EnumerateFiles("*.safetensors").Sum(file => file.Length);
    using Process self = Process.GetCurrentProcess();
    Console.WriteLine($"wrote {bytes / 1e6:F0} MB in {time.Elapsed.TotalSeconds:F1} s, {bytes / 1e6 / time.Elapsed.TotalSeconds:F0} "
        + $"MB/s, at most {self.PeakWorkingSet64 / 1e6:F0} MB resident");

    time.Restart();
    using Checkpoint opened = Checkpoint.Open(args[1]);
    double openMilliseconds = time.Elapsed.TotalMilliseconds;
    time.Restart();
    string fingerprint = opened.Fingerprint;
    double fingerprintMilliseconds = time.Elapsed.TotalMilliseconds;
    time.Restart();
    long parameters = 0;
    foreach ((string name, long[] shape) in RandomCheckpoint.TensorsOf(opened.Config))
    {
        StoredTensor tensor = opened.Get(name, shape);
        WeightCheck.RequireFinite(opened, tensor);
        parameters += tensor.Count;
    }
    Console.WriteLine($"{parameters:N0} parameters; opened in {openMilliseconds:F0} ms; fingerprint {fingerprint[..12]} in "
        + $"{fingerprintMilliseconds:F0} ms; checked for NaN at {bytes / 1e9 / time.Elapsed.TotalSeconds:F1} GB/s");
    return 0;
}
catch (ElmException error)
{
    Console.Error.WriteLine(error.Message);
    return 1;
}
