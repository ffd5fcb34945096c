using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Transformers.Models;

/// <summary>
/// A frozen decoder-only language model with its tokenizer, loaded straight from a Hugging Face folder onto a backend, or made of random weights.
/// Not thread-safe: one caller at a time. The backend is the caller's and outlives the model.
/// </summary>
public sealed class LanguageModel : IDisposable
{
    /// <summary>Weights up to this size are all checked for NaN and infinity when a model is loaded; larger ones when logits turn out NaN.</summary>
    private const long CheckedAtLoad = 4L << 30;

    private readonly IWeightSource source;
    private readonly RotaryTable rotary;
    private double embeddingRms = -1;

    private LanguageModel(IWeightSource source, IBackend backend, ITokenizer tokenizer, IChatTemplate? chatTemplate)
    {
        this.source = source;
        Backend = backend;
        Tokenizer = tokenizer;
        ChatTemplate = chatTemplate;
        Weights = new DecoderWeights(source);
        Buffers = new BufferCache(backend.Allocate, backend.ActivationType);
        Tensors = new LayerTensors(Config, backend.ActivationType);
        Decoder = new Decoder(backend, Config, Weights);
        rotary = new RotaryTable(backend, Config.RotaryFrequencies, Config.RotaryScale);
    }

    /// <summary>Opens a folder with config.json, model.safetensors (or shards), tokenizer.json and tokenizer_config.json.</summary>
    /// <exception cref="ElmException">anything missing, malformed or unsupported, or a weight that is not finite: one sentence that names it</exception>
    /// <param name="folder">the model</param><param name="backend">where it runs</param>
    /// <param name="progress">told after each tensor how many bytes of the weights are on the backend, of how many</param>
    public static LanguageModel Load(string folder, IBackend backend, Action<long, long>? progress = null) => RefuseReward(Open(folder, backend, withTokenizer: true, progress));

    /// <summary>Opens a folder's weights only, for work on token ids: golden values, benchmarks.</summary>
    /// <exception cref="ElmException">as <see cref="Load"/></exception>
    public static LanguageModel LoadWithoutTokenizer(string folder, IBackend backend, Action<long, long>? progress = null) => RefuseReward(Open(folder, backend, withTokenizer: false, progress));

    /// <summary>
    /// A model of random weights that are made on the backend, without a tokenizer: for measurements at the size of a model that is not at hand. The same weights on every backend.
    /// </summary>
    /// <param name="config">the architecture, as of <see cref="ModelShapes.Config"/></param><param name="backend">where it runs</param><param name="seed">seed of the weights</param><param name="progress">as for <see cref="Load"/></param>
    /// <exception cref="ElmException">the backend has not enough memory</exception>
    public static LanguageModel Random(ModelConfig config, IBackend backend, ulong seed = 0, Action<long, long>? progress = null) =>
        RefuseReward(new LanguageModel(new RandomWeights(config, seed, backend, progress), backend, NoTokenizer.Instance, null));

    /// <summary>Opens a decoder of any supported architecture, with or without a head that predicts tokens.</summary>
    internal static LanguageModel Open(string folder, IBackend backend, bool withTokenizer, Action<long, long>? progress = null)
    {
        StoredWeights source = new(Checkpoint.Open(folder), backend, progress);
        LanguageModel? model = null;
        try
        {
            model = withTokenizer
                ? new LanguageModel(source, backend, BytePairTokenizer.Load(folder), Tokenization.ChatTemplate.Load(folder))
                : new LanguageModel(source, backend, NoTokenizer.Instance, null);
            model.Check();
            return model;
        }
        catch
        {
            model?.Dispose();
            source.Dispose();
            throw;
        }
    }

    /// <summary>Width of the residual stream and of a soft-prompt row.</summary>
    public int HiddenSize => Config.HiddenSize;

    /// <summary>Number of decoder layers.</summary>
    public int Layers => Config.Layers;

    /// <summary>Elements of an attention head.</summary>
    public int HeadSize => Config.HeadSize;

    /// <summary>Largest number of positions (soft prompt + prompt + completion).</summary>
    public int MaxPositions => Config.MaxPositions;

    /// <summary>The architecture.</summary>
    public ModelConfig Config => source.Config;

    /// <summary>Text to ids.</summary>
    public ITokenizer Tokenizer { get; }

    /// <summary>The chat template, or null for a base model without one.</summary>
    public IChatTemplate? ChatTemplate { get; }

    /// <summary>Tokens that end a completion.</summary>
    public IReadOnlyList<int> EndTokens => Config.EndTokens;

