namespace ElmNative.Cli.Tests;

[TestClass]
public class VerbTests
{
    [TestMethod]
    public void HelpAndVersionAreResults()
    {
        Outcome help = Elmn.Run("--help");
        Assert.AreEqual(0, help.ExitCode);
        foreach (string verb in new[] { "stream", "train", "generate", "verify", "info" })
            StringAssert.Contains(help.Output, verb);
        Assert.AreEqual("", help.Errors);
        Outcome stream = Elmn.Run("stream", "--help");
        Assert.AreEqual(0, stream.ExitCode);
        StringAssert.Contains(stream.Output, "--retrieval");
        StringAssert.StartsWith(Elmn.Run("--version").Output, "elmn ");
    }

    [TestMethod]
    [DataRow("no-such-verb")]
    [DataRow("stream")]
    [DataRow("stream", "--out", "x", "--steps", "many")]
    [DataRow("generate", "--no-such-option")]
    public void AWrongCommandLineIsMisuse(params string[] arguments)
    {
        Outcome outcome = Elmn.Run(arguments);
        Assert.AreEqual(2, outcome.ExitCode);
        Assert.AreEqual("", outcome.Output);
        Assert.AreNotEqual("", outcome.Errors);
    }

    [TestMethod]
    [DataRow("tiny-math", "bench/models/tiny-math/model")]
    [DataRow("llama-tiny", "tests/golden/llama-tiny/model")]
    public void GoldenValuesAreMet(string golden, string model)
    {
        Outcome outcome = Elmn.Run("verify", "--model", Repository.PathOf(model), "--golden", Repository.Golden(golden));
        Assert.AreEqual(0, outcome.ExitCode, outcome.Output + outcome.Errors);
        StringAssert.Contains(outcome.Output, "policy.kl.grad");
        Assert.DoesNotContain("FAIL", outcome.Output);
    }

    [TestMethod]
    public void AWrongModelFailsTheGoldenValues()
    {
        using Scratch scratch = new();
        string model = scratch.ModelCopy();
        string weights = Path.Combine(model, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(weights);
        bytes[^2] ^= 0x10;
        File.WriteAllBytes(weights, bytes);
        Outcome outcome = Elmn.Run("verify", "--model", model, "--golden", Repository.Golden("tiny-math"));
        Assert.AreEqual(1, outcome.ExitCode);
        StringAssert.Contains(outcome.Output, "FAIL");
    }

    [TestMethod]
    public void AMemoryIsTrainedAndUsed()
    {
        using Scratch scratch = new();
        string memory = scratch.PathOf("memory.safetensors");
        Outcome train = Elmn.Run("train", "A rectangle is 11 cm long and 3 cm wide. What is its area?", "--steps", "2", "--max-tokens", "60", "--out", memory);
        Assert.AreEqual(0, train.ExitCode, train.Errors);
        Assert.HasCount(3, train.Output.TrimEnd().Split('\n'));
        string[] question = ["generate", "A rectangle is 7 cm long and 5 cm wide. What is its area?"];
        Outcome plain = Elmn.Run(question), led = Elmn.Run([.. question, "--memory", memory]);
        Assert.AreEqual(0, led.ExitCode, led.Errors);
        Assert.AreNotEqual(plain.Output, led.Output);
        Outcome several = Elmn.Run([.. question, "-n", "3", "--temperature", "1", "--json"]);
        Assert.HasCount(3, several.Output.TrimEnd().Split('\n'));
        Outcome stdin = Elmn.Run("A rectangle is 7 cm long and 5 cm wide. What is its area?\n", ["generate"]);
        Assert.AreEqual(plain.Output, stdin.Output);
    }

    [TestMethod]
    public void InfoNamesTheProcessorsPath()
    {
        Outcome outcome = Elmn.Run("info");
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        StringAssert.Contains(outcome.Output, "scalar");
        Assert.StartsWith("{", Elmn.Run("info", "--json").Output);
    }
}
