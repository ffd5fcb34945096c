using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cuda;

/// <content>What a status means, in a sentence that says what to do.</content>
internal sealed unsafe partial class CudaDriver
{
    /// <summary>The status of a call that asked for more memory than there is.</summary>
    public const int OutOfMemory = 2;

    /// <summary>The status of a look-up by name that found nothing.</summary>
    public const int NotFound = 500;

    private const string CheckDriver = "check the driver with nvidia-smi";

    /// <summary>Turns a status that is not success into an error that names the call.</summary>
    /// <param name="status">what the call returned; 0 is success</param><param name="call">the function of the driver API</param>
    public void Check(int status, string call)
    {
        if (status != 0)
            throw Error(status, call);
    }

    /// <summary>The error of a call.</summary>
    /// <param name="status">not 0</param><param name="call">the function, with what it worked on where that helps</param>
    public ElmException Error(int status, string call) => new(IsFault(status)
        ? $"a CUDA kernel that was launched earlier has failed, as {Outcome(status, call)}; the device's state is lost: start again with " +
            "ELM_CUDA_SYNC=1, which waits for every launch and names the kernel"
        : $"{Outcome(status, call)}; {Advice(status)}");

    /// <summary>For example <c>cuInit says CUDA_ERROR_NO_DEVICE (100, no CUDA-capable device is detected)</c>.</summary>
    public string Outcome(int status, string call)
    {
        byte* name = null, text = null;
        getErrorName(status, &name);
        getErrorString(status, &text);
        return $"{call} says {Marshal.PtrToStringUTF8((nint)name) ?? "an unknown error"} ({status}, " +
            $"{Marshal.PtrToStringUTF8((nint)text)?.TrimEnd('.') ?? "which this driver does not explain"})";
    }

    /// <summary>
    /// Whether a status speaks of a kernel at work: such an error turns up at whatever call comes next, and stays until the process ends.
    /// </summary>
    public static bool IsFault(int status) => status is 700 or 702 or 710 or (>= 714 and <= 719);

    private static string Advice(int status) => status switch
    {
        OutOfMemory => "use smaller batches or a smaller model, or stop other programs on the device",
        3 or 4 => "the driver is being shut down: start the program again",
        34 => "this is the toolkit's stub and not the driver: take the folder lib64/stubs out of LD_LIBRARY_PATH",
        46 => "another program has the device to itself: wait for it, or choose another device",
        100 => "the driver sees no device: check nvidia-smi and the variable CUDA_VISIBLE_DEVICES",
        101 => "there is no such device: elmn info lists those that are there",
        214 or 220 => "the device's memory or link is faulty: check nvidia-smi -q and restart the machine",
        800 or 801 => "this platform does not offer it: install NVIDIA's current driver",
        802 => "the driver is still starting (the fabric manager, say): try again in a minute",
        803 => "the driver's library and its kernel module are of different versions: restart the machine or install the driver again",
        804 => "the forward-compatibility library does not serve this device: take it out of LD_LIBRARY_PATH",
        >= 900 and <= 908 => "an operation inside a capture allocated, uploaded, downloaded or synchronized, which a graph cannot hold",
        _ => CheckDriver,
    };
}
