using System.Text.Json;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Verification;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Verbs;

[Verb("score", HelpText = "Score responses step by step with a process reward model.")]
internal sealed class ScoreOptions
{
    [Option("model", Required = true, MetaValue = "PRM", HelpText = "Hugging Face folder of the reward model.")]
    public string Model { get; set; } = "";

    [Option("data", Required = true, MetaValue = "FILE", HelpText = "A JSON object a line with problem and response.")]
    public string Data { get; set; } = "";

    [Option("aggregate", MetaValue = "product|min|last|mean", Default = StepAggregation.Product, HelpText = "How step scores become one.")]
    public StepAggregation Aggregate { get; set; }

    [Option("device", MetaValue = "cpu|cuda[:N]", Default = "cpu", HelpText = DeviceChoice.Help)]
    public string Device { get; set; } = "cpu";

    [Option("threads", MetaValue = "N", Default = 0, HelpText = "CPU threads; 0 takes all cores. Changes no result.")]
    public int Threads { get; set; }

    [Option("json", HelpText = "Print JSON lines.")]
    public bool Json { get; set; }
}

/// <summary><c>elmn score</c>: a line a response, the scores of its steps and their aggregate.</summary>
internal static class ScoreVerb
{
    private const int Batch = 64;

    /// <summary>Tokens of a problem with its response that the plan of a device's memory allows for.</summary>
    private const int LongestResponse = 2048;

    public static int Run(ScoreOptions options)
    {
        IReadOnlyList<ResponseLine> lines = ResponseFile.Read(options.Data);
        using IBackend backend = DeviceChoice.Open(options.Device, options.Threads);
        using (Checkpoint checkpoint = Checkpoint.Open(options.Model))
            ModelOptions.Plan(backend, checkpoint.Config, new MemoryDemand { Sequences = Batch, Positions = Math.Min(checkpoint.Config.MaxPositions, LongestResponse) });
        using ProcessRewardModel model = ProcessRewardModel.Load(options.Model, backend, ModelOptions.ProgressOn(backend));
        if (!options.Json)
            Console.Out.WriteLine($"{"#",5} {options.Aggregate.ToString().ToLowerInvariant(),9}  steps");
        for (int start = 0; start < lines.Count; start += Batch)
        {
            ResponseLine[] some = [.. lines.Skip(start).Take(Batch)];
            double[][] scores = model.Score([.. some.Select(line => (line.Problem, line.Response))]);
            for (int i = 0; i < some.Length; i++)
            {
                double aggregate = ProcessRewardVerifier.Aggregate(scores[i], options.Aggregate);
                Console.Out.WriteLine(options.Json
                    ? JsonSerializer.Serialize(new ScoredResponse(start + i, aggregate, scores[i]), CliJson.Default.ScoredResponse)
                    : FormattableString.Invariant($"{start + i + 1,5} {aggregate,9:0.000000}  ") + string.Join(' ', scores[i].Select(s => FormattableString.Invariant($"{s:0.0000}"))));
            }
        }
        return 0;
    }
}
