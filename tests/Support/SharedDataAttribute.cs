namespace ElmNative.Tests;

/// <summary>
/// Runs a test only where the shared data folder has a given sub-path; elsewhere the test counts as skipped. The data is third-party and
/// is read in place: a <c>shared</c> folder beside one of the test program's parent folders, or the one that ELM_SHARED names.
/// </summary>
[AttributeUsage(AttributeTargets.Method | AttributeTargets.Class)]
public sealed class SharedDataAttribute : ConditionBaseAttribute
{
    private readonly string path;

    /// <summary>The test needs this sub-path of the shared folder.</summary>
    public SharedDataAttribute(string path) : base(ConditionMode.Include)
    {
        this.path = path;
        IgnoreMessage = $"needs {path} in the shared data folder";
    }

    /// <summary>The shared folder, or null.</summary>
    public static string? Root { get; } = Find();

    /// <summary>A path inside the shared folder.</summary>
    public static string PathOf(params ReadOnlySpan<string> parts) =>
        Path.Combine([Root ?? throw new InvalidOperationException("there is no shared data here"), .. parts]);

    public override string GroupName => $"shared {path}";

    public override bool IsConditionMet => Root is not null && Path.Exists(Path.Combine(Root, path));

    private static string? Find()
    {
        if (Environment.GetEnvironmentVariable("ELM_SHARED") is { Length: > 0 } named)
            return Directory.Exists(named) ? named : null;
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (Directory.Exists(Path.Combine(folder.FullName, "shared")))
                return Path.Combine(folder.FullName, "shared");
        return null;
    }
}
