using ElmNative.Compute;
using ElmNative.Transformers.Generation.Scheduling;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation;

/// <summary>
/// Batched generation: completions of all requests advance together, each group on one shared prefix. Those that end leave the batch and waiting ones enter,
/// so that it stays full. What else is in the batch changes no bit of a completion.
/// </summary>
public sealed class Generator(LanguageModel model)
{
    private int maxSequences = 512;

    /// <summary>Called for every decode step with the number of tokens that it drew (for progress and rates); where a device runs several steps between two looks, in bursts.</summary>
    public Action<int>? TokensGenerated { get; set; }

    /// <summary>Called for every token as it comes: request, rollout, token id (for streaming output); likewise.</summary>
    public Action<int, int, int>? TokenArrived { get; set; }

    /// <summary>
    /// The most memory that keys and values may take at once, in bytes; a completion that needs more runs alone. Changes no result.
    /// </summary>
    public long KeyValueBudget { get; set; } = 4L << 30;

    /// <summary>
    /// The most completions that decode at once, at least 1. More of them share a reading of the weights and take more working memory. Changes no result.
    /// </summary>
    public int MaxSequences
    {
        get => maxSequences;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value);
            maxSequences = value;
        }
    }

    /// <summary>Generates for all requests; result [request][rollout].</summary>
    /// <exception cref="ElmException">a prompt with its soft prompt fills the model's context; NaN logits</exception>
    /// <exception cref="OperationCanceledException">cancelled between two windows of decode steps</exception>
    public Completion[][] Generate(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellation = default)
    {
        foreach (GenerationRequest request in requests)
            Check(request);
        if (requests.Count == 0)
            return [];
        using Scheduler scheduler = new(model, requests, MaxSequences, KeyValueBudget) { TokensGenerated = TokensGenerated, TokenArrived = TokenArrived };
        return scheduler.Run(cancellation);
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
        int rows = Prefix.RowsOf(model, request);
        if (rows >= model.MaxPositions)
            throw new ElmException($"the prompt takes {rows} positions (soft prompt included) of the model's context of {model.MaxPositions} and leaves no room for an answer; shorten it");
    }
}
