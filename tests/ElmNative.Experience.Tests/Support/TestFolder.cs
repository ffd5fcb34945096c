namespace ElmNative.Experience.Tests.Support;

/// <summary>A folder for one test, gone afterwards.</summary>
internal sealed class TestFolder : IDisposable
{
    public TestFolder() => Path = Directory.CreateTempSubdirectory("elmn-test-").FullName;

    public string Path { get; }

    public string In(params ReadOnlySpan<string> parts) => System.IO.Path.Combine([Path, .. parts]);

    /// <summary>Copies a folder with all below it.</summary>
    public static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.EnumerateFiles(from))
            File.Copy(file, System.IO.Path.Combine(to, System.IO.Path.GetFileName(file)));
        foreach (string folder in Directory.EnumerateDirectories(from))
            Copy(folder, System.IO.Path.Combine(to, System.IO.Path.GetFileName(folder)));
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>Comparison with golden values.</summary>
internal static class Closeness
{
    /// <summary>||x - reference|| / ||reference||, NaN if any value is NaN.</summary>
    public static double RelativeError(ReadOnlySpan<float> x, ReadOnlySpan<float> reference)
    {
        Assert.AreEqual(reference.Length, x.Length);
        double difference = 0, norm = 0;
        for (int i = 0; i < x.Length; i++)
        {
            difference += Math.Pow((double)x[i] - reference[i], 2);
            norm += (double)reference[i] * reference[i];
        }
        return Math.Sqrt(difference / norm);
    }
}
