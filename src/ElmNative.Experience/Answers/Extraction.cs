using System.Text;

namespace ElmNative.Experience.Answers;

/// <summary>Which of several boxes is the answer.</summary>
public enum BoxChoice
{
    /// <summary>The last one whose braces balance.</summary>
    Last,

    /// <summary>The first one whose braces balance.</summary>
    First,
}

/// <summary>Where an answer is looked for in a response without a box.</summary>
public enum ExtractionFallback
{
    /// <summary>Nowhere: no box, no answer.</summary>
    None,

    /// <summary>After "the answer is" and its like.</summary>
    Phrase,

    /// <summary>After such a phrase, else the last number of the response.</summary>
    PhraseThenNumber,

    /// <summary>The rules of TTRL's extract_answer in its order, which also take what follows an unclosed box.</summary>
    Ttrl,
}

/// <summary>Finds answers in responses. Every search is linear in the length of the response.</summary>
public static class Extraction
{
    private static readonly string[] Commands = ["boxed", "fbox"];

    private static readonly string[] Phrases = ["final answer is", "answer is", "final answer:", "answer:"];

    /// <summary>The answer of a response, or null where it states none. The content of an empty box is the empty string.</summary>
    public static string? Find(string response, BoxChoice box = BoxChoice.Last, ExtractionFallback fallback = ExtractionFallback.None)
    {
        if (fallback == ExtractionFallback.Ttrl) return Ttrl(response);
        if (Boxed(response, box) is { } boxed) return boxed;
        if (fallback == ExtractionFallback.None) return null;
        return AfterPhrase(response) ?? (fallback == ExtractionFallback.PhraseThenNumber ? LastNumber(response) : null);
    }

    /// <summary>
    /// The content of the chosen \boxed whose braces balance (escaped braces do not count), or the token after an unbraced one; of nested
    /// boxes the innermost. \fbox counts where no \boxed is complete. Null where there is none.
    /// </summary>
    public static string? Boxed(string response, BoxChoice choice = BoxChoice.Last)
    {
        foreach (string command in Commands)
        {
            List<(int Start, int End)> found = Spans(response, command);
            if (found.Count == 0)
            {
                // A box that never closes is no answer, and hides a frame.
                if (response.Contains("\\boxed", StringComparison.Ordinal)) return null;
                continue;
            }
            // Spans are in the order of their beginnings; an inner one follows its outer one.
            (int start, int end) = choice == BoxChoice.Last ? found[^1] : found[Innermost(found)];
            return response[start..end].Trim();
        }
        return null;

        static int Innermost(List<(int Start, int End)> found)
        {
            int at = 0;
            while (at + 1 < found.Count && found[at + 1].End <= found[at].End) at++;
            return at;
        }
    }

    /// <summary>GSM8K's reference form: the number after the last ####, without thousands separators; null where there is no mark.</summary>
    public static string? AfterHashes(string solution)
    {
        int at = solution.LastIndexOf("####", StringComparison.Ordinal);
        if (at < 0) return null;
        int end = solution.IndexOf('\n', at);
        string answer = solution[(at + 4)..(end < 0 ? solution.Length : end)].Replace(",", "", StringComparison.Ordinal).Trim();
        return answer.Length == 0 ? null : answer;
    }

    /// <summary>What follows the last "answer is" or "answer:" up to the end of its sentence; null without such a phrase.</summary>
    public static string? AfterPhrase(string response)
    {
        int best = -1;
        foreach (string phrase in Phrases)
        {
            int at = response.LastIndexOf(phrase, StringComparison.OrdinalIgnoreCase);
            if (at >= 0) best = Math.Max(best, at + phrase.Length);
        }
        if (best < 0) return null;
        string rest = response[best..];
        rest = rest.TrimStart(' ', ':', '}', '\n', '\r', '\t', '*');
        int end = SentenceEnd(rest);
        string answer = Undollar(rest[..end].Trim().TrimEnd('.', '*').Trim());
        return answer.Length == 0 ? null : answer;
    }

    /// <summary>The last number of a response, without thousands separators; null where it has no digit.</summary>
    public static string? LastNumber(string response)
    {
        int end = response.Length;
        while (end > 0 && !char.IsAsciiDigit(response[end - 1])) end--;
        if (end == 0) return null;
        int start = end;
        while (start > 0)
        {
            char c = response[start - 1];
            bool inside = char.IsAsciiDigit(c) || (c is '.' or ',' && start >= 2 && char.IsAsciiDigit(response[start - 2])) || (c == '.' && !response.AsSpan(start, end - start).Contains('.'));
            if (!inside || (c == '.' && response.AsSpan(start, end - start).Contains('.'))) break;
            start--;
        }
        if (start > 0 && response[start - 1] == '-') start--;
        return response[start..end].Replace(",", "", StringComparison.Ordinal);
    }

    /// <summary>The option that running text names: a capital letter A to J standing alone, the first one after "the answer is" or its like, else the first of all.</summary>
    public static string? ChoiceLetter(string response) =>
        AfterPhrase(response) is { } stated && FirstOption(stated) is { } option ? option : FirstOption(response);

