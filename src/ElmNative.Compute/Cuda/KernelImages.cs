using System.Text.RegularExpressions;

namespace ElmNative.Compute.Cuda;

/// <summary>
/// The files of compiled kernels in a folder: <c>NAME.ptx</c> or <c>NAME.sm_90a.ptx</c> (text that the driver compiles) and
/// <c>NAME.sm_80.cubin</c> (machine code) for each source file NAME.cu.
/// </summary>
internal static partial class KernelImages
{
    /// <summary>
    /// The best image of each source for a device. Machine code runs on its own major compute capability from its minor one upwards, PTX on its
    /// own and all later ones; an architecture with an <c>a</c> runs on exactly itself. Machine code goes before PTX, newer before older.
    /// </summary>
    /// <param name="files">paths; those that are no images are left out</param><param name="major">compute capability of the device</param>
    /// <param name="minor">and behind the point</param>
    /// <returns>the paths, sorted by name; a source without an image for the device is missing</returns>
    public static IReadOnlyList<string> Choose(IEnumerable<string> files, int major, int minor)
    {
        int device = 10 * major + minor;
        return [.. files.Select(Read).OfType<Image>().Where(image => image.RunsOn(device)).GroupBy(image => image.Source, StringComparer.Ordinal)
            .OrderBy(source => source.Key, StringComparer.Ordinal)
            .Select(source => source.OrderBy(image => image.IsPtx).ThenByDescending(image => image.Architecture)
                .ThenByDescending(image => image.IsExact).First().Path)];
    }

    private static Image? Read(string path)
    {
        Match match = FileName().Match(Path.GetFileName(path));
        if (!match.Success)
            return null;
        int architecture = match.Groups["sm"].Success ? int.Parse(match.Groups["sm"].ValueSpan) : 0;
        return new Image(path, match.Groups["name"].Value, architecture, match.Groups["a"].Success, match.Groups["kind"].ValueSpan is "ptx");
    }

    [GeneratedRegex(@"^(?<name>[^.]+)(\.sm_(?<sm>\d{2,3})(?<a>a)?)?\.(?<kind>ptx|cubin)$")]
    private static partial Regex FileName();

    /// <param name="Path">of the file</param><param name="Source">name of the .cu file</param>
    /// <param name="Architecture">90 for sm_90; 0 where the name says none</param>
    /// <param name="IsExact">sm_90a: for this architecture alone</param><param name="IsPtx">text, not machine code</param>
    private sealed record Image(string Path, string Source, int Architecture, bool IsExact, bool IsPtx)
    {
        public bool RunsOn(int device) => IsExact ? Architecture == device
            : Architecture <= device && (IsPtx || Architecture / 10 == device / 10);
    }
}
