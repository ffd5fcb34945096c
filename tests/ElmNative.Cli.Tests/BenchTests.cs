using System.Text.Json;
using ElmNative.Cli.Bench;
using ElmNative.Cli.Bench.Kernels;
using ElmNative.Compute.Cpu;

namespace ElmNative.Cli.Tests;

[TestClass]
public class BenchTests
{
    private static readonly string[] Small = ["-p", "16", "-n", "4", "--batch", "1,3", "-r", "2"];

    /// <summary>The cells of a Markdown table's rows, without its head.</summary>
    private static string[][] Rows(string output) =>
        [.. output.Split('\n').Where(line => line.StartsWith('|')).Skip(2).Select(line => line.Trim('|').Split('|', StringSplitOptions.TrimEntries))];

    [TestMethod]
    public void TheModelsTableHasItsRowsAndTheCommand()
    {
        Outcome outcome = Elmn.Run(["bench", .. Small]);
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        string[][] rows = Rows(outcome.Output);
        CollectionAssert.AreEqual(new[] { "pp16", "tg4", "tg4 x3" }, rows.Select(row => row[6]).ToArray());
        foreach (string[] row in rows)
        {
            Assert.AreEqual("tiny-math", row[0]);
            Assert.AreEqual("BF16", row[3]);
            Assert.MatchesRegex(@"^\d+\.\d\d ± \d+\.\d\d$", row[7]);
        }
        StringAssert.Contains(outcome.Output, "command: elmn bench -p 16 -n 4 --batch 1,3 -r 2");
    }

    [TestMethod]
    public void JsonAndCsvHoldTheSameNumbersOfRows()
    {
        Outcome json = Elmn.Run(["bench", .. Small, "-o", "json"]);
        using JsonDocument document = JsonDocument.Parse(json.Output);
        JsonElement results = document.RootElement.GetProperty("results");
        Assert.AreEqual(3, results.GetArrayLength());
        Assert.AreEqual(684032, results[0].GetProperty("parameters").GetInt64());
        Assert.IsGreaterThan(0, results[2].GetProperty("tokens_per_second").GetDouble());
        StringAssert.StartsWith(document.RootElement.GetProperty("program").GetString(), "elmn ");
        string[] csv = Elmn.Run(["bench", .. Small, "-o", "csv"]).Output.TrimEnd().Split('\n');
        Assert.HasCount(4, csv);
        StringAssert.StartsWith(csv[0], "model,parameters,bytes,");
        StringAssert.StartsWith(csv[1], "tiny-math,684032,");
    }

    [TestMethod]
    public void AModelWithoutTokenizerIsMeasured()
    {
        using Scratch scratch = new();
        string model = scratch.ModelCopy();
        File.Delete(Path.Combine(model, "tokenizer.json"));
        Outcome outcome = Elmn.Run(["bench", "--model", model, .. Small]);
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        Assert.HasCount(3, Rows(outcome.Output));
    }

    [TestMethod]
    public void StepsAreMeasuredAndTheMemoriesAreTheSame()
    {
        Outcome outcome = Elmn.Run("bench", "--step", "--memories", "1,2", "--steps", "1", "--max-tokens", "40", "-r", "1", "--json");
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        using JsonDocument document = JsonDocument.Parse(outcome.Output);
        foreach (JsonElement row in document.RootElement.GetProperty("results").EnumerateArray())
        {
            Assert.AreEqual("yes", row.GetProperty("same_bits").GetString());
            double shares = new[] { "rollouts", "votes", "forward", "backward", "update" }.Sum(part => row.GetProperty(part + "_share").GetDouble());
            Assert.AreEqual(1, shares, 1e-4);
        }
    }

    [TestMethod]
    public void APassOfGivenLengthsIsMeasured()
    {
        Outcome outcome = Elmn.Run("bench", "--completions", "5,7", "-p", "10", "--rows", "4", "-r", "1");
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        CollectionAssert.AreEqual(new[] { "forward", "backward", "both" }, Rows(outcome.Output).Select(row => row[0]).ToArray());
        StringAssert.Contains(outcome.Output, "26 rows");
    }

