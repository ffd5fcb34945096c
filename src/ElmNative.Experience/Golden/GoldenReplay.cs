using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Golden;

/// <summary>One compared value.</summary>
/// <param name="Name">file and tensor</param>
/// <param name="Count">numbers compared</param>
/// <param name="MaxAbsolute">largest absolute difference</param>
/// <param name="MaxRelative">largest difference relative to the reference tensor's largest magnitude</param>
/// <param name="RelativeL2">||x - reference|| / ||reference||; of greedy completions the share that differs</param>
/// <param name="Bar">what is allowed</param>
/// <param name="Passed">within the bar, with no NaN</param>
public sealed record GoldenRow(string Name, long Count, double MaxAbsolute, double MaxRelative, double RelativeL2, GoldenBar Bar, bool Passed);

/// <summary>
/// Replays golden values, which an independent float64 implementation computed, on a model: hidden states, logits, the policy loss and its gradient to the
/// soft prompt, pooled keys, optimiser steps, greedy completions. Files that a folder does not have are left out.
/// </summary>
public static class GoldenReplay
{

    /// <summary>Replays every file of the folder, a row for each tensor.</summary>
    /// <exception cref="ElmException">the folder is missing, holds no golden file, or a file is malformed</exception>
    public static IEnumerable<GoldenRow> Replay(LanguageModel model, string folder)
    {
        if (!Directory.Exists(folder))
            throw new ElmException($"{folder}: there is no such folder; name a folder of golden values with --golden");
        (string File, Func<LanguageModel, string, GoldenBars, IEnumerable<GoldenRow>> Check)[] checks =
        [
            ("forward.safetensors", Forward), ("keys.safetensors", Keys), ("policy.safetensors", Policy), ("adamw.safetensors", Optimiser), ("greedy.jsonl", Greedy),
        ];
        if (!checks.Any(check => File.Exists(Path.Combine(folder, check.File))))
            throw new ElmException($"{folder}: holds none of {string.Join(", ", checks.Select(check => check.File))}; name a folder of golden values with --golden");
        GoldenBars bars = GoldenBars.Of(model.ActivationType);
        return checks.Where(check => File.Exists(Path.Combine(folder, check.File))).SelectMany(check => check.Check(model, folder, bars));
    }

