namespace ElmNative.Transformers.Generation.Scheduling;

/// <summary>
/// Which rows of a store are free. Runs are taken where they first fit, from the lowest row on or from the highest one down, and join their free
/// neighbours when they are given back. Short-lived runs of one length at one end and runs of mixed lengths at the other leave few gaps.
/// </summary>
internal sealed class SlotRanges(int capacity)
{
    /// <summary>Free runs in rising order, none empty, no two adjacent.</summary>
    private readonly List<(int Start, int Rows)> free = capacity > 0 ? [(0, capacity)] : [];

    /// <summary>Takes the lowest run of so many adjacent rows; its first row, or -1 when no free run is that long. A run of no rows is at 0.</summary>
    public int Take(int rows)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        if (rows == 0)
            return 0;
        for (int i = 0; i < free.Count; i++)
            if (free[i].Rows >= rows)
                return Cut(i, free[i].Start, rows, (free[i].Start + rows, free[i].Rows - rows));
        return -1;
    }

    /// <summary>The same with the highest run.</summary>
    public int TakeHighest(int rows)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        if (rows == 0)
            return 0;
        for (int i = free.Count - 1; i >= 0; i--)
            if (free[i].Rows >= rows)
                return Cut(i, free[i].Start + free[i].Rows - rows, rows, (free[i].Start, free[i].Rows - rows));
        return -1;
    }

    /// <summary>Gives a run back that was taken.</summary>
    /// <exception cref="ArgumentException">some of it is free already, or lies outside the store</exception>
    public void Return(int start, int rows)
    {
        if (rows == 0)
            return;
        int next = 0;
        while (next < free.Count && free[next].Start < start)
            next++;
        bool joinsLower = next > 0 && free[next - 1].Start + free[next - 1].Rows >= start, joinsHigher = next < free.Count && start + rows >= free[next].Start;
        if (start < 0 || rows < 0 || rows > capacity - start
            || (joinsLower && free[next - 1].Start + free[next - 1].Rows > start) || (joinsHigher && start + rows > free[next].Start))
            throw new ArgumentException($"rows {start} to {(long)start + rows} were not taken");
        if (joinsHigher)
        {
            rows += free[next].Rows;
            free.RemoveAt(next);
        }
        if (joinsLower)
            free[next - 1] = (free[next - 1].Start, free[next - 1].Rows + rows);
        else
            free.Insert(next, (start, rows));
    }

    private int Cut(int index, int start, int rows, (int Start, int Rows) rest)
    {
        if (rest.Rows == 0)
            free.RemoveAt(index);
        else
            free[index] = rest;
        return start;
    }
}
