namespace ElmNative.Compute.Cuda;

/// <content>Sampling and the decode loop. Kernels: kernels/{sample,advance_decode}.cu.</content>
public sealed unsafe partial class CudaBackend
{
    private const int SamplingRowInts = 10;

    /// <summary>The sums of a draw fit 64 bits up to here.</summary>
    private const int MaxVocabulary = (1 << 20) - 1;

    /// <inheritdoc/>
    public void Sample(Tensor logits, Tensor rows, Tensor tokens, Tensor logprobs)
    {
        const int MostThreads = 1024;
        Require.F32(logits);
        Require.That(logits.Columns <= MaxVocabulary, "a vocabulary to sample from may have at most 1,048,575 tokens", nameof(logits));
        Require.Shape(rows, ElementType.I32, logits.Rows, SamplingRowInts);
        Require.Shape(tokens, ElementType.I32, 1, logits.Rows);
        Require.Shape(logprobs, ElementType.F32, 1, logits.Rows);
        Get("sample_f32").Launch(logits.Rows, Math.Min(WholeWarps((logits.Columns + 3) / 4), MostThreads), 0, logits, logits.Columns, rows, tokens, logprobs);
    }

    /// <inheritdoc/>
    public void AdvanceDecode(in DecodeState state, Tensor drawnTokens, Tensor drawnLogProbs)
    {
        int m = state.Tokens.Columns;
        Require.Shape(state.Tokens, ElementType.I32, 1, m, nameof(DecodeState.Tokens));
        Require.Shape(state.Positions, ElementType.I32, 1, m, nameof(DecodeState.Positions));
        Require.Shape(state.Slots, ElementType.I32, 1, m, nameof(DecodeState.Slots));
        Require.Shape(state.Queries, ElementType.I32, m, 2, nameof(DecodeState.Queries));
        Require.Shape(state.Sampling, ElementType.I32, m, SamplingRowInts, nameof(DecodeState.Sampling));
        Require.Shape(state.Left, ElementType.I32, 1, m, nameof(DecodeState.Left));
        Require.Shape(state.StopsAtEnd, ElementType.I32, 1, m, nameof(DecodeState.StopsAtEnd));
        Require.Shape(state.EndTokens, ElementType.I32, 1, state.EndTokens.Columns, nameof(DecodeState.EndTokens));
        Require.Shape(state.Step, ElementType.I32, 1, 1, nameof(DecodeState.Step));
        Tensor history = state.HistoryTokens;
        Require.Shape(history, ElementType.I32, history.Rows, history.Columns, nameof(DecodeState.HistoryTokens));
        Require.That(history.Columns >= m, "the history must have a column for each sequence", nameof(DecodeState.HistoryTokens));
        Require.Shape(state.HistoryLogProbs, ElementType.F32, history.Rows, history.Columns, nameof(DecodeState.HistoryLogProbs));
        Require.Shape(drawnTokens, ElementType.I32, 1, m);
        Require.Shape(drawnLogProbs, ElementType.F32, 1, m);
        Get("advance_decode").Launch(1, Math.Min(WholeWarps(m), ElementThreads), 0, m, state.Tokens, state.Positions, state.Slots, state.Queries, state.Sampling, state.Left, state.StopsAtEnd,
            state.EndTokens, state.EndTokens.Columns, state.Step, history, state.HistoryLogProbs, history.Rows, history.Columns, drawnTokens, drawnLogProbs);
    }
}
