using System.Runtime.InteropServices;
using ElmNative.Compute;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation.Scheduling;

/// <summary>
/// The sequences that decode together, and one step of them: draw a token for each from its final hidden state, feed it, and have the next hidden state.
/// A step allocates no managed memory. Sequences keep their order; those that are done leave, newcomers line up behind the others.
/// </summary>
internal sealed class DecodeBatch
{
    /// <summary>Logits in one block, in bytes.</summary>
    private const long LogitBytes = 32L << 20;

    private readonly LanguageModel model;
    private readonly IBackend backend;
    private readonly SlotStore store;
    private readonly Sequence[] sequences;
    private readonly Tensor hidden, logits;
    private readonly Tensor tokenIds, positionIds, slotIds, queryIds, segmentIds, samplingRows, drawnTokens, drawnLogProbs;
    private readonly int[] tokenBuffer, positionBuffer, slotBuffer, queryBuffer, segmentBuffer, drawnTokenBuffer;
    private readonly float[] drawnLogProbBuffer;
    private readonly SamplingRow[] samplingBuffer;
    private readonly LayerState layerState;
    private readonly Tensor rotary;
    private Tensor segments;

    /// <summary>A batch without sequences.</summary>
    /// <param name="model">the model</param><param name="rent">owner of the batch's tensors</param><param name="store">where keys and values are</param>
    /// <param name="capacity">most sequences at once</param><param name="longest">largest number of positions of any sequence</param>
    public DecodeBatch(LanguageModel model, RentedTensors rent, SlotStore store, int capacity, int longest)
    {
        this.model = model;
        this.store = store;
        backend = model.Backend;
        sequences = new Sequence[capacity];
        (tokenIds, tokenBuffer) = (rent.I32(1, capacity), new int[capacity]);
        (positionIds, positionBuffer) = (rent.I32(1, capacity), new int[capacity]);
        (slotIds, slotBuffer) = (rent.I32(1, capacity), new int[capacity]);
        (queryIds, queryBuffer) = (rent.I32(capacity, 2), new int[2 * capacity]);
        // every prefix in the store has a sequence here
        (segmentIds, segmentBuffer) = (rent.I32(2 * capacity, 3), new int[6 * capacity]);
        (drawnTokens, drawnTokenBuffer) = (rent.I32(1, capacity), new int[capacity]);
        (drawnLogProbs, drawnLogProbBuffer) = (rent.F32(1, capacity), new float[capacity]);
        (samplingRows, samplingBuffer) = (rent.I32(capacity, Marshal.SizeOf<SamplingRow>() / sizeof(int)), new SamplingRow[capacity]);
        hidden = rent.Activation(capacity, model.HiddenSize);
        logits = rent.F32((int)Math.Clamp(LogitBytes / (sizeof(float) * (long)model.Config.VocabularySize), 1, capacity), model.Config.VocabularySize);
        layerState = model.Decoder.RentInferenceState(rent, capacity);
        rotary = model.RotaryFor(longest);
    }

    /// <summary>Most sequences at once.</summary>
    public int Capacity => sequences.Length;

    /// <summary>Sequences in the batch now.</summary>
    public int Count { get; private set; }

    /// <summary>The sequences, in the order of their rows.</summary>
    public ReadOnlySpan<Sequence> Sequences => sequences.AsSpan(0, Count);

    /// <summary>The tokens of the last <see cref="Draw"/>, one a sequence; below 0 where the logits were NaN.</summary>
    public ReadOnlySpan<int> DrawnTokens => drawnTokenBuffer;

    /// <summary>Their log-probabilities.</summary>
    public ReadOnlySpan<float> DrawnLogProbs => drawnLogProbBuffer;

    /// <summary>Adds sequences that have no token yet. Their first one is drawn from their prefix's row of <paramref name="lastHidden"/>.</summary>
    public void Enter(List<Sequence> newcomers, Tensor lastHidden)
    {
        for (int i = 0; i < newcomers.Count; i++)
        {
            sequences[Count + i] = newcomers[i];
            tokenBuffer[i] = newcomers[i].Prefix.HiddenRow;
        }
        Tensor rows = Part(tokenIds, 0, newcomers.Count);
        backend.Upload<int>(tokenBuffer.AsSpan(0, newcomers.Count), rows);
        backend.GatherRows(lastHidden, rows, hidden.Slice(Count, newcomers.Count));
        Count += newcomers.Count;
    }

    /// <summary>Takes the sequences out that are done.</summary>
    public void RemoveDone()
    {
        int kept = 0;
        for (int i = 0; i < Count; i++)
            if (!sequences[i].IsDone)
                sequences[kept++] = sequences[i];
        Array.Clear(sequences, kept, Count - kept);
        Count = kept;
    }

