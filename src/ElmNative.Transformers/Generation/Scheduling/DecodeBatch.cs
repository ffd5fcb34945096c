using System.Runtime.InteropServices;
using ElmNative.Compute;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation.Scheduling;

/// <summary>
/// The sequences that decode together. A step feeds each its last token, draws the next from its final hidden state and moves it on, all on the device (<see cref="DecodeState"/>); the host looks at what was drawn after a
/// window of steps (<see cref="IBackend.DecodeWindow"/>), and tells the device something only when somebody has come or gone. Sequences keep their order; newcomers line up behind the others. Between two comings and goings no
/// managed memory is allocated.
/// <para>Where a window has one step, a batch has as many rows as sequences. Where it has more, rows are padded to a bucket with empty ones that store nothing and see nothing, and the steps of a bucket are launched as one
/// captured graph; a sequence that ends within a window keeps its row until the window is over.</para>
/// </summary>
internal sealed class DecodeBatch : IDisposable
{
    /// <summary>Logits in one block, in bytes: what stays in a processor's caches, and what a device draws from in one launch.</summary>
    private const long LogitBytes = 32L << 20, DeviceLogitBytes = 256L << 20;

    private readonly LanguageModel model;
    private readonly IBackend backend;
    private readonly SlotStore store;
    private readonly int window;
    private readonly Sequence[] sequences;
    private readonly DecodeState state;
    private readonly Tensor lastHidden, hidden, logits, enteringRows, segmentIds, drawnTokens, drawnLogProbs, rotary;
    private readonly LayerState layerState;
    private readonly int[] tokenBuffer, positionBuffer, slotBuffer, queryBuffer, leftBuffer, stopBuffer, segmentBuffer, enteringBuffer, drawnTokenBuffer;
    private readonly float[] drawnLogProbBuffer;
    private readonly SamplingRow[] samplingBuffer;

    /// <summary>A graph for each bucket of rows and context that came twice; null for one that came once.</summary>
    private readonly Dictionary<(int Rows, int Context), IGraph?> graphs = [];

    /// <summary>What the batch has rows for now: views of the first ones.</summary>
    private DecodeState live;
    private LayerState liveLayer;
    private Tensor segments;
    private int rows, entering;
    private bool changed;

    /// <summary>A batch without sequences.</summary>
    /// <param name="model">the model</param><param name="rent">owner of the batch's tensors</param><param name="store">where keys and values are</param>
    /// <param name="lastHidden">[any, hidden] activations: the final hidden states of prefixes, by <see cref="Prefix.HiddenRow"/></param>
    /// <param name="capacity">most sequences at once</param><param name="longest">largest number of positions of any sequence</param>
    public DecodeBatch(LanguageModel model, RentedTensors rent, SlotStore store, Tensor lastHidden, int capacity, int longest)
    {
        this.model = model;
        this.store = store;
        this.lastHidden = lastHidden;
        backend = model.Backend;
        window = backend.DecodeWindow;
        sequences = new Sequence[capacity];
        int most = RowsFor(window, capacity);
        int[] ends = [.. model.EndTokens];
        tokenBuffer = new int[most];
        positionBuffer = new int[most];
        slotBuffer = new int[most];
        queryBuffer = new int[2 * most];
        leftBuffer = new int[most];
        stopBuffer = new int[most];
        segmentBuffer = new int[6 * most];
        enteringBuffer = new int[most];
        samplingBuffer = new SamplingRow[most];
        drawnTokenBuffer = new int[window * most];
        drawnLogProbBuffer = new float[window * most];
        state = new DecodeState(rent.I32(1, most), rent.I32(1, most), rent.I32(1, most), rent.I32(most, 2), rent.I32(most, Marshal.SizeOf<SamplingRow>() / sizeof(int)), rent.I32(1, most), rent.I32(1, most),
            rent.I32(1, ends.Length), rent.I32(1, 1), rent.I32(window, most), rent.F32(window, most));
        backend.Upload<int>(ends, state.EndTokens);
        // each sequence with a prefix of its own at most
        segmentIds = rent.I32(2 * most, 3);
        enteringRows = rent.I32(1, most);
        drawnTokens = rent.I32(1, most);
        drawnLogProbs = rent.F32(1, most);
        hidden = rent.Activation(most, model.HiddenSize);
        logits = rent.F32(LogitRowsFor(window, model.Config.VocabularySize, most), model.Config.VocabularySize);
        layerState = model.Tensors.RentInferenceState(rent, most);
        rotary = model.RotaryFor(longest);
    }

    /// <summary>Most sequences at once.</summary>
    public int Capacity => sequences.Length;

    /// <summary>Sequences in the batch now.</summary>
    public int Count { get; private set; }

    /// <summary>The sequences, in the order of their rows.</summary>
    public ReadOnlySpan<Sequence> Sequences => sequences.AsSpan(0, Count);

    /// <summary>Steps of the last window.</summary>
    public int Steps { get; private set; }

