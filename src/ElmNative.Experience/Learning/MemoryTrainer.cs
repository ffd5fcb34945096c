using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Reports;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Learning;

/// <summary>A problem to make a memory of.</summary>
/// <param name="Index">its place in the stream, from 0; names its random numbers</param>
/// <param name="Problem">the problem</param>
/// <param name="PromptIds">its prompt</param>
public sealed record TrainingTask(int Index, Problem Problem, int[] PromptIds);

/// <summary>A finished memory and what was logged on the way.</summary>
public sealed record TrainedMemory(Memory Memory, IReadOnlyList<StepRecord> Steps);

/// <summary>
/// Trains memories of several problems side by side, in lock-step: each step samples the rollouts of all of them in one batch, and sends
/// those with a reward spread through one packed forward and backward pass. A memory's values depend on its own problem and the settings
/// only, so the result is the same to the bit whatever was trained beside it.
/// </summary>
public sealed class MemoryTrainer
{
    private readonly IPolicy policy;
    private readonly IAnswerChecker checker;

    /// <summary>A trainer for a model.</summary>
    /// <exception cref="ElmException">a setting is out of its range</exception>
    public MemoryTrainer(IPolicy policy, IAnswerChecker checker, TrainingSettings settings)
    {
        this.policy = policy;
        this.checker = checker;
        Settings = settings.Resolve(policy);
    }

    /// <summary>The settings, with the step size made explicit.</summary>
    public TrainingSettings Settings { get; }

    /// <summary>
    /// Bytes that the activations of a backward pass may take. Groups that do not fit together run one after another; a group that does not fit alone is recomputed
    /// layer by layer. Changes no result.
    /// </summary>
    public long ActivationMemory { get; init; } = ActivationBudget.Default;

    /// <summary>Makes a memory of each problem.</summary>
    /// <param name="tasks">the problems</param>
    /// <param name="stepDone">called for every step of every memory, in the order of the tasks within a step</param>
    /// <param name="cancellation">honoured between decode steps</param>
    /// <exception cref="ElmException">
    /// the truth objective and a problem without an answer; a gradient that is not finite; a prompt that does not fit the context
    /// </exception>
    public IReadOnlyList<TrainedMemory> Train(IReadOnlyList<TrainingTask> tasks, Action<StepRecord>? stepDone = null,
        CancellationToken cancellation = default)
    {
        if (Settings.Objective == Objective.Truth && tasks.FirstOrDefault(task => task.Problem.Answer is null) is { } unlabelled)
            throw new ElmException($"problem {unlabelled.Index + 1} has no answer, and the truth objective needs one: "
                + "give it one, or take --objective vote");
        Trainee[] trainees = [.. tasks.Select(task => new Trainee(task,
            MemoryInitialiser.Start(policy, task.Problem.Text, Settings.Rows, Settings.Initialisation), Settings))];
        if (Settings.Objective == Objective.Sft && Settings.Steps > 0)
            AnswerGreedily(trainees, cancellation);
        for (int step = 0; step < Settings.Steps; step++)
        {
            if (Settings.Objective == Objective.Sft)
                SupervisedStep(trainees, step);
            else
                PolicyStep(trainees, step, cancellation);
            foreach (Trainee trainee in trainees)
                stepDone?.Invoke(trainee.Steps[^1]);
            cancellation.ThrowIfCancellationRequested();
        }
        return Finish(trainees);
    }

    private void PolicyStep(Trainee[] trainees, int step, CancellationToken cancellation)
    {
        SamplingSettings sampling = new((float)Settings.Temperature);
        Completion[][] completions = policy.Generate(
            [.. trainees.Select(t => new GenerationRequest(t.Rows, t.Task.PromptIds, Settings.Group, Settings.MaxTokens, sampling,
                new RandomKey(Settings.Seed, (uint)t.Task.Index, (uint)step)))], cancellation);
        List<(Trainee Trainee, Rollouts Rollouts)> active = [];
        Rollouts[] groups = new Rollouts[trainees.Length];
        for (int i = 0; i < trainees.Length; i++)
        {
            groups[i] = Judge(trainees[i], completions[i]);
            if (groups[i].Advantages.Any(advantage => advantage != 0))
                active.Add((trainees[i], groups[i]));
            else
                trainees[i].Steps.Add(Record(trainees[i], step, groups[i]));
        }
        PackedTree[] trees = [.. active.Select(a => new PackedTree(a.Trainee.Rows, a.Trainee.Task.PromptIds, a.Rollouts.Tokens))];
        foreach (Range range in ActivationBudget.Split(trees, policy, ActivationMemory))
            PolicyUpdate(active.GetRange(range.Start.Value, range.End.Value - range.Start.Value), trees[range], step);
    }