    /// <summary>A hexadecimal digest that tells this model from others; stored with every memory made for it.</summary>
    public string Fingerprint => source.Fingerprint;

    /// <summary>Model type of config.json: qwen2, llama.</summary>
    public string ModelType => Config.ModelType;

    /// <summary>Root mean square of the input embedding matrix, the unit of <c>--lr auto</c>.</summary>
    public double EmbeddingRms => embeddingRms >= 0 ? embeddingRms : embeddingRms = MeasureEmbeddingRms();

    /// <summary>Bytes that <see cref="Forward"/> keeps for each row of a pass that will be walked back.</summary>
    public long TrainingBytesPerRow => Tensors.TrainingBytesPerRow;

    /// <summary>The type that activations are rounded to: F32, or BF16 on a GPU.</summary>
    public ElementType ActivationType => Backend.ActivationType;

    internal IBackend Backend { get; }

    internal DecoderWeights Weights { get; }

    internal Decoder Decoder { get; }

    internal LayerTensors Tensors { get; }

    internal BufferCache Buffers { get; }

    /// <summary>Rows of the input embedding matrix as float32, [ids x hidden].</summary>
    public float[] Embed(ReadOnlySpan<int> ids)
    {
        RefuseUnknown(ids);
        using RentedTensors rent = new(Buffers);
        Tensor indices = rent.I32(1, ids.Length), rows = rent.F32(ids.Length, HiddenSize);
        float[] result = new float[ids.Length * HiddenSize];
        Backend.Upload(ids, indices);
        Backend.GatherRows(Weights.Embedding, indices, rows);
        Backend.Download<float>(rows, result);
        return result;
    }

    /// <summary>
    /// Forward over packed trees: the log-probability of every completion token under softmax(logits / temperature), and what a backward pass needs.
    /// One tree's values do not depend on the others.
    /// </summary>
    /// <param name="trees">what is computed</param>
    /// <param name="temperature">above 0</param>
    /// <param name="keepForBackward">keep what <see cref="PackedPass.Backward"/> reads</param>
    /// <param name="activationMemory">bytes; a pass that would keep more (<see cref="TrainingBytesPerRow"/> for each row) recomputes layer by layer instead. Changes no bit.</param>
    public PackedPass Forward(IReadOnlyList<PackedTree> trees, float temperature, bool keepForBackward, long activationMemory = long.MaxValue)
    {
        foreach (PackedTree tree in trees)
        {
            RefuseUnknown(tree.PromptIds);
            foreach (int[] completion in tree.Completions)
                RefuseUnknown(completion);
        }
        return new PackedPass(this, trees, temperature, keepForBackward, activationMemory);
    }

    /// <summary>
    /// For each token sequence alone (no soft prompt), the mean over its tokens and query heads of each layer's queries before the rotary embedding:
    /// [layers x headSize].
    /// </summary>
    public float[][] PoolQueries(IReadOnlyList<int[]> sequences) =>
        Pool(sequences.Select(ids => new PackedTree([], ids, [])).ToArray(), keys: false, skipRows: 0);

    /// <summary>
    /// For each soft prompt alone (no token behind it), the mean over its rows and key heads of each layer's keys before the rotary embedding: [layers x headSize].
    /// </summary>
    /// <param name="softPrompts">[rows x hidden] each</param>
    /// <param name="skipRows">leave the first rows out of the mean (a row that began as the begin-of-text token)</param>
    public float[][] PoolKeys(IReadOnlyList<float[]> softPrompts, int skipRows = 0) =>
        Pool(softPrompts.Select(rows => new PackedTree(rows, [], [])).ToArray(), keys: true, skipRows);

    /// <summary>Every intermediate value of one sequence that a reference can be compared with. For checks; holds the whole [tokens, vocabulary] matrix.</summary>
    public ForwardTrace Trace(int[] ids)
    {
        RefuseUnknown(ids);
        using RentedTensors rent = new(Buffers);
        PackedTree[] trees = [new PackedTree([], ids, [])];
        PackedBatch batch = new(trees, HiddenSize, MaxPositions);
        (RowLayout layout, LayerState state) = BeginInference(batch, trees, rent);
        float[] query = new float[ids.Length * Tensors.QueryWidth], key = new float[ids.Length * Tensors.KeyWidth];
        for (int i = 0; i < Layers; i++)
        {
            Decoder.Project(i, state);
            if (i == 0)
            {
                Download(state.Query, query, rent);
                Download(state.Key, key, rent);
            }
            Decoder.Mix(i, layout, state);
        }
        Tensor logits = rent.F32(ids.Length, Config.VocabularySize);
        float[] hidden = new float[ids.Length * HiddenSize], logitValues = new float[ids.Length * Config.VocabularySize];
        Backend.RmsNorm(state.Output, Weights.FinalNorm, Config.RmsNormEpsilon, state.Normed);
        Backend.Linear(state.Normed, Weights.Head, default, logits, accumulate: false);
        Download(state.Normed, hidden, rent);
        Backend.Download<float>(logits, logitValues);
        return new ForwardTrace(hidden, logitValues, query, key);
    }

