using ElmNative.Transformers.Generation.Scheduling;

namespace ElmNative.Transformers.Tests.Generation;

[TestClass]
public class SlotRangesTests
{
    [TestMethod]
    public void RunsAreTakenWhereTheyFirstFit()
    {
        SlotRanges ranges = new(10);
        Assert.AreEqual(0, ranges.Take(3));
        Assert.AreEqual(8, ranges.TakeHighest(2));
        Assert.AreEqual(3, ranges.Take(2));
        Assert.AreEqual(-1, ranges.Take(4));
        Assert.AreEqual(-1, ranges.TakeHighest(4));
        ranges.Return(0, 3);
        Assert.AreEqual(5, ranges.TakeHighest(3), "the higher of two equal gaps");
        Assert.AreEqual(0, ranges.Take(3));
        Assert.AreEqual(-1, ranges.Take(1));
        Assert.AreEqual(0, ranges.Take(0), "no rows always fit");
    }

    [TestMethod]
    public void RowsThatWereNotTakenCannotBeReturned()
    {
        SlotRanges ranges = new(10);
        Assert.AreEqual(0, ranges.Take(4));
        ranges.Return(1, 2);
        foreach ((int start, int rows) in new[] { (1, 1), (0, 2), (2, 2), (0, 4), (3, 2), (9, 2), (-1, 1) })
            Assert.ThrowsExactly<ArgumentException>(() => ranges.Return(start, rows), $"{start}, {rows}");
    }

    /// <summary>Against a plain row of flags: the same places, whatever the order of taking and returning.</summary>
    [TestMethod]
    [DataRow(1)]
    [DataRow(2)]
    [DataRow(3)]
    public void RunsAreThoseOfAPlainSearch(int seed)
    {
        const int capacity = 60;
        Random random = new(seed);
        SlotRanges ranges = new(capacity);
        bool[] taken = new bool[capacity];
        List<(int Start, int Rows)> held = [];
        int refused = 0;
        for (int i = 0; i < 3000; i++)
        {
            if (held.Count > 0 && random.Next(2) == 0)
            {
                int at = random.Next(held.Count);
                (int start, int rows) = held[at];
                held.RemoveAt(at);
                ranges.Return(start, rows);
                taken.AsSpan(start, rows).Clear();
                continue;
            }
            int wanted = random.Next(1, 15);
            bool highest = random.Next(2) == 0;
            int[] fitting = Enumerable.Range(0, capacity - wanted + 1).Where(start => !taken.AsSpan(start, wanted).Contains(true)).ToArray();
            int expected = fitting.Length == 0 ? -1 : highest ? fitting[^1] : fitting[0];
            Assert.AreEqual(expected, highest ? ranges.TakeHighest(wanted) : ranges.Take(wanted));
            if (expected < 0)
            {
                refused++;
                continue;
            }
            taken.AsSpan(expected, wanted).Fill(true);
            held.Add((expected, wanted));
        }
        Assert.IsGreaterThan(50, refused, "the store should be full at times");
        foreach ((int start, int rows) in held)
            ranges.Return(start, rows);
        Assert.AreEqual(0, ranges.Take(capacity), "all gaps have closed");
    }
}