    private static IEnumerable<GoldenRow> Forward(LanguageModel model, string folder, GoldenBars bars)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "forward.safetensors"));
        ForwardTrace trace = model.Trace(file.ReadI32("ids"));
        yield return Compare("forward.hidden", trace.Hidden, file.ReadF32("hidden"), bars.Values);
        yield return Compare("forward.logits", trace.Logits, file.ReadF32("logits"), bars.Values);
        yield return Compare("forward.q_layer0", trace.FirstQueries, file.ReadF32("q_layer0"), bars.Values);
        yield return Compare("forward.k_layer0", trace.FirstKeys, file.ReadF32("k_layer0"), bars.Values);
    }

    private static IEnumerable<GoldenRow> Keys(LanguageModel model, string folder, GoldenBars bars)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "keys.safetensors"));
        int[] question = file.ReadI32("question_ids");
        float[] memory = file.ReadF32("memory");
        yield return Compare("keys.input_query", MeanRow(model.Embed(question), model.HiddenSize), file.ReadF32("input_query"), bars.Values);
        yield return Compare("keys.input_key", MeanRow(memory, model.HiddenSize), file.ReadF32("input_key"), GoldenBars.Exact.Values);
        yield return Compare("keys.kv_query", model.PoolQueries([question])[0], file.ReadF32("kv_query"), bars.Values);
        yield return Compare("keys.kv_key", model.PoolKeys([memory])[0], file.ReadF32("kv_key"), bars.Values);
    }

    private static IEnumerable<GoldenRow> Policy(LanguageModel model, string folder, GoldenBars bars)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "policy.safetensors"));
        int[] prompt = file.ReadI32("prompt_ids"), question = file.ReadI32("question_ids");
        float[] memory = file.ReadF32("memory");
        int[][] completions = Split(file.ReadI32("completion_ids"), file.ReadI32("completion_lengths"));
        double[] rewards = Doubles(file.ReadF32("rewards"));
        double[] plain = Advantages.Of(rewards, scaleByStd: false), std = Advantages.Of(rewards, scaleByStd: true);
        int rows = memory.Length / model.HiddenSize;

        yield return Compare("policy.memory_init", model.Embed(MemoryInitialiser.RepeatOrCut(question, rows)), file.ReadF32("memory_init"), bars.Values);
        yield return Compare("policy.advantages", Floats(plain), file.ReadF32("advantages"), GoldenBars.Exact.Values);
        yield return Compare("policy.advantages_std", Floats(std), file.ReadF32("advantages_std"), GoldenBars.Exact.Values);

        PackedTree reference = new([], prompt, completions), policy = new(memory, prompt, completions);
        yield return Compare("policy.ref_logprobs", LogProbs(model, reference, 1f), file.ReadF32("ref_logprobs"), bars.LogProbs);
        yield return Compare("policy.ref_logprobs_tau0.6", LogProbs(model, reference, 0.6f), file.ReadF32("ref_logprobs_tau0.6"), bars.LogProbs);

        const int maxTokens = 2048;
        foreach (GoldenRow row in Case("plain", plain, 0, 1f).Concat(Case("std", std, 0, 1f)).Concat(Case("kl", std, 0.04, 0.6f)))
            yield return row;

        PackedTree first = new(memory, prompt, [completions[0]]);
        using PackedPass pass = model.Forward([first], 1f, keepForBackward: true);
        (double loss, float[] slope) = SftLoss.Compute(pass.LogProbs[0][0]);
        yield return Compare("policy.sft.loss", [(float)loss], file.ReadF32("sft.loss"), bars.Values);
        yield return Compare("policy.sft.grad", pass.Backward([[slope]])[0], file.ReadF32("sft.grad"), bars.Gradients);

        IEnumerable<GoldenRow> Case(string name, double[] advantages, double beta, float temperature)
        {
            float[][]? referenceLogProbs = beta == 0 ? null : Split(file.ReadF32("ref_logprobs_tau0.6"), completions.Select(c => c.Length).ToArray());
            using PackedPass pass = model.Forward([policy], temperature, keepForBackward: true);
            PolicyLossResult result = new PolicyLoss(maxTokens, beta).Compute(pass.LogProbs[0], null, referenceLogProbs, advantages);
            yield return Compare($"policy.{name}.loss", [(float)result.Loss], file.ReadF32(name + ".loss"), bars.Values);
            yield return Compare($"policy.{name}.logprobs", Flatten(pass.LogProbs[0]), file.ReadF32(name + ".logprobs"), bars.LogProbs);
            yield return Compare($"policy.{name}.grad", pass.Backward([result.DLogProbs])[0], file.ReadF32(name + ".grad"), bars.Gradients);
        }
    }

    private static IEnumerable<GoldenRow> Optimiser(LanguageModel model, string folder, GoldenBars bars)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, "adamw.safetensors"));
        float[] theta = file.ReadF32("theta0");
        AdamW optimiser = new(theta.Length, new AdamWSettings(0.01f, WeightDecay: 0.01f));
        for (int step = 0; file.Has($"grad{step}"); step++)
        {
            optimiser.Step(theta, file.ReadF32($"grad{step}"));
            yield return Compare($"adamw.theta{step + 1}", theta, file.ReadF32($"theta{step + 1}"), bars.Optimiser);
        }
    }

    /// <summary>Greedy completions, all in one batch; a row for all of them that counts differing completions.</summary>
    private static IEnumerable<GoldenRow> Greedy(LanguageModel model, string folder, GoldenBars bars)
    {
        float[] memory = [];
        string policyFile = Path.Combine(folder, "policy.safetensors"), path = Path.Combine(folder, "greedy.jsonl");
        if (File.Exists(policyFile))
        {
            using SafetensorsFile file = SafetensorsFile.Open(policyFile);
            memory = file.ReadF32("memory");
        }
        List<GenerationRequest> requests = [];
        List<int[]> expected = [];
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            try
            {
                using JsonDocument json = JsonDocument.Parse(line);
                int[] ids = Ids(json.RootElement, "completion_ids");
                bool useMemory = json.RootElement.GetProperty("memory").GetBoolean();
                requests.Add(new GenerationRequest(useMemory ? memory : [], Ids(json.RootElement, "prompt_ids"), 1, ids.Length, SamplingSettings.Greedy, default));
                expected.Add(ids);
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw new ElmException($"{path}, line {number}: not a golden completion with prompt_ids, completion_ids and memory; restore the file", e);
            }
        }
        Completion[][] completions = new Generator(model).Generate(requests);
        int different = completions.Where((completion, i) => !completion[0].Tokens.AsSpan().SequenceEqual(expected[i])).Count();
        double fraction = (double)different / Math.Max(1, expected.Count);
        yield return new GoldenRow("greedy.completion_ids", expected.Count, different, fraction, fraction, bars.Completions, expected.Count > 0 && fraction <= bars.Completions.Limit);
    }

    /// <summary>Compares a tensor with its reference; a different length or any value that is not a number fails.</summary>
    public static GoldenRow Compare(string name, float[] values, float[] reference, GoldenBar bar)
    {
        if (values.Length != reference.Length || reference.Length == 0)
            return new GoldenRow(name, reference.Length, double.NaN, double.NaN, double.NaN, bar, false);
        double worst = 0, largest = 0, difference2 = 0, reference2 = 0;
        bool finite = true;
        for (int i = 0; i < values.Length; i++)
        {
            double difference = Math.Abs((double)values[i] - reference[i]);
            finite &= double.IsFinite(difference);
            worst = Math.Max(worst, difference);
            largest = Math.Max(largest, Math.Abs(reference[i]));
            difference2 += difference * difference;
            reference2 += (double)reference[i] * reference[i];
        }
        double l2 = difference2 == 0 ? 0 : Math.Sqrt(difference2 / reference2);
        return new GoldenRow(name, reference.Length, worst, worst == 0 ? 0 : worst / largest, l2, bar, finite && (bar.IsAbsolute ? worst : l2) <= bar.Limit);
    }

    private static float[] LogProbs(LanguageModel model, PackedTree tree, float temperature)
    {
        using PackedPass pass = model.Forward([tree], temperature, keepForBackward: false);
        return Flatten(pass.LogProbs[0]);
    }

    private static float[] MeanRow(float[] rows, int width)
    {
        float[] mean = new float[width];
        for (int j = 0; j < width; j++)
        {
            double sum = 0;
            for (int i = j; i < rows.Length; i += width)
                sum += rows[i];
            mean[j] = (float)(sum / (rows.Length / width));
        }
        return mean;
    }

    private static int[] Ids(JsonElement row, string name) => row.GetProperty(name).EnumerateArray().Select(id => id.GetInt32()).ToArray();

    private static T[][] Split<T>(T[] flat, int[] lengths)
    {
        int next = 0;
        return lengths.Select(length => flat[next..(next += length)]).ToArray();
    }

    private static float[] Flatten(float[][] parts) => parts.SelectMany(part => part).ToArray();

    private static double[] Doubles(float[] values) => values.Select(value => (double)value).ToArray();

    private static float[] Floats(double[] values) => values.Select(value => (float)value).ToArray();
}
