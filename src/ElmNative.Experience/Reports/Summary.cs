using ElmNative.Experience.Learning;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Verification;

namespace ElmNative.Experience.Reports;

/// <summary>A share of problems answered right, in the shape of lm-eval's tables.</summary>
/// <param name="Name">plain, memory, routed, or oracle_of_two</param>
/// <param name="Value">share of problems that are right; problems without a known answer do not count</param>
/// <param name="Stderr">standard error of that mean (Bessel's correction); null for fewer than two problems</param>
/// <param name="Correct">problems that are right</param>
/// <param name="Count">problems with a known answer</param>
public sealed record Metric(string Name, double Value, double? Stderr, int Correct, int Count);

/// <summary>How often each route was taken.</summary>
public sealed record RouteCounts(int Plain, int Memory, int Same);

/// <summary>The figures of a run or of its first problems, computed from the sample records alone.</summary>
public sealed record Summary
{
    /// <summary>What settled disagreements; null where that is unknown. One that looks at the truth is marked as an upper bound.</summary>
    public string? Verifier { get; init; }
    /// <summary>Problems.</summary>
    public required int Problems { get; init; }
    /// <summary>
    /// Accuracies of the plain answer, the answer with the retrieved memory (a problem without one counts as wrong), the routed answer, and
    /// the better of plain and memory; empty when no answer is known.
    /// </summary>
    public required IReadOnlyList<Metric> Metrics { get; init; }
    /// <summary>Routes taken.</summary>
    public required RouteCounts Routes { get; init; }
    /// <summary>
    /// Share of all problems whose retrieved memory comes from a problem of the same family; null where the data names no families.
    /// </summary>
    public double? RetrievedSameFamily { get; init; }
    /// <summary>
    /// Mean share of rollouts that gave the majority answer, over problems and training steps; null where no vote was held.
    /// </summary>
    public double? MeanMajorityRatio { get; init; }
    /// <summary>Share of labels (the last vote of each memory) that are the true answer; null where no answer is known.</summary>
    public double? LabelAccuracy { get; init; }
    /// <summary>Mean tokens of a plain answer.</summary>
    public required double MeanPlainTokens { get; init; }
    /// <summary>Mean tokens of a memory-aided answer; null where there was none.</summary>
    public double? MeanMemoryTokens { get; init; }

    /// <summary>The metric of a name, or null.</summary>
    public Metric? this[string name] => Metrics.FirstOrDefault(metric => metric.Name == name);

    /// <summary>Summarises sample records.</summary>
    public static Summary Of(IReadOnlyList<SampleRecord> samples)
    {
        List<SampleRecord> graded = [.. samples.Where(s => s.Plain.Correct is not null)];
        bool families = samples.Any(s => s.Family is not null);
        return new Summary
        {
            Problems = samples.Count,
            Metrics = graded.Count == 0 ? [] :
            [
                Accuracy("plain", graded, s => s.Plain.Correct == true),
                Accuracy("memory", graded, s => s.Memory?.Correct == true),
                Accuracy("routed", graded, s => s.Correct == true),
                Accuracy("oracle_of_two", graded, s => s.Plain.Correct == true || s.Memory?.Correct == true),
            ],
            Routes = new RouteCounts(samples.Count(s => s.Route == Route.Plain),
                samples.Count(s => s.Route == Route.Memory), samples.Count(s => s.Route == Route.Same)),
            RetrievedSameFamily = families ? (double)samples.Count(s => s.Memory?.SameFamily == true) / samples.Count : null,
            MeanMajorityRatio = Mean(samples.Select(s => s.OwnMemory.MeanMajorityRatio)),
            LabelAccuracy = Mean(samples.Where(s => s.Answer is not null && s.OwnMemory.MajorityRatio is not null)
                .Select(s => s.OwnMemory.LabelCorrect == true ? 1.0 : (double?)0.0)),
            MeanPlainTokens = Mean(samples.Select(s => (double?)s.Plain.Tokens)) ?? 0,
            MeanMemoryTokens = Mean(samples.Select(s => (double?)s.Memory?.Tokens)),
        };
    }

    private static Metric Accuracy(string name, List<SampleRecord> graded, Func<SampleRecord, bool> right)
    {
        double[] outcomes = [.. graded.Select(s => right(s) ? 1.0 : 0.0)];
        return new Metric(name, Advantages.Mean(outcomes),
            outcomes.Length < 2 ? null : Advantages.StandardDeviation(outcomes) / Math.Sqrt(outcomes.Length), (int)outcomes.Sum(), outcomes.Length);
    }

    private static double? Mean(IEnumerable<double?> values)
    {
        double[] present = [.. values.Where(v => v is not null).Select(v => v!.Value)];
        return present.Length == 0 ? null : Advantages.Mean(present);
    }
}
