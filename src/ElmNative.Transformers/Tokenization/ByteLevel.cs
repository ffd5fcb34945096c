using System.Text;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization;

/// <summary>
/// The byte alphabet of byte-level vocabularies: a printable character for each byte. The printable bytes of Latin-1 stand for
/// themselves; the other 68 take the characters from U+0100 on, in order.
/// </summary>
internal static class ByteLevel
{
    /// <summary>One past the last character of the alphabet.</summary>
    private const int End = 256 + 68;

    private static readonly short[] ByteOf = new short[End];
    private static readonly char[] CharOf = new char[256];

    static ByteLevel()
    {
        Array.Fill(ByteOf, (short)-1);
        int next = 256;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE and <= 0xFF;
            int point = printable ? value : next++;
            ByteOf[point] = (short)value;
            CharOf[value] = (char)point;
        }
    }

    /// <summary>
    /// Translates a token's text (UTF-8) into the bytes it stands for. Returns the count, or -1 where a character is outside the
    /// alphabet. The output may be as long as the input.
    /// </summary>
    public static int ToBytes(ReadOnlySpan<byte> token, Span<byte> output)
    {
        int count = 0;
        for (int i = 0; i < token.Length;)
        {
            int point = token[i];
            if (point < 0x80)
                i++;
            else
            {
                if (point is < 0xC2 or > 0xC5 || i + 1 >= token.Length || (token[i + 1] & 0xC0) != 0x80)
                    return -1;
                point = (point & 0x1F) << 6 | token[i + 1] & 0x3F;
                i += 2;
            }
            if (point >= End || ByteOf[point] < 0)
                return -1;
            output[count++] = (byte)ByteOf[point];
        }
        return count;
    }

    /// <summary>The text of a token with these bytes, as vocabularies write it.</summary>
    public static string ToText(ReadOnlySpan<byte> bytes)
    {
        StringBuilder text = new(bytes.Length);
        foreach (byte value in bytes)
            text.Append(CharOf[value]);
        return text.ToString();
    }

    /// <summary>What a token's text decodes to: its bytes by the alphabet, or its own UTF-8 where a character is outside it.</summary>
    public static byte[] Decoded(string token)
    {
        byte[] text = Utf8.From(token), bytes = new byte[text.Length];
        int count = ToBytes(text, bytes);
        return count < 0 ? text : bytes[..count];
    }
}
