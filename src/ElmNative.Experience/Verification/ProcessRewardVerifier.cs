using ElmNative.Transformers.Models;

namespace ElmNative.Experience.Verification;

/// <summary>How the scores of a response's steps become one.</summary>
public enum StepAggregation
{
    /// <summary>Their product: what Qwen's reward model is used with. It favours responses with fewer steps.</summary>
    Product,
    /// <summary>The weakest step.</summary>
    Min,
    /// <summary>The last step.</summary>
    Last,
    /// <summary>Their mean.</summary>
    Mean,
}

/// <summary>Scores responses with a process reward model, step by step. The model stays the caller's to dispose.</summary>
/// <param name="model">the reward model</param>
/// <param name="aggregation">how step scores become one</param>
public sealed class ProcessRewardVerifier(ProcessRewardModel model, StepAggregation aggregation = StepAggregation.Product) : IVerifier
{
    /// <summary>Scores below this count as this, so that a product of many stays a number.</summary>
    private const double Floor = 1e-12;

    /// <summary>Name, aggregation and the reward model's digest: all that can change a score.</summary>
    public string Name => $"prm-{aggregation.ToString().ToLowerInvariant()}:{model.Fingerprint[..12]}";

    /// <inheritdoc/>
    public bool NeedsTruth => false;

    /// <inheritdoc/>
    public double[][] Score(IReadOnlyList<VerifierQuery> queries)
    {
        double[][] steps = model.Score([.. queries.SelectMany(query => query.Responses.Select(response => (query.Problem.Text, response.Text)))]);
        int next = 0;
        return [.. queries.Select(query => query.Responses.Select(_ => Aggregate(steps[next++], aggregation)).ToArray())];
    }

    /// <summary>One score of a response's step scores; a product is summed up in logarithms.</summary>
    public static double Aggregate(double[] steps, StepAggregation aggregation) => aggregation switch
    {
        StepAggregation.Product => Math.Exp(steps.Sum(score => Math.Log(Math.Max(score, Floor)))),
        StepAggregation.Min => steps.Min(),
        StepAggregation.Last => steps[^1],
        _ => steps.Average(),
    };
}
