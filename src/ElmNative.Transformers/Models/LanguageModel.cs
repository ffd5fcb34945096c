using ElmNative.Compute;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Transformers.Models;

/// <summary>
/// A frozen decoder-only language model with its tokenizer, loaded straight from a Hugging Face folder onto a backend.
/// Not thread-safe: one caller at a time.
/// </summary>
public sealed class LanguageModel : IDisposable
{
    /// <summary>Opens a folder with config.json, model.safetensors, tokenizer.json and tokenizer_config.json.</summary>
    /// <exception cref="ElmException">anything missing, malformed or unsupported: one sentence that names it</exception>
    public static LanguageModel Load(string folder, IBackend backend) => throw new NotImplementedException();

    /// <summary>Width of the residual stream and of a soft-prompt row.</summary>
    public int HiddenSize => throw new NotImplementedException();

    /// <summary>Number of decoder layers.</summary>
    public int Layers => throw new NotImplementedException();

    /// <summary>Elements of an attention head.</summary>
    public int HeadSize => throw new NotImplementedException();

    /// <summary>Largest number of positions (soft prompt + prompt + completion).</summary>
    public int MaxPositions => throw new NotImplementedException();

    /// <summary>Text to ids.</summary>
    public ITokenizer Tokenizer => throw new NotImplementedException();

    /// <summary>The chat template, or null for a base model without one.</summary>
    public IChatTemplate? ChatTemplate => throw new NotImplementedException();

    /// <summary>Tokens that end a completion.</summary>
    public IReadOnlyList<int> EndTokens => throw new NotImplementedException();

    /// <summary>A hexadecimal digest that tells this model from others; stored with every memory made for it.</summary>
    public string Fingerprint => throw new NotImplementedException();

    /// <summary>Model type of config.json: qwen2, llama.</summary>
    public string ModelType => throw new NotImplementedException();

    /// <summary>Root mean square of the input embedding matrix, the unit of <c>--lr auto</c>.</summary>
    public double EmbeddingRms => throw new NotImplementedException();

    /// <summary>Rows of the input embedding matrix as float32, [ids x hidden].</summary>
    public float[] Embed(ReadOnlySpan<int> ids) => throw new NotImplementedException();

    /// <summary>
    /// Forward over packed trees: the log-probability of every completion token under softmax(logits / temperature), and what a backward pass needs.
    /// One tree's values do not depend on the others.
    /// </summary>
    public PackedPass Forward(IReadOnlyList<PackedTree> trees, float temperature, bool keepForBackward) => throw new NotImplementedException();

    /// <summary>
    /// For each token sequence alone (no soft prompt), the mean over its tokens and query heads of each layer's pre-rotary queries: [layers x headSize].
    /// </summary>
    public float[][] PoolQueries(IReadOnlyList<int[]> sequences) => throw new NotImplementedException();

    /// <summary>For each soft prompt alone (no token behind it), the mean over its rows and key heads of each layer's pre-rotary keys: [layers x headSize].</summary>
    public float[][] PoolKeys(IReadOnlyList<float[]> softPrompts) => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotImplementedException();
}

/// <summary>The result of <see cref="LanguageModel.Forward"/>; holds the activations until it is disposed.</summary>
public sealed class PackedPass : IDisposable
{
    /// <summary>Log-probabilities by tree, completion and token.</summary>
    public float[][][] LogProbs => throw new NotImplementedException();

    /// <summary>Entropies of the same distributions, in the same shape.</summary>
    public float[][][] Entropies => throw new NotImplementedException();

    /// <summary>
    /// d(loss)/d(soft prompt) of each tree, [rows x hidden], given d(loss)/d(log-probability) in the shape of <see cref="LogProbs"/>.
    /// </summary>
    public float[][] Backward(float[][][] dLogProbs) => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotImplementedException();
}
