using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Reports;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Experience.Protocols;

/// <summary>
/// The folder of a run: <c>run.json</c> (settings), <c>samples.jsonl</c> (a line a problem), <c>steps.jsonl</c> (a line a training step),
/// <c>memories/</c>, <c>timings.jsonl</c> (all that has to do with time), and at the end <c>results.json</c>.
/// <para>
/// A problem is committed in this order, each part on the disk before the next: its memory file, its step lines, its sample line. So a
/// process that is killed at any moment leaves the problems whose sample line is whole, with all that belongs to them; what goes beyond is
/// dropped on the next opening.
/// </para>
/// </summary>
public sealed class RunFolder : IDisposable
{
    private const string RunName = "run.json", ResultsName = "results.json", LockName = ".lock";

    private readonly FileStream guard;
    private readonly LineFile samplesFile, stepsFile, timingsFile;
    private readonly List<SampleRecord> samples = [];
    private readonly RunSettings settings;

    private RunFolder(string path, IPolicy policy, RunSettings settings, RunEnvironment environment)
    {
        Path = path;
        this.settings = settings;
        FileErrors.Explain(path, () => Directory.CreateDirectory(path));
        guard = Lock(path);
        try
        {
            if (File.Exists(In(RunName)))
                RequireSameSettings();
            else
                Begin(policy, environment);
            samplesFile = new LineFile(In("samples.jsonl"));
            stepsFile = new LineFile(In("steps.jsonl"));
            timingsFile = new LineFile(In("timings.jsonl"));
            Store = Recover(policy);
            timingsFile.KeepFirst(timingsFile.Lines.Count);
            Time(new TimingRecord { Event = "opened", Time = DateTime.UtcNow, Environment = environment });
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>The memories of the committed problems.</summary>
    public MemoryStore Store { get; }

    /// <summary>The committed problems.</summary>
    public IReadOnlyList<SampleRecord> Samples => samples;

    /// <summary>Problems found at opening whose records were not complete, and that are to be done again.</summary>
    public int Discarded { get; private set; }

    /// <summary>Opens a folder to begin a run in it, or to go on with one.</summary>
    /// <param name="path">the folder; new, empty, or with a run of the same settings</param>
    /// <param name="policy">the model, to check the memories against</param>
    /// <param name="settings">what can change a result</param>
    /// <param name="environment">what cannot</param>
    /// <exception cref="ElmException">
    /// unwritable; in use by another process; not empty and without a run; a run with another setting: names it
    /// </exception>
    public static RunFolder Open(string path, IPolicy policy, RunSettings settings, RunEnvironment environment) =>
        new(path, policy, settings, environment);

    /// <summary>Puts a finished problem on the disk.</summary>
    /// <exception cref="ElmException">the disk is full or gone; the problem counts as not done, and nothing of it stays</exception>
    public void Commit(TrainedMemory trained, SampleRecord sample)
    {
        long stepsEnd = stepsFile.End;
        try
        {
            Store.Add(trained.Memory);
            if (trained.Steps.Count > 0)
                stepsFile.Append(Lines(trained.Steps.Select(s => JsonSerializer.SerializeToUtf8Bytes(s, ExperienceJson.Lines.StepRecord))), toDisk: true);
            samplesFile.Append(Lines([JsonSerializer.SerializeToUtf8Bytes(sample, ExperienceJson.Lines.SampleRecord)]), toDisk: true);
        }
        catch
        {
            TakeBack(stepsEnd);
            throw;
        }
        samples.Add(sample);
    }

    private void TakeBack(long stepsEnd)
    {
        try
        {
            stepsFile.CutTo(stepsEnd);
            Store.KeepFirst(samples.Count);
        }
        catch (ElmException)
        {
            // The error that led here is the one to report; the next opening drops what is left.
        }
    }

    /// <summary>Logs a time.</summary>
    public void Time(TimingRecord timing) =>
        timingsFile.Append(Lines([JsonSerializer.SerializeToUtf8Bytes(timing, ExperienceJson.Lines.TimingRecord)]), toDisk: false);

    /// <summary>Writes <c>results.json</c>, unless it is there already with this content.</summary>
    public void Finish(Summary summary)
    {
        byte[] content = Lines([JsonSerializer.SerializeToUtf8Bytes(summary, ExperienceJson.Indented.Summary)]);
        if (!File.Exists(In(ResultsName)) || !File.ReadAllBytes(In(ResultsName)).AsSpan().SequenceEqual(content))
            SafetensorsWriter.WriteText(In(ResultsName), content);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        samplesFile?.Dispose();
        stepsFile?.Dispose();
        timingsFile?.Dispose();
        guard?.Dispose();
    }

    private string In(string name) => System.IO.Path.Combine(Path, name);

    private static FileStream Lock(string path)
    {
        string file = System.IO.Path.Combine(path, LockName);
        try
        {
            return new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
        }
        catch (IOException e) when (File.Exists(file))
        {
            throw new ElmException($"{path} is in use by another run: wait for it, or name another output folder", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ElmException($"{path} cannot be written ({e.Message.TrimEnd('.')}): name an output folder that you may write to", e);
        }
    }

    private void Begin(IPolicy policy, RunEnvironment environment)
    {
        // A process killed while it began leaves nothing but these.
        string[] own = [LockName, RunName + SafetensorsWriter.TemporaryEnding];
        if (Directory.EnumerateFileSystemEntries(Path).Any(entry => !own.Contains(System.IO.Path.GetFileName(entry))))
            throw new ElmException($"{Path} is not empty and holds no {RunName}: name a new or empty output folder");
        RunRecord record = new() { Started = DateTime.UtcNow, ModelType = policy.ModelType, Settings = settings, Environment = environment };
        SafetensorsWriter.WriteText(In(RunName), Lines([JsonSerializer.SerializeToUtf8Bytes(record, ExperienceJson.Indented.RunRecord)]));
    }

    private void RequireSameSettings()
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(In(RunName)));
            JsonElement root = document.RootElement;
            if (root.GetProperty("format").GetString() != RunRecord.FormatName || root.GetProperty("version").GetInt32() != 1)
                throw new ElmException($"{In(RunName)} belongs to another version of this program: name another output folder");
            JsonElement now = JsonSerializer.SerializeToElement(settings, ExperienceJson.Lines.RunSettings);
            if (Difference(root.GetProperty("settings"), now, "") is { } difference)
                throw new ElmException($"{Path} holds a run with {difference}: "
                    + "give the same settings to go on with it, or name another output folder");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new ElmException($"{In(RunName)} is damaged: delete {Path} to start again, or name another output folder", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ElmException($"{In(RunName)} cannot be read ({e.Message.TrimEnd('.')}): name another output folder", e);
        }
    }

    /// <summary>The first setting that differs, as <c>name was, not now</c>.</summary>
    private static string? Difference(JsonElement then, JsonElement now, string name)
    {
        if (now.ValueKind != JsonValueKind.Object)
            return then.GetRawText() == now.GetRawText() ? null : $"{name} {then.GetRawText()}, not {now.GetRawText()}";
        foreach (JsonProperty property in now.EnumerateObject())
            if (Difference(then.GetProperty(property.Name), property.Value, property.Name) is { } difference)
                return difference;
        return null;
    }

    private MemoryStore Recover(IPolicy policy)
    {
        int whole = 0;
        foreach (byte[] line in samplesFile.Lines)
        {
            if (Read(line, ExperienceJson.Lines.SampleRecord) is not { } sample || sample.Index != whole)
                break;
            samples.Add(sample);
            whole++;
        }
        whole = Math.Min(whole, WholeSteps());
        MemoryStore store = MemoryStore.Recover(In("memories"), policy, whole);
        whole = store.Memories.Count;

        Discarded = samplesFile.Lines.Count - whole;
        samples.RemoveRange(whole, samples.Count - whole);
        if (whole < settings.Limit && File.Exists(In(ResultsName)))
            FileErrors.Explain(In(ResultsName), () => File.Delete(In(ResultsName)));
        samplesFile.KeepFirst(whole);
        stepsFile.KeepFirst(whole * settings.Training.Steps);
        store.KeepFirst(whole);
        return store;
    }

    /// <summary>For how many first problems all step lines are there.</summary>
    private int WholeSteps()
    {
        int perProblem = settings.Training.Steps, line = 0;
        if (perProblem == 0)
            return int.MaxValue;
        while (line < stepsFile.Lines.Count && Read(stepsFile.Lines[line], ExperienceJson.Lines.StepRecord) is { } step
            && step.Problem == line / perProblem && step.Step == line % perProblem)
            line++;
        return line / perProblem;
    }

    private static T? Read<T>(byte[] line, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(line, type);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static byte[] Lines(IEnumerable<byte[]> records) => [.. records.SelectMany(record => record.Append((byte)'\n'))];
}