    /// <summary>Rows that a batch of so many sequences has, for a backend's window.</summary>
    public static int RowsFor(int window, int sequences) => window == 1 ? sequences : DecodeBuckets.Rows(sequences);

    /// <summary>Rows of logits in one block, for a batch of so many rows and a window.</summary>
    public static int LogitRowsFor(int window, int vocabulary, int rows) =>
        (int)Math.Clamp((window == 1 ? LogitBytes : DeviceLogitBytes) / (sizeof(float) * (long)vocabulary), 1, rows);

    /// <summary>What a sequence drew in a step of the last window: a token, below 0 where its logits were NaN. Of a sequence that had not ended before.</summary>
    public (int Token, float LogProb) Drawn(int step, int sequence) => (drawnTokenBuffer[step * rows + sequence], drawnLogProbBuffer[step * rows + sequence]);

    /// <summary>Adds sequences that have no token yet; the next window draws their first one from their prefix's hidden row.</summary>
    public void Enter(List<Sequence> newcomers)
    {
        foreach (Sequence sequence in newcomers)
        {
            sequences[Count++] = sequence;
            enteringBuffer[entering++] = sequence.Prefix.HiddenRow;
        }
        changed = true;
    }

    /// <summary>Takes the sequences out that are done; due between a window with any of them and the next <see cref="Enter"/> or <see cref="Run"/>.</summary>
    public void RemoveDone()
    {
        int kept = 0;
        for (int i = 0; i < Count; i++)
            if (!sequences[i].IsDone)
                sequences[kept++] = sequences[i];
        Array.Clear(sequences, kept, Count - kept);
        Count = kept;
        changed = true;
    }

