using System.Buffers;
using System.Text;

namespace ElmNative.Transformers.Tokenization.Unicode;

/// <summary>
/// The Unicode normal forms C and D (Unicode Standard Annex 15) over UTF-8. The runtime's own normalisation does nothing in
/// globalization-invariant programs, so the project brings its own.
/// </summary>
internal static class CanonicalNormalization
{
    private const int HangulFirst = 0xAC00, HangulLast = 0xD7A3, LeadFirst = 0x1100, VowelFirst = 0x1161, TailBase = 0x11A7;
    private const int Leads = 19, Vowels = 21, Tails = 28;

    private static readonly Dictionary<int, (int First, int Second)> Decompositions = [];
    private static readonly Dictionary<long, int> Compositions = [];

    /// <summary>Per block of 256 code points: the combining class of those that form C may change, else <see cref="Plain"/> or <see cref="Stable"/>.</summary>
    private static readonly byte[]?[] Blocks = new byte[0x1100][];

    /// <summary>A starter that neither decomposes nor can be the second of a composing pair.</summary>
    private const byte Plain = 255;

    /// <summary>A starter that decomposes and composes again to itself, such as a precomposed letter or a Hangul syllable.</summary>
    private const byte Stable = 254;

    static CanonicalNormalization()
    {
        ReadOnlySpan<byte> data = Convert.FromBase64String(NormalizationData.Packed);
        int point = 0;
        for (int count = Number(ref data); count > 0; count--)
        {
            point += Number(ref data);
            int first = Number(ref data), second = Number(ref data);
            Decompositions.Add(point, (first >> 1, second));
            if ((first & 1) != 0)
                Compositions.Add(PairKey(first >> 1, second), point);
            Mark(point, (first & 1) != 0 ? Stable : (byte)0);
        }
        foreach (long pair in Compositions.Keys)
            Mark((int)pair, 0);
        for (int vowel = 0; vowel < Vowels; vowel++)
            Mark(VowelFirst + vowel, 0);
        for (int tail = 1; tail < Tails; tail++)
            Mark(TailBase + tail, 0);
        for (int syllable = HangulFirst; syllable <= HangulLast; syllable++)
            Mark(syllable, Stable);
        point = 0;
        for (int count = Number(ref data); count > 0; count--)
        {
            point += Number(ref data);
            int length = Number(ref data);
            byte combiningClass = data[0];
            data = data[1..];
            for (; length >= 0; length--)
                Mark(point++, combiningClass);
            point--;
        }
    }

    /// <summary>Normalises valid UTF-8 to form C. Returns false, and leaves the output alone, where the text is already normal for sure.</summary>
    public static bool TryCompose(ReadOnlySpan<byte> text, ArrayBufferWriter<byte> output)
    {
        // Below U+0300 (lead byte 0xCC) nothing composes or decomposes in form C.
        if (text.IndexOfAnyInRange((byte)0xCC, (byte)0xFF) < 0)
            return false;
        int changed = FirstSuspect(text);
        if (changed < 0)
            return false;
        List<int> points = [];
        int position = 0;
        while (changed >= 0)
        {
            output.Write(text[position..changed]);
            // A suspect run starts at the starter before it and ends before the next plain character.
            int end = changed;
            points.Clear();
            while (end < text.Length)
            {
                int point = Utf8.Read(text, end, out int length);
                if (end > changed && Class(point) == Plain && !NextIsSuspect(text, end + length))
                    break;
                Decompose(point, points);
                end += length;
            }
            Reorder(points);
            Compose(points);
            Write(points, output);
            position = end;
            int next = FirstSuspect(text[position..]);
            changed = next < 0 ? -1 : position + next;
        }
        output.Write(text[position..]);
        return true;
    }

    /// <summary>Normalises valid UTF-8 to form D.</summary>
    public static void Decompose(ReadOnlySpan<byte> text, ArrayBufferWriter<byte> output)
    {
        List<int> points = [];
        for (int i = 0; i < text.Length;)
        {
            points.Clear();
            do
            {
                int point = Utf8.Read(text, i, out int length);
                Decompose(point, points);
                i += length;
            }
            while (i < text.Length && CombiningClass(Utf8.Read(text, i, out _)) != 0);
            Reorder(points);
            Write(points, output);
        }
    }

