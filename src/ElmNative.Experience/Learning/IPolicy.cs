using ElmNative.Compute;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Experience.Learning;

/// <summary>
/// What the method needs of the frozen language model, and nothing more: the one seam between this project and the runtime below it. Every
/// member is batch-invariant where <see cref="ActivationType"/> is F32: what else is in a call changes no bit of a result. One caller at a time.
/// </summary>
public interface IPolicy
{
    /// <summary>Width of the residual stream and of a memory's row.</summary>
    int HiddenSize { get; }

    /// <summary>Number of decoder layers.</summary>
    int Layers { get; }

    /// <summary>Elements of an attention head.</summary>
    int HeadSize { get; }

    /// <summary>Largest number of positions: memory rows, prompt and completion together.</summary>
    int MaxPositions { get; }

    /// <summary>Model type of config.json: qwen2, llama.</summary>
    string ModelType { get; }

    /// <summary>A hexadecimal digest that tells this model from others.</summary>
    string Fingerprint { get; }

    /// <summary>Root mean square of the input embedding matrix.</summary>
    double EmbeddingRms { get; }

    /// <summary>The type that activations are rounded to: F32 on the processor, BF16 on a GPU.</summary>
    ElementType ActivationType { get; }

    /// <summary>Bytes that <see cref="Forward"/> keeps for each row of a pass that will be walked back.</summary>
    long TrainingBytesPerRow { get; }

    /// <summary>Text to ids and back.</summary>
    ITokenizer Tokenizer { get; }

    /// <summary>The chat template, or null for a base model without one.</summary>
    IChatTemplate? ChatTemplate { get; }

    /// <summary>Called after every decode step with the number of sequences that took part.</summary>
    Action<int>? TokensGenerated { get; set; }

    /// <summary>Rows of the input embedding matrix, [ids x hidden].</summary>
    float[] Embed(ReadOnlySpan<int> ids);

    /// <summary>Generates completions; result [request][rollout].</summary>
    Completion[][] Generate(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellation);

    /// <summary>
    /// Log-probabilities of given completions under softmax(logits / temperature), and what a backward pass needs when it is asked for.
    /// </summary>
    IPolicyPass Forward(IReadOnlyList<PackedTree> trees, float temperature, bool keepForBackward, long activationMemory = long.MaxValue);

    /// <summary>
    /// For each token sequence alone, the mean over tokens and heads of each layer's pre-rotary queries: [layers x headSize].
    /// </summary>
    float[][] PoolQueries(IReadOnlyList<int[]> sequences);

    /// <summary>For each soft prompt alone, the mean over rows and heads of each layer's pre-rotary keys: [layers x headSize].</summary>
    /// <param name="softPrompts">[rows x hidden] each</param>
    /// <param name="skipRows">first rows to leave out of the mean</param>
    float[][] PoolKeys(IReadOnlyList<float[]> softPrompts, int skipRows);
}

/// <summary>The result of <see cref="IPolicy.Forward"/>; holds activations until it is disposed.</summary>
public interface IPolicyPass : IDisposable
{
    /// <summary>Log-probabilities by tree, completion and token.</summary>
    float[][][] LogProbs { get; }

    /// <summary>Entropies of the same distributions.</summary>
    float[][][] Entropies { get; }

    /// <summary>d(loss)/d(soft prompt) of each tree, [rows x hidden], given d(loss)/d(log-probability).</summary>
    float[][] Backward(float[][][] dLogProbs);
}

/// <summary>
/// A loaded <see cref="LanguageModel"/> and its <see cref="Generator"/> as a policy. The model stays the caller's to dispose.
/// </summary>
public sealed class ModelPolicy(LanguageModel model) : IPolicy
{
    private readonly Generator generator = new(model);

    /// <inheritdoc/>
    public int HiddenSize => model.HiddenSize;
    /// <inheritdoc/>
    public int Layers => model.Layers;
    /// <inheritdoc/>
    public int HeadSize => model.HeadSize;
    /// <inheritdoc/>
    public int MaxPositions => model.MaxPositions;
    /// <inheritdoc/>
    public string ModelType => model.ModelType;
    /// <inheritdoc/>
    public string Fingerprint => model.Fingerprint;
    /// <inheritdoc/>
    public double EmbeddingRms => model.EmbeddingRms;
    /// <inheritdoc/>
    public ElementType ActivationType => model.ActivationType;

    /// <inheritdoc/>
    public long TrainingBytesPerRow => model.TrainingBytesPerRow;
    /// <inheritdoc/>
    public ITokenizer Tokenizer => model.Tokenizer;
    /// <inheritdoc/>
    public IChatTemplate? ChatTemplate => model.ChatTemplate;
    /// <inheritdoc/>
    public Action<int>? TokensGenerated { get => generator.TokensGenerated; set => generator.TokensGenerated = value; }
    /// <inheritdoc/>
    public float[] Embed(ReadOnlySpan<int> ids) => model.Embed(ids);
    /// <inheritdoc/>
    public Completion[][] Generate(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellation) =>
        generator.Generate(requests, cancellation);
    /// <inheritdoc/>
    public IPolicyPass Forward(IReadOnlyList<PackedTree> trees, float temperature, bool keepForBackward, long activationMemory = long.MaxValue) =>
        new ModelPass(model.Forward(trees, temperature, keepForBackward, activationMemory));
    /// <inheritdoc/>
    public float[][] PoolQueries(IReadOnlyList<int[]> sequences) => model.PoolQueries(sequences);
    /// <inheritdoc/>
    public float[][] PoolKeys(IReadOnlyList<float[]> softPrompts, int skipRows) => model.PoolKeys(softPrompts, skipRows);

    private sealed class ModelPass(PackedPass pass) : IPolicyPass
    {
        public float[][][] LogProbs => pass.LogProbs;
        public float[][][] Entropies => pass.Entropies;
        public float[][] Backward(float[][][] dLogProbs) => pass.Backward(dLogProbs);
        public void Dispose() => pass.Dispose();
    }
}