    private static string? FirstOption(string response)
    {
        string? found = null;
        for (int i = 0; i < response.Length; i++)
        {
            if (response[i] is < 'A' or > 'J') continue;
            if (i > 0 && (char.IsLetterOrDigit(response[i - 1]) || response[i - 1] is '\'' or '\\')) continue;
            if (i + 1 < response.Length && (char.IsLetterOrDigit(response[i + 1]) || response[i + 1] == '\'')) continue;
            // "I" is a word and "A" may be one.
            if (response[i] == 'I' && !(i > 0 && response[i - 1] == '(')) continue;
            bool first = response.AsSpan(0, i).Trim(" (*$").IsEmpty;
            bool article = response[i] is 'A' && i + 1 < response.Length && response[i + 1] == ' ' && i + 2 < response.Length && char.IsAsciiLetterLower(response[i + 2]);
            if (first && !article) return response[i].ToString();
            if (!article) found ??= response[i].ToString();
        }
        return found;
    }

    /// <summary>
    /// TTRL's extract_answer for its task "math" (qwen_math_parser.py), before its normaliser: Minerva's sentence; after the last "boxed",
    /// an unclosed brace taking the rest; after "he answer is", "final answer is"; the last number. Null where it gives the empty string.
    /// </summary>
    public static string? Ttrl(string response)
    {
        string answer;
        int minerva = response.IndexOf("final answer is $", StringComparison.Ordinal);
        int hope = minerva < 0 ? -1 : response.IndexOf("$. I hope", minerva, StringComparison.Ordinal);
        if (hope >= 0)
        {
            answer = response[(minerva + "final answer is $".Length)..hope];
        }
        else if (response.LastIndexOf("boxed", StringComparison.Ordinal) is var at and >= 0)
        {
            string rest = response[(at + "boxed".Length)..];
            if (rest.StartsWith('{'))
            {
                int depth = 1, end = 1;
                while (end < rest.Length && depth > 0)
                {
                    depth += rest[end] == '{' ? 1 : rest[end] == '}' ? -1 : 0;
                    end++;
                }
                answer = depth == 0 ? rest[1..(end - 1)] : rest[1..];
            }
            else
            {
                answer = rest.Split('$')[0];
            }
        }
        else if (response.LastIndexOf("he answer is", StringComparison.Ordinal) is var said and >= 0)
        {
            answer = response[(said + "he answer is".Length)..];
        }
        else if (response.LastIndexOf("final answer is", StringComparison.Ordinal) is var last and >= 0)
        {
            answer = response[(last + "final answer is".Length)..];
        }
        else
        {
            answer = LastNumber(response) ?? "";
        }
        answer = answer.Trim().TrimStart(':').TrimEnd('.').TrimEnd('/').Trim();
        return answer.Length == 0 ? null : answer;
    }

    /// <summary>
    /// The boxed answer inside an answer's text; several boxes with nothing but connecting words between them are a list. Null without a box.
    /// </summary>
    internal static string? Boxes(string text)
    {
        List<(int Start, int End)> found = Spans(text, "boxed");
        if (found.Count is < 2 or > 20) return Boxed(text);
        StringBuilder list = new();
        int from = -1;
        foreach ((int start, int end) in found)
        {
            if (from >= 0 && (start < from || !Connects(text[from..start]))) return Boxed(text);
            if (from >= 0) list.Append(" , ");
            list.Append(text, start, end - start);
            from = end + 1;
        }
        return list.ToString();

        static bool Connects(string between)
        {
            int command = between.LastIndexOf("\\boxed", StringComparison.Ordinal);
            if (command < 0) return false;
            string rest = between[..command];
            foreach (string layout in (string[])["\\text", "\\quad", "\\qquad", "\\mbox", "and", "or", "\\(", "\\)", "\\,", "\\;", "\\ "])
                rest = rest.Replace(layout, "", StringComparison.Ordinal);
            return rest.Trim(' ', '$', ',', ';', '{', '}', '\n', '\r', '\\', '.').Length == 0;
        }
    }

    /// <summary>The answer that running text states, where it is running text: after a phrase, or its last formula. Null otherwise.</summary>
    internal static string? Stated(string text)
    {
        if (AfterPhrase(text) is { } after)
        {
            int verb = after.LastIndexOf(" is ", StringComparison.Ordinal);
            return verb < 0 ? after : Undollar(after[(verb + 4)..].Trim());
        }
        int first = FormulaStart(text, 0, out int length);
        if (first < 0 || !HasWord(text.AsSpan(0, first))) return null;
        string? last = null;
        int at = first;
        while (at >= 0)
        {
            int start = at + length;
            int end = FormulaEnd(text, start, text.AsSpan(at, length));
            if (end < 0) break;
            string formula = text[start..end].Trim();
            if (formula.Length > 0) last = formula;
            at = end + length < text.Length ? FormulaStart(text, end + length, out length) : -1;
        }
        return last;
    }