    private void PolicyUpdate(List<(Trainee Trainee, Rollouts Rollouts)> active, PackedTree[] trees, int step)
    {
        float[][][]? reference = null;
        if (Settings.Beta > 0)
        {
            using IPolicyPass basePass = policy.Forward([.. trees.Select(tree => tree with { SoftPrompt = [] })],
                (float)Settings.Temperature, keepForBackward: false);
            reference = basePass.LogProbs;
        }
        PolicyLoss loss = new(Settings.MaxTokens, Settings.Beta, Settings.ClipRange);
        using IPolicyPass pass = policy.Forward(trees, (float)Settings.Temperature, keepForBackward: true, ActivationMemory);
        PolicyLossResult[] losses = [.. active.Select((a, i) => loss.Compute(pass.LogProbs[i], null, reference?[i], a.Rollouts.Advantages))];
        float[][] gradients = pass.Backward([.. losses.Select(l => l.DLogProbs)]);
        for (int i = 0; i < active.Count; i++)
        {
            (Trainee trainee, Rollouts rollouts) = active[i];
            double norm = trainee.Update(gradients[i], step);
            trainee.Steps.Add(Record(trainee, step, rollouts) with
            {
                Loss = losses[i].Loss,
                Kl = losses[i].Kl,
                Entropy = TokenMean(pass.Entropies[i]),
                GradNorm = norm,
                ClipRatio = losses[i].ClipFraction,
                LogprobDifferenceMax = LargestDifference(rollouts.Completions, pass.LogProbs[i]),
            });
        }
    }

    private Rollouts Judge(Trainee trainee, Completion[] completions)
    {
        string?[] answers = [.. completions.Select(c => checker.Extract(Responses.Text(policy, c)))];
        VoteResult vote = MajorityVote.Count(answers, checker, Settings.VoteRule);
        string? label = Settings.Objective == Objective.Truth ? trainee.Task.Problem.Answer : vote.Label;
        double[] rewards = [.. answers.Select(answer => Reward(answer, label))];
        trainee.Vote = vote;
        return new Rollouts(completions, vote, rewards, Advantages.Of(rewards, Settings.ScaleByStd));
    }

    /// <summary>
    /// 1 for the label, 0 for another answer or none. An empty label can only come of the exact-string vote, where no answer is an answer.
    /// </summary>
    private double Reward(string? answer, string? label) => label switch
    {
        null => 0,
        "" => string.IsNullOrEmpty(answer) ? 1 : 0,
        _ => answer is not null && checker.Same(answer, label) ? 1 : 0,
    };

    private void AnswerGreedily(Trainee[] trainees, CancellationToken cancellation)
    {
        Completion[][] completions = policy.Generate(
            [.. trainees.Select(t => new GenerationRequest([], t.Task.PromptIds, 1, Settings.MaxTokens, SamplingSettings.Greedy,
                new RandomKey(Settings.Seed, (uint)t.Task.Index, 0)))], cancellation);
        for (int i = 0; i < trainees.Length; i++)
        {
            trainees[i].Target = completions[i][0];
            trainees[i].TargetAnswer = checker.Extract(Responses.Text(policy, completions[i][0]));
        }
    }

    private void SupervisedStep(Trainee[] trainees, int step)
    {
        PackedTree[] trees = [.. trainees.Select(t => new PackedTree(t.Rows, t.Task.PromptIds, [t.Target!.Tokens]))];
        foreach (Range range in ActivationBudget.Split(trees, policy, ActivationMemory))
            SupervisedUpdate(trainees[range], trees[range], step);
    }

    private void SupervisedUpdate(Trainee[] trainees, PackedTree[] trees, int step)
    {
        using IPolicyPass pass = policy.Forward(trees, temperature: 1, keepForBackward: true, ActivationMemory);
        (double Loss, float[] DLogProbs)[] losses = [.. pass.LogProbs.Select(tree => SftLoss.Compute(tree[0]))];
        float[][] gradients = pass.Backward([.. losses.Select(l => new[] { l.DLogProbs })]);
        for (int i = 0; i < trainees.Length; i++)
        {
            double norm = trainees[i].Update(gradients[i], step);
            trainees[i].Steps.Add(new StepRecord
            {
                Problem = trainees[i].Task.Index,
                Step = step,
                Label = trainees[i].TargetAnswer,
                MeanLength = trainees[i].Target!.Tokens.Length,
                ClippedRatio = trainees[i].Target!.Ended ? 0 : 1,
                Loss = losses[i].Loss,
                Entropy = TokenMean(pass.Entropies[i]),
                GradNorm = norm,
                MemoryShift = trainees[i].Shift,
            });
        }
    }

