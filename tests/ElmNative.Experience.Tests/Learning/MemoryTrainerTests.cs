using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Tests.Support;

namespace ElmNative.Experience.Tests.Learning;

[TestClass]
public sealed class MemoryTrainerTests
{
    private static readonly TrainingSettings Settings = new() { Steps = 6, Group = 4, LearningRate = 0.01, Seed = 3 };

    [TestMethod]
    [DataRow(Objective.Vote, 0.0)]
    [DataRow(Objective.Vote, 0.01)]
    [DataRow(Objective.Truth, 0.0)]
    [DataRow(Objective.Sft, 0.0)]
    public void Neighbours_change_no_bit(Objective objective, double beta)
    {
        TrainingSettings settings = Settings with { Objective = objective, Beta = beta };
        TrainingTask[] tasks = Tasks(7);
        IReadOnlyList<TrainedMemory> together = Trainer(new FakePolicy(), settings).Train(tasks);
        for (int i = 0; i < tasks.Length; i++)
        {
            TrainedMemory alone = Trainer(new FakePolicy(), settings).Train([tasks[i]])[0];
            CollectionAssert.AreEqual(alone.Memory.Rows, together[i].Memory.Rows);
            CollectionAssert.AreEqual(alone.Memory.InputKey, together[i].Memory.InputKey);
            CollectionAssert.AreEqual(alone.Memory.KvKey, together[i].Memory.KvKey);
            Assert.AreEqual(alone.Memory.Provenance, together[i].Memory.Provenance);
            CollectionAssert.AreEqual(alone.Steps.ToArray(), together[i].Steps.ToArray());
        }
    }

    [TestMethod]
    [DataRow(Objective.Vote)]
    [DataRow(Objective.Sft)]
    public void Memories_that_do_not_fit_together_train_one_after_another_to_the_same_bits(Objective objective)
    {
        TrainingSettings settings = Settings with { Objective = objective, Beta = objective == Objective.Vote ? 0.01 : 0 };
        FakePolicy policy = new();
        IReadOnlyList<TrainedMemory> together = Trainer(new FakePolicy(), settings).Train(Tasks(7));
        IReadOnlyList<TrainedMemory> apart = new MemoryTrainer(policy, new AnswerChecker(), settings) { ActivationMemory = 20_000 }.Train(Tasks(7));
        Assert.IsGreaterThan(6, policy.TrainingPasses.Count);
        Assert.IsLessThan(7, policy.TrainingPasses.Max());
        for (int i = 0; i < 7; i++)
            CollectionAssert.AreEqual(together[i].Memory.Rows, apart[i].Memory.Rows);
    }

    [TestMethod]
    public void Seed_problem_and_step_name_the_random_numbers()
    {
        float[] Rows(ulong seed, int index) =>
            Trainer(new FakePolicy(), Settings with { Seed = seed }).Train([Tasks(1)[0] with { Index = index }])[0].Memory.Rows;
        CollectionAssert.AreEqual(Rows(3, 0), Rows(3, 0));
        CollectionAssert.AreNotEqual(Rows(3, 0), Rows(4, 0));
        CollectionAssert.AreNotEqual(Rows(3, 0), Rows(3, 1));
    }

    [TestMethod]
    public void Groups_without_reward_spread_are_logged_and_cost_no_pass()
    {
        FakePolicy policy = new() { FixedAnswer = "7" };
        TrainedMemory trained = Trainer(policy, Settings with { Beta = 0.1 }).Train(Tasks(1))[0];
        Assert.IsEmpty(policy.TrainingPasses);
        Assert.IsEmpty(policy.ReferencePasses);
        Assert.HasCount(6, trained.Steps);
        foreach (StepRecord step in trained.Steps)
        {
            Assert.AreEqual(1.0, step.FracRewardZeroStd);
            Assert.AreEqual(1.0, step.Reward);
            Assert.AreEqual(1.0, step.MajorityRatio);
            Assert.AreEqual(0.0, step.MemoryShift);
            Assert.IsNull(step.GradNorm);
        }
        Assert.AreEqual(0, trained.Memory.Provenance.Updates);
        CollectionAssert.AreEqual(MemoryInitialiser.Start(policy, Tasks(1)[0].Problem.Text, 20, InitialisationKind.Text).Rows, trained.Memory.Rows);
    }

