namespace ElmNative.Tests;

/// <summary>Files of the repository that tests read in place: the bundled model and the golden values.</summary>
public static class Repository
{
    /// <summary>The folder with ElmNative.sln.</summary>
    public static string Root { get; } = Find();

    /// <summary>A path inside the repository.</summary>
    public static string PathOf(params ReadOnlySpan<string> parts) => Path.Combine([Root, .. parts]);

    /// <summary>The bundled model's folder.</summary>
    public static string TinyMath => PathOf("bench", "models", "tiny-math", "model");

    /// <summary>Golden values of a model.</summary>
    public static string Golden(string name) => PathOf("tests", "golden", name);

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "ElmNative.sln")))
                return folder.FullName;
        throw new InvalidOperationException($"no ElmNative.sln above {AppContext.BaseDirectory}");
    }
}
