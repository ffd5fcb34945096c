using System.Runtime.InteropServices;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Experience.Tests.Support;

/// <summary>
/// A stand-in for the model: every value is a hash of exactly what it may depend on, so that a single changed bit upstream changes
/// everything downstream. Answers are 0, 1 or 2 in a box; rollouts disagree often.
/// </summary>
internal sealed class FakePolicy : IPolicy
{
    public const int EndToken = 0, BeginToken = 1;

    private readonly CharTokenizer tokenizer;

    public FakePolicy(bool addsBegin = false) => tokenizer = new CharTokenizer(addsBegin);

    public int HiddenSize => 8;
    public int Layers => 2;
    public int HeadSize => 4;
    public int MaxPositions { get; init; } = 4096;
    public string ModelType => "fake";
    public string Fingerprint { get; init; } = "00fake";
    public double EmbeddingRms => 0.14721;
    public ElementType ActivationType => ElementType.F32;
    public long TrainingBytesPerRow => 100;
    public ITokenizer Tokenizer => tokenizer;
    public IChatTemplate? ChatTemplate { get; init; }
    public Action<int>? TokensGenerated { get; set; }

    /// <summary>Calls of Forward that keep activations, by number of trees.</summary>
    public List<int> TrainingPasses { get; } = [];

    /// <summary>Calls of Forward without a memory in front, by number of trees.</summary>
    public List<int> ReferencePasses { get; } = [];

    /// <summary>Calls of Generate so far.</summary>
    public int Generations { get; private set; }

    /// <summary>All rollouts give this answer when set.</summary>
    public string? FixedAnswer { get; init; }

    /// <summary>Called before each Generate with its number; may throw, as a cancelled or killed run would.</summary>
    public Action<int>? BeforeGenerate { get; set; }

    public float[] Embed(ReadOnlySpan<int> ids)
    {
        float[] rows = new float[ids.Length * HiddenSize];
        for (int i = 0; i < rows.Length; i++)
            rows[i] = Uniform(Hash.Of(7).With(ids[i / HiddenSize]).With(i % HiddenSize));
        return rows;
    }

    public Completion[][] Generate(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        BeforeGenerate?.Invoke(Generations);
        Generations++;
        Completion[][] result = [.. requests.Select(r => Enumerable.Range(0, r.Count).Select(rollout => Complete(r, rollout)).ToArray())];
        TokensGenerated?.Invoke(result.Sum(group => group.Sum(c => c.Tokens.Length)));
        return result;
    }

    public IPolicyPass Forward(IReadOnlyList<PackedTree> trees, float temperature, bool keepForBackward, long activationMemory = long.MaxValue)
    {
        (keepForBackward ? TrainingPasses : ReferencePasses).Add(trees.Count);
        return new Pass(this, trees, temperature);
    }

    public float[][] PoolQueries(IReadOnlyList<int[]> sequences) => [.. sequences.Select(s => Keys(Embed(s)))];

    public float[][] PoolKeys(IReadOnlyList<float[]> softPrompts, int skipRows) => [.. softPrompts.Select(s => Keys(s.AsSpan(skipRows * HiddenSize)))];

    private float[] Keys(ReadOnlySpan<float> rows)
    {
        float[] keys = new float[Layers * HeadSize];
        for (int i = 0; i < rows.Length; i++)
            keys[i % keys.Length] += rows[i];
        return keys;
    }

    private Completion Complete(GenerationRequest request, int rollout)
    {
        Hash hash = Hash.Of(11).With(request.SoftPrompt).With(request.PromptIds);
        if (request.Sampling.Temperature > 0)
            hash = hash.With(rollout).With((int)request.Key.Seed).With((int)request.Key.Problem).With((int)request.Key.Step);
        string filler = new('x', (int)(hash.Value % 7));
        string text = $"{filler}\\boxed{{{FixedAnswer ?? (hash.With(1).Value % 3).ToString()}}}";
        int[] tokens = [.. tokenizer.Encode(text, false), EndToken];
        bool ended = tokens.Length <= request.MaxNewTokens;
        if (!ended)
            tokens = tokens[..request.MaxNewTokens];
        float temperature = request.Sampling.Temperature > 0 ? request.Sampling.Temperature : 1;
        return new Completion(tokens, LogProbs(request.SoftPrompt, request.PromptIds, tokens, temperature), ended);
    }

    private static float[] LogProbs(float[] soft, int[] prompt, int[] tokens, float temperature)
    {
        Hash hash = Hash.Of(13).With(soft).With(prompt).With((int)(temperature * 1000));
        return [.. tokens.Select((token, t) => -1.5f - Uniform(hash.With(token).With(t)))];
    }

    private static float Uniform(Hash hash) => (hash.Value >> 40) / (float)(1 << 23) - 1;

    private sealed class Pass(FakePolicy policy, IReadOnlyList<PackedTree> trees, float temperature) : IPolicyPass
    {
        public float[][][] LogProbs { get; } =
            [.. trees.Select(tree => tree.Completions.Select(c => FakePolicy.LogProbs(tree.SoftPrompt, tree.PromptIds, c, temperature)).ToArray())];

        public float[][][] Entropies => [.. LogProbs.Select(tree => tree.Select(c => Array.ConvertAll(c, lp => -lp)).ToArray())];

        public float[][] Backward(float[][][] dLogProbs) => [.. trees.Select((tree, i) =>
        {
            Hash hash = Hash.Of(17).With(tree.SoftPrompt).With(tree.PromptIds);
            foreach (float[] completion in dLogProbs[i])
                hash = hash.With(completion);
            float[] gradient = new float[tree.SoftPrompt.Length];
            for (int v = 0; v < gradient.Length; v++)
                gradient[v] = Uniform(hash.With(v));
            return gradient;
        })];

        public void Dispose() => _ = policy;
    }

    /// <summary>splitmix64, chained.</summary>
    private readonly record struct Hash(ulong Value)
    {
        public static Hash Of(int start) => new Hash(0).With(start);

        public Hash With(int next)
        {
            ulong z = Value + 0x9E3779B97F4A7C15 + (uint)next;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return new Hash(z ^ (z >> 31));
        }

        public Hash With(ReadOnlySpan<int> values)
        {
            Hash hash = With(values.Length);
            foreach (int value in values)
                hash = hash.With(value);
            return hash;
        }

        public Hash With(ReadOnlySpan<float> values) => With(MemoryMarshal.Cast<float, int>(values));
    }

    /// <summary>A token for every ASCII character.</summary>
    private sealed class CharTokenizer(bool addsBegin) : ITokenizer
    {
        public int VocabularySize => 128;

        public int[] Encode(string text, bool addSpecialTokens) =>
            [.. addSpecialTokens && addsBegin ? new[] { BeginToken } : [], .. text.Select(c => c < 128 ? c : '?')];

        public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens)
        {
            string text = "";
            foreach (int id in ids)
                text += id is EndToken or BeginToken && skipSpecialTokens ? "" : (char)id;
            return text;
        }

        public int? IdOf(string token) => token.Length == 1 && token[0] < 128 ? token[0] : null;

        public ITokenStream Stream(bool skipSpecialTokens) => throw new NotSupportedException();
    }
}
