using System.Diagnostics;
using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Protocols;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Cli.Verbs;

[Verb("generate", HelpText = "Answer a prompt, with or without a memory.")]
internal sealed class GenerateOptions : ModelOptions
{
    [Value(0, MetaName = "PROMPT", HelpText = "The prompt; - or nothing reads standard input.")]
    public string? Prompt { get; set; }

    [Option("memory", MetaValue = "FILE", HelpText = "A memory to put in front of the prompt.")]
    public string? Memory { get; set; }

    [Option('n', "count", MetaValue = "N", Default = 1, HelpText = "Number of completions.")]
    public int Count { get; set; }

    [Option("max-tokens", MetaValue = "N", Default = 256, HelpText = "Length limit of a completion.")]
    public int MaxTokens { get; set; }

    [Option("temperature", MetaValue = "T", Default = 0f, HelpText = "Softmax temperature; 0 is greedy.")]
    public float Temperature { get; set; }

    [Option("top-k", MetaValue = "K", Default = 0, HelpText = "Keep the K most likely tokens; 0 keeps all.")]
    public int TopK { get; set; }

    [Option("top-p", MetaValue = "P", Default = 1f, HelpText = "Keep the smallest set of tokens with this mass.")]
    public float TopP { get; set; }

    [Option("min-p", MetaValue = "P", Default = 0f, HelpText = "Keep tokens with this fraction of the largest probability.")]
    public float MinP { get; set; }

    [Option("seed", MetaValue = "S", Default = 0UL, HelpText = "Seed of the random numbers.")]
    public ulong Seed { get; set; }

    /// <inheritdoc/>
    protected override MemoryDemand DemandOn(ModelConfig config) => new() { Sequences = Math.Clamp(Count, 1, 512), Positions = Math.Min(config.MaxPositions, 4096 + Math.Max(1, MaxTokens)) };

    [Option("raw", HelpText = "Give the prompt as it is, without the paper's instruction and the chat template.")]
    public bool Raw { get; set; }
}

/// <summary><c>elmn generate</c>: streams the completion of a prompt; with -n several of them, one after another.</summary>
internal static class GenerateVerb
{
    public static int Run(GenerateOptions options, CancellationToken cancellation)
    {
        Check(options);
        string prompt = options.Prompt is null or "-" ? Console.In.ReadToEnd().TrimEnd('\n') : options.Prompt;
        return options.With((model, backend) =>
        {
            ModelPolicy policy = new(model);
            int[] ids = options.Raw ? model.Tokenizer.Encode(prompt, addSpecialTokens: true) : new PromptBuilder(policy).Ids(prompt);
            float[] memory = options.Memory is null ? [] : MemoryFile.Read(options.Memory, policy).Rows;
            SamplingSettings sampling = new(options.Temperature, options.TopK, options.TopP, options.MinP);
            GenerationRequest request = new(memory, ids, options.Count, options.MaxTokens, sampling, new RandomKey(options.Seed, 0, 0));

            Generator generator = new(model);
            bool streams = options.Count == 1 && !options.Json;
            if (streams)
                StreamTo(Console.Out, generator, model);
            Stopwatch clock = Stopwatch.StartNew();
            Completion[] completions = generator.Generate([request], cancellation)[0];
            double seconds = clock.Elapsed.TotalSeconds;
            if (options.Json)
                Print(completions, model);
            else if (!streams)
                for (int i = 0; i < completions.Length; i++)
                    Console.Out.WriteLine($"--- {i + 1} of {completions.Length}\n{model.Tokenizer.Decode(completions[i].Tokens, skipSpecialTokens: true)}");
            else
                Console.Out.WriteLine();
            int tokens = completions.Sum(c => c.Tokens.Length), cut = completions.Count(c => !c.Ended);
            Terminal.Note($"{ids.Length} prompt tokens, {tokens} new in {seconds:0.00} s ({tokens / seconds:0} tokens/s), {backend.Description}"
                + (cut > 0 ? $"; {cut} cut at {options.MaxTokens} tokens" : ""));
            return 0;
        });
    }

    private static void Check(GenerateOptions options)
    {
        Require(options.Count is >= 1 and <= 65536, "--count", options.Count, "between 1 and 65536");
        Require(options.MaxTokens >= 1, "--max-tokens", options.MaxTokens, "1 or more");
        Require(options.Temperature is >= 0 and <= 100, "--temperature", options.Temperature, "between 0 (greedy) and 100");
        Require(options.TopK >= 0, "--top-k", options.TopK, "0 (all) or more");
        Require(options.TopP is > 0 and <= 1, "--top-p", options.TopP, "above 0 and at most 1");
        Require(options.MinP is >= 0 and < 1, "--min-p", options.MinP, "0 or more and below 1");

        static void Require(bool holds, string option, IFormattable value, string range)
        {
            if (!holds)
                throw new ElmException($"{option} is {value.ToString(null, System.Globalization.CultureInfo.InvariantCulture)}: it must be {range}");
        }
    }

    private static void StreamTo(TextWriter output, Generator generator, LanguageModel model)
    {
        ITokenStream stream = model.Tokenizer.Stream(skipSpecialTokens: true);
        generator.TokenArrived = (_, _, token) =>
        {
            output.Write(stream.Next(token));
            output.Flush();
        };
    }

    private static void Print(Completion[] completions, LanguageModel model)
    {
        foreach (Completion completion in completions)
            Console.Out.WriteLine(System.Text.Json.JsonSerializer.Serialize(
                new GeneratedText(model.Tokenizer.Decode(completion.Tokens, skipSpecialTokens: true), completion.Tokens, completion.LogProbs, completion.Ended),
                CliJson.Default.GeneratedText));
    }
}
