using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>Whole chat templates: the given vectors, the ways a folder holds a template, and errors.</summary>
[TestClass]
public class ChatTemplateTests
{
    private static readonly ChatMessage[] Hello = [new("user", "Hello!")];

    [TestMethod, SharedData("tokenizers")]
    [DataRow("llama-3")]
    [DataRow("qwen2.5")]
    public void EveryVectorRendersToItsText(string tokenizer)
    {
        ChatTemplate template = ChatTemplate.Load(SharedDataAttribute.PathOf("tokenizers", tokenizer))!;
        int lines = 0;
        foreach (JsonElement line in SharedTokenizers.Lines("tokenizers", tokenizer, "chat_vectors.jsonl"))
        {
            ChatMessage[] messages = [.. line.GetProperty("messages").EnumerateArray()
                .Select(message => new ChatMessage(message.GetProperty("role").GetString()!, message.GetProperty("content").GetString()!))];
            string text = template.Render(messages, line.GetProperty("add_generation_prompt").GetBoolean());
            Assert.AreEqual(line.GetProperty("text").GetString(), text);
            lines++;
        }
        Assert.IsGreaterThan(10, lines);
    }

    [TestMethod]
    public void TheBundledModelsPromptsAreTheGoldenOnes()
    {
        string folder = Repository.TinyMath;
        BytePairTokenizer tokenizer = BytePairTokenizer.Load(folder);
        ChatTemplate template = ChatTemplate.Load(folder)!;
        const string Instruction = "Please reason step by step, and put your final answer within \\boxed{answer}.\n";
        int lines = 0;
        foreach (JsonElement line in SharedTokenizers.LinesOf(Repository.Golden("tiny-math/greedy.jsonl")))
        {
            string prompt = template.Render([new("user", Instruction + line.GetProperty("problem").GetString())], addGenerationPrompt: true);
            Assert.AreEqual(line.GetProperty("prompt").GetString(), prompt);
            CollectionAssert.AreEqual(SharedTokenizers.Ids(line, "prompt_ids"), tokenizer.Encode(prompt, addSpecialTokens: false));
            lines++;
        }
        Assert.IsGreaterThan(0, lines);
    }