    /// <summary>Runs a window of steps, or fewer where no sequence has that many tokens left, and downloads what they drew. There is at least one sequence.</summary>
    public void Run()
    {
        if (changed)
            UploadState();
        changed = false;
        (Steps, int context) = Measure();
        backend.Zero(state.Step);
        int step = 0;
        if (entering > 0)
        {
            // the newcomers have nothing to feed, and their slots before the first token are somebody else's
            int others = Count - entering;
            if (others > 0)
                Feed(others, context);
            Tensor entered = Part(enteringRows, entering);
            backend.Upload<int>(enteringBuffer.AsSpan(0, entering), entered);
            backend.GatherRows(lastHidden, entered, hidden.Slice(others, entering));
            entering = 0;
            Draw();
            step++;
        }
        for (; step < Steps; step++)
            Advance(context);
        backend.Download(live.HistoryTokens.Slice(0, Steps), drawnTokenBuffer.AsSpan(0, Steps * rows));
        backend.Download(live.HistoryLogProbs.Slice(0, Steps), drawnLogProbBuffer.AsSpan(0, Steps * rows));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IGraph? graph in graphs.Values)
            graph?.Dispose();
        graphs.Clear();
    }

    /// <summary>
    /// Where every sequence is, and the attention segments: prefixes, then sequences. A sequence with no token yet stands one position before its first, so that the step that draws its first token moves it there.
    /// </summary>
    private void UploadState()
    {
        int count = RowsFor(window, Count);
        if (count != rows)
        {
            rows = count;
            live = Head(rows);
            liveLayer = layerState.Head(rows);
        }
        int next = 0;
        for (int i = 0; i < Count; i++)
        {
            // sequences of one prefix stand side by side: they entered so, and nobody changes places
            Prefix prefix = sequences[i].Prefix;
            if (i > 0 && prefix == sequences[i - 1].Prefix)
                continue;
            prefix.Segment = next;
            SetSegment(next++, prefix.FirstSlot, prefix.Rows, -1);
        }
        for (int i = 0; i < Count; i++)
        {
            Sequence sequence = sequences[i];
            SetRow(i, sequence, next);
            SetSegment(next++, sequence.FirstSlot, sequence.Prefix.RowsPerSequence, sequence.Prefix.Segment);
        }
        for (int i = Count; i < rows; i++)
            SetEmptyRow(i);
        // captured steps see the same number of segments whoever shares a prefix
        for (; window > 1 && next < 2 * rows; next++)
            SetSegment(next, 0, 0, -1);
        segments = segmentIds.Slice(0, next);
        backend.Upload<int>(segmentBuffer.AsSpan(0, 3 * next), segments);
        backend.Upload<int>(tokenBuffer.AsSpan(0, rows), live.Tokens);
        backend.Upload<int>(positionBuffer.AsSpan(0, rows), live.Positions);
        backend.Upload<int>(slotBuffer.AsSpan(0, rows), live.Slots);
        backend.Upload<int>(queryBuffer.AsSpan(0, 2 * rows), live.Queries);
        backend.Upload<SamplingRow>(samplingBuffer.AsSpan(0, rows), live.Sampling);
        backend.Upload<int>(leftBuffer.AsSpan(0, rows), live.Left);
        backend.Upload<int>(stopBuffer.AsSpan(0, rows), live.StopsAtEnd);
    }

    private void SetRow(int row, Sequence sequence, int segment)
    {
        GenerationRequest request = sequence.Prefix.Asked;
        int length = sequence.Length;
        tokenBuffer[row] = length > 0 ? sequence.LastToken : 0;
        positionBuffer[row] = sequence.Prefix.Rows + length - 1;
        slotBuffer[row] = sequence.FirstSlot + length - 1;
        queryBuffer[2 * row] = segment;
        queryBuffer[2 * row + 1] = length;
        leftBuffer[row] = sequence.Prefix.TokenLimit - length;
        stopBuffer[row] = request.IgnoreEndTokens ? 0 : 1;
        samplingBuffer[row] = new SamplingRow
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
            Position = (uint)length,
        };
    }

    private void SetEmptyRow(int row)
    {
        tokenBuffer[row] = positionBuffer[row] = queryBuffer[2 * row] = queryBuffer[2 * row + 1] = leftBuffer[row] = stopBuffer[row] = 0;
        slotBuffer[row] = -1;
        samplingBuffer[row] = default;
    }

    /// <summary>How many steps the next window has, and the largest number of store rows that any row sees in it.</summary>
    private (int Steps, int Context) Measure()
    {
        int left = 0, context = 0;
        for (int i = 0; i < Count; i++)
        {
            Prefix prefix = sequences[i].Prefix;
            int length = sequences[i].Length;
            left = Math.Max(left, prefix.TokenLimit - length);
            context = Math.Max(context, prefix.Rows + Math.Min(length + window - 1, prefix.RowsPerSequence));
        }
        return (Math.Min(window, left), window == 1 ? context : DecodeBuckets.Context(context));
    }

    /// <summary>One step of the whole batch. A bucket's first step runs as it is, which also brings the backend's memory to size; from its second one on it is a graph.</summary>
    private void Advance(int context)
    {
        if (window == 1 || !graphs.TryGetValue((rows, context), out IGraph? graph))
        {
            FeedAndDraw(context);
            if (window > 1)
                graphs.Add((rows, context), null);
            return;
        }
        if (graph is null)
            graphs[(rows, context)] = graph = Capture(context);
        graph.Launch();
    }

    /// <summary>Apart from <see cref="Advance"/>, which allocates nothing for the closure that way.</summary>
    private IGraph Capture(int context) => backend.Capture(() => FeedAndDraw(context));

    private void FeedAndDraw(int context)
    {
        Feed(rows, context);
        Draw();
    }

    /// <summary>Feeds the first rows their last tokens and leaves their final hidden states.</summary>
    private void Feed(int rows, int context)
    {
        bool whole = rows == this.rows;
        DecodeState at = whole ? live : Head(rows);
        LayerState layer = whole ? liveLayer : layerState.Head(rows);
        RowLayout layout = new(at.Positions, at.Slots, new AttentionPlan(segments, at.Queries, default, context), rotary);
        backend.GatherRows(model.Weights.Embedding, at.Tokens, layer.Input);
        for (int i = 0; i < model.Layers; i++)
        {
            store.Attach(i, ref layer);
            model.Decoder.Project(i, layer);
            model.Decoder.Mix(i, layout, layer);
        }
        backend.RmsNorm(layer.Output, model.Weights.FinalNorm, model.Config.RmsNormEpsilon, hidden.Slice(0, rows));
    }

    /// <summary>Draws the next token of every row from its final hidden state, and moves it on.</summary>
    private void Draw()
    {
        for (int start = 0; start < rows; start += logits.Rows)
        {
            int count = Math.Min(logits.Rows, rows - start);
            Tensor block = logits.Slice(0, count);
            backend.Linear(hidden.Slice(start, count), model.Weights.Head, default, block, accumulate: false);
            backend.Sample(block, live.Sampling.Slice(start, count), Part(drawnTokens, count, start), Part(drawnLogProbs, count, start));
        }
        backend.AdvanceDecode(live, Part(drawnTokens, rows), Part(drawnLogProbs, rows));
    }

    /// <summary>The state of the first rows; the history is as wide as they are many.</summary>
    private DecodeState Head(int rows) => new(Part(state.Tokens, rows), Part(state.Positions, rows), Part(state.Slots, rows), state.Queries.Slice(0, rows), state.Sampling.Slice(0, rows), Part(state.Left, rows),
        Part(state.StopsAtEnd, rows), state.EndTokens, state.Step, History(state.HistoryTokens, rows), History(state.HistoryLogProbs, rows));

    private Tensor History(Tensor history, int rows) => history.Reshape(history.Rows * history.Columns, 1).Slice(0, window * rows).Reshape(window, rows);

    private static Tensor Part(Tensor row, int count, int start = 0) => row.Reshape(row.Columns, 1).Slice(start, count).Reshape(1, count);

    private void SetSegment(int index, int start, int length, int parent)
    {
        segmentBuffer[3 * index] = start;
        segmentBuffer[3 * index + 1] = length;
        segmentBuffer[3 * index + 2] = parent;
    }
}
