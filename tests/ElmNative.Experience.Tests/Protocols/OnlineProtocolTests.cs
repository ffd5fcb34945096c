using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Reports;
using ElmNative.Experience.Tests.Support;
using ElmNative.Experience.Verification;

namespace ElmNative.Experience.Tests.Protocols;

[TestClass]
public sealed class OnlineProtocolTests
{
    private static readonly string[] Compared = ["samples.jsonl", "steps.jsonl", "results.json"];

    [TestMethod]
    [DataRow(RetrievalKind.Input, Objective.Vote)]
    [DataRow(RetrievalKind.Kv, Objective.Vote)]
    [DataRow(RetrievalKind.Input, Objective.Sft)]
    public void Window_size_changes_no_byte(RetrievalKind retrieval, Objective objective)
    {
        using TestFolder folder = new();
        Dictionary<string, string>? first = null;
        foreach (int parallel in new[] { 1, 3, 4, 16 })
        {
            Run(folder.In($"p{parallel}"), new FakePolicy(), parallel, retrieval: retrieval, objective: objective);
            Dictionary<string, string> content = Content(folder.In($"p{parallel}"));
            first ??= content;
            AssertSame(first, content);
        }
        Assert.HasCount(3 + 10, first!);
    }

    [TestMethod]
    public void Only_memories_of_earlier_problems_are_retrieved()
    {
        using TestFolder folder = new();
        Run(folder.In("run"), new FakePolicy(), parallel: 16);
        SampleRecord[] samples = Samples(folder.In("run"));
        Assert.IsNull(samples[0].Memory);
        Assert.AreEqual(Route.Plain, samples[0].Route);
        foreach (SampleRecord sample in samples[1..])
            Assert.IsLessThan(sample.Index, sample.Memory!.Index);
        FakePolicy policy = new();
        IReadOnlyList<Memory> memories = MemoryStore.Open(folder.In("run", "memories"), policy).Memories;
        bool ownWouldWin = false;
        foreach (SampleRecord sample in samples[1..])
        {
            float[] query = Retrieval.Queries(policy, RetrievalKind.Input, [sample.Problem])[0];
            double[] scores = [.. memories.Select(m => Retrieval.Similarity(query, m.InputKey, 1)!.Value)];
            Assert.AreEqual(scores[..sample.Index].Max(), sample.Memory!.Similarity);
            Assert.AreEqual(Array.IndexOf(scores, sample.Memory.Similarity), sample.Memory.Index);
            ownWouldWin |= scores.Max() > sample.Memory.Similarity;
        }
        Assert.IsTrue(ownWouldWin, "the limit mattered");
    }

    [TestMethod]
    public void Every_kind_of_cut_is_mended_by_running_again()
    {
        using TestFolder folder = new();
        string whole = folder.In("whole");
        Run(whole, new FakePolicy(), parallel: 4);
        Dictionary<string, string> expected = Content(whole);
        int number = 0;
        foreach (Action<string> cut in Cuts(whole))
        {
            string path = folder.In($"cut{number++}");
            TestFolder.Copy(whole, path);
            cut(path);
            Run(path, new FakePolicy(), parallel: 3);
            AssertSame(expected, Content(path));
        }
    }

    [TestMethod]
    public void A_process_that_dies_in_any_call_of_the_model_resumes_to_the_same_bytes()
    {
        using TestFolder folder = new();
        FakePolicy counter = new();
        Run(folder.In("whole"), counter, parallel: 2);
        Dictionary<string, string> expected = Content(folder.In("whole"));
        for (int death = 0; death < counter.Generations; death += 5)
        {
            string path = folder.In($"death{death}");
            FakePolicy dying = new() { BeforeGenerate = n => { if (n == death) throw new OperationCanceledException(); } };
            Assert.ThrowsExactly<OperationCanceledException>(() => Run(path, dying, parallel: 2));
            Run(path, new FakePolicy(), parallel: 5);
            AssertSame(expected, Content(path));
        }
    }

    [TestMethod]
    public void A_finished_run_only_reports()
    {
        using TestFolder folder = new();
        Summary first = Run(folder.In("run"), new FakePolicy(), parallel: 4);
        FakePolicy again = new();
        Watcher watcher = new();
        Summary second = Run(folder.In("run"), again, parallel: 1, watcher: watcher);
        Assert.AreEqual(0, again.Generations);
        Assert.AreEqual((10, 10, 0), watcher.Start);
        Assert.AreEqual(JsonSerializer.Serialize(first, ExperienceJson.Lines.Summary), JsonSerializer.Serialize(second, ExperienceJson.Lines.Summary));
    }

    [TestMethod]
    public void Another_setting_is_refused_by_name()
    {
        using TestFolder folder = new();
        Run(folder.In("run"), new FakePolicy(), parallel: 4);
        ElmException error = Assert.ThrowsExactly<ElmException>(() => Run(folder.In("run"), new FakePolicy(), parallel: 4, steps: 4));
        StringAssert.Contains(error.Message, "holds a run with steps 3, not 4");
        error = Assert.ThrowsExactly<ElmException>(() => Run(folder.In("run"), new FakePolicy { Fingerprint = "11" }, parallel: 4));
        StringAssert.Contains(error.Message, "model_fingerprint \"00fake\", not \"11\"");
        error = Assert.ThrowsExactly<ElmException>(() => Run(folder.In("run"), new FakePolicy(), parallel: 4, retrieval: RetrievalKind.Kv));
        StringAssert.Contains(error.Message, "retrieval \"input\", not \"kv\"");
    }

