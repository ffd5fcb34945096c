using System.Globalization;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Reports;
using Spectre.Console;

namespace ElmNative.Cli.Verbs;

[Verb("train", HelpText = "Make one memory of one problem.")]
internal sealed class TrainOptions : TrainingOptions
{
    [Value(0, MetaName = "PROBLEM", HelpText = "Text of the problem; - or nothing reads standard input.")]
    public string? Problem { get; set; }

    [Option("data", MetaValue = "FILE", HelpText = "Take the problem from a JSON Lines file instead.")]
    public string? Data { get; set; }

    [Option("index", MetaValue = "N", Default = 1, HelpText = "Which problem of the file, from 1.")]
    public int Index { get; set; }

    [Option("answer", MetaValue = "TEXT", HelpText = "The true answer, for --objective truth.")]
    public string? Answer { get; set; }

    [Option("out", Required = true, MetaValue = "FILE", HelpText = "The memory file to write (.safetensors).")]
    public string Out { get; set; } = "";
}

/// <summary><c>elmn train</c>: one problem to one memory file, with a row a step.</summary>
internal static class TrainVerb
{
    public static int Run(TrainOptions options, CancellationToken cancellation)
    {
        (Problem problem, int index) = Read(options);
        return options.With((model, _) =>
        {
            ModelPolicy policy = new(model);
            TrainingSettings settings = options.SettingsFor(model);
            MemoryTrainer trainer = new(policy, new AnswerChecker(new AnswerCheckerOptions(settings.Box)), settings) { ActivationMemory = options.ActivationMemory };
            int[] prompt = new PromptBuilder(policy, settings.RawPrompt).All([problem], settings.Rows, settings.MaxTokens)[0];
            if (!options.Json)
                Console.Out.WriteLine($"{"step",4} {"majority",10} {"ratio",6} {"reward",7} {"std",6} {"loss",10} {"kl",8} {"grad_norm",10} {"length",7} {"shift",7}");
            TrainedMemory trained = trainer.Train([new TrainingTask(index, problem, prompt)], step => Print(step, options.Json), cancellation)[0];
            MemoryFile.Write(options.Out, trained.Memory, model.Layers);
            Terminal.Note($"{options.Out}: a memory of {settings.Rows} rows after {trained.Memory.Provenance.Updates} updates (lr {trainer.Settings.LearningRate:g3})");
            return 0;
        });
    }

    private static (Problem, int) Read(TrainOptions options)
    {
        if (options.Data is { } file)
        {
            if (options.Problem is not null)
                throw new ElmException("the problem is given both as text and by --data: give one of them");
            IReadOnlyList<Problem> problems = ProblemFile.Read(file).Problems;
            if (options.Index < 1 || options.Index > problems.Count)
                throw new ElmException($"--index is {options.Index}, and {file} has problems 1 to {problems.Count}");
            return (problems[options.Index - 1], options.Index - 1);
        }
        string text = options.Problem is null or "-" ? Console.In.ReadToEnd().Trim() : options.Problem;
        if (text.Length == 0)
            throw new ElmException("the problem is empty: give its text, or a file with --data");
        return (new Problem(text, Answer: options.Answer), 0);
    }

    private static void Print(StepRecord step, bool json)
    {
        Console.Out.WriteLine(json
            ? System.Text.Json.JsonSerializer.Serialize(step, ExperienceJson.Lines.StepRecord)
            : $"{step.Step + 1,4} {step.Label ?? "none",10} {Number(step.MajorityRatio, "0.00"),6} {Number(step.Reward, "0.000"),7} {Number(step.RewardStd, "0.00"),6} "
                + $"{Number(step.Loss, "0.00e+00"),10} {Number(step.Kl, "0.0000"),8} {Number(step.GradNorm, "0.00e+00"),10} {Number(step.MeanLength, "0.0"),7} {Number(step.MemoryShift, "0.000"),7}");
    }

    private static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "-";
}