    /// <summary>Numbers the attention segments: the prefixes in the store, then the sequences. Due before a step behind any coming or going.</summary>
    public void Arrange(List<Prefix> resident)
    {
        int next = 0;
        foreach (Prefix prefix in resident)
        {
            prefix.Segment = next;
            SetSegment(next++, prefix.FirstSlot, prefix.Rows, -1);
        }
        foreach (Sequence sequence in Sequences)
            SetSegment(next++, sequence.FirstSlot, sequence.Prefix.RowsPerSequence, sequence.Prefix.Segment);
        segments = segmentIds.Slice(0, next);
        backend.Upload<int>(segmentBuffer.AsSpan(0, 3 * next), segments);
    }

    /// <summary>Draws the next token of every sequence from its final hidden state.</summary>
    public void Draw()
    {
        for (int i = 0; i < Count; i++)
        {
            Sequence sequence = sequences[i];
            GenerationRequest request = sequence.Prefix.Asked;
            samplingBuffer[i] = new SamplingRow
            {
                Temperature = request.Sampling.Temperature,
                TopK = request.Sampling.TopK,
                TopP = request.Sampling.TopP,
                MinP = request.Sampling.MinP,
                SeedLow = (uint)request.Key.Seed,
                SeedHigh = (uint)(request.Key.Seed >> 32),
                Problem = request.Key.Problem,
                Step = request.Key.Step,
                Rollout = (uint)sequence.Rollout,
                Position = (uint)sequence.Length,
            };
        }
        backend.Upload<SamplingRow>(samplingBuffer.AsSpan(0, Count), samplingRows.Slice(0, Count));
        for (int start = 0; start < Count; start += logits.Rows)
        {
            int rows = Math.Min(logits.Rows, Count - start);
            Tensor block = logits.Slice(0, rows);
            backend.Linear(hidden.Slice(start, rows), model.Weights.Head, default, block, accumulate: false);
            backend.Sample(block, samplingRows.Slice(start, rows), Part(drawnTokens, start, rows), Part(drawnLogProbs, start, rows));
        }
        backend.Download(Part(drawnTokens, 0, Count), drawnTokenBuffer.AsSpan(0, Count));
        backend.Download(Part(drawnLogProbs, 0, Count), drawnLogProbBuffer.AsSpan(0, Count));
    }

    /// <summary>Feeds every sequence its last token and leaves its final hidden state.</summary>
    public void Feed()
    {
        int rows = Count, context = 0, firstSegment = segments.Rows - rows;
        for (int i = 0; i < rows; i++)
        {
            Sequence sequence = sequences[i];
            int own = sequence.Length - 1, prefix = sequence.Prefix.Rows;
            tokenBuffer[i] = sequence.LastToken;
            positionBuffer[i] = prefix + own;
            slotBuffer[i] = sequence.FirstSlot + own;
            queryBuffer[2 * i] = firstSegment + i;
            queryBuffer[2 * i + 1] = own + 1;
            context = Math.Max(context, prefix + own + 1);
        }
        Tensor tokens = Part(tokenIds, 0, rows), positions = Part(positionIds, 0, rows), slots = Part(slotIds, 0, rows), queries = queryIds.Slice(0, rows);
        backend.Upload<int>(tokenBuffer.AsSpan(0, rows), tokens);
        backend.Upload<int>(positionBuffer.AsSpan(0, rows), positions);
        backend.Upload<int>(slotBuffer.AsSpan(0, rows), slots);
        backend.Upload<int>(queryBuffer.AsSpan(0, 2 * rows), queries);
        RowLayout layout = new(positions, slots, new AttentionPlan(segments, queries, default, context), rotary);
        LayerState state = layerState.Head(rows);
        backend.GatherRows(model.Weights.Embedding, tokens, state.Input);
        for (int i = 0; i < model.Layers; i++)
        {
            store.Attach(i, ref state);
            model.Decoder.Project(i, state);
            model.Decoder.Mix(i, layout, state);
        }
        backend.RmsNorm(state.Output, model.Weights.FinalNorm, model.Config.RmsNormEpsilon, hidden.Slice(0, rows));
    }

    private static Tensor Part(Tensor row, int start, int count) => row.Reshape(row.Columns, 1).Slice(start, count).Reshape(1, count);

    private void SetSegment(int index, int start, int rows, int parent)
    {
        segmentBuffer[3 * index] = start;
        segmentBuffer[3 * index + 1] = rows;
        segmentBuffer[3 * index + 2] = parent;
    }
}