    [TestMethod]
    public void A_folder_in_use_or_with_other_files_is_refused()
    {
        using TestFolder folder = new();
        Directory.CreateDirectory(folder.In("other"));
        File.WriteAllText(folder.In("other", "letter.txt"), "dear");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => Run(folder.In("other"), new FakePolicy(), 1)).Message, "is not empty and holds no run.json");
        Assert.AreEqual("letter.txt", string.Join(" ", Directory.EnumerateFileSystemEntries(folder.In("other")).Select(Path.GetFileName)));

        FakePolicy nested = new();
        nested.BeforeGenerate = n =>
        {
            if (n == 0)
                StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => Run(folder.In("run"), new FakePolicy(), 1)).Message, "is in use by another run");
        };
        Run(folder.In("run"), nested, 1);
        Assert.IsFalse(File.Exists(folder.In("run", ".lock")));

        File.WriteAllText(folder.In("file"), "");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => Run(folder.In("file"), new FakePolicy(), 1)).Message, "cannot be written");
        File.WriteAllText(folder.In("run", "run.json"), "{");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => Run(folder.In("run"), new FakePolicy(), 1)).Message, "run.json is damaged");
    }

    [TestMethod]
    public void A_prompt_that_leaves_no_room_is_refused_before_anything_is_written()
    {
        using TestFolder folder = new();
        ElmException error = Assert.ThrowsExactly<ElmException>(() => Run(folder.In("run"), new FakePolicy { MaxPositions = 150 }, 1));
        StringAssert.Contains(error.Message, "problem 1 (id0) does not fit the model's context of 150 positions");
        Assert.IsFalse(Directory.Exists(folder.In("run")));
    }

    [TestMethod]
    public void A_problem_that_cannot_be_written_leaves_nothing_and_the_run_goes_on_later()
    {
        using TestFolder folder = new();
        Run(folder.In("whole"), new FakePolicy(), parallel: 2);
        string memories = folder.In("run", "memories"), aside = folder.In("run", "aside");
        Blocker blocker = new(() =>
        {
            Directory.Move(memories, aside);
            File.WriteAllText(memories, "in the way");
        });
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => Run(folder.In("run"), new FakePolicy(), parallel: 2, watcher: blocker)).Message, "memories");
        Assert.HasCount(3, Samples(folder.In("run")));
        Assert.HasCount(9, File.ReadAllLines(folder.In("run", "steps.jsonl")));
        File.Delete(memories);
        Directory.Move(aside, memories);
        Run(folder.In("run"), new FakePolicy(), parallel: 2);
        AssertSame(Content(folder.In("whole")), Content(folder.In("run")));
    }

    [TestMethod]
    public void The_observer_sees_every_problem_in_order_and_every_step()
    {
        using TestFolder folder = new();
        Watcher watcher = new();
        Run(folder.In("run"), new FakePolicy(), parallel: 4, watcher: watcher);
        CollectionAssert.AreEqual(Enumerable.Range(0, 10).ToArray(), watcher.Problems);
        Assert.AreEqual(30, watcher.Steps);
        Assert.IsGreaterThan(0, watcher.Tokens);
        Assert.AreEqual((10, 0, 0), watcher.Start);
    }

    [TestMethod]
    public void The_summary_counts_a_missing_memory_as_wrong()
    {
        using TestFolder folder = new();
        Summary summary = Run(folder.In("run"), new FakePolicy(), parallel: 4);
        SampleRecord[] samples = Samples(folder.In("run"));
        Assert.AreEqual(10, summary["memory"]!.Count);
        Assert.AreEqual(samples.Count(s => s.Memory?.Correct == true), summary["memory"]!.Correct);
        Assert.AreEqual(samples.Count(s => s.Plain.Correct == true), summary["plain"]!.Correct);
        double p = summary["plain"]!.Value;
        Assert.AreEqual(Math.Sqrt(p * (1 - p) / 9), summary["plain"]!.Stderr!.Value, 1e-12);
        Assert.AreEqual(summary.Problems, summary.Routes.Plain + summary.Routes.Memory + summary.Routes.Same);
        Assert.AreEqual(samples.Count(s => s.Memory?.SameFamily == true) / 10.0, summary.RetrievedSameFamily);
    }

    private static IEnumerable<Action<string>> Cuts(string whole)
    {
        foreach (string name in new[] { "samples.jsonl", "steps.jsonl" })
        {
            byte[] bytes = File.ReadAllBytes(Path.Combine(whole, name));
            int[] breaks = [.. Enumerable.Range(0, bytes.Length).Where(i => bytes[i] == '\n')];
            // Nothing; inside the first line; before, at and after a line break in the middle; inside the last line; all but its break.
            foreach (int length in new[] { 0, breaks[0] / 2, breaks[3], breaks[3] + 1, breaks[3] + 2, bytes.Length - 20, bytes.Length - 1 })
                yield return path =>
                {
                    using FileStream stream = new(Path.Combine(path, name), FileMode.Open);
                    stream.SetLength(length);
                };
            yield return path => File.AppendAllText(Path.Combine(path, name), "{\"index\": 10, \"torn");
            yield return path => File.AppendAllText(Path.Combine(path, name), "garbage\n");
            yield return path => File.Delete(Path.Combine(path, name));
        }
        // A process killed while it committed problem 7: each state that the order of writing allows.
        yield return path => Truncate(path, samples: 7, steps: 24, memories: 8);
        yield return path => Truncate(path, samples: 7, steps: 22, memories: 8);
        yield return path => Truncate(path, samples: 7, steps: 21, memories: 8);
        yield return path => Truncate(path, samples: 7, steps: 21, memories: 7, partial: true);
        yield return path => Truncate(path, samples: 0, steps: 0, memories: 0);
        // What no kill explains, but a user may do.
        yield return path => File.Delete(Path.Combine(path, "memories", "0004.safetensors"));
        yield return path => File.WriteAllText(Path.Combine(path, "memories", "0004.safetensors"), "");
        yield return path => File.Copy(Path.Combine(path, "memories", "0003.safetensors"), Path.Combine(path, "memories", "0004.safetensors"), overwrite: true);
        yield return path => Directory.Delete(Path.Combine(path, "memories"), recursive: true);
        yield return path => File.Delete(Path.Combine(path, "results.json"));
        yield return path => File.WriteAllText(Path.Combine(path, "results.json"), "{}");
        yield return path => File.AppendAllText(Path.Combine(path, "timings.jsonl"), "{\"torn");
    }

    private static void Truncate(string path, int samples, int steps, int memories, bool partial = false)
    {
        foreach ((string name, int lines) in new[] { ("samples.jsonl", samples), ("steps.jsonl", steps) })
            File.WriteAllLines(Path.Combine(path, name), File.ReadAllLines(Path.Combine(path, name))[..lines]);
        for (int i = memories; i < 10; i++)
            File.Delete(Path.Combine(path, "memories", $"{i:D4}.safetensors"));
        if (partial)
            File.WriteAllText(Path.Combine(path, "memories", $"{memories:D4}.safetensors.partial"), "half");
        File.Delete(Path.Combine(path, "results.json"));
    }

    private static Summary Run(string path, FakePolicy policy, int parallel, int steps = 3, RetrievalKind retrieval = RetrievalKind.Input,
        Objective objective = Objective.Vote, IRunObserver? watcher = null)
    {
        AnswerChecker checker = new();
        OnlineProtocol protocol = new(policy, checker, new LikelihoodVerifier(policy), retrieval,
            new TrainingSettings { Steps = steps, Group = 4, Objective = objective, LearningRate = 0.05 });
        Problem[] problems = [.. Enumerable.Range(0, 10).Select(i => new Problem($"Count {i} apples.", $"id{i}", (i % 3).ToString(), $"f{i % 4}"))];
        return protocol.Run(path, new ProblemSet(problems, "hash"),
            new RunEnvironment { Model = "m", Data = "d", Program = "test", Device = "fake", Parallel = parallel }, watcher);
    }

    private static SampleRecord[] Samples(string path) =>
        [.. File.ReadLines(Path.Combine(path, "samples.jsonl")).Select(line => JsonSerializer.Deserialize(line, ExperienceJson.Lines.SampleRecord)!)];

    private static Dictionary<string, string> Content(string path)
    {
        Dictionary<string, string> content = [];
        foreach (string file in Compared.Select(name => Path.Combine(path, name)).Concat(Directory.EnumerateFiles(Path.Combine(path, "memories"))))
            content[Path.GetFileName(file)] = Convert.ToHexString(File.ReadAllBytes(file));
        return content;
    }

    private static void AssertSame(Dictionary<string, string> expected, Dictionary<string, string> actual)
    {
        Assert.AreEqual(string.Join(" ", expected.Keys.Order()), string.Join(" ", actual.Keys.Order()));
        foreach ((string name, string content) in expected)
            Assert.AreEqual(content, actual[name], name);
    }

    /// <summary>Does something after the third problem.</summary>
    private sealed class Blocker(Action block) : IRunObserver
    {
        public void ProblemDone(SampleRecord sample, Summary soFar)
        {
            if (sample.Index == 2)
                block();
        }
    }

    private sealed class Watcher : IRunObserver
    {
        public (int, int, int) Start { get; private set; }
        public List<int> Problems { get; } = [];
        public int Steps { get; private set; }
        public int Tokens { get; private set; }

        public void Started(int total, int committed, int discarded) => Start = (total, committed, discarded);
        public void ProblemDone(SampleRecord sample, Summary soFar) => Problems.Add(sample.Index);
        public void StepDone(StepRecord step) => Steps++;
        public void TokensGenerated(int count) => Tokens += count;
    }
}
