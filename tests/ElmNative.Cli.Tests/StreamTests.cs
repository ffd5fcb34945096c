namespace ElmNative.Cli.Tests;

[TestClass]
public class StreamTests
{
    private static string[] Arguments(string folder, params string[] more) =>
        ["stream", "--limit", "6", "--steps", "3", "--group", "4", "--max-tokens", "60", "--out", folder, .. more];

    /// <summary>Every file that must not depend on how the run went, by name.</summary>
    private static SortedDictionary<string, byte[]> Results(string folder)
    {
        SortedDictionary<string, byte[]> files = [];
        foreach (string name in new[] { "samples.jsonl", "steps.jsonl", "results.json" })
            files[name] = File.ReadAllBytes(Path.Combine(folder, name));
        foreach (string memory in Directory.EnumerateFiles(Path.Combine(folder, "memories")))
            files["memories/" + Path.GetFileName(memory)] = File.ReadAllBytes(memory);
        return files;
    }

    private static void AssertSame(SortedDictionary<string, byte[]> expected, SortedDictionary<string, byte[]> actual, string what)
    {
        CollectionAssert.AreEqual(expected.Keys, actual.Keys, what);
        foreach ((string name, byte[] bytes) in expected)
            Assert.IsTrue(bytes.AsSpan().SequenceEqual(actual[name]), $"{what}: {name} differs");
    }

    private static Outcome Succeed(params string[] arguments)
    {
        Outcome outcome = Elmn.Run(arguments);
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        return outcome;
    }

    [TestMethod]
    public void ParallelThreadsAndActivationMemoryChangeNoByte()
    {
        using Scratch scratch = new();
        Succeed(Arguments(scratch.PathOf("one"), "--parallel", "1", "--threads", "1"));
        SortedDictionary<string, byte[]> one = Results(scratch.PathOf("one"));
        Assert.HasCount(3 + 6, one);
        foreach ((string parallel, string threads, string memory) in new[] { ("16", "2", "4G"), ("4", "1", "1M"), ("1", "2", "8M") })
        {
            string folder = scratch.PathOf($"p{parallel}t{threads}");
            Succeed(Arguments(folder, "--parallel", parallel, "--threads", threads, "--activation-memory", memory));
            AssertSame(one, Results(folder), $"--parallel {parallel} --threads {threads} --activation-memory {memory}");
        }
    }

    /// <summary>Plain scalar code, AVX2 and AVX-512, as far as this processor has them, write the same bytes.</summary>
    [TestMethod]
    public void TheInstructionSetChangesNoByte()
    {
        using Scratch scratch = new();
        using System.Text.Json.JsonDocument info = System.Text.Json.JsonDocument.Parse(Succeed("info", "--json").Output);
        string[] paths = [.. info.RootElement.GetProperty("cpu_paths").EnumerateArray().Select(path => path.GetString()!)];
        CollectionAssert.Contains(paths, "scalar");
        SortedDictionary<string, byte[]>? first = null;
        foreach (string path in paths)
        {
            string folder = scratch.PathOf(path);
            Outcome outcome = Elmn.RunOn(path, "stream", "--limit", "2", "--steps", "2", "--group", "4", "--max-tokens", "40", "--out", folder);
            Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
            StringAssert.Contains(outcome.Errors, path);
            AssertSame(first ??= Results(folder), Results(folder), path);
        }
        Outcome unknown = Elmn.RunOn("mmx", "info");
        Assert.AreEqual(1, unknown.ExitCode);
        StringAssert.Contains(unknown.Errors, "ELM_CPU");
    }

    /// <summary>kill -9 at many moments: the same command goes on and ends with the same bytes as a run that was never killed.</summary>
    [TestMethod]
    public void AKilledRunEndsAsIfNeverKilled()
    {
        using Scratch scratch = new();
        Succeed(Arguments(scratch.PathOf("whole"), "--parallel", "2"));
        SortedDictionary<string, byte[]> whole = Results(scratch.PathOf("whole"));
        string folder = scratch.PathOf("killed");
        int kills = 0;
        foreach (Func<bool> moment in new Func<bool>[]
        {
            () => File.Exists(Path.Combine(folder, "run.json")),
            () => Exists("memories/0000.safetensors"),
            () => Length("steps.jsonl") > 0,
            () => Length("samples.jsonl") > 0,
            () => Exists("memories/0003.safetensors"),
            () => File.Exists(Path.Combine(folder, "samples.jsonl")) && Lines() >= 5,
        })
            kills += Elmn.RunUntil(moment, Arguments(folder, "--parallel", "2")) ? 1 : 0;
        Assert.IsGreaterThan(2, kills, "the test should have killed the run several times");
        Succeed(Arguments(folder, "--parallel", "2"));
        AssertSame(whole, Results(folder), "killed and resumed");

        bool Exists(string name) => File.Exists(Path.Combine(folder, name));
        long Length(string name) => Exists(name) ? new FileInfo(Path.Combine(folder, name)).Length : 0;
        int Lines()
        {
            using FileStream file = new(Path.Combine(folder, "samples.jsonl"), FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using StreamReader reader = new(file);
            return reader.ReadToEnd().Count(c => c == '\n');
        }
    }

    [TestMethod]
    public void AFinishedRunReportsAndOverwriteStartsAgain()
    {
        using Scratch scratch = new();
        string folder = scratch.PathOf("run");
        Outcome first = Succeed(Arguments(folder));
        StringAssert.Contains(first.Output, "| plain");
        StringAssert.Contains(first.Output, "routed (likelihood)");
        Outcome again = Succeed(Arguments(folder));
        Assert.AreEqual(first.Output, again.Output);
        Outcome other = Elmn.Run(Arguments(folder, "--seed", "1"));
        Assert.AreEqual(1, other.ExitCode);
        StringAssert.Contains(other.Errors, "seed");
        Succeed(Arguments(folder, "--seed", "1", "--overwrite"));
        StringAssert.Contains(File.ReadAllText(Path.Combine(folder, "run.json")), "\"seed\": 1");
    }

    [TestMethod]
    public void JsonGoesToStandardOutputAlone()
    {
        using Scratch scratch = new();
        Outcome outcome = Succeed(Arguments(scratch.PathOf("run"), "--json", "--verifier", "oracle", "--retrieval", "kv"));
        using System.Text.Json.JsonDocument json = System.Text.Json.JsonDocument.Parse(outcome.Output);
        Assert.AreEqual(6, json.RootElement.GetProperty("problems").GetInt32());
    }

    [TestMethod]
    [DataRow("--objective", "truth")]
    [DataRow("--objective", "sft")]
    [DataRow("--beta", "0.01")]
    [DataRow("--scale-rewards", "group")]
    [DataRow("--init", "bins")]
    [DataRow("--box", "first")]
    [DataRow("--vote", "exact")]
    [DataRow("--steps", "0")]
    [DataRow("--verifier", "none")]
    public void EveryVariantRuns(string option, string value)
    {
        using Scratch scratch = new();
        string[] arguments = ["stream", "--limit", "2", "--group", "3", "--max-tokens", "40", "--out", scratch.PathOf("run"), option, value];
        Succeed(option == "--steps" ? arguments : [.. arguments, "--steps", "2"]);
        Assert.HasCount(2, File.ReadAllLines(scratch.PathOf("run", "samples.jsonl")));
    }
}
