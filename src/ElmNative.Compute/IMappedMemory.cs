namespace ElmNative.Compute;

/// <summary>An owner of stored weights that come from a file: their pages can leave memory and come back when they are touched.</summary>
public interface IMappedMemory
{
    /// <summary>The bytes are not needed soon; they stay readable. Does nothing where the system offers no such call.</summary>
    /// <param name="address">first byte</param><param name="bytes">how many</param>
    void Forget(nint address, long bytes);
}
