using System.Diagnostics;

namespace ElmNative.Cli.Bench;

/// <summary>A figure over several runs.</summary>
/// <param name="Mean">arithmetic mean</param>
/// <param name="Deviation">sample standard deviation; 0 for one run</param>
internal readonly record struct Measured(double Mean, double Deviation)
{
    private const double ShortSeconds = 0.2;

    /// <summary>Mean and deviation of values; at least one.</summary>
    public static Measured Of(IReadOnlyList<double> values)
    {
        double mean = values.Average();
        return new Measured(mean, values.Count < 2 ? 0 : Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / (values.Count - 1)));
    }

    /// <summary>Runs for warming up, one or as many as fit a fifth of a second, which do not count, and then <paramref name="runs"/> that do.</summary>
    public static Measured Over(int runs, Func<double> run, CancellationToken cancellation)
    {
        long begin = Stopwatch.GetTimestamp();
        do
        {
            cancellation.ThrowIfCancellationRequested();
            run();
        }
        while (Stopwatch.GetElapsedTime(begin).TotalSeconds < ShortSeconds);
        double[] values = new double[runs];
        for (int i = 0; i < runs; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            values[i] = run();
        }
        return Of(values);
    }

    /// <summary>
    /// The seconds of an action, given the number of the call: of at least three calls, and as many as fit a fifth of a second. Call it once before to warm up.
    /// </summary>
    public static CallTime Calls(Action<int> action)
    {
        const int fewest = 3, most = 20_000;
        List<double> times = [];
        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; times.Count < fewest || (Stopwatch.GetElapsedTime(begin).TotalSeconds < ShortSeconds && times.Count < most); i++)
        {
            long start = Stopwatch.GetTimestamp();
            action(i);
            times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        times.Sort();
        return new CallTime(times[times.Count / 2], times[0]);
    }
}

/// <summary>Seconds that a call takes.</summary>
/// <param name="Median">half of the calls took longer</param>
/// <param name="Best">the shortest</param>
internal readonly record struct CallTime(double Median, double Best)
{
    /// <summary>A part of a call that does the same several times.</summary>
    public static CallTime operator /(CallTime time, int parts) => new(time.Median / parts, time.Best / parts);
}
