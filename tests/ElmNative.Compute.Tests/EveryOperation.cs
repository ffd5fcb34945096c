using System.Runtime.InteropServices;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Runs every operation once on given values and hands the results over by name: what the tests of bits compare.</summary>
internal static class EveryOperation
{
    private static float[] Floats(int[] values) => MemoryMarshal.Cast<int, float>(values).ToArray();

    public static Dictionary<string, float[]> Run(IBackend backend)
    {
        Dictionary<string, float[]> results = [];
        foreach (ElementType type in FloatTypes)
        {
            RunDense(backend, type, results);
            RunRows(backend, type, results);
            RunHead(backend, type, results);
        }
        RunElements(backend, results);
        RunAttention(backend, results);
        RunSample(backend, results);
        RunVectors(backend, results);
        RunDecode(backend, results);
        return results;
    }

    private static void RunDense(IBackend backend, ElementType type, Dictionary<string, float[]> results)
    {
        // Few rows, many rows, ragged tiles; the last spans several blocks of the backward sum and is large enough to be shared by threads.
        foreach ((int m, int n, int k) in new[] { (1, 9, 33), (5, 66, 130), (11, 7, 16), (40, 67, 70), (260, 70, 48), (20, 1100, 72),
            (3, 700, 300), (2, 29, 45), (4, 31, 16), (8, 90, 321), (24, 33, 257), (29, 70, 300), (250, 17, 529) })
            foreach (bool accumulate in new[] { false, true })
                foreach (bool adopted in new[] { false, true })
                {
                    Tensor w = backend.Put(Normal(2, n * k), n, k, type, 1), y = backend.Put(Normal(4, m * n), m, n),
                        dx = backend.Put(Normal(5, m * k), m, k);
                    string what = $"{type}{(adopted ? " adopted" : "")} {m}x{n}x{k} {accumulate}";
                    if (adopted)
                        w = backend.Adopt(w);
                    backend.Linear(backend.Put(Normal(1, m * k), m, k), w, backend.Put(Normal(3, n), 1, n, type, 1), y, accumulate);
                    results[$"Linear {what}"] = backend.Get(y);
                    backend.LinearBackward(backend.Put(Normal(6, m * n), m, n), w, dx, accumulate);
                    results[$"LinearBackward {what}"] = backend.Get(dx);
                }
    }

    private static void RunRows(IBackend backend, ElementType type, Dictionary<string, float[]> results)
    {
        const int m = 200, d = 101;
        Tensor x = backend.Put(Normal(1, m * d), m, d), weight = backend.Put(Normal(2, d), 1, d, type, 1), y = backend.Blank(m, d),
            dx = backend.Put(Normal(4, m * d), m, d);
        backend.RmsNorm(x, weight, 1e-6f, y);
        results[$"RmsNorm {type}"] = backend.Get(y);
        backend.RmsNormBackward(x, weight, 1e-6f, backend.Put(Normal(3, m * d), m, d), dx);
        results[$"RmsNormBackward {type}"] = backend.Get(dx);
        Tensor table = backend.Put(Normal(5, 50 * d), 50, d, type, 1), rows = backend.Blank(3, d);
        backend.GatherRows(table, backend.Put([7, 49, 0], 1, 3), rows);
        results[$"GatherRows {type}"] = backend.Get(rows);
        backend.Copy(table.Slice(0, 3), rows);
        results[$"Copy {type}"] = backend.Get(rows);
    }

    private static void RunHead(IBackend backend, ElementType type, Dictionary<string, float[]> results)
    {
        const int m = 130, vocabulary = 719, d = 40;
        int[] targets = [.. Enumerable.Range(0, m).Select(i => i * 5 % vocabulary)];
        Tensor hidden = backend.Put(Normal(1, m * d), m, d), weight = backend.Put(Normal(2, vocabulary * d), vocabulary, d, type, 1),
            target = backend.Put(targets, 1, m);
        foreach ((string what, Tensor head) in new[] { ($"{type}", weight), ($"{type} adopted", backend.Adopt(weight)) })
        {
            Tensor logprobs = backend.Blank(1, m), entropy = backend.Blank(1, m), gradient = backend.Blank(m, d);
            backend.LogProbs(hidden, head, target, 0.7f, logprobs, entropy, gradient);
            results[$"LogProbs {what}"] = backend.Get(logprobs);
            results[$"LogProbs entropy {what}"] = backend.Get(entropy);
            results[$"LogProbs gradient {what}"] = backend.Get(gradient);
        }
    }

