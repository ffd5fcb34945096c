using ElmNative.Compute;

namespace ElmNative.Experience.Memories;

/// <summary>Turns what a file system refuses into sentences.</summary>
internal static class FileErrors
{
    /// <summary>Does something to a path of the output.</summary>
    /// <exception cref="ElmException">the file system refused: names the path and its reason</exception>
    public static void Explain(string path, Action action)
    {
        try
        {
            action();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ElmException($"{path} cannot be written ({e.Message.TrimEnd('.')}): name an output folder that you may write to, on a disk with free space", e);
        }
    }
}
