using System.Runtime.InteropServices;
using ElmNative.Compute;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation;

/// <summary>
/// One run of batched decoding: prefill of every prefix, then a step a token for all completions that have not ended. Keys and values of
/// a prefix are stored once for its group. Everything is allocated before the first token; a step allocates no managed memory.
/// </summary>
internal sealed class DecodeBatch : IDisposable
{
    /// <summary>Rows of a prefill pass, unless a single prefix is longer.</summary>
    private const int PrefillRows = 2048;

    /// <summary>Logits in one block, in bytes.</summary>
    private const long LogitBytes = 32L << 20;

    private readonly LanguageModel model;
    private readonly IBackend backend;
    private readonly GenerationRequest[] requests;
    private readonly RentedTensors rent;
    private readonly int[] prefixRows;
    private readonly Sequence[] sequences;
    private readonly int[] active;
    private readonly Tensor[] keyStore, valueStore;
    private readonly Tensor hidden, logits;
    private readonly Tensor tokenIds, positionIds, slotIds, queryIds, segmentIds, samplingRows, drawnTokens, drawnLogProbs;
    private readonly int[] tokenBuffer, positionBuffer, slotBuffer, queryBuffer, drawnTokenBuffer;
    private readonly float[] drawnLogProbBuffer;
    private readonly SamplingRow[] samplingBuffer;
    private readonly LayerState decodeState;
    private readonly int longest;
    private int activeCount;

    public DecodeBatch(LanguageModel model, GenerationRequest[] requests)
    {
        this.model = model;
        this.requests = requests;
        backend = model.Backend;
        rent = new RentedTensors(model.Buffers);
        prefixRows = requests.Select(request => PrefixRows(model, request)).ToArray();
        int count = requests.Sum(request => request.Count), storeRows = 0;
        sequences = new Sequence[count];
        active = Enumerable.Range(0, count).ToArray();
        activeCount = count;
        int[] segments = new int[3 * (requests.Length + count)];
        for (int r = 0; r < requests.Length; r++)
        {
            SetSegment(segments, r, storeRows, prefixRows[r], -1);
            storeRows += prefixRows[r];
        }
        int next = 0;
        for (int r = 0; r < requests.Length; r++)
            for (int i = 0; i < requests[r].Count; i++)
            {
                int limit = Limit(model, requests[r]);
                sequences[next] = new Sequence(r, i, requests.Length + next, storeRows, limit);
                SetSegment(segments, requests.Length + next, storeRows, limit - 1, r);
                storeRows += limit - 1;
                longest = Math.Max(longest, prefixRows[r] + limit);
                next++;
            }
        try
        {
            keyStore = new Tensor[model.Layers];
            valueStore = new Tensor[model.Layers];
            for (int i = 0; i < model.Layers; i++)
            {
                keyStore[i] = rent.F32(storeRows, model.Decoder.KeyWidth);
                valueStore[i] = rent.F32(storeRows, model.Decoder.KeyWidth);
            }
            segmentIds = rent.I32(requests.Length + count, 3);
            backend.Upload<int>(segments, segmentIds);
            (tokenIds, tokenBuffer) = (rent.I32(1, count), new int[count]);
            (positionIds, positionBuffer) = (rent.I32(1, count), new int[count]);
            (slotIds, slotBuffer) = (rent.I32(1, count), new int[count]);
            (queryIds, queryBuffer) = (rent.I32(count, 2), new int[2 * count]);
            (drawnTokens, drawnTokenBuffer) = (rent.I32(1, count), new int[count]);
            (drawnLogProbs, drawnLogProbBuffer) = (rent.F32(1, count), new float[count]);
            (samplingRows, samplingBuffer) = (rent.I32(count, Marshal.SizeOf<SamplingRow>() / sizeof(int)), new SamplingRow[count]);
            hidden = rent.F32(count, model.HiddenSize);
            logits = rent.F32((int)Math.Clamp(LogitBytes / (sizeof(float) * (long)model.Config.VocabularySize), 1, count), model.Config.VocabularySize);
            decodeState = model.Decoder.RentInferenceState(rent, count);
            Completions = new Completion[requests.Length][];
            for (int r = 0; r < requests.Length; r++)
                Completions[r] = new Completion[requests[r].Count];
        }
        catch
        {
            rent.Dispose();
            throw;
        }
    }