    private static void RunElements(IBackend backend, Dictionary<string, float[]> results)
    {
        const int m = 150, d = 144;
        Tensor x = backend.Put(Normal(1, m * d, 4), m, d), y = backend.Put(Normal(2, m * d), m, d),
            dy = backend.Put(Normal(3, m * d), m, d);
        Tensor first = backend.Blank(m, d), second = backend.Blank(m, d);
        backend.SwiGlu(x, y, first);
        results["SwiGlu"] = backend.Get(first);
        backend.SwiGluBackward(x, y, dy, first, second);
        results["SwiGluBackward gate"] = backend.Get(first);
        results["SwiGluBackward up"] = backend.Get(second);
        foreach (int headSize in new[] { 24, 48, 144 })
        {
            backend.Rotary(x, backend.Put([.. Enumerable.Range(0, m).Select(i => i % 20)], 1, m),
                backend.Put(Normal(4, 20 * headSize), 20, headSize), headSize, headSize == 48, first);
            results[$"Rotary {headSize}"] = backend.Get(first);
            Tensor pooled = backend.Blank(2, headSize);
            backend.PoolHeads(x, backend.Put([0, m, 3, 7], 2, 2), headSize, pooled);
            results[$"PoolHeads {headSize}"] = backend.Get(pooled);
        }
        int[] indices = [.. Enumerable.Range(0, m).Select(i => i * i % 7)];
        backend.ScatterAddRows(y, backend.Put(indices, 1, m), dy);
        backend.Add(x, dy);
        backend.ScatterRows(y.Slice(0, 2), backend.Put([9, 5], 1, 2), dy);
        results["ScatterAddRows, Add, ScatterRows"] = backend.Get(dy);
        float[] scales = Normal(5, m);
        scales[4] = 0;
        backend.ScaleRows(backend.Put(scales, 1, m), dy);
        results["ScaleRows"] = backend.Get(dy);
    }

    private static void RunAttention(IBackend backend, Dictionary<string, float[]> results)
    {
        foreach (TestPlan plan in TestPlan.All)
            foreach (AttentionShape shape in new AttentionShape[] { new(4, 2, 32, 0.17f), new(2, 2, 24, 0.2f), new(7, 1, 64, 0.125f),
                new(1, 1, 200, 0.07f) })
            {
                int m = plan.Rows, width = shape.QueryHeads * shape.HeadSize, keyWidth = shape.KeyHeads * shape.HeadSize;
                Tensor q = backend.Put(Normal(1, m * width), m, width), k = backend.Put(Normal(2, m * keyWidth), m, keyWidth),
                    v = backend.Put(Normal(3, m * keyWidth), m, keyWidth);
                Tensor y = backend.Blank(m, width), logSumExp = backend.Blank(m, shape.QueryHeads), dq = backend.Blank(m, width),
                    dk = backend.Blank(m, keyWidth), dv = backend.Blank(m, keyWidth);
                AttentionPlan native = plan.On(backend);
                backend.Attention(native, shape, q, k, v, y, logSumExp);
                backend.AttentionBackward(native, shape, q, k, v, y, logSumExp, backend.Put(Normal(4, m * width), m, width), dq, dk, dv);
                string what = $"{m} rows, {shape}";
                results["Attention " + what] = backend.Get(y);
                results["Attention log sum " + what] = backend.Get(logSumExp);
                results["AttentionBackward q " + what] = backend.Get(dq);
                results["AttentionBackward k " + what] = backend.Get(dk);
                results["AttentionBackward v " + what] = backend.Get(dv);
            }
    }

