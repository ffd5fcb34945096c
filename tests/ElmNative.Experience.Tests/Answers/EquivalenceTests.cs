using System.Diagnostics;
using ElmNative.Experience.Answers;

namespace ElmNative.Experience.Tests.Answers;

[TestClass]
public sealed class EquivalenceTests
{
    private readonly AnswerChecker checker = new();

    public TestContext TestContext { get; set; } = null!;

    [TestMethod]
    public void Written_pairs_are_judged_as_marked_in_both_orders()
    {
        List<string> wrong = [];
        int pairs = 0;
        foreach ((bool same, string left, string right) in AnswerPairs.All())
        {
            pairs++;
            if (checker.Same(left, right) != same || checker.Same(right, left) != same) wrong.Add($"{left} | {right}: {checker.Compare(left, right).Why}");
        }
        TestContext.WriteLine($"{pairs} pairs; wrong: {string.Join("\n", wrong)}");
        Assert.IsGreaterThan(400, pairs);
        Assert.IsEmpty(wrong);
    }

    [TestMethod]
    public void The_tolerance_is_for_decimals_only_and_can_be_chosen()
    {
        AnswerChecker loose = new(new AnswerCheckerOptions(Tolerance: 1e-4));
        Assert.IsTrue(loose.Same("0.333330", "\\frac{1}{3}"));
        Assert.IsFalse(checker.Same("0.333330", "\\frac{1}{3}"));
        Assert.IsFalse(loose.Same("58,500", "58,501"));
        Assert.IsFalse(loose.Same("10000", "9999.857142857143"));
        Assert.IsFalse(loose.Same("\\frac{448}{15625}", "\\frac{448}{15626}"));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => new AnswerChecker(new AnswerCheckerOptions(Tolerance: 0)));
    }

    [TestMethod]
    public void Random_polynomials_equal_their_expansion_and_not_a_change_of_one_coefficient()
    {
        Random random = new(5);
        for (int i = 0; i < 300; i++)
        {
            int a = random.Next(-9, 10), b = random.Next(-9, 10), c = random.Next(1, 10), d = random.Next(-9, 10);
            string factored = $"({c}x{a:+0;-0})(x{b:+0;-0})({d}y+x)";
            string Expanded(int change) => $"{c * d}x^2y{c * 1 + change:+0;-0}x^3{(a + b * c) * d:+0;-0}xy{a + b * c:+0;-0}x^2{a * b * d:+0;-0}y{a * b:+0;-0}x";
            Assert.IsTrue(checker.Same(factored, Expanded(0)), factored);
            Assert.IsFalse(checker.Same(factored, Expanded(1)), factored);
        }
    }

    [TestMethod]
    public void Nearly_equal_irrational_numbers_stay_apart()
    {
        // Ramanujan's near-integer differs from one in the 30th digit; the others were found as close approximations.
        Assert.IsFalse(checker.Same("e^{\\pi\\sqrt{163}}", "262537412640768744"));
        Assert.IsFalse(checker.Same("\\pi", "\\frac{245850922}{78256779}"));
        Assert.IsFalse(checker.Same("\\sqrt{2}", "\\frac{1572584048032918633353217}{1111984844349868137938112}"));
        Assert.IsFalse(checker.Same("\\sin(10^{-40})", "10^{-40}"));
        Assert.IsFalse(checker.Same("x+10^{-30}", "x"));
    }

    [TestMethod]
    public void Hostile_answers_end_quickly_and_are_not_equal_to_anything_else()
    {
        string[] hostile =
        [
            new string('{', 1_000_000), new string('(', 1_000_000), "\\boxed{" + new string('{', 500_000) + "1" + new string('}', 500_000) + "}",
            string.Concat(Enumerable.Repeat("\\boxed{", 150_000)), string.Concat(Enumerable.Repeat("\\frac{1}{", 100_000)), string.Concat(Enumerable.Repeat("\\frac{1}{1+", 40)) + "x" + new string('}', 40),
            string.Concat(Enumerable.Repeat("\\frac{1}{1+", 200)) + "x" + new string('}', 200), "9^9^9^9", "9^{9^{9^{9}}}", "-9^9^9^9^9^9^9", "2^{2^{2^{2^{2^{2}}}}}", "((9!)!)!", "9!!!!!!!!", "3000!/2999!", "1000!/999!",
            new string('9', 1_000_000), "1" + new string('0', 4000), "10^{999999999999999999999}", "1e9999", "1E-9999", string.Concat(Enumerable.Repeat("\\sqrt{", 200)) + "2" + new string('}', 200),
            string.Join("+", Enumerable.Repeat("x", 900)), string.Join("", Enumerable.Repeat("(x+1)", 300)), string.Join(",", Enumerable.Range(0, 900)), string.Join(",", Enumerable.Repeat("\\pm 1", 400)),
            string.Join("\\cup", Enumerable.Range(0, 200).Select(i => $"({i},{i + 1})")), string.Concat(Enumerable.Repeat("\\sin ", 400)) + "x", string.Concat(Enumerable.Repeat("e^{", 40)) + "x" + new string('}', 40),
            string.Concat(Enumerable.Repeat("\\sin(x+", 45)) + "1" + new string(')', 45), string.Concat(Enumerable.Repeat("\\text{", 300)) + "a" + new string('}', 300), new string('|', 1500), new string('-', 1500) + "1", new string('$', 5000), new string('\\', 5001),
            string.Concat(Enumerable.Repeat("x^{", 300)) + "2" + new string('}', 300), "\\binom{10^9}{5\\cdot 10^8}", "(x+y)^{4000}", "(\\sqrt2+\\sqrt3)^{10^{15}}", "\\floor", "x_{x_{x_{x}}}", string.Concat(Enumerable.Repeat("_a", 900)),
            "\\begin{pmatrix}" + string.Join("&", Enumerable.Repeat("1", 390)) + "\\end{pmatrix}", string.Concat(Enumerable.Repeat("\\begin{pmatrix}", 300)), "\0\u0001\ud800\udfff\uffff", "\ud800", "\u0660\u0661", "１２３", string.Concat(Enumerable.Repeat("1:", 700)),
            "x<" + string.Join("<", Enumerable.Range(0, 500)), string.Concat(Enumerable.Repeat("\\{", 800)), "\\frac{" + new string('7', 2000) + "}{" + new string('3', 2000) + "}", "\\left" + new string('(', 900), "\\sqrt[10^{100}]{2}", "\\sqrt[0]{2}", "0^0", "0^{-1}", "\\frac{0}{0}",
            Series("x^{90#}", 60, "+"), Series("x^{90#}", 36, "+"), Series("\\frac{1}{x^{#}+1}", 90, "+"), Series("\\frac{1}{x^{#}+1}", 48, "+"), Series("\\sin(#x)", 10, "+"), Series("\\sin(#x)", 16, ","), Series("\\arcsin(x/#)", 5, "+"), Series("x^{1/#}", 5, "+"),
            Series("\\sin(#x)", 13, "+"), Series("\\sin(#x)", 26, ","), Series("\\arcsin(x/#)", 13, "+"), Series("x^{1/#}", 13, "+"), Series("\\operatorname{arsinh}(x/#)", 5, "+"),
            "(1,2)" + new string('x', 130), "\\begin{pmatrix}1\\end{pmatrix}" + new string('x', 130), "7" + new string('%', 60), string.Concat(Enumerable.Repeat("\\{1,", 15)) + "2" + string.Concat(Enumerable.Repeat("\\},3", 15)),
            string.Concat(Enumerable.Repeat("(A) ", 400)), string.Concat(Enumerable.Repeat("[[1,2],", 12)) + "3" + new string(']', 12), "\\log 0", "\\log_1 5", "\\tan \\frac{\\pi}{2}", "\\infty - \\infty", "\\gcd(0,0)", "\\max()", "10^{-999999999}", "\\cos(10^{30})", "\\exp(\\exp(\\exp(\\exp 9)))",
        ];
        long before = GC.GetTotalAllocatedBytes();
        Dictionary<string, double> times = [];
        foreach (string text in hostile)
        {
            string name = text.Length > 40 ? $"{text[..40]}... ({text.Length})" : text;
            Assert.IsFalse(checker.Same(text, "5"), name);
            Assert.IsFalse(checker.Same("\\sqrt{x}+1", text), name);
            Assert.IsTrue(checker.Same(text, new string(text.AsSpan())), name);
            // The last is equal in value to a text that can be read, and so takes every step of a comparison.
            times[name] = Math.Max(Math.Max(Milliseconds(text, "5"), Milliseconds("\\sqrt{x}+1", text)), text.Length < 2000 ? Milliseconds(text, "0+" + text) : 0);
            _ = checker.Extract(text);
        }
        foreach (string left in hostile.Where(h => h.Length < 6000))
        {
            foreach (string right in hostile.Where(h => h.Length < 6000))
            {
                long start = Stopwatch.GetTimestamp();
                AnswerVerdict verdict = checker.Compare(left, right);
                Assert.AreNotEqual(AnswerChecker.Unforeseen, verdict.Why, $"{left} | {right}");
                bool same = verdict.Same;
                double took = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
                if (took > 20) took = Milliseconds(left, right);
                Assert.AreEqual(same, checker.Same(right, left), $"{left} | {right}");
                times[left] = Math.Max(times.GetValueOrDefault(left), took);
            }
        }
        TestContext.WriteLine($"{(GC.GetTotalAllocatedBytes() - before) >> 20} MiB allocated in all");
        foreach ((string name, double took) in times.OrderByDescending(t => t.Value).Take(8)) TestContext.WriteLine($"{took:0.0} ms  {name[..Math.Min(60, name.Length)]}");
        Assert.IsLessThan(50, times.Values.Max());
    }

    private static string Series(string term, int count, string between) => string.Join(between, Enumerable.Range(1, count).Select(i => term.Replace("#", i.ToString())));

    /// <summary>
    /// The time of one comparison by a checker that has seen neither answer: the processor time, or the time by the clock where that is less, and the least of five, so that
    /// other programs do not count.
    /// </summary>
    private static double Milliseconds(string left, string right)
    {
        double least = double.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            AnswerChecker fresh = new();
            TimeSpan used = Environment.CpuUsage.TotalTime;
            long start = Stopwatch.GetTimestamp();
            fresh.Same(left, right);
            double clock = Stopwatch.GetElapsedTime(start).TotalMilliseconds, processor = (Environment.CpuUsage.TotalTime - used).TotalMilliseconds;
            least = Math.Min(least, Math.Min(clock, processor));
        }
        return least;
    }

    [TestMethod]
    public void Mutated_answers_keep_the_relation_symmetric_reflexive_and_quick()
    {
        List<string> pool = [.. AnswerPairs.All().SelectMany(p => (string[])[p.Left, p.Right])];
        if (SharedDataAttribute.Root is not null && File.Exists(SharedDataAttribute.PathOf("grading", "equivalence.jsonl")))
        {
            foreach ((_, System.Text.Json.JsonElement line) in GradingFiles.Lines(SharedDataAttribute.PathOf("grading", "equivalence.jsonl")))
            {
                pool.Add(line.GetProperty("gold").GetString()!);
                pool.Add(line.GetProperty("pred").GetString()!);
            }
        }
        string[] pieces = [.. pool.Where(p => p.Length < 200).Distinct()];
        foreach (string answer in pool)
        {
            Assert.IsTrue(checker.Same(answer, answer));
            Assert.IsTrue(checker.Same(answer, answer + " "), answer);
        }

        const string inserted = "0123456789xyni+-*/^_{}()[]|\\$%,;:.!<>= &'eπ√∞≤";
        Random random = new(20260);
        const int count = 100_000;
        double total = 0, slowest = 0;
        string slow = "";
        int equal = 0;
        for (int i = 0; i < count; i++)
        {
            string original = pieces[random.Next(pieces.Length)];
            string other = random.Next(3) == 0 ? pieces[random.Next(pieces.Length)] : original;
            string mutated = Mutate(other);
            long start = Stopwatch.GetTimestamp();
            AnswerVerdict verdict = checker.Compare(original, mutated);
            double took = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            total += took;
            if (took > 20) took = Milliseconds(original, mutated);
            if (took > slowest) (slowest, slow) = (took, $"{original} | {mutated}");
            if (verdict.Why == AnswerChecker.Unforeseen) Assert.Fail($"an exception: {original} | {mutated}");
            bool forth = verdict.Same;
            equal += forth ? 1 : 0;
            if (forth != checker.Same(mutated, original)) Assert.Fail($"not symmetric: {original} | {mutated}");
            if (!checker.Same(mutated, " " + mutated)) Assert.Fail($"not reflexive: {mutated}");
            if (i % 4 == 0) _ = checker.Extract(mutated);
        }
        TestContext.WriteLine($"{count} mutated answers, {equal} still equal; mean {total / count:0.0000} ms, slowest {slowest:0.0} ms: {slow}");
        Assert.IsLessThan(0.5, total / count);
        Assert.IsLessThan(50, slowest);

        string Mutate(string text)
        {
            int edits = random.Next(1, 4);
            for (int e = 0; e < edits; e++)
            {
                int at = random.Next(text.Length + 1);
                text = random.Next(5) switch
                {
                    0 when text.Length > 0 => text.Remove(Math.Min(at, text.Length - 1), 1),
                    1 => text.Insert(at, inserted[random.Next(inserted.Length)].ToString()),
                    2 when text.Length > 0 => string.Concat(text.AsSpan(0, Math.Min(at, text.Length - 1)), inserted[random.Next(inserted.Length)].ToString(), text.AsSpan(Math.Min(at, text.Length - 1) + 1)),
                    3 => string.Concat(text.AsSpan(0, at), pieces[random.Next(pieces.Length)].AsSpan()),
                    _ => text.Insert(at, text[..Math.Min(at, 12)]),
                };
            }
            return text;
        }
    }
}
