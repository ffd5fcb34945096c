using ElmNative.Compute;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Transformers.Models;

/// <summary>
/// A process reward model in the shape of Qwen2.5-Math-PRM (Qwen2ForProcessRewardModel): a Qwen2 decoder whose hidden state at each step separator goes through
/// linear, ReLU, linear to two classes; the score of a step is the probability of class 1. The backend is the caller's and outlives the model.
/// </summary>
public sealed class ProcessRewardModel : IDisposable
{
    /// <summary>The architecture's name in config.json.</summary>
    public const string Architecture = "Qwen2ForProcessRewardModel";

    /// <summary>The token that closes a step.</summary>
    public const string StepToken = "<extra_0>";

    private const string SystemText = @"Please reason step by step, and put your final answer within \boxed{}.";
    private const int RowsOfAPass = 4096, Classes = 2;

    private readonly LanguageModel body;
    private readonly Tensor firstWeight, firstBias, secondWeight, secondBias;
    private readonly IChatTemplate template;
    private readonly int stepToken;

    private ProcessRewardModel(LanguageModel body, string folder)
    {
        this.body = body;
        if (body.Config.Architecture != Architecture)
            throw new ElmException($"{folder}: config.json says {body.Config.Architecture}, and a process reward model is {Architecture}");
        template = body.ChatTemplate ?? throw new ElmException($"{folder}: a process reward model needs the chat template it was trained with; add chat_template to tokenizer_config.json");
        stepToken = body.Tokenizer.IdOf(StepToken) ?? throw new ElmException($"{folder}: tokenizer.json has no token {StepToken}, which marks the steps");
        int width = body.HiddenSize;
        firstWeight = body.Weights.Extra("score.0.weight", width, width);
        firstBias = body.Weights.Extra("score.0.bias", width);
        secondWeight = body.Weights.Extra("score.2.weight", Classes, width);
        secondBias = body.Weights.Extra("score.2.bias", Classes);
    }

    /// <summary>Opens a folder; <paramref name="progress"/> is told after each tensor how many bytes of the weights are on the backend, of how many.</summary>
    /// <exception cref="ElmException">anything missing or malformed, or another architecture: one sentence that names it</exception>
    public static ProcessRewardModel Load(string folder, IBackend backend, Action<long, long>? progress = null)
    {
        LanguageModel body = LanguageModel.Open(folder, backend, withTokenizer: true, progress);
        try
        {
            return new ProcessRewardModel(body, folder);
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    /// <summary>A digest that tells this model from others.</summary>
    public string Fingerprint => body.Fingerprint;

    /// <summary>The steps of a response: its paragraphs (parted by blank lines), trimmed, without empty ones; at least one.</summary>
    public static string[] Steps(string response)
    {
        string[] steps = response.ReplaceLineEndings("\n").Split("\n\n", StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return steps.Length > 0 ? steps : [response.Trim()];
    }

    /// <summary>The text that is scored: the conversation with every step closed by the step token.</summary>
    public string Text(string problem, IReadOnlyList<string> steps) => template.Render(
        [new("system", SystemText), new("user", problem), new("assistant", string.Concat(steps.Select(step => step + StepToken)))], addGenerationPrompt: false);

    /// <summary>The probability of each step to be right, by response. One response's scores do not depend on the others.</summary>
    /// <exception cref="ElmException">a response is longer than the model's context</exception>
    public double[][] Score(IReadOnlyList<(string Problem, string Response)> responses)
    {
        int[][] sequences = new int[responses.Count][], positions = new int[responses.Count][];
        for (int i = 0; i < responses.Count; i++)
        {
            sequences[i] = body.Tokenizer.Encode(Text(responses[i].Problem, Steps(responses[i].Response)), addSpecialTokens: false);
            positions[i] = Enumerable.Range(0, sequences[i].Length).Where(p => sequences[i][p] == stepToken).ToArray();
            if (sequences[i].Length > body.MaxPositions)
                throw new ElmException($"a response of {sequences[i].Length} tokens does not fit the reward model's context of {body.MaxPositions}; lower --max-tokens");
        }
        double[][] scores = new double[responses.Count][];
        for (int start = 0; start < responses.Count;)
        {
            int end = start, rows = 0;
            do
                rows += sequences[end++].Length;
            while (end < responses.Count && rows + sequences[end].Length <= RowsOfAPass);
            ScorePass(sequences[start..end], positions[start..end]).CopyTo(scores, start);
            start = end;
        }
        return scores;
    }

    /// <inheritdoc/>
    public void Dispose() => body.Dispose();

    private double[][] ScorePass(int[][] sequences, int[][] positions)
    {
        IBackend backend = body.Backend;
        float[] hidden = body.HiddenAt(sequences, positions);
        int count = hidden.Length / body.HiddenSize;
        using RentedTensors rent = new(body.Buffers);
        Tensor middle = rent.F32(count, body.HiddenSize), logits = rent.F32(count, Classes);
        backend.Linear(body.UploadActivation(hidden, body.HiddenSize, rent), firstWeight, firstBias, middle, accumulate: false);
        backend.Download<float>(middle, hidden);
        foreach (ref float value in hidden.AsSpan())
            value = Math.Max(value, 0);
        backend.Linear(body.UploadActivation(hidden, body.HiddenSize, rent), secondWeight, secondBias, logits, accumulate: false);
        float[] pairs = new float[count * Classes];
        backend.Download<float>(logits, pairs);
        int next = 0;
        return positions.Select(places => places.Select(_ =>
        {
            double difference = (double)pairs[next] - pairs[next + 1];
            next += Classes;
            return 1 / (1 + Math.Exp(difference));
        }).ToArray()).ToArray();
    }
}
