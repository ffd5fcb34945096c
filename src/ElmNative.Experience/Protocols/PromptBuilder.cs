using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Experience.Protocols;

/// <summary>The prompt that every problem is put in: the paper's instruction, a line break, the problem.</summary>
/// <param name="policy">the model whose tokenizer and template are used</param>
/// <param name="raw">leave out the model's chat template</param>
public sealed class PromptBuilder(IPolicy policy, bool raw = false)
{
    /// <summary>What stands in front of the problem.</summary>
    public const string Instruction = @"Please reason step by step, and put your final answer within \boxed{answer}.";

    /// <summary>
    /// The prompt's text: one user message of the chat template and the opening of the answer; or the bare text where there is no template.
    /// </summary>
    public string Text(string problem)
    {
        string content = Instruction + "\n" + problem;
        return Template is { } template ? template.Render([new ChatMessage("user", content)], addGenerationPrompt: true) : content;
    }

    /// <summary>The prompt's token ids. The template writes its special tokens itself; without one the tokenizer adds its own.</summary>
    public int[] Ids(string problem) => policy.Tokenizer.Encode(Text(problem), addSpecialTokens: Template is null);

    /// <summary>Prompts of all problems, checked to leave room for a memory and a whole completion.</summary>
    /// <param name="problems">the problems</param>
    /// <param name="rows">rows of a memory</param>
    /// <param name="maxTokens">length limit of a completion</param>
    /// <exception cref="ElmException">a prompt that is too long: says which and by how much</exception>
    public int[][] All(IReadOnlyList<Problem> problems, int rows, int maxTokens)
    {
        int[][] prompts = new int[problems.Count][];
        for (int i = 0; i < prompts.Length; i++)
        {
            prompts[i] = Ids(problems[i].Text);
            long needed = (long)rows + prompts[i].Length + maxTokens;
            if (needed > policy.MaxPositions)
                throw new ElmException($"problem {i + 1}{(problems[i].Id is { } id ? $" ({id})" : "")} does not fit the model's context "
                    + $"of {policy.MaxPositions} positions: {rows} memory rows, {prompts[i].Length} prompt tokens and {maxTokens} new ones make {needed}; "
                    + "lower --max-tokens or shorten it");
        }
        return prompts;
    }

    private IChatTemplate? Template => raw ? null : policy.ChatTemplate;
}
