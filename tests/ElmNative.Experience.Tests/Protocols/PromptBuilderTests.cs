using ElmNative.Compute;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Tests.Support;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Experience.Tests.Protocols;

[TestClass]
public sealed class PromptBuilderTests
{
    private const string Content = "Please reason step by step, and put your final answer within \\boxed{answer}.\nWhat is 2 + 3?";

    [TestMethod]
    public void A_template_gets_one_user_message_and_the_tokenizer_adds_nothing()
    {
        PromptBuilder builder = new(new FakePolicy(addsBegin: true) { ChatTemplate = new Brackets() });
        Assert.AreEqual($"[user]{Content}[assistant]", builder.Text("What is 2 + 3?"));
        Assert.AreEqual('[', builder.Ids("What is 2 + 3?")[0]);
    }

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void Raw_text_gets_the_special_tokens_of_the_tokenizer(bool template)
    {
        PromptBuilder builder = new(new FakePolicy(addsBegin: true) { ChatTemplate = template ? new Brackets() : null }, raw: template);
        Assert.AreEqual(Content, builder.Text("What is 2 + 3?"));
        CollectionAssert.AreEqual(new int[] { FakePolicy.BeginToken, 'P' }, builder.Ids("What is 2 + 3?")[..2]);
    }

    [TestMethod]
    public void The_longest_prompt_that_fits_is_accepted()
    {
        int length = Content.Length;
        Assert.HasCount(length, new PromptBuilder(new FakePolicy { MaxPositions = length + 50 }).All([new Problem("What is 2 + 3?")], 20, 30)[0]);
        ElmException error = Assert.ThrowsExactly<ElmException>(() =>
            new PromptBuilder(new FakePolicy { MaxPositions = length + 49 }).All([new Problem("What is 2 + 3?")], 20, 30));
        StringAssert.Contains(error.Message, $"make {length + 50}");
    }

    private sealed class Brackets : IChatTemplate
    {
        public string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt) =>
            string.Concat(messages.Select(m => $"[{m.Role}]{m.Content}")) + (addGenerationPrompt ? "[assistant]" : "");
    }
}
