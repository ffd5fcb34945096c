using System.Runtime.InteropServices;
using ElmNative.Compute;

namespace ElmNative.Tests;

/// <summary>
/// What a GPU promises and demands, on the processor's backend: activations of a chosen type (BF16 values are widened for each operation and rounded after it), weights in the types that a GPU keeps, argument types
/// checked to the letter of <see cref="IBackend"/>, several decode steps in a window, and graphs that replay the recorded operations and refuse what a capture forbids. New memory holds NaN and -1.
/// </summary>
/// <param name="cpu">does the work; disposed with this</param>
/// <param name="activations">F32 or BF16</param>
/// <param name="window">steps between two looks of the host</param>
public sealed unsafe class ContractBackend(IBackend cpu, ElementType activations = ElementType.BF16, int window = 8) : IBackend
{
    private List<Action>? recording;

    public string Description => $"contract over {cpu.Description}";
    public ElementType ActivationType => activations;
    public DeviceMemory? Memory { get; set; } = new(80L << 30, 79L << 30);
    public int DecodeWindow => window;

    /// <summary>Graphs captured, launched and not yet disposed.</summary>
    public int Captures { get; private set; }
    public int Launches { get; private set; }
    public int Alive { get; private set; }

    /// <summary>Calls of either.</summary>
    public int Uploads { get; private set; }
    public int Downloads { get; private set; }

    /// <summary>Most bytes allocated at once, adopted copies included.</summary>
    public long PeakBytes { get; private set; }

    /// <summary>Sees the logits of each draw just before it.</summary>
    public Action<Tensor>? BeforeSample { get; set; }

    /// <summary>Bytes that can be allocated at once.</summary>
    public long Capacity { get; set; } = long.MaxValue;

    private long allocated;

    public DeviceBuffer Allocate(long bytes)
    {
        NotRecording();
        if (allocated + bytes > Capacity)
            throw new ElmException($"the device is full: {bytes} bytes were asked for");
        allocated += bytes;
        PeakBytes = Math.Max(PeakBytes, allocated);
        DeviceBuffer buffer = new Counted(this, cpu.Allocate(bytes));
        NativeMemory.Fill((void*)buffer.Address, (nuint)bytes, 0xFF);
        return buffer;
    }

    public Tensor AdoptWeights(nint address, ElementType type, int rows, int columns, object owner)
    {
        NotRecording();
        Tensor stored = cpu.AdoptWeights(address, type, rows, columns, owner);
        ElementType kept = activations == ElementType.F32 || type == ElementType.BF16 ? type : rows == 1 ? ElementType.F32 : ElementType.BF16;
        if (kept == type)
            return stored;
        using DeviceBuffer storage = stored.Buffer!;
        Tensor result = Allocate((long)rows * columns * kept.Size()).As(kept, rows, columns);
        using Widened scratch = new(cpu);
        cpu.Copy(stored, scratch.Out(result));
        return result;
    }

    public void FillUniform(Tensor x, ulong seed, float magnitude) => Do(() => cpu.FillUniform(x, seed, magnitude));