    [TestMethod]
    public void AnOperationIsMeasuredAgainstTheLimits()
    {
        Outcome outcome = Elmn.Run("bench", "--kernels", "--filter", "adamw");
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        string[] row = Rows(outcome.Output).Single();
        Assert.AreEqual("ok", row[1]);
        StringAssert.Contains(outcome.Output, "GB/s copy");
    }

    [TestMethod]
    public void RetrievalIsMeasured()
    {
        Outcome outcome = Elmn.Run("bench", "--retrieval", "--keys", "500");
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        Assert.AreEqual("ok", Rows(outcome.Output).Single()[2]);
    }

    [TestMethod]
    public void ATokenizerIsMeasuredOnTheMixAndOnAFile()
    {
        using Scratch scratch = new();
        string text = scratch.File("text.txt", "What is 12 + 30?\n");
        Outcome outcome = Elmn.Run("bench", "--tokenizer", $"{Repository.TinyMath},{Repository.TinyMath}", "--text", text, "-r", "1");
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        string[][] rows = Rows(outcome.Output);
        Assert.HasCount(2, rows);
        Assert.AreEqual("same", rows[0][6]);
        string mix = MixedText.Make();
        Assert.AreEqual(mix, MixedText.Make());
        foreach (string part in new[] { "\\boxed{", "return ", "🚀", "東京", "的", " the " })
            StringAssert.Contains(mix, part);
    }

    [TestMethod]
    [DataRow(2, "-o", "xml")]
    [DataRow(2, "--no-such-option")]
    [DataRow(1, "-p", "many")]
    [DataRow(1, "-p", "5000")]
    [DataRow(1, "--batch", "0")]
    [DataRow(1, "-r", "0")]
    [DataRow(1, "--kernels", "--retrieval")]
    [DataRow(1, "--filter", "linear")]
    [DataRow(1, "--kernels", "--filter", "no such operation")]
    [DataRow(1, "--tokenizer", "no-such-folder")]
    [DataRow(1, "--step", "--memories", "4000")]
    public void AWrongArgumentIsRefused(int exitCode, params string[] arguments)
    {
        Outcome outcome = Elmn.Run(["bench", .. arguments]);
        Assert.AreEqual(exitCode, outcome.ExitCode, outcome.Errors);
        Assert.AreEqual("", outcome.Output);
        StringAssert.StartsWith(outcome.Errors, "elmn: ");
    }

    /// <summary>Cases of the bundled model's size: each is right on the real backend, and each check sees a backend that is wrong.</summary>
    [TestMethod]
    public void EveryCheckTellsRightFromWrong()
    {
        string[] large = ["4864", "151936", "4096", "14/2", "cosine"];
        using CpuBackend cpu = new(2);
        KernelCase[] cases = [.. KernelCases.For(cpu).Where(c => !large.Any(c.Name.Contains)), VectorKernels.Cosine(2, 300, 64, 2), SampleKernels.Sample("top-p", 8, 50, new() { Temperature = 1, TopK = 20, TopP = 0.8f })];
        Assert.IsGreaterThan(20, cases.Length);
        foreach (KernelCase kernelCase in cases)
        {
            using (Operands right = new(cpu))
                Assert.IsLessThanOrEqualTo(1.0, kernelCase.Make(right).Check(), kernelCase.Name);
            using Operands wrong = new(new WrongBackend(cpu, zero: kernelCase.Name.StartsWith("zero")));
            Assert.IsFalse(kernelCase.Make(wrong).Check() <= 1, kernelCase.Name);
        }
    }

    [TestMethod]
    public void AMeanHasTheDeviationOfASample()
    {
        Assert.AreEqual(new Measured(2, 1), Measured.Of([1, 2, 3]));
        Assert.AreEqual(new Measured(7, 0), Measured.Of([7]));
    }
}
