using ElmNative.Compute;

namespace ElmNative.Experience.Memories;

/// <summary>Turns what the file system refuses into sentences.</summary>
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
            throw new ElmException($"{path} cannot be written ({e.Message.TrimEnd('.')}): "
                + "check that you may write there and that the disk has free space", e);
        }
    }
}