    public IGraph Capture(Action work)
    {
        NotRecording();
        Captures++;
        Alive++;
        recording = [];
        try
        {
            work();
            return new Recorded(this, recording);
        }
        finally
        {
            recording = null;
        }
    }

    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination) where T : unmanaged
    {
        NotRecording();
        Uploads++;
        cpu.Upload(source, destination);
    }

    public void Download<T>(Tensor source, Span<T> destination) where T : unmanaged
    {
        NotRecording();
        Downloads++;
        cpu.Download(source, destination);
    }

    public void Synchronize() => NotRecording();

    public void Zero(Tensor x) => Do(() => cpu.Zero(x));

    public void Copy(Tensor source, Tensor destination)
    {
        if (source.Type != ElementType.I32)
            Either(destination);
        Do(() =>
        {
            if (destination.Type == ElementType.F32 || destination.Type == ElementType.I32)
            {
                cpu.Copy(source, destination);
                return;
            }
            using Widened scratch = new(cpu);
            cpu.Copy(source, scratch.Out(destination));
        });
    }

    public void Add(Tensor x, Tensor y)
    {
        Float(x, y);
        Do(() => cpu.Add(x, y));
    }

    public void ScaleRows(Tensor scales, Tensor x)
    {
        Float(scales, x);
        Do(() => cpu.ScaleRows(scales, x));
    }

    public void GatherRows(Tensor source, Tensor indices, Tensor destination)
    {
        Either(destination);
        Do(w => cpu.GatherRows(source, indices, w.InOut(destination)));
    }

    public void ScatterRows(Tensor source, Tensor indices, Tensor destination)
    {
        Either(source, destination);
        Require(source.Type == destination.Type, "source and destination of ScatterRows must be of one type");
        Do(w => cpu.ScatterRows(w.In(source), indices, w.InOut(destination)));
    }

    public void ScatterAddRows(Tensor source, Tensor indices, Tensor destination)
    {
        Float(source, destination);
        Do(() => cpu.ScatterAddRows(source, indices, destination));
    }

    public void RmsNorm(Tensor x, Tensor weight, float epsilon, Tensor y)
    {
        Either(x, y);
        Weights(weight);
        Do(w => cpu.RmsNorm(w.In(x), weight, epsilon, w.Out(y)));
    }

    public void RmsNormBackward(Tensor x, Tensor weight, float epsilon, Tensor dy, Tensor dx)
    {
        Either(x, dy, dx);
        Weights(weight);
        Do(w => cpu.RmsNormBackward(w.In(x), weight, epsilon, w.In(dy), w.InOut(dx)));
    }

    public void Linear(Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate)
    {
        Activation(x);
        Weights(weight, bias);
        Either(y);
        Do(w => cpu.Linear(w.In(x), weight, bias, accumulate ? w.InOut(y) : w.Out(y), accumulate));
    }

    public void LinearBackward(Tensor dy, Tensor weight, Tensor dx, bool accumulate)
    {
        Activation(dy);
        Weights(weight);
        Either(dx);
        Do(w => cpu.LinearBackward(w.In(dy), weight, accumulate ? w.InOut(dx) : w.Out(dx), accumulate));
    }

    public void Rotary(Tensor x, Tensor positions, Tensor table, int headSize, bool inverse, Tensor y)
    {
        Activation(x, y);
        Float(table);
        Do(w => cpu.Rotary(w.In(x), positions, table, headSize, inverse, w.Out(y)));
    }

    public void RotaryStore(Tensor q, Tensor k, Tensor v, Tensor positions, Tensor table, int headSize, Tensor slots, Tensor keyStore, Tensor valueStore)
    {
        Activation(q, k, v, keyStore, valueStore);
        Float(table);
        Do(w => cpu.RotaryStore(w.InOut(q), w.In(k), w.In(v), positions, table, headSize, slots, w.InOut(keyStore), w.InOut(valueStore)));
    }

    public void Attention(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        Activation(q, k, v, y);
        Float(logSumExp);
        AttentionPlan kept = plan;
        Do(w => cpu.Attention(kept, shape, w.In(q), w.In(k), w.In(v), w.Out(y), logSumExp));
    }

    public void AttentionBackward(in AttentionPlan plan, AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dy, Tensor dq, Tensor dk, Tensor dv)
    {
        Activation(q, k, v, y, dy, dq, dk, dv);
        Float(logSumExp);
        AttentionPlan kept = plan;
        Do(w => cpu.AttentionBackward(kept, shape, w.In(q), w.In(k), w.In(v), w.In(y), logSumExp, w.In(dy), w.Out(dq), w.Out(dk), w.Out(dv)));
    }

    public void SwiGlu(Tensor gate, Tensor up, Tensor y)
    {
        Activation(gate, up, y);
        Do(w => cpu.SwiGlu(w.In(gate), w.In(up), w.Out(y)));
    }

    public void SwiGluBackward(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup)
    {
        Activation(gate, up, dy, dgate, dup);
        Do(w => cpu.SwiGluBackward(w.In(gate), w.In(up), w.In(dy), w.Out(dgate), w.Out(dup)));
    }

    public void LogProbs(Tensor hidden, Tensor weight, Tensor targets, float temperature, Tensor logprobs, Tensor entropy, Tensor gradient)
    {
        Activation(hidden);
        Weights(weight);
        Float(logprobs, entropy, gradient);
        Do(w => cpu.LogProbs(w.In(hidden), weight, targets, temperature, logprobs, entropy, gradient));
    }

    public void Sample(Tensor logits, Tensor rows, Tensor tokens, Tensor logprobs)
    {
        Float(logits, logprobs);
        Do(() =>
        {
            BeforeSample?.Invoke(logits);
            cpu.Sample(logits, rows, tokens, logprobs);
        });
    }

    public void AdvanceDecode(in DecodeState state, Tensor drawnTokens, Tensor drawnLogProbs)
    {
        Float(drawnLogProbs);
        DecodeState kept = state;
        Do(() => cpu.AdvanceDecode(kept, drawnTokens, drawnLogProbs));
    }

    public void PoolHeads(Tensor x, Tensor ranges, int headSize, Tensor y)
    {
        Activation(x);
        Float(y);
        Do(w => cpu.PoolHeads(w.In(x), ranges, headSize, y));
    }

    public void CosineTopK(Tensor queries, Tensor keys, Tensor limits, int terms, Tensor indices, Tensor scores)
    {
        Float(queries, keys, scores);
        Do(() => cpu.CosineTopK(queries, keys, limits, terms, indices, scores));
    }

    public void AdamW(Tensor theta, Tensor grad, Tensor m, Tensor v, AdamWSettings settings, int step, Tensor gradNorm)
    {
        Float(theta, grad, m, v, gradNorm);
        Do(() => cpu.AdamW(theta, grad, m, v, settings, step, gradNorm));
    }

    public void Dispose() => cpu.Dispose();

    private void Do(Action work)
    {
        if (recording is { } list)
            list.Add(work);
        else
            work();
    }

    private void Do(Action<Widened> work) => Do(() =>
    {
        using Widened scratch = new(cpu);
        work(scratch);
    });

    private void NotRecording() => Require(recording is null, "a capture may neither allocate, upload, download nor synchronize");

    private void Activation(params ReadOnlySpan<Tensor> tensors)
    {
        foreach (Tensor x in tensors)
            Require(x.IsPresent && x.Type == activations, $"{x.Type} [{x.Rows}, {x.Columns}] must be an activation, {activations}");
    }

    private void Either(params ReadOnlySpan<Tensor> tensors)
    {
        foreach (Tensor x in tensors)
            Require(x.IsPresent && (x.Type == activations || x.Type == ElementType.F32), $"{x.Type} [{x.Rows}, {x.Columns}] must be F32 or {activations}");
    }

    private static void Float(params ReadOnlySpan<Tensor> tensors)
    {
        foreach (Tensor x in tensors)
            Require(!x.IsPresent || x.Type == ElementType.F32, $"{x.Type} [{x.Rows}, {x.Columns}] must be F32");
    }

    private void Weights(params ReadOnlySpan<Tensor> tensors)
    {
        foreach (Tensor x in tensors)
            if (x.IsPresent && activations == ElementType.BF16)
                Require(x.Type == ElementType.BF16 || (x.Rows == 1 && x.Type == ElementType.F32), $"{x.Type} [{x.Rows}, {x.Columns}] is no type that AdoptWeights gives a weight");
    }

    private static void Require(bool holds, string sentence)
    {
        if (!holds)
            throw new InvalidOperationException(sentence);
    }

    /// <summary>F32 stand-ins of an operation's BF16 tensors, one for each; those that are written are rounded to the nearest even when the operation is over.</summary>
    private sealed class Widened(IBackend cpu) : IDisposable
    {
        private readonly List<(Tensor Narrow, Tensor Wide)> tensors = [];
        private readonly HashSet<Tensor> written = [];

        public Tensor In(Tensor x)
        {
            if (!x.IsPresent || x.Type == ElementType.F32)
                return x;
            foreach ((Tensor narrow, Tensor known) in tensors)
                if (narrow == x)
                    return known;
            Tensor wide = cpu.Allocate(x.Count * sizeof(float)).As(ElementType.F32, x.Rows, x.Columns);
            cpu.Copy(x, wide);
            tensors.Add((x, wide));
            return wide;
        }

        public Tensor InOut(Tensor x)
        {
            written.Add(x);
            return In(x);
        }

        public Tensor Out(Tensor x) => InOut(x);

        public void Dispose()
        {
            foreach ((Tensor narrow, Tensor wide) in tensors)
            {
                if (written.Contains(narrow))
                    Round(wide, narrow);
                wide.Buffer!.Dispose();
            }
        }

        private static void Round(Tensor wide, Tensor narrow)
        {
            uint* from = (uint*)wide.Address;
            ushort* to = (ushort*)narrow.Address;
            for (long i = 0; i < wide.Count; i++)
                to[i] = float.IsNaN(BitConverter.UInt32BitsToSingle(from[i])) ? (ushort)0x7FFF : (ushort)(from[i] + 0x7FFF + (from[i] >> 16 & 1) >> 16);
        }
    }

    private sealed class Recorded(ContractBackend owner, List<Action> operations) : IGraph
    {
        private bool disposed;

        public void Launch()
        {
            owner.NotRecording();
            ObjectDisposedException.ThrowIf(disposed, this);
            owner.Launches++;
            foreach (Action operation in operations)
                operation();
        }

        public void Dispose()
        {
            if (!disposed)
                owner.Alive--;
            disposed = true;
        }
    }

    private sealed class Counted(ContractBackend owner, DeviceBuffer inner) : DeviceBuffer(inner.Address, inner.Bytes)
    {
        public override void Dispose()
        {
            if (Address != 0)
                owner.allocated -= Bytes;
            Address = 0;
            inner.Dispose();
        }
    }
}
