using System.Runtime.InteropServices;

namespace ElmNative.Compute.Tests;

/// <summary>Settings of the stand-in for the driver, which reads the process's own environment when a context is made.</summary>
internal static partial class StandIn
{
    /// <summary>A library of out/emulation.</summary>
    public static string Library(string name) => Repository.PathOf("out", "emulation", name);

    /// <summary>Runs an action while a variable of the stand-in has a value.</summary>
    public static void With(string variable, string value, Action action)
    {
        setenv(variable, value, 1);
        try
        {
            action();
        }
        finally
        {
            unsetenv(variable);
        }
    }

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int setenv(string name, string value, int overwrite);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int unsetenv(string name);
}