    private static StepRecord Record(Trainee trainee, int step, Rollouts rollouts) => new()
    {
        Problem = trainee.Task.Index,
        Step = step,
        Reward = Advantages.Mean(rollouts.Rewards),
        RewardStd = Advantages.StandardDeviation(rollouts.Rewards),
        FracRewardZeroStd = rollouts.Advantages.Any(advantage => advantage != 0) ? 0 : 1,
        MajorityRatio = rollouts.Vote.Ratio,
        Label = rollouts.Vote.Label,
        MeanLength = rollouts.Completions.Average(c => (double)c.Tokens.Length),
        ClippedRatio = rollouts.Completions.Average(c => c.Ended ? 0.0 : 1.0),
        MemoryShift = trainee.Shift,
    };

    private static double TokenMean(float[][] values)
    {
        double sum = 0;
        long count = 0;
        foreach (float[] completion in values)
        {
            foreach (float value in completion)
                sum += value;
            count += completion.Length;
        }
        return count == 0 ? 0 : sum / count;
    }

    private static double LargestDifference(Completion[] completions, float[][] logProbs)
    {
        double largest = 0;
        for (int i = 0; i < completions.Length; i++)
            for (int t = 0; t < logProbs[i].Length; t++)
                largest = Math.Max(largest, Math.Abs((double)completions[i].LogProbs[t] - logProbs[i][t]));
        return largest;
    }

    private IReadOnlyList<TrainedMemory> Finish(Trainee[] trainees)
    {
        string settings = JsonSerializer.Serialize(Settings, ExperienceJson.Lines.TrainingSettings);
        return [.. trainees.Select(t => new TrainedMemory(
            new Memory(t.Rows, Retrieval.Mean(t.Rows.AsSpan(t.SpecialRows * policy.HiddenSize), policy.HiddenSize),
                policy.PoolKeys([t.Rows], t.SpecialRows)[0],
                new Provenance(t.Task.Problem.Text, t.Task.Problem.Id, t.Task.Index, t.Vote?.Label ?? t.TargetAnswer, t.Vote?.Ratio, t.Updates,
                    Settings.Seed, policy.Fingerprint, policy.ModelType, settings)),
            t.Steps))];
    }

    private sealed record Rollouts(Completion[] Completions, VoteResult Vote, double[] Rewards, double[] Advantages)
    {
        public int[][] Tokens { get; } = [.. Completions.Select(c => c.Tokens)];
    }

    private sealed class Trainee
    {
        private readonly float[] initial;
        private readonly AdamW optimiser;

        public Trainee(TrainingTask task, Initialisation start, TrainingSettings settings)
        {
            Task = task;
            Rows = start.Rows;
            SpecialRows = start.SpecialRows;
            initial = [.. start.Rows];
            optimiser = new AdamW(Rows.Length, new AdamWSettings((float)settings.LearningRate!.Value, WeightDecay: (float)settings.WeightDecay,
                MaxGradNorm: (float)settings.MaxGradNorm));
        }

        public TrainingTask Task { get; }
        public float[] Rows { get; }
        public int SpecialRows { get; }
        public List<StepRecord> Steps { get; } = [];
        public VoteResult? Vote { get; set; }
        public Completion? Target { get; set; }
        public string? TargetAnswer { get; set; }
        public int Updates { get; private set; }

        /// <summary>|M - M0| / |M0|.</summary>
        public double Shift
        {
            get
            {
                double moved = 0, origin = 0;
                for (int i = 0; i < Rows.Length; i++)
                {
                    double difference = (double)Rows[i] - initial[i];
                    moved += difference * difference;
                    origin += (double)initial[i] * initial[i];
                }
                return origin > 0 ? Math.Sqrt(moved / origin) : 0;
            }
        }

        public double Update(float[] gradient, int step)
        {
            double norm = optimiser.Step(Rows, gradient);
            if (!double.IsFinite(norm))
                throw new ElmException($"the gradient of problem {Task.Index + 1} is not finite at training step {step + 1}: "
                    + "the model's weights or --lr are not usable");
            Updates++;
            return norm;
        }
    }
}
