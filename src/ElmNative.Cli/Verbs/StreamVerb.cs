using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Reports;
using ElmNative.Experience.Verification;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Verbs;

[Verb("stream", HelpText = "The online protocol: work through a stream of problems, make a memory of each, use it for later ones.")]
internal sealed class StreamOptions : TrainingOptions
{
    [Option("data", MetaValue = "FILE", HelpText = "Problems, a JSON object a line with problem and, optionally, id and answer (default: the bundled stream).")]
    public string? Data { get; set; }

    [Option("out", Required = true, MetaValue = "DIR", HelpText = "Folder of the run; a run that was cut off there goes on.")]
    public string Out { get; set; } = "";

    [Option("limit", MetaValue = "N", HelpText = "Take the first N problems.")]
    public int? Limit { get; set; }

    [Option("retrieval", MetaValue = "input|kv", Default = RetrievalKind.Input, HelpText = "Find memories by mean embeddings, or by pooled queries and keys layer by layer.")]
    public RetrievalKind Retrieval { get; set; }

    [Option("verifier", MetaValue = "KIND", Default = "likelihood",
        HelpText = "Settles a disagreement between the two answers: likelihood; prm:DIR, a process reward model; oracle, which looks at the truth (an upper bound); none takes the memory-aided answer.")]
    public string Verifier { get; set; } = "likelihood";

    [Option("prm-aggregate", MetaValue = "product|min|last|mean", Default = StepAggregation.Product, HelpText = "How the reward model's step scores become one.")]
    public StepAggregation PrmAggregate { get; set; }

    [Option("parallel", MetaValue = "N", Default = 1, HelpText = "Memories trained side by side. Changes no result.")]
    public int Parallel { get; set; }

    /// <inheritdoc/>
    protected override int SideBySide => Math.Max(1, Parallel);

    /// <inheritdoc/>
    protected override MemoryDemand DemandOn(ModelConfig config)
    {
        if (!Verifier.StartsWith(StreamVerb.PrmPrefix, StringComparison.Ordinal))
            return base.DemandOn(config);
        using Checkpoint other = Checkpoint.Open(Verifier[StreamVerb.PrmPrefix.Length..]);
        return base.DemandOn(config) with { OtherWeights = RandomCheckpoint.TensorsOf(other.Config).Sum(tensor => other.Get(tensor.Name, tensor.Shape).Bytes) };
    }

    [Option("overwrite", HelpText = "Start over where DIR holds a finished run (a cut-off one still goes on).")]
    public bool Overwrite { get; set; }
}

/// <summary><c>elmn stream</c>: the main job. Rows go by on standard error; the closing table, or JSON, is the result.</summary>
internal static class StreamVerb
{
    internal const string PrmPrefix = "prm:";

    public static int Run(StreamOptions options, CancellationToken cancellation)
    {
        string dataFile = options.Data ?? Bundled.Stream;
        ProblemSet data = ProblemFile.Read(dataFile, options.Limit);
        return options.With((model, backend) =>
        {
            TrainingSettings settings = options.SettingsFor(model);
            AnswerChecker checker = new(new AnswerCheckerOptions(settings.Box));
            ModelPolicy policy = new(model);
            using ProcessRewardModel? rewardModel = options.Verifier.StartsWith(PrmPrefix, StringComparison.Ordinal)
                ? ProcessRewardModel.Load(options.Verifier[PrmPrefix.Length..], backend, ModelOptions.ProgressOn(backend))
                : null;
            IVerifier? verifier = options.Verifier switch
            {
                _ when rewardModel is not null => new ProcessRewardVerifier(rewardModel, options.PrmAggregate),
                "likelihood" => new LikelihoodVerifier(policy),
                "oracle" => new OracleVerifier(checker),
                "none" => null,
                _ => throw new ElmException($"--verifier is '{options.Verifier}': it must be likelihood, prm:DIR, oracle or none"),
            };
            OnlineProtocol protocol = new(policy, checker, verifier, options.Retrieval, settings, options.ActivationMemory);
            if (options.Overwrite)
                FinishedRun.Delete(options.Out);
            RunEnvironment environment = new()
            {
                Model = options.ModelFolder, Data = dataFile, Program = $"elmn {ProgramVersion.Text}", Device = backend.Description,
                Parallel = options.Parallel, Threads = options.Threads,
            };
            Announce(options, protocol.SettingsFor(data), model, environment, data);
            Summary summary;
            using (StreamDisplay display = new(data.Problems.Count, protocol.SettingsFor(data).Training.Steps))
                summary = display.Follow(() => protocol.Run(options.Out, data, environment, display, cancellation));
            if (options.Json)
                Console.Out.WriteLine(System.Text.Json.JsonSerializer.Serialize(summary, ExperienceJson.Indented.Summary));
            else
                SummaryTable.Print(summary, Path.GetFileNameWithoutExtension(dataFile), verifier?.Name ?? "none");
            Terminal.Note($"everything is in {options.Out}: run.json, results.json, samples.jsonl, steps.jsonl, timings.jsonl, memories/");
            return 0;
        });
    }

    private static void Announce(StreamOptions options, RunSettings run, LanguageModel model, RunEnvironment environment, ProblemSet data)
    {
        TrainingSettings t = run.Training;
        Terminal.Note($"{environment.Program} on {environment.Device}; model {environment.Model} ({model.ModelType}, {model.Layers} layers, hidden {model.HiddenSize})");
        Terminal.Note(FormattableString.Invariant($"{data.Problems.Count} problems of {environment.Data}; preset {options.PresetFor(model)}: {t.Steps} steps of {t.Group} rollouts, ")
            + FormattableString.Invariant($"lr {t.LearningRate:g3}, beta {t.Beta:g3}, temperature {t.Temperature:g3}, at most {t.MaxTokens} tokens, seed {t.Seed}; ")
            + $"objective {t.Objective.ToString().ToLowerInvariant()}, retrieval {run.Retrieval.ToString().ToLowerInvariant()}, verifier {run.Verifier}, {options.Parallel} side by side");
    }
}
