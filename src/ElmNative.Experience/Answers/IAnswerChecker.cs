namespace ElmNative.Experience.Answers;

/// <summary>Finds the final answer in a response and says whether two answers are the same. One checker grades every method.</summary>
public interface IAnswerChecker
{
    /// <summary>The final answer that a response states, or null where it states none.</summary>
    string? Extract(string response);

    /// <summary>
    /// Whether two answers mean the same. An equivalence relation (reflexive, symmetric); accepts any strings, throws nothing, ends quickly.
    /// </summary>
    bool Same(string left, string right);
}
