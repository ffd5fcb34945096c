using ElmNative.Compute;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation.Scheduling;

/// <summary>Runs prefixes through the model: their keys and values go to their slots, the final hidden states of their last rows to where newcomers start from.</summary>
internal sealed class Prefill(LanguageModel model, SlotStore store, Tensor lastHidden)
{
    /// <summary>Rows of a pass, unless a single prefix is longer.</summary>
    public const int PassRows = 2048;

    /// <summary>Runs prefixes whose slots and hidden rows are taken, in passes of whole prefixes.</summary>
    /// <exception cref="OperationCanceledException">cancelled between two passes</exception>
    public void Run(List<Prefix> prefixes, CancellationToken cancellation)
    {
        for (int start = 0; start < prefixes.Count;)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = start, rows = 0;
            do
                rows += prefixes[end++].Rows;
            while (end < prefixes.Count && rows + prefixes[end].Rows <= PassRows);
            Pass(prefixes.GetRange(start, end - start), rows);
            start = end;
        }
    }

    private void Pass(List<Prefix> prefixes, int rows)
    {
        IBackend backend = model.Backend;
        using RentedTensors scratch = new(model.Buffers);
        PackedTree[] trees = prefixes.Select(prefix => new PackedTree(prefix.Asked.SoftPrompt, prefix.Asked.PromptIds, [])).ToArray();
        PackedBatch batch = new(trees, model.HiddenSize, model.MaxPositions);
        int[] slotBuffer = new int[rows], lastRowBuffer = new int[trees.Length], hiddenRowBuffer = new int[trees.Length];
        for (int t = 0; t < trees.Length; t++)
        {
            int first = batch.Trees[2 * t];
            for (int i = 0; i < prefixes[t].Rows; i++)
                slotBuffer[first + i] = prefixes[t].FirstSlot + i;
            lastRowBuffer[t] = first + prefixes[t].Rows - 1;
            hiddenRowBuffer[t] = prefixes[t].HiddenRow;
            // the rows are attended to in the store, not where they are packed
            batch.Segments[3 * t] = prefixes[t].FirstSlot;
        }
        Tensor slots = scratch.I32(1, rows), lastRows = scratch.I32(1, trees.Length), hiddenRows = scratch.I32(1, trees.Length);
        backend.Upload<int>(slotBuffer, slots);
        backend.Upload<int>(lastRowBuffer, lastRows);
        backend.Upload<int>(hiddenRowBuffer, hiddenRows);
        RowLayout layout = model.Upload(batch, scratch) with { Slots = slots };
        LayerState state = model.Tensors.RentInferenceState(scratch, rows);
        model.EmbedInto(batch, trees, state.Input, scratch);
        for (int i = 0; i < model.Layers; i++)
        {
            store.Attach(i, ref state);
            model.Decoder.Project(i, state);
            model.Decoder.Mix(i, layout, state);
        }
        Tensor last = scratch.F32(trees.Length, model.HiddenSize), hidden = scratch.Activation(trees.Length, model.HiddenSize);
        backend.GatherRows(state.Output, lastRows, last);
        backend.RmsNorm(last, model.Weights.FinalNorm, model.Config.RmsNormEpsilon, hidden);
        backend.ScatterRows(hidden, hiddenRows, lastHidden);
        backend.Synchronize();
    }
}
