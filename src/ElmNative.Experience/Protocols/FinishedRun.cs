using ElmNative.Experience.Memories;

namespace ElmNative.Experience.Protocols;

/// <summary>Clears the way for a new run in the folder of a finished one.</summary>
public static class FinishedRun
{
    private static readonly string[] Lines = ["samples.jsonl", "steps.jsonl", "timings.jsonl"];

    /// <summary>
    /// Deletes a finished run's own files; a run that was cut off, and any folder that holds no run, is left as it is. The files that tell a finished run go last,
    /// so that a deletion that was cut off can be repeated.
    /// </summary>
    /// <returns>whether there was a finished run</returns>
    /// <exception cref="Compute.ElmException">the file system refused</exception>
    public static bool Delete(string folder)
    {
        string run = Path.Combine(folder, "run.json"), results = Path.Combine(folder, "results.json"), memories = Path.Combine(folder, "memories");
        if (!File.Exists(run) || !File.Exists(results) || !File.ReadAllText(run).Contains($"\"{RunRecord.FormatName}\"", StringComparison.Ordinal))
            return false;
        FileErrors.Explain(folder, () =>
        {
            if (Directory.Exists(memories))
                foreach (string file in Directory.EnumerateFiles(memories, "*.safetensors").ToArray())
                    File.Delete(file);
            foreach (string name in Lines)
                File.Delete(Path.Combine(folder, name));
            File.Delete(results);
            File.Delete(run);
            if (Directory.Exists(memories) && !Directory.EnumerateFileSystemEntries(memories).Any())
                Directory.Delete(memories);
        });
        return true;
    }
}
