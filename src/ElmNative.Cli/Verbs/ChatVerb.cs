using CommandLine;
using ElmNative.Cli.Output;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Cli.Verbs;

[Verb("chat", HelpText = "Talk with a model in the terminal, with or without a memory or a store of memories.")]
internal sealed class ChatOptions : ModelOptions
{
    [Option("memory", MetaValue = "FILE", HelpText = "A memory to put in front of every turn.")]
    public string? Memory { get; set; }

    [Option("store", MetaValue = "DIR", HelpText = "A folder of memories; each turn takes the one nearest to what you say.")]
    public string? Store { get; set; }

    [Option("system", MetaValue = "TEXT", HelpText = "A system message.")]
    public string? System { get; set; }

    [Option("max-tokens", MetaValue = "N", Default = 512, HelpText = "Length limit of an answer.")]
    public int MaxTokens { get; set; }

    [Option("temperature", MetaValue = "T", Default = 0.7f, HelpText = "Softmax temperature; 0 is greedy.")]
    public float Temperature { get; set; }

    [Option("top-p", MetaValue = "P", Default = 1f, HelpText = "Keep the smallest set of tokens with this mass.")]
    public float TopP { get; set; }

    [Option("seed", MetaValue = "S", Default = 0UL, HelpText = "Seed of the random numbers.")]
    public ulong Seed { get; set; }
}

/// <summary><c>elmn chat</c>: a conversation. An empty line or the end of input ends it, /new starts over.</summary>
internal static class ChatVerb
{
    public static int Run(ChatOptions options, CancellationToken cancellation)
    {
        if (options.Memory is not null && options.Store is not null)
            throw new ElmException("--memory and --store are both given: take one of them");
        if (options.MaxTokens < 1)
            throw new ElmException($"--max-tokens is {options.MaxTokens}: it must be 1 or more");
        if (options.Temperature is not (>= 0 and <= 100) || options.TopP is not (> 0 and <= 1))
            throw new ElmException("--temperature must be between 0 and 100, and --top-p above 0 and at most 1");
        return options.With((model, _) =>
        {
            ModelPolicy policy = new(model);
            IChatTemplate template = model.ChatTemplate ?? throw new ElmException($"{options.ModelFolder} has no chat template; use elmn generate --raw with it");
            float[] memory = options.Memory is null ? [] : MemoryFile.Read(options.Memory, policy).Rows;
            MemoryStore? store = options.Store is null ? null : MemoryStore.Open(options.Store, policy);
            Terminal.Note("an empty line ends the conversation, /new starts another");
            List<ChatMessage> messages = Begin(options);
            for (uint turn = 0; ; turn++)
            {
                if (!Console.IsInputRedirected)
                    Console.Error.Write("> ");
                if (Console.In.ReadLine() is not { } said || said.Length == 0)
                    return 0;
                if (said == "/new")
                {
                    messages = Begin(options);
                    continue;
                }
                messages.Add(new ChatMessage("user", said));
                float[] rows = store is null ? memory : Nearest(store, policy, said);
                messages.Add(new ChatMessage("assistant", Answer(options, model, template, messages, rows, turn, cancellation)));
            }
        });
    }

    private static List<ChatMessage> Begin(ChatOptions options) => options.System is null ? [] : [new("system", options.System)];

    private static float[] Nearest(MemoryStore store, ModelPolicy policy, string question)
    {
        float[] query = Retrieval.Queries(policy, RetrievalKind.Input, [question])[0];
        if (Retrieval.Nearest(store.Memories, RetrievalKind.Input, query, terms: 1, store.Memories.Count) is not { } match)
            return [];
        Memory memory = store.Memories[match.Index];
        Terminal.Note(FormattableString.Invariant($"(memory {match.Index + 1}, cosine {match.Similarity:0.000}: {memory.Provenance.Problem.ReplaceLineEndings(" ")})"));
        return memory.Rows;
    }

    private static string Answer(ChatOptions options, LanguageModel model, IChatTemplate template, List<ChatMessage> messages, float[] rows, uint turn, CancellationToken cancellation)
    {
        int[] prompt = model.Tokenizer.Encode(template.Render(messages, addGenerationPrompt: true), addSpecialTokens: false);
        ITokenStream stream = model.Tokenizer.Stream(skipSpecialTokens: true);
        Generator generator = new(model)
        {
            TokenArrived = (_, _, token) =>
            {
                Console.Out.Write(stream.Next(token));
                Console.Out.Flush();
            },
        };
        Completion completion = generator.Generate(
            [new GenerationRequest(rows, prompt, 1, options.MaxTokens, new SamplingSettings(options.Temperature, TopP: options.TopP), new RandomKey(options.Seed, turn, 0))], cancellation)[0][0];
        Console.Out.WriteLine(stream.Flush());
        return model.Tokenizer.Decode(completion.Tokens, skipSpecialTokens: true);
    }
}
