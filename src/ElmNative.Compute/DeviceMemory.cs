namespace ElmNative.Compute;

/// <summary>How much memory a device has.</summary>
/// <param name="TotalBytes">all of it</param><param name="FreeBytes">not taken by any process now</param>
public readonly record struct DeviceMemory(long TotalBytes, long FreeBytes);
