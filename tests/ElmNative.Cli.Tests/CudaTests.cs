using System.Text.Json;

namespace ElmNative.Cli.Tests;

/// <summary>The program with <c>--device cuda</c>: on the stand-in for the driver, or on a GPU where ELM_TEST_GPU is 1.</summary>
[TestClass]
public class CudaTests
{
    private const string Question = "A rectangle is 11 cm long and 3 cm wide. What is its area?";

    private static Outcome OnCuda(params string[] arguments) => Elmn.RunWith(GpuOrStandIn.Variables, [.. arguments, "--device", "cuda"]);

    private static Outcome Succeed(Outcome outcome)
    {
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors + outcome.Output);
        return outcome;
    }

    private static JsonElement[] Lines(string folder, string name) => [.. File.ReadLines(Path.Combine(folder, name)).Select(line => JsonDocument.Parse(line).RootElement)];

    /// <summary>All golden values of the bundled model within the tolerances of BF16 activations, greedy completions included.</summary>
    [TestMethod]
    public void TheGoldenValuesAreMet()
    {
        Outcome outcome = Succeed(OnCuda("verify", "--golden", Repository.Golden("tiny-math"), "--json"));
        JsonElement[] rows = [.. outcome.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.HasCount(29, rows);
        Assert.IsTrue(rows.All(row => row.GetProperty("passed").GetBoolean()), outcome.Output);
        Assert.AreEqual(2e-2, rows.Single(row => row.GetProperty("name").GetString() == "forward.logits").GetProperty("tolerance").GetDouble());
        Assert.IsGreaterThan(1e-5, rows.Single(row => row.GetProperty("name").GetString() == "forward.logits").GetProperty("relative_l2").GetDouble(), "activations of BF16 should leave their mark");
    }

    /// <summary>Loading says what it needs and how far it is; the text is the processor's.</summary>
    [TestMethod]
    public void GreedyTextIsThatOfTheProcessor()
    {
        Outcome gpu = Succeed(OnCuda("generate", Question, "--max-tokens", "40")), cpu = Succeed(Elmn.Run("generate", Question, "--max-tokens", "40"));
        Assert.AreEqual(cpu.Output, gpu.Output);
        StringAssert.StartsWith(gpu.Errors, "memory: weights 1.30 MiB (684,032 parameters), ");
        StringAssert.Contains(gpu.Errors, "\nweights: 1.4 MB on cuda:0 in ");
        StringAssert.Contains(gpu.Errors, "new in ");
    }

    /// <summary>
    /// The whole main job, very small, agrees with the processor: the same greedy answers, the same draws in training as long as the memories are the same, and memories that were moved alike.
    /// </summary>
    [TestMethod]
    public void TheMainJobAgreesWithTheProcessor()
    {
        using Scratch scratch = new();
        string gpu = scratch.PathOf("gpu"), cpu = scratch.PathOf("cpu");
        string[] arguments = ["stream", "--limit", "2", "--steps", "2", "--group", "3", "--max-tokens", "20", "--parallel", "2", "--out"];
        Succeed(OnCuda([.. arguments, gpu]));
        Succeed(Elmn.Run([.. arguments, cpu]));
        JsonElement[] ours = Lines(gpu, "samples.jsonl"), theirs = Lines(cpu, "samples.jsonl");
        Assert.HasCount(2, ours);
        for (int i = 0; i < ours.Length; i++)
            Assert.AreEqual(theirs[i].GetProperty("plain").GetProperty("response").GetString(), ours[i].GetProperty("plain").GetProperty("response").GetString());
        double similarity = theirs[1].GetProperty("memory").GetProperty("similarity").GetDouble();
        Assert.AreEqual(similarity, ours[1].GetProperty("memory").GetProperty("similarity").GetDouble(), 0.02);
        JsonElement[] steps = Lines(gpu, "steps.jsonl"), expected = Lines(cpu, "steps.jsonl");
        Assert.HasCount(4, steps);
        for (int i = 0; i < steps.Length; i++)
        {
            double shift = expected[i].GetProperty("memory_shift").GetDouble(), norm = expected[i].GetProperty("grad_norm").GetDouble();
            if (steps[i].GetProperty("step").GetInt32() == 0)
            {
                Assert.AreEqual(expected[i].GetProperty("label").GetString(), steps[i].GetProperty("label").GetString());
                Assert.AreEqual(expected[i].GetProperty("majority_ratio").GetDouble(), steps[i].GetProperty("majority_ratio").GetDouble());
                Assert.AreEqual(norm, steps[i].GetProperty("grad_norm").GetDouble(), 0.05 * norm, "the tolerance of a gradient");
            }
            Assert.AreEqual(shift, steps[i].GetProperty("memory_shift").GetDouble(), 0.05 * shift);
            Assert.IsLessThanOrEqualTo(0.05, steps[i].GetProperty("logprob_difference_max").GetDouble());
        }
        Assert.AreEqual("bf16", JsonDocument.Parse(File.ReadAllText(Path.Combine(gpu, "run.json"))).RootElement.GetProperty("settings").GetProperty("activations").GetString());

        Outcome mixed = Elmn.Run([.. arguments, gpu]);
        Assert.AreEqual(1, mixed.ExitCode);
        StringAssert.Contains(mixed.Errors, "activations \"bf16\", not \"f32\"");
    }

    /// <summary>The reward model's scores, within the tolerance of logits with BF16 activations.</summary>
    [TestMethod]
    public void TheRewardModelScoresAlike()
    {
        using Scratch scratch = new();
        string data = scratch.File("responses.jsonl", string.Join('\n', File.ReadLines(Path.Combine(Repository.Golden("tiny-math-prm"), "scores.jsonl")).Take(4)));
        string[] arguments = ["score", "--model", Repository.PathOf("bench", "models", "tiny-math", "prm"), "--data", data, "--json"];
        string[] ours = Succeed(OnCuda(arguments)).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries), theirs = Succeed(Elmn.Run(arguments)).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.HasCount(4, ours);
        for (int i = 0; i < ours.Length; i++)
        {
            JsonElement[] steps = [.. JsonDocument.Parse(ours[i]).RootElement.GetProperty("steps").EnumerateArray()], expected = [.. JsonDocument.Parse(theirs[i]).RootElement.GetProperty("steps").EnumerateArray()];
            Assert.HasCount(expected.Length, steps);
            foreach ((JsonElement step, JsonElement wanted) in steps.Zip(expected))
                Assert.AreEqual(wanted.GetDouble(), step.GetDouble(), 2e-2);
        }
    }

    /// <summary>A run that was killed goes on with what it had committed.</summary>
    [TestMethod]
    public void ACutOffRunGoesOn()
    {
        using Scratch scratch = new();
        string[] arguments = ["stream", "--limit", "2", "--steps", "1", "--group", "2", "--max-tokens", "8", "--out", scratch.PathOf("run"), "--device", "cuda"];
        string samples = scratch.PathOf("run", "samples.jsonl");
        bool killed = Elmn.RunUntil(GpuOrStandIn.Variables, () => File.Exists(samples) && new FileInfo(samples).Length > 0, arguments);
        Assert.IsTrue(killed, "the run should still have a problem to do");
        Succeed(Elmn.RunWith(GpuOrStandIn.Variables, arguments));
        Assert.HasCount(2, Lines(scratch.PathOf("run"), "samples.jsonl"));
    }

    [TestMethod]
    public void TheDevicesAreListed()
    {
        Outcome info = Succeed(Elmn.RunWith(GpuOrStandIn.Variables, "info"));
        StringAssert.Contains(info.Output, "--device cuda:0");
        StringAssert.Contains(info.Output, "compute capability ");
        using JsonDocument json = JsonDocument.Parse(Succeed(Elmn.RunWith(GpuOrStandIn.Variables, "info", "--json")).Output);
        JsonElement gpu = json.RootElement.GetProperty("gpus")[0];
        Assert.AreEqual("cuda:0", gpu.GetProperty("device").GetString());
        Assert.IsTrue(gpu.GetProperty("supported").GetBoolean());
        Assert.IsGreaterThan(0L, gpu.GetProperty("total_bytes").GetInt64());
    }

    /// <summary>Without a GPU the program says so in a sentence and does not compute on the processor instead.</summary>
    [TestMethod]
    [DataRow("cuda", "ELM_CUDA_LIBRARY", "/nowhere/libcuda.so", "/nowhere/libcuda.so, cannot be loaded")]
    [DataRow("cuda", "ELM_CUDA_KERNELS", "/nowhere", "no compiled CUDA kernels in /nowhere")]
    [DataRow("cuda:7", "ELM_CPU", "scalar", "there is no device cuda:7")]
    [DataRow("gpu", "ELM_CPU", "scalar", "--device is 'gpu'")]
    [DataRow("cuda:", "ELM_CPU", "scalar", "--device is 'cuda:'")]
    [DataRow("cuda:-1", "ELM_CPU", "scalar", "--device is 'cuda:-1'")]
    public void ADeviceThatIsNotThereIsASentence(string device, string variable, string value, string sentence)
    {
        Outcome outcome = Elmn.RunWith(new Dictionary<string, string>(GpuOrStandIn.Variables) { [variable] = value }, "generate", Question, "--device", device);
        Assert.AreEqual(1, outcome.ExitCode, outcome.Errors);
        Assert.AreEqual("", outcome.Output);
        StringAssert.StartsWith(outcome.Errors, "elmn: ");
        StringAssert.Contains(outcome.Errors, sentence);
        Assert.HasCount(1, outcome.Errors.TrimEnd().Split('\n'));
    }

    /// <summary>What does not fit is refused with the numbers, before a weight is moved.</summary>
    [TestMethod, StandIn]
    public void WhatDoesNotFitIsRefusedWithTheNumbers()
    {
        Dictionary<string, string> small = new(GpuOrStandIn.Variables) { ["ELM_EMULATION_MEMORY"] = $"{400 << 20}" };
        Outcome outcome = Elmn.RunWith(small, "generate", Question, "--device", "cuda");
        Assert.AreEqual(1, outcome.ExitCode, outcome.Errors);
        StringAssert.Contains(outcome.Errors, "elmn: the run needs ");
        StringAssert.Contains(outcome.Errors, " of 400.00 MiB are free: ");
        Assert.IsFalse(outcome.Errors.Contains("\nweights: "), outcome.Errors);
    }

    /// <summary>The table of a released model's shape with random weights, and steps on random ids.</summary>
    [TestMethod]
    public void RandomShapesAreMeasured()
    {
        string model = Succeed(OnCuda("bench", "--shape", "tiny-math", "-p", "8", "-n", "2", "--batch", "1,2", "-r", "1")).Output;
        foreach (string cell in new[] { "| tiny-math, random |", "| pp8 ", "| tg2 ", "| tg2 x2 ", "| cuda:0 " })
            StringAssert.Contains(model, cell);
        string steps = Succeed(OnCuda("bench", "--step", "--shape", "tiny-math", "-p", "6", "-n", "4", "--group", "2", "--memories", "1,2", "-r", "1")).Output;
        StringAssert.Contains(steps, "s a step |");
        StringAssert.Contains(steps, "2 rollouts of 4 random tokens behind 20 memory rows and a prompt of 6");
        Assert.AreEqual(1, OnCuda("bench", "--shape", "tiny-math", "--kernels").ExitCode);
        StringAssert.Contains(OnCuda("bench", "--shape", "gpt-9").Errors, "there is no model shape");
    }
}
