using System.Text.Json;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization.Patterns;

namespace ElmNative.Transformers.Tokenization;

/// <summary>Builds the components that tokenizer.json describes; what is not supported is an error that names the file and the type.</summary>
internal static class TokenizerComponents
{
    /// <summary>The normaliser, or null for none.</summary>
    public static Normalizer? Normalizer(JsonElement? element, string file)
    {
        if (element is not { } component)
            return null;
        string place = $"{file}, normalizer", type = TokenizerJson.Text(component, "type", place);
        return type switch
        {
            "NFC" => new Normalizer.Nfc(),
            "NFD" => new Normalizer.Nfd(),
            "Prepend" => new Normalizer.Prepend(TokenizerJson.Text(component, "prepend", place)),
            "Strip" => new Normalizer.Strip(
                TokenizerJson.Flag(component, "strip_left", true, place), TokenizerJson.Flag(component, "strip_right", true, place)),
            "Sequence" => new Normalizer.Sequence(
                [.. TokenizerJson.List(component, "normalizers", place).Select(item => Normalizer(item, file)).OfType<Normalizer>()]),
            _ => throw Unsupported(file, "normalizer", type),
        };
    }

    /// <summary>The pre-tokenizer, which must end with ByteLevel.</summary>
    public static PreTokenizer PreTokenizer(JsonElement? element, string file)
    {
        List<PreTokenizer> steps = [];
        bool byteLevel = false;
        if (element is { } component)
            AddPreTokenizers(component, file, steps, ref byteLevel);
        if (!byteLevel)
            throw new ElmException($"{file}: the pre_tokenizer has no ByteLevel step; elmn reads byte-level tokenizers only.");
        return steps.Count == 1 ? steps[0] : new PreTokenizer.Sequence(steps);
    }

    /// <summary>What the post-processor adds around a single text.</summary>
    /// <param name="element">the component, or null</param>
    /// <param name="file">for error messages</param>
    /// <param name="size">ids must lie below it</param>
    public static PostProcessor PostProcessor(JsonElement? element, string file, int size)
    {
        if (element is not { } component)
            return Tokenization.PostProcessor.Empty;
        string place = $"{file}, post_processor", type = TokenizerJson.Text(component, "type", place);
        switch (type)
        {
            case "ByteLevel":
                return Tokenization.PostProcessor.Empty;
            case "TemplateProcessing":
                return Template(component, place, size);
            case "RobertaProcessing" or "BertProcessing":
                return new PostProcessor([Pair(component, "cls", place, size)], [Pair(component, "sep", place, size)]);
            case "Sequence":
                PostProcessor all = Tokenization.PostProcessor.Empty;
                foreach (JsonElement item in TokenizerJson.List(component, "processors", place))
                    all = all.Then(PostProcessor(item, file, size));
                return all;
            default:
                throw Unsupported(file, "post_processor", type);
        }
    }

    /// <summary>Checks that the decoder is the byte-level one.</summary>
    public static void CheckDecoder(JsonElement? element, string file)
    {
        if (element is not { } component)
            throw new ElmException($"{file} has no decoder; elmn reads tokenizers with a ByteLevel decoder only.");
        string place = $"{file}, decoder", type = TokenizerJson.Text(component, "type", place);
        if (type == "Sequence")
            foreach (JsonElement item in TokenizerJson.List(component, "decoders", place))
            {
                // Joining the decoded parts changes nothing in a text.
                if (TokenizerJson.Text(item, "type", place) != "Fuse")
                    CheckDecoder(item, file);
            }
        else if (type != "ByteLevel")
            throw Unsupported(file, "decoder", type);
    }

