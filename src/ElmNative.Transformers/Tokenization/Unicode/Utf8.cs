using System.Buffers;
using System.Text;

namespace ElmNative.Transformers.Tokenization.Unicode;

/// <summary>Code points of text that is known to be valid UTF-8.</summary>
internal static class Utf8
{
    /// <summary>The code point that starts at a byte index, and its length in bytes (1 to 4).</summary>
    public static int Read(ReadOnlySpan<byte> text, int at, out int length)
    {
        int lead = text[at];
        if (lead < 0x80)
        {
            length = 1;
            return lead;
        }
        if (lead < 0xE0)
        {
            length = 2;
            return (lead & 0x1F) << 6 | text[at + 1] & 0x3F;
        }
        if (lead < 0xF0)
        {
            length = 3;
            return (lead & 0x0F) << 12 | (text[at + 1] & 0x3F) << 6 | text[at + 2] & 0x3F;
        }
        length = 4;
        return (lead & 0x07) << 18 | (text[at + 1] & 0x3F) << 12 | (text[at + 2] & 0x3F) << 6 | text[at + 3] & 0x3F;
    }

    /// <summary>The code point that ends before a byte index, and its length in bytes.</summary>
    public static int ReadBefore(ReadOnlySpan<byte> text, int end, out int length)
    {
        int start = end - 1;
        while ((text[start] & 0xC0) == 0x80)
            start--;
        return Read(text, start, out length);
    }

    /// <summary>Converts text; unpaired surrogates become U+FFFD, one for each.</summary>
    public static byte[] From(string text)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text)];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }

    /// <summary>Whether bytes are valid UTF-8.</summary>
    public static bool IsValid(ReadOnlySpan<byte> bytes) => System.Text.Unicode.Utf8.IsValid(bytes);
}
