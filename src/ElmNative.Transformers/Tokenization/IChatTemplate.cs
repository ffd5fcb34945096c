namespace ElmNative.Transformers.Tokenization;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role">system, user or assistant</param>
/// <param name="Content">its text</param>
public sealed record ChatMessage(string Role, string Content);

/// <summary>Turns a conversation into the text that the model was trained on.</summary>
public interface IChatTemplate
{
    /// <summary>Renders the conversation; special tokens such as the begin-of-text are part of the text.</summary>
    /// <param name="messages">turns in order</param>
    /// <param name="addGenerationPrompt">end with the opening of the assistant's turn</param>
    /// <exception cref="Compute.ElmException">the template failed or refused the conversation: names the template's line</exception>
    string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt);
}
