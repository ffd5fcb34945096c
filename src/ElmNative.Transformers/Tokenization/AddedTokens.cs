using System.Buffers;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization;

/// <summary>A token that is recognised in the text itself, before the model sees it.</summary>
/// <param name="Id">its id</param>
/// <param name="Content">its literal text, not empty</param>
/// <param name="SingleWord">only where no word character touches it</param>
/// <param name="LeftStrip">takes the white space before it</param>
/// <param name="RightStrip">takes the white space after it</param>
/// <param name="Normalized">looked for in the normalised text, else in the text as given</param>
/// <param name="Special">left out when decoding without special tokens</param>
internal sealed record AddedToken(
    int Id, string Content, bool SingleWord, bool LeftStrip, bool RightStrip, bool Normalized, bool Special);

/// <summary>A part of a text: an added token, or text between them.</summary>
/// <param name="Id">the token's id, or -1 for text</param>
/// <param name="Start">first byte</param>
/// <param name="End">one past the last byte</param>
internal readonly record struct TextPart(int Id, int Start, int End);

/// <summary>Finds added tokens in UTF-8 text: from left to right, at each place the longest.</summary>
internal sealed class AddedTokenFinder
{
    private readonly (byte[] Bytes, AddedToken Token)[] sorted;
    private readonly SearchValues<byte> firstBytes;

    /// <param name="tokens">the tokens to look for, each with the bytes to look for; of equal bytes the first counts</param>
    public AddedTokenFinder(IEnumerable<(AddedToken Token, byte[] Bytes)> tokens)
    {
        // The sort is stable, so Longest meets the first of equal tokens first.
        sorted = [.. tokens.Where(entry => entry.Bytes.Length > 0).Select(entry => (entry.Bytes, entry.Token))
            .OrderBy(entry => entry.Bytes, Comparer<byte[]>.Create((a, b) => a.AsSpan().SequenceCompareTo(b)))];
        firstBytes = SearchValues.Create([.. sorted.Select(entry => entry.Bytes[0]).Distinct()]);
    }

    /// <summary>Appends the parts of a text, in order; parts of text are not empty.</summary>
    public void Split(ReadOnlySpan<byte> text, List<TextPart> parts)
    {
        int covered = 0;
        for (int at = 0; ; )
        {
            int skip = text[at..].IndexOfAny(firstBytes);
            if (skip < 0)
                break;
            at += skip;
            if (Longest(text, at, out int end) is not { } token)
            {
                at++;
                continue;
            }
            int start = at;
            at = end;
            if (token.SingleWord && TouchesWord(text, start, end))
                continue;
            if (token.LeftStrip)
                start = Math.Max(SpacesBefore(text, start), covered);
            if (token.RightStrip)
                end = SpacesAfter(text, end);
            if (start > covered)
                parts.Add(new TextPart(-1, covered, start));
            parts.Add(new TextPart(token.Id, start, end));
            covered = end;
        }
        if (covered < text.Length)
            parts.Add(new TextPart(-1, covered, text.Length));
    }

    /// <summary>The longest token that starts at a byte index: narrows the sorted tokens down byte by byte.</summary>
    private AddedToken? Longest(ReadOnlySpan<byte> text, int start, out int end)
    {
        AddedToken? found = null;
        end = start;
        int low = 0, high = sorted.Length;
        for (int depth = 0; start + depth < text.Length; depth++)
        {
            byte value = text[start + depth];
            low = FirstAtLeast(depth, value, low, high);
            high = value == 255 ? high : FirstAtLeast(depth, value + 1, low, high);
            if (low == high)
                break;
            if (sorted[low].Bytes.Length != depth + 1)
                continue;
            found = sorted[low].Token;
            end = start + depth + 1;
            while (low < high && sorted[low].Bytes.Length == depth + 1)
                low++;
        }
        return found;
    }

    /// <summary>First of the tokens low to high (all longer than depth) whose byte at depth is at least a value.</summary>
    private int FirstAtLeast(int depth, int value, int low, int high)
    {
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (sorted[middle].Bytes[depth] < value)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    private static bool TouchesWord(ReadOnlySpan<byte> text, int start, int end) =>
        start > 0 && CharacterClasses.IsWord(Utf8.ReadBefore(text, start, out _)) ||
        end < text.Length && CharacterClasses.IsWord(Utf8.Read(text, end, out _));

    private static int SpacesBefore(ReadOnlySpan<byte> text, int at)
    {
        while (at > 0 && CharacterClasses.Kind(Utf8.ReadBefore(text, at, out int length)) == CharacterClasses.Space)
            at -= length;
        return at;
    }

    private static int SpacesAfter(ReadOnlySpan<byte> text, int at)
    {
        while (at < text.Length && CharacterClasses.Kind(Utf8.Read(text, at, out int length)) == CharacterClasses.Space)
            at += length;
        return at;
    }
}