    private static void RunSample(IBackend backend, Dictionary<string, float[]> results)
    {
        const int m = 64, vocabulary = 719;
        SamplingRow[] rows = [.. Enumerable.Range(0, m).Select(i => new SamplingRow
        {
            Temperature = i % 4 * 0.5f, TopK = i % 3 * 20, TopP = i % 5 == 0 ? 0.9f : 1, MinP = i % 7 == 0 ? 0.1f : 0, SeedLow = 3,
                Position = (uint)i,
        })];
        Tensor tokens = backend.Put(new int[m], 1, m), logprobs = backend.Blank(1, m);
        backend.Sample(backend.Put(Normal(1, m * vocabulary, 2), m, vocabulary), backend.Put(rows), tokens, logprobs);
        results["Sample tokens"] = Floats(backend.GetInts(tokens));
        results["Sample"] = backend.Get(logprobs);
    }

    private static void RunDecode(IBackend backend, Dictionary<string, float[]> results)
    {
        foreach (ElementType type in FloatTypes)
        {
            Tensor filled = backend.Put(new float[1001], 7, 143, type), wide = backend.Blank(7, 143);
            backend.FillUniform(filled, 1UL << 40 | 3, 0.02f);
            backend.Copy(filled, wide);
            results[$"FillUniform {type}"] = backend.Get(wide);
        }
        const int m = 50, d = 48, headSize = 24;
        int[] some = [.. Enumerable.Range(0, m).Select(i => i % 7)];
        Tensor query = backend.Put(Normal(1, m * d), m, d), keys = backend.Put(new float[2 * m * d], 2 * m, d), values = backend.Put(new float[2 * m * d], 2 * m, d);
        backend.RotaryStore(query, backend.Put(Normal(2, m * d), m, d), backend.Put(Normal(3, m * d), m, d), backend.Put(some, 1, m), backend.Put(Normal(4, 7 * headSize), 7, headSize), headSize,
            backend.Put([.. Enumerable.Range(0, m).Select(i => i % 5 == 0 ? -1 : 2 * i)], 1, m), keys, values);
        results["RotaryStore queries"] = backend.Get(query);
        results["RotaryStore keys"] = backend.Get(keys);
        results["RotaryStore values"] = backend.Get(values);
        DecodeState state = new(backend.Put(some, 1, m), backend.Put(some, 1, m), backend.Put(some, 1, m), backend.Put(new int[2 * m], m, 2), backend.Put(new SamplingRow[m]), backend.Put(some, 1, m),
            backend.Put([.. some.Select(i => i & 1)], 1, m), backend.Put([2, 5], 1, 2), backend.Put([1], 1, 1), backend.Put(new int[3 * m], 3, m), backend.Put(new float[3 * m], 3, m));
        backend.AdvanceDecode(state, backend.Put([.. Enumerable.Range(-1, m).Select(i => i % 11)], 1, m), backend.Put(Normal(5, m), 1, m));
        foreach ((string name, Tensor x) in new[] { ("tokens", state.Tokens), ("positions", state.Positions), ("slots", state.Slots), ("queries", state.Queries), ("sampling", state.Sampling), ("left", state.Left),
            ("step", state.Step), ("history", state.HistoryTokens) })
            results["AdvanceDecode " + name] = Floats(backend.GetInts(x));
        results["AdvanceDecode log-probabilities"] = backend.Get(state.HistoryLogProbs);
    }

    private static void RunVectors(IBackend backend, Dictionary<string, float[]> results)
    {
        const int m = 6, n = 300, d = 99, k = 5;
        Tensor indices = backend.Put(new int[m * k], m, k), scores = backend.Blank(m, k);
        backend.CosineTopK(backend.Put(Normal(1, m * d), m, d), backend.Put(Normal(2, n * d), n, d),
            backend.Put([300, 299, 64, 65, 1, 0], 1, m), 3, indices, scores);
        results["CosineTopK indices"] = Floats(backend.GetInts(indices));
        results["CosineTopK"] = backend.Get(scores);
        const int count = 20001;
        Tensor theta = backend.Put(Normal(1, count), 1, count), first = backend.Put(new float[count], 1, count),
            second = backend.Put(new float[count], 1, count), norm = backend.Blank(1, 1);
        for (int step = 1; step <= 3; step++)
            backend.AdamW(theta, backend.Put(Normal(step, count), 1, count), first, second, new AdamWSettings(1e-3f, WeightDecay: 0.01f),
                step, norm);
        results["AdamW theta"] = backend.Get(theta);
        results["AdamW m"] = backend.Get(first);
        results["AdamW v"] = backend.Get(second);
        results["AdamW norm"] = backend.Get(norm);
    }
}
