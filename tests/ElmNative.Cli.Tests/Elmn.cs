using System.Diagnostics;

namespace ElmNative.Cli.Tests;

/// <summary>What a run of the program left.</summary>
internal sealed record Outcome(int ExitCode, string Output, string Errors);

/// <summary>Runs the built <c>elmn</c> as a user would, in a process of its own.</summary>
internal static class Elmn
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "elmn.exe" : "elmn");

    /// <summary>Runs it to its end.</summary>
    public static Outcome Run(params string[] arguments) => Run(null, arguments);

    /// <summary>Runs it to its end on one of the processor's paths (ELM_CPU).</summary>
    public static Outcome RunOn(string path, params string[] arguments) => Run(null, arguments, path);

    /// <summary>Runs it to its end with variables of the environment set.</summary>
    public static Outcome RunWith(IReadOnlyDictionary<string, string> variables, params string[] arguments) => Run(null, arguments, null, variables);

    /// <summary>Runs it to its end with a text on standard input.</summary>
    public static Outcome Run(string? input, string[] arguments, string? path = null, IReadOnlyDictionary<string, string>? variables = null)
    {
        using Process process = Start(arguments, path, variables);
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input ?? "");
        process.StandardInput.Close();
        if (!process.WaitForExit(TimeSpan.FromMinutes(3)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"elmn {string.Join(' ', arguments)} did not end");
        }
        return new Outcome(process.ExitCode, output.Result, errors.Result);
    }

    /// <summary>Starts it and kills it at once when a condition holds; false when it ended before.</summary>
    public static bool RunUntil(Func<bool> condition, params string[] arguments) => RunUntil(new Dictionary<string, string>(), condition, arguments);

    /// <summary>The same with variables of the environment set.</summary>
    public static bool RunUntil(IReadOnlyDictionary<string, string> variables, Func<bool> condition, params string[] arguments)
    {
        using Process process = Start(arguments, variables: variables);
        process.StandardInput.Close();
        Task drained = Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        while (!process.HasExited && !condition())
            Thread.Sleep(1);
        bool killed = !process.HasExited;
        if (killed)
            process.Kill();
        process.WaitForExit();
        drained.Wait();
        return killed;
    }

    private static Process Start(string[] arguments, string? path = null, IReadOnlyDictionary<string, string>? variables = null)
    {
        ProcessStartInfo start = new(Program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        if (path is not null)
            start.Environment["ELM_CPU"] = path;
        foreach ((string name, string value) in variables ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        return Process.Start(start) ?? throw new InvalidOperationException($"{Program} does not start");
    }
}

/// <summary>A folder of its own for one test, gone afterwards.</summary>
internal sealed class Scratch : IDisposable
{
    public Scratch() => Folder = Directory.CreateTempSubdirectory("elmn-test-").FullName;

    public string Folder { get; }

    public string PathOf(params ReadOnlySpan<string> parts) => Path.Combine([Folder, .. parts]);

    /// <summary>Writes a file into it and says where.</summary>
    public string File(string name, string content)
    {
        string path = PathOf(name);
        System.IO.File.WriteAllText(path, content);
        return path;
    }

    /// <summary>A copy of the bundled model whose files a test may damage.</summary>
    public string ModelCopy()
    {
        string copy = PathOf("model");
        Directory.CreateDirectory(copy);
        foreach (string file in Directory.EnumerateFiles(Repository.TinyMath))
            System.IO.File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        return copy;
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
