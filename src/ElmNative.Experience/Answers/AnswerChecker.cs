using System.Collections.Concurrent;

namespace ElmNative.Experience.Answers;

/// <summary>How a checker reads and compares answers.</summary>
/// <param name="Box">Which box of a response counts.</param>
/// <param name="Fallback">Where to look when a response has no box.</param>
/// <param name="Tolerance">The relative difference up to which a decimal stands for a fraction or an irrational number, a positive number below 0.01.</param>
public sealed record AnswerCheckerOptions(BoxChoice Box = BoxChoice.Last, ExtractionFallback Fallback = ExtractionFallback.None, double Tolerance = 1e-6);

/// <summary>A verdict on two answers and the rule that gave it.</summary>
/// <param name="Same">Whether the two are the same.</param>
/// <param name="Why">The deciding rule, in a few words.</param>
public readonly record struct AnswerVerdict(bool Same, string Why);

/// <summary>
/// The project's answer checker. It extracts the boxed answer of a response, and decides whether two answers mean the same by their exact values,
/// never by likeness of the texts. The verdict does not depend on the order of the two. It may be used by several threads.
/// </summary>
public sealed class AnswerChecker : IAnswerChecker
{
    private const int MostRemembered = 2048;
    private const int LongestRemembered = 512;

    private readonly AnswerCheckerOptions options;
    private readonly Equivalence equivalence;
    private readonly ConcurrentDictionary<string, Answer> remembered = new(StringComparer.Ordinal);

    /// <summary>A checker with the usual options: the last box, nothing else, tolerance 1e-6.</summary>
    public AnswerChecker() : this(new AnswerCheckerOptions()) { }

    /// <summary>A checker with these options.</summary>
    public AnswerChecker(AnswerCheckerOptions options)
    {
        if (!(options.Tolerance > 0 && options.Tolerance < 0.01))
            throw new ArgumentOutOfRangeException(nameof(options), "the tolerance of an answer checker must lie between 0 and 0.01");
        this.options = options;
        equivalence = new Equivalence(Rational.Of((long)Math.Round(options.Tolerance * 1e15), 1_000_000_000_000_000)!.Value);
    }

    /// <inheritdoc/>
    public string? Extract(string response) => Extraction.Find(response, options.Box, options.Fallback);

    /// <inheritdoc/>
    public bool Same(string left, string right) => Compare(left, right).Same;

    /// <summary>The reason given where reading an answer failed in a way that was not foreseen.</summary>
    internal const string Unforeseen = "an answer that broke the checker";

    /// <summary>Compares two answers and says which rule decided.</summary>
    public AnswerVerdict Compare(string left, string right)
    {
        if (string.Equals(left, right, StringComparison.Ordinal)) return new AnswerVerdict(true, "identical");
        if (string.CompareOrdinal(left, right) > 0) (left, right) = (right, left);
        try
        {
            return Decide(left, right);
        }
        catch (Exception error) when (error is ArithmeticException or ArgumentException or InvalidOperationException or IndexOutOfRangeException or NullReferenceException or FormatException)
        {
            // A long training run must not end for one strange completion. The tests look for this verdict.
            return new AnswerVerdict(false, Unforeseen);
        }
    }

    private AnswerVerdict Decide(string left, string right)
    {
        Answer a = Read(left), b = Read(right);
        if (a.Spelling == b.Spelling) return new AnswerVerdict(true, "the same spelling");
        if (a.Node is null && b.Node is null && a.LooseSpelling == b.LooseSpelling) return new AnswerVerdict(true, "the same spelling");
        if (a.Node is null || b.Node is null) return new AnswerVerdict(false, "an answer that cannot be read, and another spelling");
        if (equivalence.Same(a.Node, b.Node)) return new AnswerVerdict(true, $"the same {Answer.KindOf(a.Node, b.Node)}");
        return new AnswerVerdict(false, "different values");
    }

    private Answer Read(string text)
    {
        if (remembered.TryGetValue(text, out Answer? known)) return known;
        Answer answer = Answer.Read(text);
        if (text.Length <= LongestRemembered)
        {
            if (remembered.Count >= MostRemembered) remembered.Clear();
            remembered[text] = answer;
        }
        return answer;
    }
}
