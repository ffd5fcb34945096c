using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Verbs;

/// <summary>Options of every verb that runs a model.</summary>
internal abstract class ModelOptions
{
    [Option("model", MetaValue = "DIR", HelpText = "Hugging Face folder of the model (default: the bundled tiny-math).")]
    public string? Model { get; set; }

    [Option("device", MetaValue = "cpu|cuda[:N]", Default = "cpu", HelpText = DeviceChoice.Help)]
    public string Device { get; set; } = "cpu";

    [Option("threads", MetaValue = "N", Default = 0, HelpText = "CPU threads; 0 takes all cores. Changes no result.")]
    public int Threads { get; set; }

    [Option("json", HelpText = "Print the result as JSON.")]
    public bool Json { get; set; }

    /// <summary>The folder to load: the one named, or the bundled model's.</summary>
    public string ModelFolder => Model ?? Bundled.Model;

    /// <summary>The backend that the options ask for.</summary>
    public IBackend OpenBackend() => DeviceChoice.Open(Device, Threads);

    /// <summary>Loads the model and runs something with it.</summary>
    public int With(Func<LanguageModel, IBackend, int> action)
    {
        using IBackend backend = OpenBackend();
        PlanFolder(backend);
        using LanguageModel model = LanguageModel.Load(ModelFolder, backend, ProgressOn(backend));
        return action(model, backend);
    }

    /// <summary>What the verb asks of a model at most, for the plan of a device's memory.</summary>
    protected virtual MemoryDemand DemandOn(ModelConfig config) => new() { Sequences = 64, Positions = config.MaxPositions };

    /// <summary>Prints what the run needs of a device's memory and refuses what does not fit, before anything is allocated. Nothing where tensors lie in the host's memory.</summary>
    /// <exception cref="ElmException">it does not fit: says the numbers</exception>
    public void Plan(IBackend backend, ModelConfig config)
    {
        if (backend.Memory is not null)
            Plan(backend, config, DemandOn(config));
    }

    /// <summary>The same for a given demand.</summary>
    public static void Plan(IBackend backend, ModelConfig config, MemoryDemand demand)
    {
        if (backend.Memory is not { } memory)
            return;
        MemoryPlan plan = MemoryPlan.Of(config, backend, demand);
        Terminal.Note($"{plan}; {MemoryPlan.Size(memory.FreeBytes)} of {MemoryPlan.Size(memory.TotalBytes)} are free on {backend.Description.Split(' ')[0]}");
        plan.Require(memory);
    }

    /// <summary>The same for the model in <see cref="ModelFolder"/>.</summary>
    public void PlanFolder(IBackend backend)
    {
        if (backend.Memory is null)
            return;
        using Checkpoint checkpoint = Checkpoint.Open(ModelFolder);
        Plan(backend, checkpoint.Config);
    }

    /// <summary>Follows the weights to a device of its own memory; null where they are read in place.</summary>
    public static Action<long, long>? ProgressOn(IBackend backend) => backend.Memory is null ? null : new WeightProgress(backend.Description.Split(' ')[0]).Report;
}

/// <summary>The model and problems that come with the program.</summary>
internal static class Bundled
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "models", "tiny-math");

    /// <summary>The bundled model's folder.</summary>
    public static string Model => Existing(Path.Combine(Folder, "model"), "--model");

    /// <summary>The bundled stream of problems.</summary>
    public static string Stream => Existing(Path.Combine(Folder, "stream.jsonl"), "--data");

    /// <summary>Whether a model is the bundled one, wherever it was loaded from.</summary>
    public static bool Is(LanguageModel model)
    {
        string folder = Path.Combine(Folder, "model");
        if (!Directory.Exists(folder))
            return false;
        using Checkpoint bundled = Checkpoint.Open(folder);
        return bundled.Fingerprint == model.Fingerprint;
    }

    private static string Existing(string path, string option) =>
        Path.Exists(path) ? path : throw new ElmException($"the bundled {path} is missing; name another with {option}");
}
