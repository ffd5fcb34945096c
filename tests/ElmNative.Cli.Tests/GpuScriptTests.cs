using System.Diagnostics;

namespace ElmNative.Cli.Tests;

/// <summary>bench/gpu.sh as far as it goes without a GPU: every stage but the compiler's and the sanitizer's, at small sizes, on the stand-ins.</summary>
[TestClass]
public class GpuScriptTests
{
    private static Outcome Run(IReadOnlyDictionary<string, string> variables, params string[] arguments)
    {
        ProcessStartInfo start = new("bash", [Repository.PathOf("bench", "gpu.sh"), .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in variables)
            start.Environment[name] = value;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        Assert.IsTrue(process.WaitForExit(TimeSpan.FromMinutes(9)), "bench/gpu.sh did not end");
        return new Outcome(process.ExitCode, output.Result, errors.Result);
    }

    private static Dictionary<string, string> Variables(string folder) => new(GpuOrStandIn.Variables)
    {
        ["ELMN"] = Path.Combine(AppContext.BaseDirectory, "elmn"), ["LOG"] = folder, ["REPORT"] = Path.Combine(folder, "report.md"),
        ["TESTS"] = Repository.PathOf("out", "dotnet", "bin", "ElmNative.Compute.Tests", "release", "ElmNative.Compute.Tests"),
    };

    [TestMethod, OSCondition(OperatingSystems.Linux), StandIn]
    public void ARehearsalLeavesEveryTable()
    {
        using Scratch scratch = new();
        Outcome outcome = Run(Variables(scratch.Folder), "--rehearse");
        Assert.AreEqual(0, outcome.ExitCode, outcome.Errors);
        string report = File.ReadAllText(scratch.PathOf("report.md"));
        foreach (string part in new[] { "## Kernel tests", "## Golden values, tiny-math", "29 of 29 values within tolerance", "## The main job", "| stream |", "## Operations", "| rms norm [128 x 128]", "| ok ",
            "## Tokens per second, tiny-math", "| pp16 ", "| tg4 x3 ", "## Memory steps, tiny-math", "| memories |", "bench/gpu.sh --rehearse" })
            StringAssert.Contains(report, part);
        StringAssert.Contains(outcome.Errors, "everything passed; the tables are in ");
    }

    [TestMethod, OSCondition(OperatingSystems.Linux), StandIn]
    public void WhatIsMissingIsNamed()
    {
        using Scratch scratch = new();
        Dictionary<string, string> variables = Variables(scratch.Folder);
        Outcome program = Run(new Dictionary<string, string>(variables) { ["ELMN"] = "/nowhere/elmn" }, "--rehearse");
        Assert.AreEqual(1, program.ExitCode);
        StringAssert.Contains(program.Errors, "gpu.sh: there is no /nowhere/elmn: run ./build.sh pack");
        StringAssert.Contains(Run(variables, "--quick").Errors, "there is no option '--quick'");
        StringAssert.Contains(Run(new Dictionary<string, string>(variables) { ["ONLY"] = "verify bench" }, "--rehearse").Errors, "there is no stage 'bench' in ONLY");
        Outcome broken = Run(new Dictionary<string, string>(variables) { ["ELM_CUDA_KERNELS"] = "/nowhere", ["ONLY"] = "verify" }, "--rehearse");
        Assert.AreEqual(1, broken.ExitCode);
        StringAssert.Contains(broken.Errors, "no compiled CUDA kernels in /nowhere");
        StringAssert.Contains(broken.Errors, "verify --golden");
    }
}
