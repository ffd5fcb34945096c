using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>Mutated files: each loads and works, or gives one clear error.</summary>
[TestClass]
public class TokenizationFuzzTests
{
    private static readonly string[] Fragments =
    [
        "null", "true", "-1", "1e999", "99999999999", "\"\"", "\"\\ud800\"", "{}", "[]", "[[[[", "\"type\"", "\"Sequence\"", "\"BPE\"", "\"a b\"", "\"(a*)*\"", ",", ":", "}", "]", "\0", "\xFF\xFE",
        "{%", "%}", "{{", "}}", "{#", "#}", "-%}", "for", "endfor", "in", "if", "endif", "set", "=", "loop", "|", "join", "map", "('", "')", "'", "\"", "~", "**", "9999999", "[::-1]", "is", "not", "macro f()", "endmacro", "range(99999)", "f()",
    ];

    [TestMethod]
    public void MutatedTokenizersLoadOrGiveAnError()
    {
        byte[] original = Encoding.UTF8.GetBytes(Shortened().ToJsonString());
        using TemplateFolder folder = new("{}");
        string path = Path.Combine(folder.Path, "tokenizer.json");
        Random random = new(11);
        int loaded = 0, refused = 0;
        long worst = 0;
        for (int i = 0; i < 6000; i++)
        {
            byte[] mutated = i % 3 == 0 ? Encoding.UTF8.GetBytes(MutatedTree(random)) : Mutate(original, random);
            File.WriteAllBytes(path, mutated);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                BytePairTokenizer tokenizer = BytePairTokenizer.Load(folder.Path);
                worst = Math.Max(worst, GC.GetAllocatedBytesForCurrentThread() - before - mutated.Length * 64L);
                int[] ids = tokenizer.Encode("The other 123 <tool> é\n", addSpecialTokens: true);
                tokenizer.Decode(ids, skipSpecialTokens: true);
                loaded++;
            }
            catch (ElmException)
            {
                refused++;
            }
        }
        Assert.IsGreaterThan(100, loaded);
        Assert.IsGreaterThan(1000, refused);
        Assert.IsLessThan(1_000_000, worst);
    }

    [TestMethod]
    public void MutatedTemplatesRenderOrGiveAnError()
    {
        string[] originals = Templates;
        using TemplateFolder folder = new("{\"bos_token\": \"<s>\"}");
        string path = Path.Combine(folder.Path, "chat_template.jinja");
        ChatMessage[] messages = [new("system", "s"), new("user", "u<think>x</think>"), new("assistant", "a")];
        Random random = new(12);
        int rendered = 0, refused = 0;
        for (int i = 0; i < 3000; i++)
        {
            File.WriteAllText(path, MutateWords(originals[i % originals.Length], random));
            try
            {
                ChatTemplate.Load(folder.Path)!.Render(messages, addGenerationPrompt: true);
                rendered++;
            }
            catch (ElmException)
            {
                refused++;
            }
        }
        Assert.IsGreaterThan(200, rendered);
        Assert.IsGreaterThan(500, refused);
    }

    /// <summary>The small tokenizer with fewer merges, so that most mutations hit structure.</summary>
    private static JsonObject Shortened() => SmallTokenizer.Json(json =>
    {
        JsonArray merges = json["model"]!["merges"]!.AsArray();
        while (merges.Count > 20)
            merges.RemoveAt(merges.Count - 1);
        json["post_processor"] = JsonNode.Parse(
            """{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"s","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"s":{"id":"s","ids":[1]}}}""");
    });

    private static byte[] Mutate(byte[] original, Random random)
    {
        List<byte> bytes = [.. original];
        for (int count = random.Next(1, 5); count > 0 && bytes.Count > 0; count--)
        {
            int at = random.Next(bytes.Count), length = Math.Min(random.Next(1, 40), bytes.Count - at);
            switch (random.Next(6))
            {
                case 0: bytes[at] = (byte)random.Next(256); break;
                case 1: bytes.RemoveRange(at, length); break;
                case 2: bytes.InsertRange(at, bytes.GetRange(random.Next(bytes.Count - length + 1), length)); break;
                case 3: bytes.InsertRange(at, Encoding.Latin1.GetBytes(Fragments[random.Next(Fragments.Length)])); break;
                case 4: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                default: if (random.Next(4) == 0) bytes.RemoveRange(at, bytes.Count - at); break;
            }
        }
        return [.. bytes];
    }

    /// <summary>A template with some words or signs replaced, removed, doubled or inserted.</summary>
    private static string MutateWords(string template, Random random)
    {
        if (random.Next(4) == 0)
            return Encoding.Latin1.GetString([.. Mutate(Encoding.UTF8.GetBytes(template), random).Select(value => (byte)(value & 127))]);
        List<string> words = [.. Regex.Matches(template, @"\w+|\s+|[{}%#-]+|.").Select(match => match.Value)];
        for (int count = random.Next(1, 4); count > 0; count--)
        {
            int at = random.Next(words.Count);
            string other = random.Next(2) == 0 ? words[random.Next(words.Count)] : Fragments[random.Next(21, Fragments.Length)];
            switch (random.Next(4))
            {
                case 0: words[at] = other; break;
                case 1: words.Insert(at, " " + other + " "); break;
                case 2: words.RemoveAt(at); break;
                default: (words[at], words[^(at + 1)]) = (words[^(at + 1)], words[at]); break;
            }
        }
        return string.Concat(words);
    }

    /// <summary>Valid JSON with a value swapped for another kind of value somewhere.</summary>
    private static string MutatedTree(Random random)
    {
        JsonObject json = Shortened();
        for (int count = random.Next(1, 4); count > 0; count--)
        {
            JsonNode node = json;
            while (true)
            {
                List<JsonNode?> children = node switch { JsonObject map => [.. map.Select(entry => entry.Value)], JsonArray list => [.. list], _ => [] };
                JsonNode? child = children.Count == 0 ? null : children[random.Next(Math.Min(children.Count, 8))];
                if (child is null || child is JsonValue || random.Next(4) == 0)
                    break;
                node = child;
            }
            JsonNode? value = random.Next(9) switch
            {
                0 => null, 1 => true, 2 => -1, 3 => 3_000_000_000L, 4 => "x", 5 => new JsonArray(), 6 => new JsonObject(), 7 => new JsonArray(1, "a"), _ => 0.5,
            };
            if (node is JsonObject members && members.Count > 0)
                members[members.ElementAt(random.Next(Math.Min(members.Count, 12))).Key] = value;
            else if (node is JsonArray items && items.Count > 0)
                items[random.Next(items.Count)] = value;
        }
        return json.ToJsonString();
    }

    private static readonly string[] Templates =
    [
        """
        {%- if tools %}
            {{- '<|im_start|>system\n' }}{{ tools | tojson(indent=2) }}
        {%- else %}
            {%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- endif %}
        {%- endif %}
        {%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
        {%- for message in messages[::-1] %}
            {%- set index = (messages|length - 1) - loop.index0 %}
            {%- if ns.multi_step and message.role == "user" and message.content is string and not (message.content.startswith('<t>') and message.content.endswith('</t>')) %}
                {%- set ns.multi_step = false %}{%- set ns.last = index %}
            {%- endif %}
        {%- endfor %}
        {%- for message in messages %}
            {%- if '</think>' in message.content %}{%- set content = message.content.split('</think>')[-1].lstrip('\n') %}{%- else %}{%- set content = message.content %}{%- endif %}
            {{- '<|im_start|>' + message.role + '\n' + content | trim + '<|im_end|>' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
        """,
        """
        {{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 1) %}{{ raise_exception('Roles must alternate') }}{% endif %}
        {% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif not loop.last %}{{ message.content ~ eos_token }}{% endif %}{% endfor %}
        """,
        """
        {% macro show(items, sep=', ') %}{% for i in items %}{{ i }}{{ sep if not loop.last }}{% endfor %}{% endmacro %}
        {% set d = {'b': [1, 2.5], 'a': none} %}{{ show(d | dictsort) }}{{ d.items() | list | length }} {{ strftime_now('%d %b %Y') }}
        {% for k, v in d.items() if v is not none %}{{ k }}={{ v | join('-') | upper }}{{ v[::-1] }}{{ '%s' % k }}{% else %}none{% endfor %}
        {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | tojson }}{# note #}{% raw %}{{ x }}{% endraw %}
        """,
    ];
}
