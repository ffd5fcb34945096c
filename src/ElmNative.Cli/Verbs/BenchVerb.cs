using CommandLine;
using ElmNative.Cli.Bench;
using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Protocols;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Verbs;

[Verb("bench", HelpText = "Measure this machine: prompt processing and decoding; training steps; operations; retrieval; tokenizers.")]
internal sealed class BenchOptions : TrainingOptions
{
    [Option('p', MetaValue = "N[,N...]", Default = "512", HelpText = "Prompt lengths to process; 0 for none. With --completions: the length of the prompt.")]
    public string Prompts { get; set; } = "512";

    [Option('n', MetaValue = "N[,N...]", Default = "128", HelpText = "Tokens to decode; 0 for none.")]
    public string Lengths { get; set; } = "128";

    [Option("batch", MetaValue = "B[,B...]", Default = "1,8,32", HelpText = "Sequences to decode at once.")]
    public string Batches { get; set; } = "1,8,32";

    [Option('r', MetaValue = "N", HelpText = "Runs that count, after one that warms up (default: 5; with --step 3).")]
    public int? Runs { get; set; }

    [Option('o', MetaValue = "md|csv|json", HelpText = "How to print the results (default: md; --json is -o json).")]
    public BenchFormat? Output { get; set; }

    [Option("shape", MetaValue = "NAME", HelpText = "Random weights in the shape of a released model, made on the device, instead of --model: qwen2.5-0.5b, qwen2.5-1.5b, qwen2.5-math-7b, llama-3.2-1b, llama-3.1-8b, tiny-math.")]
    public string? Shape { get; set; }

    [Option("step", HelpText = "Measure whole memory-training steps; the training options above apply. With --shape: on random ids, -n tokens a rollout behind a prompt of -p.")]
    public bool Step { get; set; }

    [Option("memories", MetaValue = "N[,N...]", Default = "1,8,32", HelpText = "With --step: memories side by side.")]
    public string Memories { get; set; } = "1,8,32";

    [Option("data", MetaValue = "FILE", HelpText = "With --step: the problems (default: the bundled stream).")]
    public string? Data { get; set; }

    [Option("completions", MetaValue = "L[,L...]", HelpText = "Measure forward and backward of one step on random ids: completions of these lengths behind --rows memory rows and -p prompt tokens.")]
    public string? Completions { get; set; }

    [Option("kernels", HelpText = "Measure every operation against the machine's limits, with cold caches; each is checked before.")]
    public bool Kernels { get; set; }

    [Option("filter", MetaValue = "TEXT", HelpText = "With --kernels: only operations with this in their name.")]
    public string? Filter { get; set; }

    /// <inheritdoc/>
    protected override MemoryDemand DemandOn(ModelConfig config)
    {
        // decoding is measured in whole windows
        const int window = 8;
        int prompt = BenchSession.List("-p", Prompts, 0, config.MaxPositions).Max(), length = BenchSession.List("-n", Lengths, 0, config.MaxPositions).Max();
        int rows = Rows ?? Presets.Tiny.Rows, group = Group ?? Presets.Tiny.Group, memories = Step ? BenchSession.List("--memories", Memories, 1, BenchVerb.MostSequences).Max() : 1;
        if (Step && Shape is null)
            return base.DemandOn(config);
        long tree = Completions is { } lengths ? rows + prompt + BenchSession.List("--completions", lengths, 1, BenchVerb.MostTokens).Sum() : Step ? rows + prompt + (long)group * length : 0;
        return new MemoryDemand
        {
            Sequences = Step ? group * memories : Completions is null ? BenchSession.List("--batch", Batches, 1, BenchVerb.MostSequences).Max() : 1,
            Positions = Math.Max(1, Step ? rows + prompt + length : Math.Max(prompt, length + 2 * window)), KeyValueBudget = Step ? 4L << 30 : long.MaxValue,
            TreeRows = (int)Math.Min(int.MaxValue, tree), TrainingRows = (int)Math.Min(int.MaxValue, tree * memories), ActivationMemory = ActivationMemory,
        };
    }

    /// <inheritdoc/>
    protected override int SideBySide => Step ? BenchSession.List("--memories", Memories, 1, BenchVerb.MostSequences).Max() : 1;

    [Option("retrieval", HelpText = "Measure the search for the nearest key among 1e3 to 1e6.")]
    public bool Retrieval { get; set; }

    [Option("keys", MetaValue = "N[,N...]", HelpText = "With --retrieval: other numbers of keys.")]
    public string? Keys { get; set; }

    [Option("tokenizer", MetaValue = "DIR[,DIR...]", HelpText = "Measure the tokenizers of these folders.")]
    public string? Tokenizer { get; set; }

    [Option("text", MetaValue = "FILE", HelpText = "With --tokenizer: the text (default: a generated mix).")]
    public string? Text { get; set; }
}

/// <summary><c>elmn bench</c>: tables of measurements on standard output, with what is needed to repeat them; progress on standard error.</summary>
internal static class BenchVerb
{
    internal const int MostTokens = 1 << 20, MostSequences = 4096, MostKeys = 10_000_000;

