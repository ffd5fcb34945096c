using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cuda;

/// <summary>A library that an environment variable names, which must then be there.</summary>
internal static class NamedLibrary
{
    /// <summary>Loads it.</summary>
    /// <param name="file">path or name</param><param name="variable">that names it</param><param name="what">it is to be, for the error</param>
    /// <exception cref="ElmException">it cannot be loaded: with the loader's reason</exception>
    public static nint Load(string file, string variable, string what)
    {
        try
        {
            return NativeLibrary.Load(file);
        }
        catch (Exception cause) when (cause is DllNotFoundException or BadImageFormatException)
        {
            // The loader's own words stand in the last line, behind advice on tracing it.
            string reason = cause.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[^1];
            throw new ElmException($"{what} that {variable} names, {file}, cannot be loaded ({reason}); correct the path or unset the variable", cause);
        }
    }
}
