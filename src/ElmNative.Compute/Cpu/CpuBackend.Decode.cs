namespace ElmNative.Compute.Cpu;

/// <content>Operations that are too small, or too rare, for the native library.</content>
public sealed unsafe partial class CpuBackend
{
    private const int SamplingPosition = 9;
    private const int Nothing = -2;

    /// <inheritdoc/>
    public void FillUniform(Tensor x, ulong seed, float magnitude)
    {
        Require.Floats(x, x.Rows, x.Columns);
        void* values = (void*)x.Address;
        for (long i = 0; i < x.Count; i += 4)
        {
            (uint w0, uint w1, uint w2, uint w3) = Philox.Words((ulong)i / 4, seed);
            Store(x.Type, values, i, Uniform(w0, magnitude));
            if (i + 1 < x.Count)
                Store(x.Type, values, i + 1, Uniform(w1, magnitude));
            if (i + 2 < x.Count)
                Store(x.Type, values, i + 2, Uniform(w2, magnitude));
            if (i + 3 < x.Count)
                Store(x.Type, values, i + 3, Uniform(w3, magnitude));
        }
    }

    /// <inheritdoc/>
    public void AdvanceDecode(in DecodeState state, Tensor drawnTokens, Tensor drawnLogProbs)
    {
        int m = state.Tokens.Columns;
        Require.Shape(state.Tokens, ElementType.I32, 1, m);
        Require.Shape(state.Positions, ElementType.I32, 1, m);
        Require.Shape(state.Slots, ElementType.I32, 1, m);
        Require.Shape(state.Queries, ElementType.I32, m, 2);
        Require.Shape(state.Sampling, ElementType.I32, m, SamplingRowInts);
        Require.Shape(state.Left, ElementType.I32, 1, m);
        Require.Shape(state.StopsAtEnd, ElementType.I32, 1, m);
        Require.Shape(state.EndTokens, ElementType.I32, 1, state.EndTokens.Columns);
        Require.Shape(state.Step, ElementType.I32, 1, 1);
        Require.Shape(state.HistoryTokens, ElementType.I32, state.HistoryTokens.Rows, state.HistoryTokens.Columns);
        Require.Shape(state.HistoryLogProbs, ElementType.F32, state.HistoryTokens.Rows, state.HistoryTokens.Columns);
        Require.That(state.HistoryTokens.Columns >= m, "the history has fewer columns than there are sequences", nameof(state));
        Require.Shape(drawnTokens, ElementType.I32, 1, m);
        Require.Shape(drawnLogProbs, ElementType.F32, 1, m);
        ref int step = ref Ints(state.Step)[0];
        Require.That((uint)step < (uint)state.HistoryTokens.Rows, "the step lies outside the history", nameof(state));

        Span<int> tokens = Ints(state.Tokens), positions = Ints(state.Positions), slots = Ints(state.Slots), queries = Ints(state.Queries), sampling = Ints(state.Sampling),
            left = Ints(state.Left), recorded = Ints(state.HistoryTokens.Slice(step, 1));
        ReadOnlySpan<int> stops = Ints(state.StopsAtEnd), ends = Ints(state.EndTokens), drawn = Ints(drawnTokens);
        Span<float> recordedLogProbs = new((void*)state.HistoryLogProbs.Slice(step, 1).Address, m);
        ReadOnlySpan<float> logProbs = new((void*)drawnLogProbs.Address, m);
        for (int i = 0; i < m; i++)
        {
            if (left[i] == 0)
            {
                recorded[i] = Nothing;
                recordedLogProbs[i] = 0;
                continue;
            }
            int token = drawn[i];
            recorded[i] = token;
            recordedLogProbs[i] = logProbs[i];
            if (token < 0 || left[i] == 1 || (stops[i] == 1 && ends.Contains(token)))
            {
                left[i] = 0;
                slots[i] = -1;
                continue;
            }
            left[i]--;
            tokens[i] = token;
            positions[i]++;
            slots[i]++;
            queries[2 * i + 1]++;
            sampling[SamplingRowInts * i + SamplingPosition]++;
        }
        step++;
    }

    private static Span<int> Ints(Tensor x) => new((void*)x.Address, (int)x.Count);

    /// <summary>Exact in [-1, 1), then one rounding.</summary>
    private static float Uniform(uint word, float magnitude) => ((word >> 8) * (1f / (1 << 23)) - 1) * magnitude;

    /// <summary>Rounds a finite value to a type, to the nearest even.</summary>
    private static void Store(ElementType type, void* values, long index, float value)
    {
        switch (type)
        {
            case ElementType.F32: ((float*)values)[index] = value; break;
            case ElementType.F16: ((Half*)values)[index] = (Half)value; break;
            default:
                uint bits = BitConverter.SingleToUInt32Bits(value);
                ((ushort*)values)[index] = (ushort)(bits + 0x7FFF + (bits >> 16 & 1) >> 16);
                break;
        }
    }
}