    [TestMethod]
    public void ATemplateBesideTheConfigWins()
    {
        using TemplateFolder folder = new("""{"chat_template": "inside", "bos_token": {"content": "<s>"}, "eos_token": "</s>"}""");
        Assert.AreEqual("inside", ChatTemplate.Load(folder.Path)!.Render(Hello, false));
        folder.Write("chat_template.jinja", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token }}\n");
        Assert.AreEqual("<s>Hello!</s>", ChatTemplate.Load(folder.Path)!.Render(Hello, false));
    }

    [TestMethod]
    public void OfNamedTemplatesTheDefaultCounts()
    {
        using TemplateFolder folder = new("""{"chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]}""");
        Assert.AreEqual("yes", ChatTemplate.Load(folder.Path)!.Render(Hello, false));
        folder.Write("tokenizer_config.json", """{"chat_template": [{"name": "tool_use", "template": "no"}]}""");
        StringAssert.Contains(Assert.ThrowsExactly<ElmException>(() => ChatTemplate.Load(folder.Path)).Message, "default");
    }

    [TestMethod]
    public void AFolderWithoutATemplateHasNone()
    {
        using TemplateFolder folder = new("{}");
        Assert.IsNull(ChatTemplate.Load(folder.Path));
        File.Delete(Path.Combine(folder.Path, "tokenizer_config.json"));
        Assert.IsNull(ChatTemplate.Load(folder.Path));
    }

    [TestMethod]
    public void TheDateIsFixedUnlessGiven()
    {
        using TemplateFolder folder = new("{}");
        folder.Write("chat_template.jinja", "{{ strftime_now('%d %b %Y, %-d. %B %y %H:%M') }}");
        Assert.AreEqual("26 Jul 2024, 26. July 24 00:00", ChatTemplate.Load(folder.Path)!.Render(Hello, false));
        Assert.AreEqual("05 Jan 2031, 5. January 31 17:04", ChatTemplate.Load(folder.Path, new DateTime(2031, 1, 5, 17, 4, 0))!.Render(Hello, false));
    }

    [TestMethod]
    [DataRow("a\nb\n{% if %}", 3)]
    [DataRow("\n\n{{ 'x' }\n", 3)]
    [DataRow("{% for m in messages %}\n{{ m }}", 2)]
    [DataRow("a\n{% include 'x' %}", 2)]
    [DataRow("{{ 1 }}\n\n{{ raise_exception('no') }}", 3)]
    [DataRow("\n{{ nothing.at.all }}", 2)]
    [DataRow("x\n{{ 'a' | unknown_filter }}", 2)]
    [DataRow("x\n{% if 1 is unknown_test %}{% endif %}", 2)]
    [DataRow("x\n\n\n{{ messages.append(1) }}", 4)]
    [DataRow("{# no end", 1)]
    [DataRow("\n{{ 1 + 'a' }}", 2)]
    [DataRow("\n{{ 'a' < 1 }}", 2)]
    [DataRow("{% raw %}", 1)]
    [DataRow("\n{{ 99999999999999999999 }}", 2)]
    [DataRow("\n{{ 9223372036854775807 + 1 }}", 2)]
    [DataRow("\n{{ 1 // 0 }}", 2)]
    [DataRow("\n{% break %}", 2)]
    public void AnErrorNamesTheFileAndTheLine(string source, int line)
    {
        using TemplateFolder folder = new("{}");
        folder.Write("chat_template.jinja", source);
        ElmException error = Assert.ThrowsExactly<ElmException>(() => ChatTemplate.Load(folder.Path)!.Render(Hello, false));
        StringAssert.Contains(error.Message, $"chat_template.jinja, line {line} of the chat template: ");
    }

    [TestMethod]
    [DataRow("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")]
    [DataRow("{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}")]
    [DataRow("{{ 'x' * 9999999999 }}")]
    [DataRow("{{ ([1] * 99999) * 99999 }}")]
    [DataRow("{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}")]
    [DataRow("{% set ns = namespace(l=[1]) %}{% for a in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}")]
    [DataRow("{% set ns = namespace(l=[1]) %}{% for a in range(999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l == ns.l }}{{ ns.l }}")]
    [DataRow("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}")]
    [DataRow("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}")]
    [DataRow("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}")]
    [DataRow("{% set a = 'a' * 100000 %}{% set l = [a ~ 'b', a ~ 'c'] * 9999 %}{{ l | sort | length }}")]
    [DataRow("{% set a = 'a' * 1000000 %}{{ a.find('a' * 500000 ~ 'b') }}")]
    [DataRow("{{ range(999999999) | length }}")]
    [DataRow("{{ 'x'.center(9999999999) }}")]
    [DataRow("{{ 2 ** 99 }}")]
    public void AHostileTemplateEndsInAnError(string source)
    {
        using TemplateFolder folder = new("{}");
        folder.Write("chat_template.jinja", source);
        ChatTemplate template = ChatTemplate.Load(folder.Path)!;
        long start = Environment.TickCount64;
        Assert.ThrowsExactly<ElmException>(() => template.Render(Hello, false));
        Assert.IsLessThan(10_000, Environment.TickCount64 - start);
    }

    [TestMethod]
    [DataRow("(", ")")]
    [DataRow("[", "]")]
    [DataRow("not ", "")]
    [DataRow("-", "")]
    [DataRow("{1:", "}")]
    [DataRow("1 if 1 else ", "")]
    [DataRow("'a'|map('upper', ", ")")]
    public void DeepNestingInTheSourceEndsInAnError(string open, string close)
    {
        using TemplateFolder folder = new("{}");
        string deep = string.Concat(Enumerable.Repeat(open, 20_000)) + "1" + string.Concat(Enumerable.Repeat(close, 20_000));
        folder.Write("chat_template.jinja", "{{ " + deep + " }}");
        Assert.ThrowsExactly<ElmException>(() => ChatTemplate.Load(folder.Path));
        folder.Write("chat_template.jinja", string.Concat(Enumerable.Repeat("{% if 1 %}", 5_000)) + string.Concat(Enumerable.Repeat("{% endif %}", 5_000)));
        Assert.ThrowsExactly<ElmException>(() => ChatTemplate.Load(folder.Path));
        folder.Write("chat_template.jinja", "{{ 1" + string.Concat(Enumerable.Repeat("+1", 20_000)) + " }}");
        Assert.ThrowsExactly<ElmException>(() => ChatTemplate.Load(folder.Path)!.Render(Hello, false));
    }

    [TestMethod]
    public void TheDeepestNestingFitsASmallStack()
    {
        using TemplateFolder folder = new("{}");
        string[] sources =
        [
            "{{ " + new string('(', 2000) + "1" + new string(')', 2000) + " }}",
            "{% macro f(n) %}{% if true %}{% for x in [1] %}{{ 'a' ~ ((f(n + 1) | trim)) }}{% endfor %}{% endif %}{% endmacro %}{{ f(0) }}",
            "{{ 1" + string.Concat(Enumerable.Repeat("+1", 2000)) + " }}",
        ];
        foreach (string source in sources)
        {
            folder.Write("chat_template.jinja", source);
            Exception? caught = null;
            Thread thread = new(() => caught = Assert.Throws<Exception>(() => ChatTemplate.Load(folder.Path)!.Render(Hello, false)), maxStackSize: 768 * 1024);
            thread.Start();
            thread.Join();
            Assert.IsInstanceOfType<ElmException>(caught);
            StringAssert.Contains(caught!.Message, "nests too deeply");
        }
    }

    [TestMethod]
    public void LongConversationsHaveRoom()
    {
        using TemplateFolder folder = new("{}");
        folder.Write("chat_template.jinja",
            "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}{% endfor %}");
        ChatMessage[] messages = [.. Enumerable.Range(0, 2000).Select(i => new ChatMessage(i % 2 == 0 ? "user" : "assistant", new string('x', 5000)))];
        Assert.AreEqual(2000L * 5000 + 1000 * (4 + 9) + 2000 * 24, ChatTemplate.Load(folder.Path)!.Render(messages, false).Length);
    }
}
