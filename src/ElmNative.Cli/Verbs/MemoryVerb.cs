using System.Globalization;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Verbs;

/// <summary>What to do with memories.</summary>
internal enum MemoryAction
{
    List,
    Show,
    Export,
    Import,
}

[Verb("memory", HelpText = "List or show memories, or exchange them with PEFT: memory list|show|export|import PATH.")]
internal sealed class MemoryOptions : ModelOptions
{
    [Value(0, MetaName = "ACTION", Required = true, HelpText = "list a folder; show a file; export a file; import a PEFT folder or a file of embeddings.")]
    public MemoryAction Action { get; set; }

    [Value(1, MetaName = "PATH", Required = true, HelpText = "The memory file, the folder of memories, or what to import.")]
    public string Path { get; set; } = "";

    [Option("out", MetaValue = "PATH", HelpText = "Where to export or import to.")]
    public string? Out { get; set; }

    [Option("format", MetaValue = "peft|embeddings", Default = ExportFormat.Peft, HelpText = "Export a PEFT prompt-tuning folder, or a bare file with prompt_embeds.")]
    public ExportFormat Format { get; set; }
}

/// <summary>What a memory is exported as.</summary>
internal enum ExportFormat
{
    Peft,
    Embeddings,
}

/// <summary><c>elmn memory</c>: the store, as a user holds it in hand.</summary>
internal static class MemoryVerb
{
    public static int Run(MemoryOptions options) => options.With((model, _) =>
    {
        ModelPolicy policy = new(model);
        switch (options.Action)
        {
            case MemoryAction.List:
                List(options, policy);
                break;
            case MemoryAction.Show:
                Show(options.Path, MemoryFile.Read(options.Path, policy));
                break;
            case MemoryAction.Export:
                Export(options, MemoryFile.Read(options.Path, policy), model);
                break;
            default:
                MemoryFile.Write(Target(options), PeftFolder.Import(options.Path, policy), model.Layers);
                Terminal.Note($"{options.Out}: the memory of {options.Path}");
                break;
        }
        return 0;
    });

    private static void List(MemoryOptions options, ModelPolicy policy)
    {
        string inside = System.IO.Path.Combine(options.Path, "memories");
        MemoryStore store = MemoryStore.Open(Directory.Exists(inside) ? inside : options.Path, policy);
        Console.Out.WriteLine($"{"#",5} {"id",-10} {"rows",4} {"updates",7} {"ratio",6} {"label",10}  problem");
        foreach (Memory memory in store.Memories)
        {
            Provenance p = memory.Provenance;
            Console.Out.WriteLine($"{p.Index + 1,5} {p.ProblemId,-10} {memory.RowCount,4} {p.Updates,7} {p.MajorityRatio?.ToString("0.00", CultureInfo.InvariantCulture),6} {p.Label,10}  {OneLine(p.Problem)}");
        }
        Terminal.Note($"{store.Memories.Count} memories in {store.Folder}");
    }

    private static void Show(string path, Memory memory)
    {
        Provenance p = memory.Provenance;
        double norm = Math.Sqrt(memory.Rows.Sum(value => (double)value * value));
        (string Name, string Value)[] facts =
        [
            ("file", path), ("problem", OneLine(p.Problem)), ("id", p.ProblemId ?? "none"), ("index", $"{p.Index}"),
            ("rows", FormattableString.Invariant($"{memory.RowCount} x {memory.HiddenSize}, norm {norm:0.000}")), ("updates", $"{p.Updates}"),
            ("label", p.Label ?? "none"), ("majority ratio", p.MajorityRatio?.ToString("0.000", CultureInfo.InvariantCulture) ?? "none"),
            ("seed", $"{p.Seed}"), ("model", $"{p.ModelType} {p.ModelFingerprint}"), ("settings", p.Settings),
        ];
        foreach ((string name, string value) in facts)
            Console.Out.WriteLine($"{name,-15} {value}");
    }

    private static void Export(MemoryOptions options, Memory memory, LanguageModel model)
    {
        if (options.Format == ExportFormat.Peft)
            PeftFolder.Export(Target(options), memory, options.ModelFolder, model.Config.QueryHeads, model.Layers);
        else
            PeftFolder.ExportEmbeddings(Target(options), memory);
        Terminal.Note($"{options.Out}: {options.Path} as {(options.Format == ExportFormat.Peft ? "a PEFT prompt-tuning folder" : "bare embeddings")}");
    }

    private static string Target(MemoryOptions options) => options.Out ?? throw new ElmException("--out is missing: say where the result goes");

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}