    public static int Run(BenchOptions options, CancellationToken cancellation)
    {
        Check(options);
        BenchSession session = new(options.Output ?? (options.Json ? BenchFormat.Json : BenchFormat.Md), options.Runs ?? (options.Step ? 3 : 5), cancellation);
        if (options.Tokenizer is { } folders)
        {
            new TokenizerSpeed(session).Run(folders.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries), options.Text);
            return 0;
        }
        using IBackend backend = options.OpenBackend();
        int threads = backend is CpuBackend cpu ? cpu.Threads : Environment.ProcessorCount;
        if (options.Kernels)
            new KernelSpeed(session, backend, threads).Run(options.Filter);
        else if (options.Retrieval)
            new RetrievalSpeed(session, backend, threads).Run(options.Keys is { } keys ? BenchSession.List("--keys", keys, 1, MostKeys) : RetrievalSpeed.Sizes);
        else if (options.Step)
            Steps(options, session, backend);
        else
            Model(options, session, backend, backend is CpuBackend ? threads : null);
        return 0;
    }

    private static void Steps(BenchOptions options, BenchSession session, IBackend backend)
    {
        int[] sizes = BenchSession.List("--memories", options.Memories, 1, MostSequences);
        if (options.Shape is not null)
        {
            using LanguageModel shaped = Load(options, backend);
            ShapeStepSpeed.Task task = new(options.Rows ?? Presets.Tiny.Rows, BenchSession.List("-p", options.Prompts, 1, MostTokens)[0], options.Group ?? Presets.Tiny.Group, BenchSession.List("-n", options.Lengths, 1, MostTokens)[0]);
            new ShapeStepSpeed(session, shaped, options.ActivationMemory).Run(task, sizes, backend.Description, Facts(options));
            return;
        }
        options.PlanFolder(backend);
        using LanguageModel model = LanguageModel.Load(options.ModelFolder, backend, ModelOptions.ProgressOn(backend));
        TrainingSettings settings = options.SettingsFor(model);
        if (settings.Steps < 1)
            throw new ElmException($"--steps is {settings.Steps}: it must be 1 or more to measure steps");
        new StepSpeed(session, new ModelPolicy(model), settings, options.ActivationMemory).Run(ProblemFile.Read(options.Data ?? Bundled.Stream, sizes.Max()), sizes, backend.Description, Facts(options));
    }

    private static void Model(BenchOptions options, BenchSession session, IBackend backend, int? threads)
    {
        int[] prompts = BenchSession.List("-p", options.Prompts, 0, MostTokens);
        int[] lengths = BenchSession.List("-n", options.Lengths, 0, MostTokens);
        int[] batches = BenchSession.List("--batch", options.Batches, 1, MostSequences);
        int[]? completions = options.Completions is { } text ? BenchSession.List("--completions", text, 1, MostTokens) : null;
        int rows = options.Rows ?? Presets.Tiny.Rows;
        if (rows < 1)
            throw new ElmException($"--rows is {rows}: it must be 1 or more");
        using LanguageModel model = Load(options, backend);
        if (completions is not null)
            new PassSpeed(session, model, options.ActivationMemory).Run(rows, prompts[0], completions, backend.Description, Facts(options));
        else
            new ModelSpeed(session, model, backend.DecodeWindow).Run(Facts(options), backend.Description, threads, prompts, lengths, batches);
    }

    private static LanguageModel Load(BenchOptions options, IBackend backend)
    {
        if (options.Shape is { } shape)
        {
            ModelConfig config = ModelShapes.Config(shape);
            options.Plan(backend, config);
            return LanguageModel.Random(config, backend, progress: ModelOptions.ProgressOn(backend));
        }
        options.PlanFolder(backend);
        return LanguageModel.LoadWithoutTokenizer(options.ModelFolder, backend, ModelOptions.ProgressOn(backend));
    }

    private static ModelFacts Facts(BenchOptions options) => options.Shape is { } shape
        ? ModelFacts.OfShape(shape)
        : ModelFacts.Of(options.Model is null ? "tiny-math" : new DirectoryInfo(options.Model).Name, options.ModelFolder);

    private static void Check(BenchOptions options)
    {
        string[] kinds =
        [
            .. options.Step ? ["--step"] : Array.Empty<string>(), .. options.Completions is not null ? ["--completions"] : Array.Empty<string>(),
            .. options.Kernels ? ["--kernels"] : Array.Empty<string>(), .. options.Retrieval ? ["--retrieval"] : Array.Empty<string>(),
            .. options.Tokenizer is not null ? ["--tokenizer"] : Array.Empty<string>(),
        ];
        if (kinds.Length > 1)
            throw new ElmException($"{string.Join(" and ", kinds)} are different measurements: give one at a time");
        Belongs(options.Filter, "--filter", options.Kernels, "--kernels");
        Belongs(options.Keys, "--keys", options.Retrieval, "--retrieval");
        Belongs(options.Text, "--text", options.Tokenizer is not null, "--tokenizer");
        Belongs(options.Data, "--data", options.Step, "--step");
        if (options.Shape is not null && options.Model is not null)
            throw new ElmException("--shape makes a model of random weights and --model names one: give one of them");
        if (options.Shape is not null && (options.Kernels || options.Retrieval || options.Tokenizer is not null || options.Data is not null))
            throw new ElmException("--shape goes with the model's speed, --step and --completions: leave it out, or the other");
        if (options.Runs is < 1 or > 1000)
            throw new ElmException($"-r is {options.Runs}: it must be between 1 and 1000");
    }

    private static void Belongs(string? value, string option, bool given, string kind)
    {
        if (value is not null && !given)
            throw new ElmException($"{option} goes with {kind}: give both, or leave it out");
    }
}
