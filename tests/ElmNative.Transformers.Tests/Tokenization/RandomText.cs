using System.Text;

namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>Random texts that mix the classes of character which tokenizers tell apart.</summary>
internal static class RandomText
{
    private static readonly string[] Parts =
    [
        " ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2028", "\u0085", "\u001c", "\0", "\u007f", "'s", "'S", "'re", "'LL", "'ſ", "'", "’s",
        "a", "Z", "é", "e\u0301", "ß", "ſ", "\u212a", "ǅ", "ʰ", "ª", "中", "文", "あ", "한", "\u1100\u1161", "ا", "ि", "\u0301", "\u200d", "👍🏽", "😀", "👨‍👩‍👧",
        "𝐀", "𐍈", "1", "23", "٣", "Ⅷ", "½", "²", "𝟘", "一", ".", ",", "--", "_", "$", "€", "<", ">", "<|", "|>", "<tool>", "<|end|>", "\ufeff", "\ufffd", "\ue000", "\u0378",
    ];

    public static string Next(Random random, int most, bool surrogates = false)
    {
        StringBuilder text = new();
        for (int count = random.Next(most + 1); count > 0; count--)
        {
            if (random.Next(8) == 0 && new Rune?(Point(random)) is { } rune)
                text.Append(rune);
            else if (surrogates && random.Next(10) == 0)
                text.Append((char)random.Next(0xD800, 0xE000));
            else
                text.Append(Parts[random.Next(Parts.Length)]);
        }
        return text.ToString();
    }

    private static Rune Point(Random random)
    {
        int point = random.Next(4) switch { 0 => random.Next(0x80), 1 => random.Next(0x800), 2 => random.Next(0x3000), _ => random.Next(0x110000) };
        return Rune.TryCreate(point, out Rune rune) ? rune : new Rune('x');
    }
}
