using System.Diagnostics;
using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Reports;
using ElmNative.Experience.Verification;
using ElmNative.Transformers.Generation;

namespace ElmNative.Experience.Protocols;

/// <summary>
/// The online protocol over a stream of problems: retrieve a memory, answer greedily without and with it, route, then make this problem's
/// own memory and store it. Problem t sees memories of problems before t only. No true answer is used except for reports, and by an
/// objective or verifier that says so.
/// <para>
/// A memory depends on its own problem alone, so a window of problems is worked side by side: plain answers in one batch, memories in one
/// batch, then the memory-aided answers, where problem t of the window retrieves among the memories made before t. The records are the same
/// to the byte for every window size.
/// </para>
/// </summary>
public sealed class OnlineProtocol
{
    private readonly IPolicy policy;
    private readonly IAnswerChecker checker;
    private readonly IVerifier? verifier;
    private readonly RetrievalKind retrieval;
    private readonly MemoryTrainer trainer;

    /// <summary>A protocol for a model.</summary>
    /// <param name="policy">the model</param>
    /// <param name="checker">finds and compares answers</param>
    /// <param name="verifier">settles disagreements; null to trust the memory wherever there is one</param>
    /// <param name="retrieval">how memories are found</param>
    /// <param name="training">how they are made</param>
    /// <param name="activationMemory">see <see cref="MemoryTrainer.ActivationMemory"/></param>
    /// <exception cref="ElmException">a setting is out of its range</exception>
    public OnlineProtocol(IPolicy policy, IAnswerChecker checker, IVerifier? verifier, RetrievalKind retrieval, TrainingSettings training,
        long activationMemory = ActivationBudget.Default)
    {
        this.policy = policy;
        this.checker = checker;
        this.verifier = verifier;
        this.retrieval = retrieval;
        trainer = new MemoryTrainer(policy, checker, training) { ActivationMemory = activationMemory };
    }

    /// <summary>What can change a result of a run over a set of problems.</summary>
    public RunSettings SettingsFor(ProblemSet data) => new()
    {
        ModelFingerprint = policy.Fingerprint,
        Activations = policy.ActivationType.ToString().ToLowerInvariant(),
        DataHash = data.Hash,
        Limit = data.Problems.Count,
        Retrieval = retrieval,
        Verifier = verifier?.Name ?? "none",
        Training = trainer.Settings,
    };

    /// <summary>Runs a stream in a folder, or goes on where an earlier run in it stopped; a finished run only reports.</summary>
    /// <param name="path">the run's folder</param>
    /// <param name="data">the problems</param>
    /// <param name="environment">recorded in run.json; its <see cref="RunEnvironment.Parallel"/> is the window size</param>
    /// <param name="observer">follows the run; may be null</param>
    /// <param name="cancellation">honoured between decode steps; what is committed stays and is gone on from</param>
    /// <exception cref="ElmException">anything that a user can act on</exception>
    /// <exception cref="OperationCanceledException">cancelled</exception>
    public Summary Run(string path, ProblemSet data, RunEnvironment environment, IRunObserver? observer = null, CancellationToken cancellation = default)
    {
        if (environment.Parallel < 1)
            throw new ElmException($"--parallel is {environment.Parallel}: it must be 1 or more");
        RequireTruth(data.Problems);
        TrainingSettings settings = trainer.Settings;
        int[][] prompts = new PromptBuilder(policy, settings.RawPrompt).All(data.Problems, settings.Rows, settings.MaxTokens);

        using RunFolder folder = RunFolder.Open(path, policy, SettingsFor(data), environment);
        observer?.Started(data.Problems.Count, folder.Samples.Count, folder.Discarded);
        Action<int>? before = policy.TokensGenerated;
        long tokens = 0;
        policy.TokensGenerated = count =>
        {
            tokens += count;
            observer?.TokensGenerated(count);
            before?.Invoke(count);
        };
        try
        {
            for (int first = folder.Samples.Count; first < data.Problems.Count; first = folder.Samples.Count)
            {
                int count = Math.Min(environment.Parallel, data.Problems.Count - first);
                tokens = 0;
                TimingRecord timing = Window([.. Enumerable.Range(first, count).Select(t => new TrainingTask(t, data.Problems[t], prompts[t]))],
                    folder, observer, cancellation);
                folder.Time(timing with { Tokens = tokens });
            }
        }
        finally
        {
            policy.TokensGenerated = before;
        }
        string settledBy = verifier is { NeedsTruth: true } ? $"{verifier.Name} (upper bound)" : verifier?.Name ?? "none";
        Summary summary = Summary.Of(folder.Samples) with { Verifier = settledBy };
        folder.Finish(summary);
        folder.Time(new TimingRecord { Event = "finished", Time = DateTime.UtcNow, Count = folder.Samples.Count });
        return summary;
    }

