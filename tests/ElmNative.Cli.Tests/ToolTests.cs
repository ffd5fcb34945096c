namespace ElmNative.Cli.Tests;

/// <summary>The verbs around the main job, run as a user would.</summary>
[TestClass]
public class ToolTests
{
    private static Outcome Succeed(params string[] arguments)
    {
        Outcome outcome = Elmn.Run(arguments);
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        return outcome;
    }

    [TestMethod]
    public void AMemoryIsListedShownAndGoesToPeftAndBack()
    {
        using Scratch scratch = new();
        Succeed("stream", "--limit", "2", "--steps", "1", "--group", "2", "--max-tokens", "30", "--out", scratch.PathOf("run"));
        string memory = scratch.PathOf("run", "memories", "0001.safetensors");
        StringAssert.Contains(Succeed("memory", "list", scratch.PathOf("run")).Output, "s001");
        StringAssert.Contains(Succeed("memory", "show", memory).Output, "A candle of 78 cm");
        Succeed("memory", "export", memory, "--out", scratch.PathOf("peft"));
        Succeed("memory", "export", memory, "--format", "embeddings", "--out", scratch.PathOf("bare.safetensors"));
        Succeed("memory", "import", scratch.PathOf("peft"), "--out", scratch.PathOf("back.safetensors"));
        string[] question = ["generate", "A candle of 60 cm burns 5 cm per hour. How long is it after 4 hours?", "--memory"];
        Assert.AreEqual(Succeed([.. question, memory]).Output, Succeed([.. question, scratch.PathOf("back.safetensors")]).Output);
        Assert.AreEqual(1, Elmn.Run("memory", "show", scratch.PathOf("none.safetensors")).ExitCode);
    }

    [TestMethod]
    public void ResponsesAreScoredStepByStep()
    {
        Outcome outcome = Succeed("score", "--model", Repository.PathOf("bench", "models", "tiny-math", "prm"), "--data", Repository.Golden("tiny-math-prm/scores.jsonl"));
        string[] lines = outcome.Output.TrimEnd().Split('\n');
        Assert.HasCount(61, lines);
        StringAssert.Contains(lines[1], "0.297195");
        StringAssert.Contains(lines[1], "0.9992 0.8693 0.7575 0.6658 0.6785");
    }

    [TestMethod]
    public void TheRewardModelSettlesDisagreements()
    {
        using Scratch scratch = new();
        Outcome outcome = Succeed("stream", "--limit", "3", "--steps", "1", "--group", "2", "--max-tokens", "60", "--out", scratch.PathOf("run"),
            "--verifier", "prm:" + Repository.PathOf("bench", "models", "tiny-math", "prm"));
        StringAssert.Contains(outcome.Output, "routed (prm-product:");
        StringAssert.Contains(Elmn.Run("stream", "--out", scratch.PathOf("other"), "--verifier", "guess").Errors, "--verifier is 'guess'");
    }

    [TestMethod]
    public void ResponsesAreGradedWithAReason()
    {
        using Scratch scratch = new();
        string data = scratch.File("responses.jsonl", """
            {"id": "a", "gold": "\\frac{1}{2}", "response": "so it is \\boxed{0.5}."}
            {"id": "b", "gold": "12", "response": "\\boxed{13}"}
            {"id": "c", "answer": 7, "response": "no idea"}
            """);
        Outcome outcome = Succeed("grade", "--data", data);
        string[] lines = outcome.Output.TrimEnd().Split('\n');
        Assert.HasCount(3, lines);
        StringAssert.Contains(lines[0], "right");
        StringAssert.Contains(lines[1], "wrong");
        StringAssert.Contains(lines[2], "no answer");
        StringAssert.Contains(outcome.Errors, "1 of 3 right");
    }

    [TestMethod]
    public void TextIsTokenized()
    {
        Assert.AreEqual("2\n", Succeed("tokenize", "17", "--count").Output);
        Assert.AreEqual("[16,22]\n", Succeed("tokenize", "17", "--json").Output);
        Assert.AreEqual(Succeed("tokenize", "a b\n").Output, Elmn.Run("a b\n", ["tokenize"]).Output);
    }

    [TestMethod]
    public void VectorsAreReplayed()
    {
        using Scratch scratch = new();
        string good = scratch.File("good.jsonl", """{"text": "17", "ids": [16, 22]}"""), bad = scratch.File("bad.jsonl", """{"text": "17", "ids": [16]}""");
        StringAssert.Contains(Succeed("verify", "--tokens", good).Output, "1 of 1 lines equal");
        Outcome differs = Elmn.Run("verify", "--tokens", bad);
        Assert.AreEqual(1, differs.ExitCode);
        StringAssert.Contains(differs.Output, "0 of 1");
        string chat = scratch.File("chat.jsonl", """{"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": true, "text": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"}""");
        StringAssert.Contains(Succeed("verify", "--chat", chat).Output, "1 of 1");
        Assert.AreEqual(1, Elmn.Run("verify").ExitCode);
    }

    [TestMethod]
    public void AConversationAnswersEveryTurn()
    {
        Outcome outcome = Elmn.Run("Rosa had 55 books and gave away 43 of them. How many books are left?\n/new\nhello\n\n", ["chat", "--temperature", "0", "--max-tokens", "40"]);
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        Assert.IsGreaterThan(1, outcome.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }
}
