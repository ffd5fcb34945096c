using ElmNative.Compute;

namespace ElmNative.Bench;

/// <summary>One operation at one size.</summary>
/// <param name="Name">operation and shape</param>
/// <param name="Bytes">bytes that must move at least: every input read once, every output written once</param>
/// <param name="Flops">arithmetic, a multiply-add counting 2</param>
/// <param name="Run">does it once</param>
internal sealed record Operation(string Name, double Bytes, double Flops, Action Run);

/// <summary>Every operation of <see cref="IBackend"/> at sizes of the bundled model (hidden 128) and of a 0.5B model (hidden 896).</summary>
internal sealed class Operations(IBackend backend) : IDisposable
{
    private readonly List<DeviceBuffer> buffers = [];
    private readonly Random random = new(1);

    /// <summary>Makes the cases one after another; the memory of one is freed before the next.</summary>
    public IEnumerable<Operation> All()
    {
        foreach (Func<Operation> make in Cases())
        {
            yield return make();
            Free();
        }
    }

    public void Dispose() => Free();

    private IEnumerable<Func<Operation>> Cases()
    {
        foreach ((int m, int k, int n) in new[] { (1, 896, 4864), (8, 896, 4864), (64, 896, 4864), (512, 896, 4864), (128, 128, 256), (4096, 128, 256) })
        {
            yield return () => Linear(m, k, n, backward: false);
            yield return () => Linear(m, k, n, backward: true);
        }
        yield return () => Linear(8, 896, 151936, backward: false);
        foreach ((int rows, int width) in new[] { (128, 128), (4096, 896) })
        {
            yield return () => Norm(rows, width, backward: false);
            yield return () => Norm(rows, width, backward: true);
            yield return () => Glu(rows, 2 * width, backward: false);
            yield return () => Glu(rows, 2 * width, backward: true);
            yield return () => Rotary(rows, width);
            yield return () => Gather(rows, width);
            yield return () => Scatter(rows, width, add: false);
            yield return () => Scatter(rows, width, add: true);
            yield return () => Elementwise(rows, width, "add");
            yield return () => Elementwise(rows, width, "copy");
            yield return () => Elementwise(rows, width, "zero");
            yield return () => Pool(rows, width);
        }
        foreach ((int heads, int keyHeads, int size) in new[] { (4, 2, 32), (14, 2, 64) })
        {
            yield return () => Attention(heads, keyHeads, size, groups: 4, root: 170, children: 8, length: 100, backward: false);
            yield return () => Attention(heads, keyHeads, size, groups: 4, root: 170, children: 8, length: 100, backward: true);
            yield return () => DecodeAttention(heads, keyHeads, size, sequences: 64, prefix: 170, own: 100);
        }
        yield return () => LogProbs(1024, 128, 719, backward: false);
        yield return () => LogProbs(1024, 128, 719, backward: true);
        yield return () => LogProbs(256, 896, 151936, backward: false);
        yield return () => LogProbs(256, 896, 151936, backward: true);
        yield return () => Sample(128, 719, new SamplingRow { Temperature = 1, TopP = 1 }, "temperature");
        yield return () => Sample(8, 151936, new SamplingRow { TopP = 1 }, "greedy");
        yield return () => Sample(8, 151936, new SamplingRow { Temperature = 1, TopP = 1 }, "temperature");
        yield return () => Sample(8, 151936, new SamplingRow { Temperature = 1, TopK = 50, TopP = 0.9f, MinP = 0.01f }, "top-k, top-p, min-p");
        yield return () => Cosine(1, 100_000, 896);
        yield return () => Optimiser(20 * 3584);
    }

    private Operation Linear(int m, int k, int n, bool backward)
    {
        Tensor weight = Weights(n, k), x = Random(m, backward ? n : k), y = Random(m, backward ? k : n);
        return new($"linear {(backward ? "backward " : "")}[{m} x {k}] {n} bf16", weight.Bytes + x.Bytes + y.Bytes, 2.0 * m * n * k,
            backward ? () => backend.LinearBackward(x, weight, y, false) : () => backend.Linear(x, weight, default, y, false));
    }

    private Operation Norm(int rows, int width, bool backward)
    {
        Tensor x = Random(rows, width), weight = Weights(1, width), y = Random(rows, width), dx = Random(rows, width);
        return backward
            ? new($"rms norm backward [{rows} x {width}]", 4.0 * x.Bytes, 10.0 * x.Count, () => backend.RmsNormBackward(x, weight, 1e-6f, y, dx))
            : new($"rms norm [{rows} x {width}]", 2.0 * x.Bytes, 4.0 * x.Count, () => backend.RmsNorm(x, weight, 1e-6f, y));
    }