    private TimingRecord Window(TrainingTask[] tasks, RunFolder folder, IRunObserver? observer, CancellationToken cancellation)
    {
        int first = tasks[0].Index;
        Stopwatch watch = Stopwatch.StartNew();
        observer?.PhaseStarted(RunPhase.Plain, first, tasks.Length);
        Response[] plain = Answer([.. tasks.Select(task => (task, Array.Empty<float>()))], cancellation);
        double plainSeconds = watch.Elapsed.TotalSeconds;

        watch.Restart();
        observer?.PhaseStarted(RunPhase.Training, first, tasks.Length);
        IReadOnlyList<TrainedMemory> trained = trainer.Train(tasks, observer is null ? null : observer.StepDone, cancellation);
        double trainingSeconds = watch.Elapsed.TotalSeconds;

        watch.Restart();
        observer?.PhaseStarted(RunPhase.Memory, first, tasks.Length);
        List<Memory> memories = [.. folder.Store.Memories, .. trained.Select(t => t.Memory)];
        Match?[] matches = Retrieve(tasks, memories);
        Response?[] aided = AnswerWithMemory(tasks, memories, matches, cancellation);
        Decision[] decisions = new Router(checker, verifier).Decide(
            [.. tasks.Select((task, i) => new RoutingCase(task.Problem, task.PromptIds, plain[i], aided[i]))]);
        double memorySeconds = watch.Elapsed.TotalSeconds;

        for (int i = 0; i < tasks.Length; i++)
        {
            SampleRecord sample = Record(tasks[i], plain[i], aided[i], matches[i], decisions[i], trained[i], folder.Samples);
            folder.Commit(trained[i], sample);
            observer?.ProblemDone(sample, Summary.Of(folder.Samples));
        }
        return new TimingRecord
        {
            Event = "window", Time = DateTime.UtcNow, First = first, Count = tasks.Length,
            PlainSeconds = plainSeconds, TrainingSeconds = trainingSeconds, MemorySeconds = memorySeconds,
        };
    }

    private Match?[] Retrieve(TrainingTask[] tasks, List<Memory> memories)
    {
        float[][] queries = Retrieval.Queries(policy, retrieval, [.. tasks.Select(task => task.Problem.Text)]);
        int terms = retrieval == RetrievalKind.Kv ? policy.Layers : 1;
        return [.. tasks.Select((task, i) => Retrieval.Nearest(memories, retrieval, queries[i], terms, limit: task.Index))];
    }

    private Response?[] AnswerWithMemory(TrainingTask[] tasks, List<Memory> memories, Match?[] matches, CancellationToken cancellation)
    {
        int[] retrieved = [.. Enumerable.Range(0, tasks.Length).Where(i => matches[i] is not null)];
        Response[] responses = Answer([.. retrieved.Select(i => (tasks[i], memories[matches[i]!.Value.Index].Rows))], cancellation);
        Response?[] aided = new Response?[tasks.Length];
        for (int i = 0; i < retrieved.Length; i++)
            aided[retrieved[i]] = responses[i];
        return aided;
    }

    private Response[] Answer((TrainingTask Task, float[] Rows)[] questions, CancellationToken cancellation)
    {
        if (questions.Length == 0)
            return [];
        TrainingSettings settings = trainer.Settings;
        Completion[][] completions = policy.Generate(
            [.. questions.Select(q => new GenerationRequest(q.Rows, q.Task.PromptIds, 1, settings.MaxTokens, SamplingSettings.Greedy,
                new RandomKey(settings.Seed, (uint)q.Task.Index, 0)))], cancellation);
        return Array.ConvertAll(completions, c =>
        {
            string text = Responses.Text(policy, c[0]);
            return new Response(c[0], text, checker.Extract(text));
        });
    }

    private SampleRecord Record(TrainingTask task, Response plain, Response? aided, Match? match, Decision decision, TrainedMemory trained,
        IReadOnlyList<SampleRecord> earlier)
    {
        Problem problem = task.Problem;
        string? label = trained.Memory.Provenance.Label;
        return new SampleRecord
        {
            Index = task.Index,
            Id = problem.Id,
            Problem = problem.Text,
            Answer = problem.Answer,
            Family = problem.Family,
            Plain = new ResponseRecord
            {
                Response = plain.Text, Answer = plain.Answer, Correct = Correct(plain.Answer, problem), Tokens = plain.Completion.Tokens.Length,
            },
            Memory = aided is null ? null : new MemoryResponseRecord
            {
                Index = match!.Value.Index, Similarity = match.Value.Similarity,
                SameFamily = problem.Family is null ? null : earlier[match.Value.Index].Family == problem.Family,
                Response = aided.Text, Answer = aided.Answer, Correct = Correct(aided.Answer, problem), Tokens = aided.Completion.Tokens.Length,
            },
            Verifier = decision.PlainScore is null && decision.MemoryScore is null ? null
                : new VerifierRecord(decision.PlainScore, decision.MemoryScore),
            Route = decision.Route,
            RoutedAnswer = decision.Answer,
            Correct = Correct(decision.Answer, problem),
            OwnMemory = new OwnMemoryRecord
            {
                Label = label,
                LabelCorrect = label is null ? null : Correct(label, problem),
                MajorityRatio = trained.Memory.Provenance.MajorityRatio,
                MeanMajorityRatio = trained.Steps.Any(s => s.MajorityRatio is not null) ? trained.Steps.Average(s => s.MajorityRatio) : null,
                Updates = trained.Memory.Provenance.Updates,
            },
        };
    }

    private bool? Correct(string? answer, Problem problem) =>
        problem.Answer is null ? null : answer is not null && checker.Same(answer, problem.Answer);

    private void RequireTruth(IReadOnlyList<Problem> problems)
    {
        string? needs = verifier is { NeedsTruth: true } ? $"--verifier {verifier.Name}"
            : trainer.Settings.Objective == Objective.Truth ? "--objective truth" : null;
        int missing = needs is null ? -1 : problems.ToList().FindIndex(problem => problem.Answer is null);
        if (missing >= 0)
            throw new ElmException($"{needs} needs the true answer of every problem, and problem {missing + 1} has none");
    }
}