    /// <summary>
    /// The hidden states after the final norm at some positions of each sequence, one after another: [positions x hidden]. Sequences run in one pass.
    /// </summary>
    internal float[] HiddenAt(IReadOnlyList<int[]> sequences, IReadOnlyList<int[]> positions)
    {
        foreach (int[] sequence in sequences)
            RefuseUnknown(sequence);
        using RentedTensors rent = new(Buffers);
        PackedTree[] trees = sequences.Select(ids => new PackedTree([], ids, [])).ToArray();
        PackedBatch batch = new(trees, HiddenSize, MaxPositions);
        (RowLayout layout, LayerState state) = BeginInference(batch, trees, rent);
        for (int i = 0; i < Layers; i++)
        {
            Decoder.Project(i, state);
            Decoder.Mix(i, layout, state);
        }
        int[] rows = positions.SelectMany((places, t) => places.Select(place => batch.Trees[2 * t] + place)).ToArray();
        Tensor indices = rent.I32(1, rows.Length), hidden = rent.F32(rows.Length, HiddenSize);
        float[] result = new float[rows.Length * HiddenSize];
        Backend.Upload<int>(rows, indices);
        Backend.GatherRows(state.Output, indices, hidden);
        Backend.RmsNorm(hidden, Weights.FinalNorm, Config.RmsNormEpsilon, hidden);
        Backend.Download<float>(hidden, result);
        return result;
    }

    /// <summary>Downloads an activation as float32 values; waits for queued work.</summary>
    internal void Download(Tensor activation, float[] values, RentedTensors rent)
    {
        if (activation.Type != ElementType.F32)
        {
            Tensor wide = rent.F32(activation.Rows, activation.Columns);
            Backend.Copy(activation, wide);
            activation = wide;
        }
        Backend.Download<float>(activation, values);
    }

    /// <summary>Uploads float32 values as an activation of [values / columns, columns].</summary>
    internal Tensor UploadActivation(float[] values, int columns, RentedTensors rent)
    {
        Tensor wide = rent.F32(values.Length / columns, columns);
        Backend.Upload<float>(values, wide);
        if (Buffers.ActivationType == ElementType.F32)
            return wide;
        Tensor activation = rent.Activation(wide.Rows, wide.Columns);
        Backend.Copy(wide, activation);
        return activation;
    }

    /// <summary>Says which weight is not finite, after logits were found to be NaN: throws, or returns the sentence for finite weights.</summary>
    internal ElmException NotANumber()
    {
        source.RequireFinite(long.MaxValue);
        return new ElmException("the model's logits are NaN although its weights are finite; the soft prompt may have diverged: lower --lr");
    }

    internal RowLayout Upload(PackedBatch batch, RentedTensors rent)
    {
        Tensor positions = rent.I32(1, batch.Rows), segments = rent.I32(batch.Segments.Length / 3, 3);
        Tensor queries = rent.I32(batch.Rows, 2), treeRows = rent.I32(batch.Trees.Length / 2, 2);
        Backend.Upload<int>(batch.Positions, positions);
        Backend.Upload<int>(batch.Segments, segments);
        Backend.Upload<int>(batch.Queries, queries);
        Backend.Upload<int>(batch.Trees, treeRows);
        return new RowLayout(positions, default, new AttentionPlan(segments, queries, treeRows, batch.MaxContext), RotaryFor(batch.MaxContext));
    }

    /// <summary>The layout and the embedded residual stream of a pass over whole prefixes that keeps nothing for a backward pass.</summary>
    private (RowLayout Layout, LayerState State) BeginInference(PackedBatch batch, IReadOnlyList<PackedTree> trees, RentedTensors rent)
    {
        RowLayout layout = Upload(batch, rent);
        LayerState state = Tensors.RentInferenceState(rent, batch.Rows);
        state.KeyStore = state.Key;
        state.ValueStore = state.Value;
        EmbedInto(batch, trees, state.Input, rent);
        return (layout, state);
    }

    internal Tensor RotaryFor(int positions) => rotary.ForPositions(positions);