    /// <summary>What came out; complete after <see cref="Run"/>.</summary>
    public Completion[][] Completions { get; }

    public Action<int>? TokensGenerated { get; set; }

    public Action<int, int, int>? TokenArrived { get; set; }

    /// <summary>Rows of the shared prefix: soft prompt and prompt.</summary>
    public static int PrefixRows(LanguageModel model, GenerationRequest request) => request.SoftPrompt.Length / model.HiddenSize + request.PromptIds.Length;

    /// <summary>Rows of the key/value store that a request takes.</summary>
    public static long CacheRows(LanguageModel model, GenerationRequest request) =>
        PrefixRows(model, request) + (long)request.Count * (Limit(model, request) - 1);

    /// <summary>Prefills, then decodes until every completion has ended.</summary>
    public void Run(CancellationToken cancellation)
    {
        Prefill(cancellation);
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            Draw();
            Collect();
            if (activeCount == 0)
                return;
            Decode();
        }
    }

    public void Dispose() => rent.Dispose();

    private static int Limit(LanguageModel model, GenerationRequest request) =>
        Math.Min(request.MaxNewTokens, model.MaxPositions - PrefixRows(model, request) + 1);

    private static void SetSegment(int[] segments, int index, int start, int rows, int parent)
    {
        segments[3 * index] = start;
        segments[3 * index + 1] = rows;
        segments[3 * index + 2] = parent;
    }

    /// <summary>Runs every prefix, in passes of whole prefixes, and leaves each sequence the final hidden state of its prefix's last row.</summary>
    private void Prefill(CancellationToken cancellation)
    {
        int sequence = 0, storeRow = 0;
        for (int start = 0; start < requests.Length;)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = start, rows = 0;
            do
                rows += prefixRows[end++];
            while (end < requests.Length && rows + prefixRows[end] <= PrefillRows);
            int count = 0;
            for (int r = start; r < end; r++)
                count += requests[r].Count;
            PrefillSome(start, end, storeRow, rows, sequence, count);
            storeRow += rows;
            sequence += count;
            start = end;
        }
    }

    private void PrefillSome(int start, int end, int storeRow, int rows, int firstSequence, int sequenceCount)
    {
        using RentedTensors scratch = new(model.Buffers);
        PackedTree[] trees = requests[start..end].Select(request => new PackedTree(request.SoftPrompt, request.PromptIds, [])).ToArray();
        PackedBatch batch = new(trees, model.HiddenSize, model.MaxPositions);
        RowLayout layout = model.Upload(batch, scratch);
        LayerState state = model.Decoder.RentInferenceState(scratch, rows);
        model.EmbedInto(batch, trees, state.Input, scratch);
        for (int i = 0; i < model.Layers; i++)
        {
            state.Key = state.KeyStore = keyStore[i].Slice(storeRow, rows);
            state.Value = state.ValueStore = valueStore[i].Slice(storeRow, rows);
            model.Decoder.Project(i, state);
            model.Decoder.Mix(i, layout, state);
        }
        int[] lastRows = new int[sequenceCount];
        for (int s = 0; s < sequenceCount; s++)
        {
            int tree = sequences[firstSequence + s].Request - start;
            lastRows[s] = batch.Trees[2 * tree] + batch.RootRows[tree] - 1;
        }
        Tensor last = scratch.I32(1, sequenceCount), output = hidden.Slice(firstSequence, sequenceCount);
        backend.Upload<int>(lastRows, last);
        backend.GatherRows(state.Output, last, output);
        backend.RmsNorm(output, model.Weights.FinalNorm, model.Config.RmsNormEpsilon, output);
        backend.Synchronize();
    }

    /// <summary>Draws the next token of every active sequence from its final hidden state.</summary>
    private void Draw()
    {
        for (int i = 0; i < activeCount; i++)
        {
            ref Sequence sequence = ref sequences[active[i]];
            GenerationRequest request = requests[sequence.Request];
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
        backend.Upload<SamplingRow>(samplingBuffer.AsSpan(0, activeCount), samplingRows.Slice(0, activeCount));
        for (int start = 0; start < activeCount; start += logits.Rows)
        {
            int rows = Math.Min(logits.Rows, activeCount - start);
            Tensor block = logits.Slice(0, rows);
            backend.Linear(hidden.Slice(start, rows), model.Weights.Head, default, block, accumulate: false);
            backend.Sample(block, samplingRows.Slice(start, rows), Part(drawnTokens, start, rows), Part(drawnLogProbs, start, rows));
        }
        backend.Download(Part(drawnTokens, 0, activeCount), drawnTokenBuffer.AsSpan(0, activeCount));
        backend.Download(Part(drawnLogProbs, 0, activeCount), drawnLogProbBuffer.AsSpan(0, activeCount));
    }

    /// <summary>Appends the drawn tokens; sequences that end become completions and leave.</summary>
    private void Collect()
    {
        int drawn = activeCount, kept = 0;
        for (int i = 0; i < drawn; i++)
        {
            int token = drawnTokenBuffer[i];
            if (token < 0)
                throw model.NotANumber();
            ref Sequence sequence = ref sequences[active[i]];
            sequence.Tokens[sequence.Length] = token;
            sequence.LogProbs[sequence.Length] = drawnLogProbBuffer[i];
            sequence.Length++;
            TokenArrived?.Invoke(sequence.Request, sequence.Rollout, token);
            bool ended = !requests[sequence.Request].IgnoreEndTokens && IsEnd(token);
            if (ended || sequence.Length == sequence.Tokens.Length)
                Completions[sequence.Request][sequence.Rollout] =
                    new Completion(sequence.Tokens[..sequence.Length], sequence.LogProbs[..sequence.Length], ended);
            else
                active[kept++] = active[i];
        }
        activeCount = kept;
        TokensGenerated?.Invoke(drawn);
    }

    /// <summary>Feeds every active sequence its last token and leaves its final hidden state.</summary>
    private void Decode()
    {
        int rows = activeCount, context = 0;
        for (int i = 0; i < rows; i++)
        {
            ref Sequence sequence = ref sequences[active[i]];
            int own = sequence.Length - 1, prefix = prefixRows[sequence.Request];
            tokenBuffer[i] = sequence.Tokens[own];
            positionBuffer[i] = prefix + own;
            slotBuffer[i] = sequence.FirstSlot + own;
            queryBuffer[2 * i] = sequence.Segment;
            queryBuffer[2 * i + 1] = own + 1;
            context = Math.Max(context, prefix + own + 1);
        }
        Tensor tokens = Part(tokenIds, 0, rows), positions = Part(positionIds, 0, rows), slots = Part(slotIds, 0, rows), queries = queryIds.Slice(0, rows);
        backend.Upload<int>(tokenBuffer.AsSpan(0, rows), tokens);
        backend.Upload<int>(positionBuffer.AsSpan(0, rows), positions);
        backend.Upload<int>(slotBuffer.AsSpan(0, rows), slots);
        backend.Upload<int>(queryBuffer.AsSpan(0, 2 * rows), queries);
        RowLayout layout = new(positions, slots, new AttentionPlan(segmentIds, queries, default, context), model.RotaryFor(longest));
        LayerState state = decodeState.Head(rows);
        backend.GatherRows(model.Weights.Embedding, tokens, state.Input);
        for (int i = 0; i < model.Layers; i++)
        {
            state.KeyStore = keyStore[i];
            state.ValueStore = valueStore[i];
            model.Decoder.Project(i, state);
            model.Decoder.Mix(i, layout, state);
        }
        backend.RmsNorm(state.Output, model.Weights.FinalNorm, model.Config.RmsNormEpsilon, hidden.Slice(0, rows));
    }

    private bool IsEnd(int token)
    {
        IReadOnlyList<int> ends = model.EndTokens;
        for (int i = 0; i < ends.Count; i++)
            if (ends[i] == token)
                return true;
        return false;
    }

    private static Tensor Part(Tensor row, int start, int count) => row.Reshape(row.Columns, 1).Slice(start, count).Reshape(1, count);

    /// <summary>One completion in the making. Token i of it is stored in slot FirstSlot + i once it is fed.</summary>
    private struct Sequence(int request, int rollout, int segment, int firstSlot, int limit)
    {
        public readonly int Request = request, Rollout = rollout, Segment = segment, FirstSlot = firstSlot;
        public readonly int[] Tokens = new int[limit];
        public readonly float[] LogProbs = new float[limit];
        public int Length = 0;
    }
}
