using System.Globalization;
using System.Runtime.CompilerServices;

namespace ElmNative.Transformers.Tokenization.Unicode;

/// <summary>General category, and the coarse kind that the pre-tokenizers' scanners ask for, of any code point.</summary>
internal static class CharacterClasses
{
    /// <summary>Neither letter, number nor white space.</summary>
    public const int Other = 0;

    /// <summary>General category L*.</summary>
    public const int Letter = 1;

    /// <summary>General category N*.</summary>
    public const int Number = 2;

    /// <summary>The property White_Space.</summary>
    public const int Space = 3;

    private static readonly byte[]?[] Blocks = new byte[0x1100][];

    /// <summary>One of <see cref="Other"/>, <see cref="Letter"/>, <see cref="Number"/>, <see cref="Space"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Kind(int point) => Entry(point) >> 5;

    /// <summary>The general category.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static UnicodeCategory Category(int point) => (UnicodeCategory)(Entry(point) & 31);

    /// <summary>White space as Python's str.isspace and str.strip see it: White_Space and U+001C to U+001F.</summary>
    public static bool IsPythonSpace(int point) => Kind(point) == Space || point is >= 0x1C and <= 0x1F;

    /// <summary>A word character as regular expressions have it: alphabetic, mark, decimal digit, connector or join control.</summary>
    public static bool IsWord(int point) => Category(point) switch
    {
        <= UnicodeCategory.LetterNumber => true, // letters, marks, decimal digits and letter numbers come first in the enumeration
        UnicodeCategory.ConnectorPunctuation => true,
        _ => point is 0x200C or 0x200D
            or >= 0x24B6 and <= 0x24E9 or >= 0x1F130 and <= 0x1F149 or >= 0x1F150 and <= 0x1F169 or >= 0x1F170 and <= 0x1F189,
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Entry(int point) => (Blocks[point >> 8] ?? Fill(point >> 8))[point & 255];

    // Two threads may fill the same block at once; both write the same bytes.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static byte[] Fill(int index)
    {
        byte[] block = new byte[256];
        for (int i = 0; i < 256; i++)
        {
            int point = index << 8 | i;
            UnicodeCategory category = CharUnicodeInfo.GetUnicodeCategory(point);
            int kind = category switch
            {
                <= UnicodeCategory.OtherLetter => Letter,
                UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Number,
                UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => Space,
                _ => point is >= 9 and <= 13 or 0x85 ? Space : Other,
            };
            block[i] = (byte)(kind << 5 | (int)category);
        }
        Blocks[index] = block;
        return block;
    }
}
