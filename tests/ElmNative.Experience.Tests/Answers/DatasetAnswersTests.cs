using System.Diagnostics;
using System.Text.Json;
using ElmNative.Experience.Answers;

namespace ElmNative.Experience.Tests.Answers;

/// <summary>The gold answers of the data sets, read in place.</summary>
[TestClass]
public sealed class DatasetAnswersTests
{
    private readonly AnswerChecker checker = new();

    public TestContext TestContext { get; set; } = null!;

    [TestMethod, SharedData("datasets/math500.jsonl")]
    public void Each_gold_answer_is_the_boxed_answer_of_its_solution()
    {
        int boxed = 0;
        foreach (JsonElement line in Lines("math500"))
        {
            string answer = line.GetProperty("answer").GetString()!;
            Assert.IsTrue(checker.Same(answer, answer), answer);
            // Padding makes another string, so that the answer is really read.
            Assert.IsTrue(checker.Same(answer, $" ${answer}$ "), answer);
            if (checker.Extract(line.GetProperty("solution").GetString()!) is not { } own) continue;
            Assert.IsTrue(checker.Same(answer, own), $"{answer} | {own}");
            boxed++;
        }
        TestContext.WriteLine($"{boxed} of 500 solutions have a box");
        Assert.AreEqual(500, boxed);
    }

    [TestMethod, SharedData("datasets/math500.jsonl")]
    public void Different_gold_answers_stay_apart_and_all_pairs_take_seconds()
    {
        string[] answers = [.. Lines("math500").Select(l => l.GetProperty("answer").GetString()!)];
        long start = Stopwatch.GetTimestamp();
        List<string> merged = [];
        HashSet<string> reported = [];
        double slowest = 0;
        foreach (string left in answers)
        {
            foreach (string right in answers)
            {
                long from = Stopwatch.GetTimestamp();
                bool same = checker.Same(left, right);
                slowest = Math.Max(slowest, Stopwatch.GetElapsedTime(from).TotalMilliseconds);
                if (!same) continue;
                bool integers = IsShortInteger(left) && IsShortInteger(right);
                Assert.IsTrue(!integers || left == right, $"{left} | {right}");
                if (string.CompareOrdinal(left, right) < 0 && reported.Add(left + "\n" + right)) merged.Add($"{left}  =  {right}");
            }
        }
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        TestContext.WriteLine($"{answers.Length * answers.Length} pairs in {seconds:0.00} s, the slowest {slowest:0.0} ms; equal answers with different spellings:");
        foreach (string pair in merged) TestContext.WriteLine(pair);
        Assert.IsLessThan(10, seconds);
        // These are the pairs whose values are the same: units are dropped where the other answer has none.
        Assert.IsLessThanOrEqualTo(11, merged.Count);

        static bool IsShortInteger(string answer) => answer.Length <= 6 && answer.All(c => char.IsAsciiDigit(c) || c == '-');
    }

    [TestMethod, SharedData("datasets/math500.jsonl")]
    public void Nearly_every_gold_answer_is_parsed_rather_than_compared_as_a_spelling()
    {
        string[] unread = [.. Lines("math500").Select(l => l.GetProperty("answer").GetString()!).Where(a => Answer.Read(a).Node is null)];
        TestContext.WriteLine("not parsed: " + string.Join("   ", unread));
        Assert.IsLessThanOrEqualTo(3, unread.Length);
    }

    [TestMethod, SharedData("datasets/gsm8k-test.jsonl"), DataRow("gsm8k-test"), DataRow("aime24"), DataRow("amc23"), DataRow("amc-ttrl83")]
    public void Numeric_gold_answers_equal_their_other_spellings_and_not_their_neighbours(string name)
    {
        foreach (JsonElement line in Lines(name))
        {
            string answer = line.GetProperty("answer").GetString()!;
            Assert.IsTrue(long.TryParse(answer, out long number) || answer.Contains('.'), answer);
            if (answer.Contains('.')) continue;
            Assert.IsTrue(checker.Same(answer, $"{number:N0}"), answer);
            Assert.IsTrue(checker.Same(answer, $"{number}.0"), answer);
            Assert.IsTrue(checker.Same(answer, $"\\boxed{{\\textbf{{({number})}}}}"), answer);
            Assert.IsTrue(checker.Same(answer, $"\\frac{{{number * 3}}}{{3}}"), answer);
            Assert.IsFalse(checker.Same(answer, $"{number + 1}"), answer);
            Assert.IsFalse(checker.Same(answer, $"{number}.000001"), answer);
            if (number != 0) Assert.IsFalse(checker.Same(answer, $"{number}0"), answer);
            if (name == "gsm8k-test") Assert.IsTrue(ResponseGrader.Grade("", line.GetProperty("solution").GetString()!, $"so \\boxed{{{number}}}", checker).Correct, answer);
        }
    }

    private static IEnumerable<JsonElement> Lines(string name) =>
        File.ReadLines(SharedDataAttribute.PathOf("datasets", name + ".jsonl")).Select(line => JsonDocument.Parse(line).RootElement);
}
