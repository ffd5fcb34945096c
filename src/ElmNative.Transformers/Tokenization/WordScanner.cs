using System.Runtime.CompilerServices;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization;

/// <summary>
/// The pre-tokenizer patterns of GPT-2 and of the Llama-3 and Qwen2 families, as scanners that look at each character a bounded number
/// of times. Every position of a text starts a match, so the pieces lie end to end.
/// </summary>
internal abstract class WordScanner
{
    /// <summary>GPT-2's pattern, which the ByteLevel pre-tokenizer has built in.</summary>
    public const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private const string Head = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|";
    private const string Tail = @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private static ReadOnlySpan<byte> AsciiKinds =>
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0,
        0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
        0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    ];

    /// <summary>The scanner for a pattern, or null where the pattern is another one.</summary>
    public static WordScanner? For(string pattern) => pattern switch
    {
        Gpt2Pattern => new Gpt2(),
        Head + @"\p{N}" + Tail => new Llama(1),
        Head + @"\p{N}{1,3}" + Tail => new Llama(3),
        Head + @"\p{N}+" + Tail => new Llama(int.MaxValue),
        _ => null,
    };

    /// <summary>End of the piece that starts at a byte index, which must lie inside the text.</summary>
    public abstract int End(ReadOnlySpan<byte> text, int at);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int KindAt(ReadOnlySpan<byte> text, int at, out int length)
    {
        byte lead = text[at];
        if (lead < 0x80)
        {
            length = 1;
            return AsciiKinds[lead];
        }
        return CharacterClasses.Kind(Utf8.Read(text, at, out length));
    }

    /// <summary>End of the run of one kind from a byte index on, at most so many characters.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int RunEnd(ReadOnlySpan<byte> text, int at, int kind, int most = int.MaxValue)
    {
        for (; most > 0 && at < text.Length && KindAt(text, at, out int length) == kind; most--)
            at += length;
        return at;
    }

    /// <summary>The last two alternatives: white space up to, not including, its last character where a non-space follows.</summary>
    private static int SpaceEnd(ReadOnlySpan<byte> text, int at, int runEnd)
    {
        if (runEnd == text.Length)
            return runEnd;
        Utf8.ReadBefore(text, runEnd, out int last);
        return runEnd - last > at ? runEnd - last : runEnd;
    }

    /// <summary>Length of "re", "ve" or "ll", or of "s", "t", "m" or "d", in lower case, at a byte index; 0 for none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Contraction(ReadOnlySpan<byte> text, int at, byte caseBit)
    {
        if (at >= text.Length)
            return 0;
        int first = text[at] | caseBit, second = at + 1 < text.Length ? text[at + 1] | caseBit : 0;
        return first switch
        {
            's' or 't' or 'm' or 'd' => 1,
            'r' or 'v' => second == 'e' ? 2 : 0,
            'l' => second == 'l' ? 2 : 0,
            _ => 0,
        };
    }

    private sealed class Gpt2 : WordScanner
    {
        public override int End(ReadOnlySpan<byte> text, int at)
        {
            if (text[at] == '\'' && Contraction(text, at + 1, 0) is > 0 and int contraction)
                return at + 1 + contraction;
            int kind = KindAt(text, at, out int length);
            if (kind != CharacterClasses.Space)
                return RunEnd(text, at + length, kind);
            if (text[at] == ' ' && at + 1 < text.Length &&
                KindAt(text, at + 1, out int nextLength) is var next && next != CharacterClasses.Space)
                return RunEnd(text, at + 1 + nextLength, next);
            return SpaceEnd(text, at, RunEnd(text, at + length, CharacterClasses.Space));
        }
    }

    /// <param name="digits">most numbers in one piece</param>
    private sealed class Llama(int digits) : WordScanner
    {
        public override int End(ReadOnlySpan<byte> text, int at)
        {
            byte lead = text[at];
            if (lead == '\'')
            {
                if (Contraction(text, at + 1, 0x20) is > 0 and int contraction)
                    return at + 1 + contraction;
                // The long s, U+017F, is an s where case is ignored.
                if (at + 2 < text.Length && text[at + 1] == 0xC5 && text[at + 2] == 0xBF)
                    return at + 3;
            }
            int kind = KindAt(text, at, out int length);
            if (kind == CharacterClasses.Letter)
                return RunEnd(text, at + length, CharacterClasses.Letter);
            if (kind == CharacterClasses.Number)
                return RunEnd(text, at, CharacterClasses.Number, digits);
            int after = at + length;
            int next = after < text.Length ? KindAt(text, after, out int nextLength) : CharacterClasses.Space;
            if (next == CharacterClasses.Letter && lead is not ((byte)'\r' or (byte)'\n'))
                return RunEnd(text, after, CharacterClasses.Letter);
            if (kind == CharacterClasses.Other || lead == ' ' && next == CharacterClasses.Other)
            {
                int end = RunEnd(text, after, CharacterClasses.Other);
                while (end < text.Length && text[end] is (byte)'\r' or (byte)'\n')
                    end++;
                return end;
            }
            int runEnd = RunEnd(text, after, CharacterClasses.Space);
            int newline = text[at..runEnd].LastIndexOfAny((byte)'\r', (byte)'\n');
            return newline >= 0 ? at + newline + 1 : SpaceEnd(text, at, runEnd);
        }
    }
}
