using ElmNative.Compute;

namespace ElmNative.Transformers.Models;

/// <summary>
/// A forward pass over packed trees that can be walked back to their soft prompts. Holds the activations until it is disposed;
/// made by <see cref="LanguageModel.Forward"/>.
/// </summary>
public sealed class PackedPass : IDisposable
{
    private readonly LanguageModel model;
    private readonly IReadOnlyList<PackedTree> trees;
    private readonly PackedBatch batch;
    private readonly RentedTensors rent;
    private readonly LayerState[] layers;
    private readonly RowLayout layout;
    private readonly Tensor predictingRows, finalInput, logProbGradient;
    private readonly bool recomputes;
    private bool walkedBack;

    internal PackedPass(LanguageModel model, IReadOnlyList<PackedTree> trees, float temperature, bool keepForBackward, long activationMemory)
    {
        this.model = model;
        this.trees = trees;
        IBackend backend = model.Backend;
        int hidden = model.HiddenSize;
        batch = new PackedBatch(trees, hidden, model.MaxPositions);
        rent = new RentedTensors(model.Buffers);
        int rows = batch.Rows, count = batch.Targets.Length;
        try
        {
            layout = model.Upload(batch, rent);
            Tensor x = rent.F32(rows, hidden);
            model.EmbedInto(batch, trees, x, rent);
            recomputes = keepForBackward && rows * model.TrainingBytesPerRow > activationMemory;
            // where all that the backward pass reads would not fit, each layer is computed once more there: the same operations on the same inputs, so the same bits
            layers = keepForBackward ? model.Tensors.RentTrainingStates(rent, rows, recomputes, x, rent.Activation(rows, hidden), rent.Activation(rows, model.Config.IntermediateSize))
                : Enumerable.Repeat(RentInference(x), model.Layers).ToArray();
            for (int i = 0; i < layers.Length; i++)
            {
                model.Decoder.Project(i, layers[i]);
                model.Decoder.Mix(i, layout, layers[i]);
            }

            predictingRows = rent.I32(1, count);
            Tensor targets = rent.I32(1, count);
            backend.Upload<int>(batch.PredictingRows, predictingRows);
            backend.Upload<int>(batch.Targets, targets);
            finalInput = rent.F32(count, hidden);
            Tensor finalHidden = rent.Activation(count, hidden);
            backend.GatherRows(layers[^1].Output, predictingRows, finalInput);
            backend.RmsNorm(finalInput, model.Weights.FinalNorm, model.Config.RmsNormEpsilon, finalHidden);
            Tensor logProbs = rent.F32(1, count), entropy = rent.F32(1, count);
            // taken here, while the logits are there; the backward pass has only to scale its rows
            logProbGradient = keepForBackward ? rent.F32(count, hidden) : default;
            backend.LogProbs(finalHidden, model.Weights.Head, targets, temperature, logProbs, entropy, logProbGradient);
            LogProbs = Unpack(logProbs);
            Entropies = Unpack(entropy);
            if (!keepForBackward)
                rent.Dispose();
        }
        catch
        {
            rent.Dispose();
            throw;
        }
        walkedBack = !keepForBackward;
    }

    /// <summary>Log-probability of each token under softmax(logits / temperature), by tree, completion and token.</summary>
    public float[][][] LogProbs { get; }

    /// <summary>Entropies of the same distributions, in the same shape.</summary>
    public float[][][] Entropies { get; }

    /// <summary>
    /// d(loss)/d(soft prompt) of each tree, [rows x hidden], given d(loss)/d(log-probability) in the shape of <see cref="LogProbs"/>. The gradients of
    /// all completions that share a prefix meet there. Once only: the pass overwrites what it kept.
    /// </summary>
    public float[][] Backward(float[][][] dLogProbs)
    {
        if (walkedBack)
            throw new InvalidOperationException("a pass can be walked back once, and only if it was made with keepForBackward");
        walkedBack = true;
        IBackend backend = model.Backend;
        int rows = batch.Rows, hidden = model.HiddenSize, count = batch.Targets.Length;
        Tensor dLog = rent.F32(1, count), dFinal = logProbGradient, dFinalInput = rent.F32(count, hidden), gradient = rent.F32(rows, hidden);
        backend.Upload<float>(Pack(dLogProbs), dLog);
        backend.ScaleRows(dLog, dFinal);
        backend.Zero(dFinalInput);
        backend.RmsNormBackward(finalInput, model.Weights.FinalNorm, model.Config.RmsNormEpsilon, dFinal, dFinalInput);
        backend.Zero(gradient);
        backend.ScatterAddRows(dFinalInput, predictingRows, gradient);

        LayerGradients scratch = model.Tensors.RentGradients(rent, rows, layers[0].Normed, layers[0].Product);
        for (int i = layers.Length - 1; i >= 0; i--)
        {
            if (recomputes)
            {
                model.Decoder.Project(i, layers[i]);
                model.Decoder.Mix(i, layout, layers[i]);
            }
            model.Decoder.Backward(i, layout, layers[i], scratch, gradient);
        }

        float[][] result = new float[trees.Count][];
        for (int t = 0; t < result.Length; t++)
        {
            int soft = trees[t].SoftPrompt.Length / hidden;
            result[t] = new float[soft * hidden];
            backend.Download<float>(gradient.Slice(batch.Trees[2 * t], soft), result[t]);
        }
        return result;
    }

    /// <inheritdoc/>
    public void Dispose() => rent.Dispose();

    private LayerState RentInference(Tensor x)
    {
        LayerState shared = model.Tensors.RentInferenceState(rent, batch.Rows);
        shared.Input = shared.Middle = shared.Output = x;
        shared.KeyStore = shared.Key;
        shared.ValueStore = shared.Value;
        return shared;
    }

    private float[][][] Unpack(Tensor values)
    {
        float[] flat = new float[values.Columns];
        model.Backend.Download<float>(values, flat);
        int next = 0;
        return trees.Select(tree => tree.Completions.Select(completion =>
        {
            float[] part = flat.AsSpan(next, completion.Length).ToArray();
            next += completion.Length;
            return part;
        }).ToArray()).ToArray();
    }

    private float[] Pack(float[][][] values)
    {
        float[] flat = new float[batch.Targets.Length];
        int next = 0;
        for (int t = 0; t < trees.Count; t++)
            for (int c = 0; c < trees[t].Completions.Count; c++)
            {
                if (values[t][c].Length != trees[t].Completions[c].Length)
                    throw new ArgumentException($"tree {t}, completion {c}: {values[t][c].Length} gradients for {trees[t].Completions[c].Length} tokens", nameof(values));
                values[t][c].CopyTo(flat, next);
                next += values[t][c].Length;
            }
        return flat;
    }
}