    private Operation Glu(int rows, int width, bool backward)
    {
        Tensor gate = Random(rows, width), up = Random(rows, width), y = Random(rows, width), dgate = Random(rows, width), dup = Random(rows, width);
        return backward
            ? new($"swiglu backward [{rows} x {width}]", 5.0 * y.Bytes, 20.0 * y.Count, () => backend.SwiGluBackward(gate, up, y, dgate, dup))
            : new($"swiglu [{rows} x {width}]", 3.0 * y.Bytes, 15.0 * y.Count, () => backend.SwiGlu(gate, up, y));
    }

    private Operation Rotary(int rows, int width)
    {
        Tensor x = Random(rows, width), y = Random(rows, width), table = Random(1024, 64), positions = Indices(rows, i => i % 1024);
        return new($"rotary [{rows} x {width}]", 2.0 * x.Bytes, 3.0 * x.Count, () => backend.Rotary(x, positions, table, width % 64 == 0 ? 64 : width, false, default, y));
    }

    private Operation Gather(int rows, int width)
    {
        Tensor table = Weights(32768, width), y = Random(rows, width), ids = Indices(rows, i => i * 7919 % 32768);
        return new($"gather rows [{rows} x {width}] bf16", 1.5 * y.Bytes, 0, () => backend.GatherRows(table, ids, y));
    }

    private Operation Scatter(int rows, int width, bool add)
    {
        Tensor x = Random(rows, width), y = Random(rows, width), slots = Indices(rows, i => rows - 1 - i);
        return new($"scatter {(add ? "add " : "")}rows [{rows} x {width}]", (add ? 3.0 : 2.0) * x.Bytes, add ? x.Count : 0,
            add ? () => backend.ScatterAddRows(x, slots, y) : () => backend.ScatterRows(x, slots, y));
    }

    private Operation Elementwise(int rows, int width, string kind)
    {
        Tensor x = Random(rows, width), y = Random(rows, width);
        return kind switch
        {
            "add" => new($"add [{rows} x {width}]", 3.0 * x.Bytes, x.Count, () => backend.Add(x, y)),
            "copy" => new($"copy [{rows} x {width}]", 2.0 * x.Bytes, 0, () => backend.Copy(x, y)),
            _ => new($"zero [{rows} x {width}]", x.Bytes, 0, () => backend.Zero(y)),
        };
    }

    private Operation Pool(int rows, int width)
    {
        Tensor x = Random(rows, width), y = Random(1, 32), ranges = Integers(1, 2, [0, rows]);
        return new($"pool heads [{rows} x {width}]", x.Bytes, x.Count, () => backend.PoolHeads(x, ranges, 32, y));
    }

    private Operation Attention(int heads, int keyHeads, int size, int groups, int root, int children, int length, bool backward)
    {
        List<int> segments = [], queries = [], trees = [];
        int rows = 0;
        double pairs = 0;
        for (int g = 0; g < groups; g++)
        {
            int parent = segments.Count / 3;
            trees.AddRange([rows, root + children * length]);
            foreach (int child in Enumerable.Range(-1, children + 1))
            {
                int count = child < 0 ? root : length;
                segments.AddRange([rows, count, child < 0 ? -1 : parent]);
                for (int i = 0; i < count; i++)
                {
                    queries.AddRange([segments.Count / 3 - 1, i + 1]);
                    pairs += i + 1 + (child < 0 ? 0 : root);
                }
                rows += count;
            }
        }
        AttentionPlan plan = new(Integers(segments.Count / 3, 3, [.. segments]), Integers(rows, 2, [.. queries]), Integers(groups, 2, [.. trees]), root + length);
        AttentionShape shape = new(heads, keyHeads, size, 1 / MathF.Sqrt(size));
        Tensor q = Random(rows, heads * size), k = Random(rows, keyHeads * size), v = Random(rows, keyHeads * size), y = Random(rows, heads * size), lse = Random(rows, heads);
        Tensor dy = Random(rows, heads * size), dq = Random(rows, heads * size), dk = Random(rows, keyHeads * size), dv = Random(rows, keyHeads * size);
        backend.Attention(plan, shape, q, k, v, y, lse);
        double flops = 4 * pairs * heads * size;
        string name = $"{groups} x ({root} + {children} x {length}) rows, {heads}/{keyHeads} heads of {size}";
        return backward
            ? new($"attention backward {name}", 2.0 * (q.Bytes + k.Bytes + v.Bytes + y.Bytes), 2.5 * flops, () => backend.AttentionBackward(plan, shape, q, k, v, y, lse, dy, dq, dk, dv))
            : new($"attention {name}", q.Bytes + k.Bytes + v.Bytes + y.Bytes, flops, () => backend.Attention(plan, shape, q, k, v, y, lse));
    }

