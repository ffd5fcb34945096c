namespace ElmNative.Compute;

/// <summary>
/// Where m sequences that decode together are, in device memory, so that step after step needs no word from the host. <see cref="IBackend.AdvanceDecode"/> does, for each row i:
/// <list type="bullet">
/// <item>Left[i] is 0 (the sequence is over, or the row is empty): the history gets token -2 and log-probability 0; nothing else changes.</item>
/// <item>Otherwise the history gets the drawn token and its log-probability. The sequence is over when the token is below 0 (NaN logits), is one of EndTokens while StopsAtEnd[i] is 1, or was the last
/// of Left[i]: then Left[i] becomes 0 and Slots[i] becomes -1, so that the row stores no further keys. Else Left[i] falls by one, Tokens[i] is the drawn token, and Positions[i],
/// Slots[i], the visible rows of Queries[i] and the Position of Sampling[i] rise by one.</item>
/// </list>
/// Last, Step rises by one.
/// </summary>
/// <param name="Tokens">I32 [1, m]: the token that is fed next</param>
/// <param name="Positions">I32 [1, m]: its position</param>
/// <param name="Slots">I32 [1, m]: its row in the key/value store</param>
/// <param name="Queries">I32 [m, 2]: attention segment and visible rows of it, as in <see cref="AttentionPlan"/></param>
/// <param name="Sampling">m <see cref="SamplingRow"/>s as I32 [m, 10]</param>
/// <param name="Left">I32 [1, m]: tokens that may still be drawn</param>
/// <param name="StopsAtEnd">I32 [1, m]: 1 where an end token ends the sequence</param>
/// <param name="EndTokens">I32 [1, e]: the model's end tokens</param>
/// <param name="Step">I32 [1, 1]: the history's next row; the host keeps it within the history</param>
/// <param name="HistoryTokens">I32 [steps, at least m]</param>
/// <param name="HistoryLogProbs">F32 [steps, columns of HistoryTokens]</param>
public readonly record struct DecodeState(Tensor Tokens, Tensor Positions, Tensor Slots, Tensor Queries, Tensor Sampling, Tensor Left, Tensor StopsAtEnd,
    Tensor EndTokens, Tensor Step, Tensor HistoryTokens, Tensor HistoryLogProbs);
