namespace ElmNative.Compute;

/// <summary>
/// An error that a user can act on. The message is one sentence that names the file, tensor or argument and says what to do;
/// the command line prints it without a stack trace and exits with a non-zero code.
/// </summary>
public sealed class ElmException : Exception
{
    /// <summary>Creates the error with its one sentence.</summary>
    public ElmException(string sentence) : base(sentence) { }

    /// <summary>Creates the error with its one sentence and the cause below it.</summary>
    public ElmException(string sentence, Exception cause) : base(sentence, cause) { }
}