    private Operation DecodeAttention(int heads, int keyHeads, int size, int sequences, int prefix, int own)
    {
        List<int> segments = [0, prefix, -1], queries = [];
        for (int s = 0; s < sequences; s++)
        {
            segments.AddRange([prefix + s * own, own, 0]);
            queries.AddRange([s + 1, own]);
        }
        int rows = prefix + sequences * own;
        AttentionPlan plan = new(Integers(sequences + 1, 3, [.. segments]), Integers(sequences, 2, [.. queries]), default, prefix + own);
        AttentionShape shape = new(heads, keyHeads, size, 1 / MathF.Sqrt(size));
        Tensor q = Random(sequences, heads * size), k = Random(rows, keyHeads * size), v = Random(rows, keyHeads * size), y = Random(sequences, heads * size);
        return new($"decode attention {sequences} x ({prefix} shared + {own}), {heads}/{keyHeads} heads of {size}", k.Bytes + v.Bytes + 2.0 * q.Bytes,
            4.0 * sequences * (prefix + own) * heads * size, () => backend.Attention(plan, shape, q, k, v, y, default));
    }

    private Operation LogProbs(int rows, int width, int vocabulary, bool backward)
    {
        Tensor hidden = Random(rows, width), weight = Weights(vocabulary, width), targets = Indices(rows, i => i % vocabulary);
        Tensor logProbs = Random(1, rows), slopes = Random(1, rows), gradient = Random(rows, width);
        double flops = 2.0 * rows * width * vocabulary;
        return backward
            ? new($"log-probabilities backward [{rows} x {width}] {vocabulary} bf16", weight.Bytes + 2.0 * hidden.Bytes, 2 * flops,
                () => backend.LogProbsBackward(hidden, weight, targets, 1f, slopes, gradient))
            : new($"log-probabilities [{rows} x {width}] {vocabulary} bf16", weight.Bytes + hidden.Bytes, flops,
                () => backend.LogProbs(hidden, weight, targets, 1f, logProbs, default));
    }

    private Operation Sample(int rows, int vocabulary, SamplingRow settings, string kind)
    {
        Tensor logits = Random(rows, vocabulary), samplers = Keep(ElementType.I32, rows, 10), tokens = Keep(ElementType.I32, 1, rows), logProbs = Random(1, rows);
        backend.Upload<SamplingRow>(Enumerable.Range(0, rows).Select(i => settings with { Rollout = (uint)i }).ToArray(), samplers);
        return new($"sample {kind} [{rows} x {vocabulary}]", logits.Bytes, 10.0 * logits.Count, () => backend.Sample(logits, samplers, tokens, logProbs));
    }

    private Operation Cosine(int queries, int keys, int width)
    {
        Tensor q = Random(queries, width), k = Random(keys, width), limits = Indices(queries, _ => keys), indices = Keep(ElementType.I32, queries, 1), scores = Random(queries, 1);
        return new($"cosine top-1 {queries} x {keys} keys of {width}", k.Bytes, 4.0 * queries * k.Count, () => backend.CosineTopK(q, k, limits, 1, indices, scores));
    }

    private Operation Optimiser(int count)
    {
        Tensor theta = Random(1, count), grad = Random(1, count), m = Random(1, count), v = Random(1, count), norm = Random(1, 1);
        backend.Zero(v);
        return new($"adamw {count}", 7.0 * theta.Bytes, 15.0 * count, () => backend.AdamW(theta, grad, m, v, new AdamWSettings(1e-3f), 1, norm));
    }

    private Tensor Keep(ElementType type, int rows, int columns)
    {
        DeviceBuffer buffer = backend.Allocate(Math.Max(1, (long)rows * columns * type.Size()));
        buffers.Add(buffer);
        return buffer.As(type, rows, columns);
    }

    private Tensor Random(int rows, int columns)
    {
        Tensor tensor = Keep(ElementType.F32, rows, columns);
        float[] values = new float[tensor.Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = random.NextSingle() * 2 - 1;
        backend.Upload<float>(values, tensor);
        return tensor;
    }

    private Tensor Weights(int rows, int columns)
    {
        Tensor tensor = Keep(ElementType.BF16, rows, columns);
        ushort[] values = new ushort[tensor.Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = (ushort)(BitConverter.SingleToUInt32Bits(0.05f * (random.NextSingle() - 0.5f)) >> 16);
        backend.Upload<ushort>(values, tensor);
        return tensor;
    }

    private Tensor Indices(int count, Func<int, int> value) => Integers(1, count, [.. Enumerable.Range(0, count).Select(value)]);

    private Tensor Integers(int rows, int columns, int[] values)
    {
        Tensor tensor = Keep(ElementType.I32, rows, columns);
        backend.Upload<int>(values, tensor);
        return tensor;
    }

    private void Free()
    {
        backend.Synchronize();
        foreach (DeviceBuffer buffer in buffers)
            buffer.Dispose();
        buffers.Clear();
    }
}
