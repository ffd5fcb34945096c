namespace ElmNative.Experience.Protocols;

/// <summary>One problem of a stream.</summary>
/// <param name="Text">its text</param>
/// <param name="Id">its id in the data, if any</param>
/// <param name="Answer">the true answer, if known: used for reports, and by what says that it needs the truth</param>
/// <param name="Family">a label of its kind, if any: used for reports only</param>
public sealed record Problem(string Text, string? Id = null, string? Answer = null, string? Family = null);
