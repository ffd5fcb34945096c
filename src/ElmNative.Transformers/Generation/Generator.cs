using ElmNative.Compute;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation;

/// <summary>
/// Batched generation: all completions of all requests advance together, each group on one shared prefix, and leave the batch when they end.
/// What else is in the batch changes no bit of a completion.
/// </summary>
public sealed class Generator(LanguageModel model)
{
    /// <summary>Called after every decode step with the number of tokens that it drew (for progress and rates).</summary>
    public Action<int>? TokensGenerated { get; set; }

    /// <summary>Called for every token as it comes: request, rollout, token id (for streaming output).</summary>
    public Action<int, int, int>? TokenArrived { get; set; }

    /// <summary>
    /// The most memory that keys and values may take at once, in bytes. Requests that do not fit together run one after another, with the same result.
    /// </summary>
    public long KeyValueBudget { get; set; } = 4L << 30;

    /// <summary>Generates for all requests; result [request][rollout].</summary>
    /// <exception cref="ElmException">a prompt with its soft prompt fills the model's context; NaN logits</exception>
    /// <exception cref="OperationCanceledException">cancelled between two decode steps</exception>
    public Completion[][] Generate(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellation = default)
    {
        foreach (GenerationRequest request in requests)
            Check(request);
        Completion[][] result = new Completion[requests.Count][];
        long bytesPerRow = 2L * sizeof(float) * model.Layers * model.Decoder.KeyWidth;
        for (int start = 0; start < requests.Count;)
        {
            int end = start;
            long bytes = 0;
            do
                bytes += DecodeBatch.CacheRows(model, requests[end++]) * bytesPerRow;
            while (end < requests.Count && bytes + DecodeBatch.CacheRows(model, requests[end]) * bytesPerRow <= KeyValueBudget);
            using DecodeBatch batch = new(model, requests.Skip(start).Take(end - start).ToArray());
            int first = start;
            batch.TokenArrived = TokenArrived is { } arrived ? (request, rollout, id) => arrived(first + request, rollout, id) : null;
            batch.TokensGenerated = TokensGenerated;
            batch.Run(cancellation);
            batch.Completions.CopyTo(result, start);
            start = end;
        }
        return result;
    }

    private void Check(GenerationRequest request)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(request.Count);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(request.MaxNewTokens);
        if (request.SoftPrompt.Length % model.HiddenSize != 0)
            throw new ArgumentException($"a soft prompt of {request.SoftPrompt.Length} values is no whole number of rows of {model.HiddenSize}");
        if (request.PromptIds.Length == 0)
            throw new ElmException("the prompt has no token; give it some text");
        model.RefuseUnknown(request.PromptIds);
        int rows = DecodeBatch.PrefixRows(model, request);
        if (rows >= model.MaxPositions)
            throw new ElmException($"the prompt takes {rows} positions (soft prompt included) of the model's context of {model.MaxPositions} and leaves no room for an answer; shorten it");
    }
}
