using System.Text.Json;
using ElmNative.Compute.Cpu;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Reports;
using ElmNative.Experience.Tests.Support;
using ElmNative.Experience.Verification;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Tests.Bundled;

/// <summary>
/// The method on the bundled model, on few problems: what an independent implementation measured, and that no way of running changes a bit.
/// </summary>
[TestClass]
public sealed class BundledModelTests
{
    private static readonly string Stream = Path.Combine(Path.GetDirectoryName(Repository.TinyMath)!, "stream.jsonl");

    [TestMethod]
    public void Plain_greedy_answers_are_right_as_often_as_the_independent_implementation_found()
    {
        using CpuBackend backend = new(0);
        using LanguageModel model = LanguageModel.Load(Repository.TinyMath, backend);
        ModelPolicy policy = new(model);
        AnswerChecker checker = new();
        IReadOnlyList<Problem> problems = ProblemFile.Read(Stream, 100).Problems;
        int[][] prompts = new PromptBuilder(policy).All(problems, 20, 120);
        Completion[][] completions = policy.Generate(
            [.. prompts.Select((ids, t) => new GenerationRequest([], ids, 1, 120, SamplingSettings.Greedy, new RandomKey(0, (uint)t, 0)))], default);
        int correct = problems.Select((problem, t) =>
            checker.Extract(Responses.Text(policy, completions[t][0])) is { } answer && checker.Same(answer, problem.Answer!)).Count(right => right);
        Assert.IsInRange(46, 48, correct);
    }

    [TestMethod]
    [DataRow(Objective.Vote, 0.0)]
    [DataRow(Objective.Vote, 0.01)]
    [DataRow(Objective.Sft, 0.0)]
    public void Window_size_and_threads_change_no_byte(Objective objective, double beta)
    {
        using TestFolder folder = new();
        TrainingSettings settings = new() { Steps = 2, Group = 4, Objective = objective, Beta = beta, MaxTokens = 80 };
        Run(folder.In("a"), settings, parallel: 1, threads: 1, limit: 4);
        Run(folder.In("b"), settings, parallel: 4, threads: 2, limit: 4);
        foreach (string file in Directory.EnumerateFiles(folder.In("a"), "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(folder.In("a"), f)))
            if (file is not ("run.json" or "timings.jsonl"))
                CollectionAssert.AreEqual(File.ReadAllBytes(folder.In("a", file)), File.ReadAllBytes(folder.In("b", file)), file);
        Assert.HasCount(4, Directory.GetFiles(folder.In("b", "memories")));
    }

    [TestMethod]
    public void Training_raises_agreement_and_the_sampler_reports_what_the_trainer_recomputes()
    {
        using CpuBackend backend = new(0);
        using LanguageModel model = LanguageModel.Load(Repository.TinyMath, backend);
        ModelPolicy policy = new(model);
        TrainingSettings settings = Presets.Tiny;
        IReadOnlyList<Problem> problems = ProblemFile.Read(Stream, 8).Problems;
        int[][] prompts = new PromptBuilder(policy).All(problems, settings.Rows, settings.MaxTokens);
        IReadOnlyList<TrainedMemory> trained = new MemoryTrainer(policy, new AnswerChecker(), settings)
            .Train([.. problems.Select((problem, t) => new TrainingTask(t, problem, prompts[t]))]);
        Assert.AreEqual(0.02, JsonSerializer.Deserialize(trained[0].Memory.Provenance.Settings, ExperienceJson.Lines.TrainingSettings)!.LearningRate);
        double first = trained.Average(t => t.Steps[0].MajorityRatio!.Value), last = trained.Average(t => t.Steps[^1].MajorityRatio!.Value);
        Assert.IsGreaterThan(first + 0.15, last);
        StepRecord[] updated = [.. trained.SelectMany(t => t.Steps).Where(s => s.GradNorm is not null)];
        Assert.IsGreaterThan(10, updated.Length);
        Assert.AreEqual(0.0, updated.Max(s => s.LogprobDifferenceMax));
    }

    [TestMethod]
    public void Untrained_memories_do_not_help()
    {
        using TestFolder folder = new();
        Summary summary = Run(folder.In("run"), Presets.Tiny with { Steps = 0 }, parallel: 16, threads: 0, limit: 30);
        Assert.IsLessThanOrEqualTo(summary["plain"]!.Correct, summary["memory"]!.Correct);
    }

    private static Summary Run(string path, TrainingSettings settings, int parallel, int threads, int limit)
    {
        using CpuBackend backend = new(threads);
        using LanguageModel model = LanguageModel.Load(Repository.TinyMath, backend);
        ModelPolicy policy = new(model);
        OnlineProtocol protocol = new(policy, new AnswerChecker(), new LikelihoodVerifier(policy), RetrievalKind.Input, settings);
        return protocol.Run(path, ProblemFile.Read(Stream, limit),
            new RunEnvironment { Model = "tiny-math", Data = "stream", Program = "test", Device = backend.Description, Parallel = parallel, Threads = threads });
    }
}
