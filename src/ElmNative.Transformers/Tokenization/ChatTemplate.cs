using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization.Jinja;

namespace ElmNative.Transformers.Tokenization;

/// <summary>
/// A chat template of a model folder: the part of Jinja2 that Hugging Face's templates use, in the settings that it renders them with.
/// A rendering is bounded in steps, memory, output and nesting, so that no template can hang the program.
/// </summary>
public sealed class ChatTemplate : IChatTemplate
{
    private const int LongestTemplate = 1 << 20;
    private static readonly string[] TokenNames = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

    private readonly string file;
    private readonly Statement body;
    private readonly DateTime now;
    private readonly Dictionary<string, object?> variables;

    private ChatTemplate(string file, string source, DateTime now, Dictionary<string, object?> variables)
    {
        this.file = file;
        this.now = now;
        this.variables = variables;
        if (source.Length > LongestTemplate)
            throw new ElmException($"{file}: the chat template is longer than {LongestTemplate} characters.");
        try
        {
            body = Parser.Parse(source);
        }
        catch (JinjaError error)
        {
            throw new ElmException(Sentence(error.Line, error), error);
        }
    }

    /// <summary>The date that strftime_now tells where none is given, so that renderings do not change from day to day.</summary>
    public static DateTime DefaultDate { get; } = new(2024, 7, 26);

    /// <summary>Loads a folder's chat template.</summary>
    /// <param name="folder">
    /// with chat_template.jinja, or tokenizer_config.json whose "chat_template" is the template or a list of named ones, of which
    /// "default" counts; bos_token and the like of tokenizer_config.json are variables of the template
    /// </param>
    /// <param name="now">the time that the template's strftime_now tells; <see cref="DefaultDate"/> if null</param>
    /// <returns>null where the folder has no template</returns>
    /// <exception cref="ElmException">a file is malformed, or the template uses what is not supported: names the line</exception>
    public static ChatTemplate? Load(string folder, DateTime? now = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        string config = Path.Combine(folder, "tokenizer_config.json"), beside = Path.Combine(folder, "chat_template.jinja");
        Dictionary<string, object?> variables = new(StringComparer.Ordinal);
        string? inside = File.Exists(config) ? TokenizerJson.Guard(config, () => ReadConfig(config, variables)) : null;
        (string file, string? source) = (config, inside);
        if (File.Exists(beside))
            (file, source) = (beside, TokenizerJson.Guard(beside, () => ReadText(beside)));
        return source is null ? null : new ChatTemplate(file, source, now ?? DefaultDate, variables);
    }

    /// <inheritdoc/>
    public string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt)
    {
        ArgumentNullException.ThrowIfNull(messages);
        Scope globals = new(null);
        Interpreter.SetGlobals(globals, now);
        Scope scope = new(globals);
        foreach ((string name, object? value) in variables)
            scope.Set(name, value);
        scope.Set("messages", new JinjaList([.. messages.Select(Message)]));
        scope.Set("tools", null);
        scope.Set("documents", null);
        scope.Set("add_generation_prompt", addGenerationPrompt);
        Interpreter interpreter = new(new Budget(messages.Sum(message => (long)message.Role.Length + message.Content.Length)));
        try
        {
            return interpreter.Render(body, scope);
        }
        catch (JinjaError error)
        {
            throw new ElmException(Sentence(Math.Max(interpreter.Line, 1), error), error);
        }
    }

    private string Sentence(int line, JinjaError error)
    {
        const int Longest = 500;
        string what = error.Message.Length > Longest ? error.Message[..Longest] + "..." : error.Message;
        return $"{file}, line {line} of the chat template: {what}{(what.EndsWith('.') || what.EndsWith('!') ? "" : ".")}";
    }

    private static JinjaMap Message(ChatMessage message)
    {
        JinjaMap map = new();
        map.Set("role", message.Role);
        map.Set("content", message.Content);
        return map;
    }

    private static string ReadText(string path)
    {
        ReadOnlyMemory<byte> bytes = TokenizerJson.Read(path);
        return Unicode.Utf8.IsValid(bytes.Span)
            ? System.Text.Encoding.UTF8.GetString(bytes.Span)
            : throw new ElmException($"{path} is not UTF-8 text.");
    }

    /// <summary>Fills in the special tokens; returns the template or null.</summary>
    private static string? ReadConfig(string path, Dictionary<string, object?> variables)
    {
        using JsonDocument document = JsonDocument.Parse(TokenizerJson.Read(path));
        JsonElement root = document.RootElement;
        if (root.ValueKind != JsonValueKind.Object)
            throw new ElmException($"{path} must be a JSON object.");
        foreach (string name in TokenNames)
            if (TokenizerJson.Member(root, name) is { } token)
                variables[name] = token.ValueKind == JsonValueKind.Object ? TokenizerJson.Text(token, "content", $"{path}, {name}")
                    : TokenizerJson.Text(root, name, path);
        if (TokenizerJson.Member(root, "additional_special_tokens") is { ValueKind: JsonValueKind.Array } more)
            variables["additional_special_tokens"] = new JinjaList([.. more.EnumerateArray().Select(token =>
                token.ValueKind == JsonValueKind.Object ? TokenizerJson.Text(token, "content", path) : JsonText.Read(token))]);
        switch (TokenizerJson.Member(root, "chat_template"))
        {
            case null:
                return null;
            case { ValueKind: JsonValueKind.String } template:
                return template.GetString();
            case { ValueKind: JsonValueKind.Array } named:
                foreach (JsonElement item in named.EnumerateArray())
                    if (TokenizerJson.Text(item, "name", $"{path}, chat_template") == "default")
                        return TokenizerJson.Text(item, "template", $"{path}, chat_template");
                throw new ElmException($"{path}: none of the chat templates is named \"default\".");
            default:
                throw new ElmException($"{path}: \"chat_template\" must be a string or a list of named templates.");
        }
    }
}
