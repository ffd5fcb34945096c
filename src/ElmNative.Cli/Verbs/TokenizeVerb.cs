using System.Text.Json;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Cli.Verbs;

[Verb("tokenize", HelpText = "Show how a model's tokenizer splits a text.")]
internal sealed class TokenizeOptions
{
    [Value(0, MetaName = "TEXT", HelpText = "The text; - or nothing reads standard input.")]
    public string? Text { get; set; }

    [Option("model", MetaValue = "DIR", HelpText = "Folder with tokenizer.json (default: the bundled tiny-math).")]
    public string? Model { get; set; }

    [Option("file", MetaValue = "FILE", HelpText = "Take the text from a file.")]
    public string? File { get; set; }

    [Option("special", HelpText = "Let the tokenizer add its special tokens.")]
    public bool Special { get; set; }

    [Option("count", HelpText = "Print the number of tokens only.")]
    public bool Count { get; set; }

    [Option("json", HelpText = "Print the ids as a JSON array.")]
    public bool Json { get; set; }
}

/// <summary><c>elmn tokenize</c>: a line a token, its id and its piece.</summary>
internal static class TokenizeVerb
{
    public static int Run(TokenizeOptions options)
    {
        BytePairTokenizer tokenizer = BytePairTokenizer.Load(options.Model ?? Bundled.Model);
        int[] ids = tokenizer.Encode(Read(options), options.Special);
        if (options.Count)
            Console.Out.WriteLine(ids.Length);
        else if (options.Json)
            Console.Out.WriteLine(JsonSerializer.Serialize(ids, CliJson.Default.Int32Array));
        else
            foreach (int id in ids)
                Console.Out.WriteLine($"{id,8}  {Escape(tokenizer.Decode([id], skipSpecialTokens: false))}");
        if (!options.Count && !options.Json)
            Terminal.Note($"{ids.Length} tokens");
        return 0;
    }

    private static string Read(TokenizeOptions options)
    {
        if (options.File is null)
            return options.Text is null or "-" ? Console.In.ReadToEnd() : options.Text;
        if (options.Text is not null)
            throw new ElmException("the text is given both as an argument and by --file: give one of them");
        if (!System.IO.File.Exists(options.File))
            throw new ElmException($"{options.File} does not exist: name a text file");
        return System.IO.File.ReadAllText(options.File);
    }

    /// <summary>Control characters as escapes, so that a piece stays on its line.</summary>
    private static string Escape(string piece) =>
        string.Concat(piece.Select(c => c switch
        {
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            _ when char.IsControl(c) => $"\\u{(int)c:x4}",
            _ => c.ToString(),
        }));
}