    [TestMethod]
    public void A_reference_pass_runs_only_with_a_kl_term()
    {
        FakePolicy without = new(), with = new();
        Trainer(without, Settings).Train(Tasks(3));
        TrainedMemory trained = Trainer(with, Settings with { Beta = 0.1 }).Train(Tasks(3))[0];
        Assert.IsEmpty(without.ReferencePasses);
        Assert.IsNotEmpty(with.ReferencePasses);
        CollectionAssert.AreEqual(with.TrainingPasses, with.ReferencePasses);
        StepRecord active = trained.Steps.First(s => s.FracRewardZeroStd == 0);
        Assert.IsGreaterThan(0.0, active.Kl!.Value);
        Assert.AreEqual(0.0, active.LogprobDifferenceMax);
        Assert.AreEqual(0.0, active.ClipRatio);
        Assert.IsGreaterThan(0.0, active.MemoryShift);
    }

    [TestMethod]
    public void The_truth_objective_rewards_the_true_answer_and_needs_one()
    {
        FakePolicy policy = new() { FixedAnswer = "7" };
        TrainingTask[] tasks = Tasks(1);
        TrainingSettings truth = Settings with { Objective = Objective.Truth };
        Assert.AreEqual(0.0, Trainer(policy, truth).Train(tasks)[0].Steps[0].Reward);
        Assert.AreEqual(1.0, Trainer(policy, truth).Train([tasks[0] with { Problem = tasks[0].Problem with { Answer = "7.0" } }])[0].Steps[0].Reward);
        ElmException error = Assert.ThrowsExactly<ElmException>(() => Trainer(policy, truth).Train([tasks[0] with { Problem = new Problem("q") }]));
        StringAssert.Contains(error.Message, "problem 1 has no answer");
    }

    [TestMethod]
    public void The_supervised_objective_answers_once_and_updates_every_step()
    {
        FakePolicy policy = new();
        TrainedMemory trained = Trainer(policy, Settings with { Objective = Objective.Sft }).Train(Tasks(2))[1];
        Assert.AreEqual(1, policy.Generations);
        CollectionAssert.AreEqual(Enumerable.Repeat(2, 6).ToArray(), policy.TrainingPasses);
        Assert.AreEqual(6, trained.Memory.Provenance.Updates);
        Assert.IsNotNull(trained.Memory.Provenance.Label);
        Assert.IsNull(trained.Memory.Provenance.MajorityRatio);
    }

    [TestMethod]
    public void No_steps_store_the_initial_memory()
    {
        FakePolicy policy = new();
        TrainedMemory trained = Trainer(policy, Settings with { Steps = 0 }).Train(Tasks(1))[0];
        Assert.IsEmpty(trained.Steps);
        Assert.AreEqual(0, policy.Generations);
        CollectionAssert.AreEqual(MemoryInitialiser.Start(policy, Tasks(1)[0].Problem.Text, 20, InitialisationKind.Text).Rows, trained.Memory.Rows);
    }

    [TestMethod]
    [DataRow("--steps")]
    [DataRow("--group")]
    [DataRow("--max-tokens")]
    [DataRow("--temperature")]
    [DataRow("--beta")]
    [DataRow("--lr")]
    [DataRow("--rows")]
    public void A_setting_out_of_range_is_named(string option)
    {
        TrainingSettings bad = option switch
        {
            "--steps" => Settings with { Steps = -1 },
            "--group" => Settings with { Group = 0 },
            "--max-tokens" => Settings with { MaxTokens = 0 },
            "--temperature" => Settings with { Temperature = 0 },
            "--beta" => Settings with { Beta = double.NaN },
            "--lr" => Settings with { LearningRate = -1 },
            _ => Settings with { Rows = 0 },
        };
        StringAssert.StartsWith(Assert.ThrowsExactly<ElmException>(() => Trainer(new FakePolicy(), bad)).Message, option);
    }

    private static MemoryTrainer Trainer(FakePolicy policy, TrainingSettings settings) => new(policy, new AnswerChecker(), settings);

    private static TrainingTask[] Tasks(int count) => [.. Enumerable.Range(0, count).Select(i =>
        new TrainingTask(i, new Problem($"What is {i} plus {i * i}?", Answer: (i % 3).ToString()), [5, 6, 7, i]))];
}