    /// <summary>The index of the brace that closes a group whose content starts here, escaped braces aside; -1 where it never closes.</summary>
    internal static int ClosingBrace(string text, int from)
    {
        int depth = 1;
        for (int i = from; i < text.Length; i++)
        {
            char c = text[i];
            if (c == '\\') i++;
            else if (c == '{') depth++;
            else if (c == '}' && --depth == 0) return i;
        }
        return -1;
    }

    /// <summary>The contents of every complete \command{..} or unbraced \command x, in the order of their beginnings, in one pass over the text.</summary>
    private static List<(int Start, int End)> Spans(string text, string command)
    {
        List<(int Start, int End)> found = [];
        if (!text.Contains(command, StringComparison.Ordinal)) return found;
        // A stack of open braces: the place in `found` that one closes, or -1 for any other brace.
        Stack<int> open = new();
        for (int i = 0; i < text.Length; i++)
        {
            switch (text[i])
            {
                case '{':
                    open.Push(-1);
                    break;
                case '}' when open.Count > 0:
                    int box = open.Pop();
                    if (box >= 0) found[box] = (found[box].Start, i);
                    break;
                case '\\':
                    int name = i + 1;
                    if (string.CompareOrdinal(text, name, command, 0, command.Length) != 0)
                    {
                        // The second of two backslashes may start a command in text that was escaped twice.
                        bool doubled = name < text.Length && text[name] == '\\' && string.CompareOrdinal(text, name + 1, command, 0, command.Length) == 0;
                        if (!doubled) i++;
                        break;
                    }
                    int after = name + command.Length;
                    if (after < text.Length && char.IsAsciiLetter(text[after])) break;
                    int next = after;
                    while (next < text.Length && char.IsWhiteSpace(text[next])) next++;
                    if (next < text.Length && text[next] == '{')
                    {
                        open.Push(found.Count);
                        found.Add((next + 1, -1));
                        i = next;
                    }
                    else if (TokenEnd(text, next) is var end && end > next)
                    {
                        found.Add((next, end));
                        i = end - 1;
                    }
                    break;
            }
        }
        found.RemoveAll(span => span.End < 0);
        return found;
    }

    /// <summary>The end of the one token that an unbraced box holds: a number, a letter, or a command with its groups.</summary>
    private static int TokenEnd(string text, int at)
    {
        if (at >= text.Length) return at;
        int end = at;
        if (text[end] is '-' or '+') end++;
        int digits = end;
        while (end < text.Length && (char.IsAsciiDigit(text[end]) || (text[end] is '.' or ',' && end + 1 < text.Length && char.IsAsciiDigit(text[end + 1])))) end++;
        if (end > digits) return end;
        if (end < text.Length && text[end] == '\\')
        {
            end++;
            while (end < text.Length && char.IsAsciiLetter(text[end])) end++;
            while (end < text.Length && text[end] == '{' && ClosingBrace(text, end + 1) is var close and >= 0) end = close + 1;
            return end;
        }
        return end < text.Length && char.IsAsciiLetter(text[end]) ? end + 1 : at;
    }

    private static int SentenceEnd(string rest)
    {
        for (int i = 0; i < rest.Length; i++)
        {
            if (rest[i] == '\n') return i;
            if (rest[i] == '.' && i + 1 < rest.Length && char.IsWhiteSpace(rest[i + 1])) return i;
        }
        return rest.Length;
    }

    private static string Undollar(string text)
    {
        string trimmed = text.Trim('$').Trim();
        return trimmed.Contains('$') ? text : trimmed;
    }

    private static int FormulaStart(string text, int from, out int length)
    {
        for (int i = from; i < text.Length; i++)
        {
            if (text[i] == '$')
            {
                length = i + 1 < text.Length && text[i + 1] == '$' ? 2 : 1;
                return i;
            }
            if (text[i] != '\\' || i + 1 == text.Length) continue;
            if (text[i + 1] is '(' or '[')
            {
                length = 2;
                return i;
            }
            i++;
        }
        length = 0;
        return -1;
    }

    private static int FormulaEnd(string text, int from, ReadOnlySpan<char> opening)
    {
        string closing = opening is "\\(" ? "\\)" : opening is "\\[" ? "\\]" : opening.ToString();
        for (int i = from; i < text.Length; i++)
        {
            if (text.AsSpan(i).StartsWith(closing)) return i;
            if (text[i] == '\\') i++;
        }
        return -1;
    }

    /// <summary>Whether running text stands here: a word of three letters or more other than a connecting one, outside commands.</summary>
    private static bool HasWord(ReadOnlySpan<char> text)
    {
        for (int i = 0; i < text.Length;)
        {
            bool command = text[i] == '\\';
            int start = command ? i + 1 : i;
            int end = start;
            while (end < text.Length && char.IsLetter(text[end])) end++;
            if (!command && end - start >= 3 && text[start..end] is not "and") return true;
            i = Math.Max(end, i + 1);
        }
        return false;
    }
}