    private static void AddPreTokenizers(JsonElement component, string file, List<PreTokenizer> steps, ref bool byteLevel)
    {
        string place = $"{file}, pre_tokenizer", type = TokenizerJson.Text(component, "type", place);
        if (byteLevel)
            throw new ElmException($"{place}: the step {type} after ByteLevel is not supported by elmn.");
        switch (type)
        {
            case "Sequence":
                foreach (JsonElement item in TokenizerJson.List(component, "pretokenizers", place))
                    AddPreTokenizers(item, file, steps, ref byteLevel);
                break;
            case "ByteLevel":
                if (TokenizerJson.Flag(component, "add_prefix_space", true, place))
                    steps.Add(new PreTokenizer.PrefixSpace());
                if (TokenizerJson.Flag(component, "use_regex", true, place))
                    steps.Add(new PreTokenizer.Words(WordScanner.For(WordScanner.Gpt2Pattern)!));
                byteLevel = true;
                break;
            case "Split":
                steps.Add(Split(component, place));
                break;
            case "Digits":
                steps.Add(new PreTokenizer.Digits(TokenizerJson.Flag(component, "individual_digits", false, place)));
                break;
            default:
                throw Unsupported(file, "pre_tokenizer", type);
        }
    }

    private static PreTokenizer Split(JsonElement component, string place)
    {
        PreTokenizer.Behavior behavior = TokenizerJson.Text(component, "behavior", place) switch
        {
            "Removed" => Tokenization.PreTokenizer.Behavior.Removed,
            "Isolated" => Tokenization.PreTokenizer.Behavior.Isolated,
            "MergedWithPrevious" => Tokenization.PreTokenizer.Behavior.MergedWithPrevious,
            "MergedWithNext" => Tokenization.PreTokenizer.Behavior.MergedWithNext,
            "Contiguous" => Tokenization.PreTokenizer.Behavior.Contiguous,
            string other => throw new ElmException($"{place}: Split has the unknown behavior \"{other}\"."),
        };
        bool invert = TokenizerJson.Flag(component, "invert", false, place);
        JsonElement pattern = TokenizerJson.Member(component, "pattern") ?? throw new ElmException($"{place}: Split has no pattern.");
        if (TokenizerJson.Member(pattern, "Regex") is null)
            return new PreTokenizer.Split(
                Pattern.FromLiteral(TokenizerJson.Text(pattern, "String", place), place), behavior, invert);
        string expression = TokenizerJson.Text(pattern, "Regex", place);
        // Matches that lie end to end are the same pieces whether isolated as matches or as the gaps between none.
        return behavior == Tokenization.PreTokenizer.Behavior.Isolated && WordScanner.For(expression) is { } scanner
            ? new PreTokenizer.Words(scanner)
            : new PreTokenizer.Split(Pattern.FromExpression(expression, place), behavior, invert);
    }

    private static PostProcessor Template(JsonElement component, string place, int size)
    {
        List<int> before = [], after = [];
        bool seen = false;
        foreach (JsonElement item in TokenizerJson.List(component, "single", place))
        {
            if (TokenizerJson.Member(item, "Sequence") is { } sequence)
            {
                if (seen || TokenizerJson.Text(sequence, "id", place) != "A")
                    throw new ElmException($"{place}: the single template must have the sequence A once and no other.");
                seen = true;
                continue;
            }
            JsonElement special = TokenizerJson.Member(item, "SpecialToken") ??
                throw new ElmException($"{place}: an item of the single template is neither a Sequence nor a SpecialToken.");
            string name = TokenizerJson.Text(special, "id", place);
            if (TokenizerJson.Member(component, "special_tokens") is not { } all || TokenizerJson.Member(all, name) is not { } token)
                throw new ElmException($"{place}: the template's special token \"{name}\" is not listed under special_tokens.");
            foreach (JsonElement id in TokenizerJson.List(token, "ids", place))
                (seen ? after : before).Add(Checked(id, place, size));
        }
        return seen
            ? new PostProcessor([.. before], [.. after])
            : throw new ElmException($"{place}: the single template must have the sequence A once and no other.");
    }

    private static int Pair(JsonElement component, string name, string place, int size) =>
        TokenizerJson.Member(component, name) is { ValueKind: JsonValueKind.Array } pair && pair.GetArrayLength() == 2
            ? Checked(pair[1], place, size)
            : throw new ElmException($"{place}: \"{name}\" must be a list of a token and its id.");

    private static int Checked(JsonElement value, string place, int size) => TokenizerJson.Id(value, place) is int id && id < size
        ? id
        : throw new ElmException($"{place}: it adds the id {value.GetRawText()}, but the tokenizer has {size} ids only.");

    private static ElmException Unsupported(string file, string component, string type) =>
        new($"{file}: the {component} \"{type}\" is not supported by elmn.");
}