    /// <summary>Byte index of the character before the first that may change or compose with it; -1 if there is none.</summary>
    private static int FirstSuspect(ReadOnlySpan<byte> text)
    {
        int last = 0;
        for (int i = 0; i < text.Length;)
        {
            if (text[i] < 0xCC)
            {
                last = i;
                i += text[i] < 0x80 ? 1 : 2;
                continue;
            }
            byte kind = Class(Utf8.Read(text, i, out int length));
            if (kind < Stable)
                return last;
            last = i;
            i += length;
        }
        return -1;
    }

    private static bool NextIsSuspect(ReadOnlySpan<byte> text, int at) =>
        at < text.Length && Class(Utf8.Read(text, at, out _)) < Stable;

    private static void Decompose(int point, List<int> output)
    {
        if (point is >= HangulFirst and <= HangulLast)
        {
            int index = point - HangulFirst;
            output.Add(LeadFirst + index / (Vowels * Tails));
            output.Add(VowelFirst + index / Tails % Vowels);
            if (index % Tails != 0)
                output.Add(TailBase + index % Tails);
        }
        else if (point >= 0xC0 && Decompositions.TryGetValue(point, out (int First, int Second) pair))
        {
            Decompose(pair.First, output);
            if (pair.Second != 0)
                Decompose(pair.Second, output);
        }
        else
            output.Add(point);
    }

    /// <summary>Sorts each run of combining marks by class; equal classes keep their order.</summary>
    private static void Reorder(List<int> points)
    {
        for (int i = 0; i < points.Count; i++)
        {
            if (CombiningClass(points[i]) == 0)
                continue;
            int start = i;
            while (i < points.Count && CombiningClass(points[i]) != 0)
                i++;
            int[] marks = [.. points.GetRange(start, i - start).OrderBy(CombiningClass)];
            for (int j = 0; j < marks.Length; j++)
                points[start + j] = marks[j];
        }
    }

    private static void Compose(List<int> points)
    {
        int starter = -1, kept = 0, lastClass = -1;
        for (int i = 0; i < points.Count; i++)
        {
            int point = points[i], combiningClass = CombiningClass(point);
            // Blocked where a kept character between the starter and this one has class 0 or a class at least as high.
            if (starter >= 0 && lastClass < combiningClass && TryPair(points[starter], point, out int whole))
            {
                points[starter] = whole;
                continue;
            }
            if (combiningClass == 0)
            {
                starter = kept;
                lastClass = -1;
            }
            else
                lastClass = combiningClass;
            points[kept++] = point;
        }
        points.RemoveRange(kept, points.Count - kept);
    }

    private static bool TryPair(int first, int second, out int whole)
    {
        if (first is >= LeadFirst and < LeadFirst + Leads && second is >= VowelFirst and < VowelFirst + Vowels)
        {
            whole = HangulFirst + ((first - LeadFirst) * Vowels + (second - VowelFirst)) * Tails;
            return true;
        }
        if (first is >= HangulFirst and <= HangulLast && (first - HangulFirst) % Tails == 0 && second is > TailBase and < TailBase + Tails)
        {
            whole = first + (second - TailBase);
            return true;
        }
        return Compositions.TryGetValue(PairKey(first, second), out whole);
    }

    private static void Write(List<int> points, ArrayBufferWriter<byte> output)
    {
        foreach (int point in points)
            output.Advance(new Rune(point).EncodeToUtf8(output.GetSpan(4)));
    }

    private static int CombiningClass(int point) => Class(point) is var kind && kind >= Stable ? 0 : kind;

    private static byte Class(int point) => Blocks[point >> 8] is { } block ? block[point & 255] : Plain;

    private static void Mark(int point, byte kind)
    {
        byte[]? block = Blocks[point >> 8];
        if (block is null)
        {
            block = new byte[256];
            Array.Fill(block, Plain);
            Blocks[point >> 8] = block;
        }
        block[point & 255] = kind;
    }

    private static long PairKey(int first, int second) => (long)first << 32 | (uint)second;

    private static int Number(ref ReadOnlySpan<byte> data)
    {
        int value = 0, shift = 0;
        while (true)
        {
            byte part = data[0];
            data = data[1..];
            value |= (part & 127) << shift;
            if (part < 128)
                return value;
            shift += 7;
        }
    }
}