    /// <summary>Fills the residual stream: embeddings for tokens, the soft prompt's values for its rows.</summary>
    internal void EmbedInto(PackedBatch batch, IReadOnlyList<PackedTree> trees, Tensor x, RentedTensors rent)
    {
        Tensor ids = rent.I32(1, batch.Rows);
        Backend.Upload<int>(batch.Ids, ids);
        Backend.GatherRows(Weights.Embedding, ids, x);
        for (int t = 0; t < trees.Count; t++)
            if (trees[t].SoftPrompt.Length > 0)
                Backend.Upload<float>(trees[t].SoftPrompt, x.Slice(batch.Trees[2 * t], trees[t].SoftPrompt.Length / HiddenSize));
    }

    /// <summary>Refuses ids that the embedding matrix has no row for.</summary>
    internal void RefuseUnknown(ReadOnlySpan<int> ids)
    {
        foreach (int id in ids)
            if ((uint)id >= (uint)Config.VocabularySize)
                throw new ElmException($"token id {id} has no row in the model's embedding of {Config.VocabularySize}; the tokenizer does not belong to this model");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Buffers.Dispose();
        rotary.Dispose();
        Weights.Dispose();
        source.Dispose();
    }

    private static LanguageModel RefuseReward(LanguageModel model)
    {
        if (model.Weights.Head.IsPresent)
            return model;
        string folder = model.source.Name;
        model.Dispose();
        throw new ElmException($"{folder}: this is a process reward model, which scores responses and writes none; name it with --verifier prm:{folder}");
    }

    private void Check()
    {
        if (Tokenizer.VocabularySize > Config.VocabularySize)
            throw new ElmException($"{source.Name}: tokenizer.json has {Tokenizer.VocabularySize} tokens but the model only {Config.VocabularySize} embeddings; take both from one model");
        source.RequireFinite(CheckedAtLoad);
    }

    private float[][] Pool(PackedTree[] trees, bool keys, int skipRows)
    {
        float[][] result = new float[trees.Length][];
        if (trees.Length == 0)
            return result;
        using RentedTensors rent = new(Buffers);
        PackedBatch batch = new(trees, HiddenSize, MaxPositions);
        (RowLayout layout, LayerState state) = BeginInference(batch, trees, rent);
        int[] ranges = (int[])batch.Trees.Clone();
        for (int t = 0; t < trees.Length; t++)
        {
            ranges[2 * t] += Math.Min(skipRows, ranges[2 * t + 1]);
            ranges[2 * t + 1] = Math.Max(0, ranges[2 * t + 1] - skipRows);
            result[t] = new float[Layers * HeadSize];
        }
        Tensor pools = rent.I32(trees.Length, 2), pooled = rent.F32(trees.Length, HeadSize);
        Backend.Upload<int>(ranges, pools);
        float[] layerValues = new float[trees.Length * HeadSize];
        for (int i = 0; i < Layers; i++)
        {
            Decoder.Project(i, state);
            Tensor source = keys ? Config.QueryKeyNorm ? state.RawKey : state.Key : Config.QueryKeyNorm ? state.RawQuery : state.Query;
            Backend.PoolHeads(source, pools, HeadSize, pooled);
            Backend.Download<float>(pooled, layerValues);
            for (int t = 0; t < trees.Length; t++)
                layerValues.AsSpan(t * HeadSize, HeadSize).CopyTo(result[t].AsSpan(i * HeadSize));
            if (i < Layers - 1)
                Decoder.Mix(i, layout, state);
        }
        return result;
    }

    private double MeasureEmbeddingRms()
    {
        const int rowsAtATime = 1024;
        double sum = 0;
        int[] ids = new int[Math.Min(rowsAtATime, Config.VocabularySize)];
        for (int start = 0; start < Config.VocabularySize; start += rowsAtATime)
        {
            int count = Math.Min(rowsAtATime, Config.VocabularySize - start);
            for (int i = 0; i < count; i++)
                ids[i] = start + i;
            foreach (float value in Embed(ids.AsSpan(0, count)))
                sum += (double)value * value;
        }
        return Math.Sqrt(sum / ((double)Config.VocabularySize * HiddenSize));
    }
}

/// <summary>Values inside one forward pass of a sequence.</summary>
/// <param name="Hidden">[tokens x hidden] after the final norm</param>
/// <param name="Logits">[tokens x vocabulary]</param>
/// <param name="FirstQueries">[tokens x heads x headSize] of the first layer, with bias, before the rotary embedding</param>
/// <param name="FirstKeys">[tokens x key heads x headSize], likewise</param>
public sealed record ForwardTrace(float[] Hidden, float[] Logits, float[] FirstQueries, float[] FirstKeys);
