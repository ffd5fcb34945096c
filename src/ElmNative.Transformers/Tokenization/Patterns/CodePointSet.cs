using System.Globalization;
using System.Text;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization.Patterns;

/// <summary>A set of code points as a regular expression's character class writes it.</summary>
internal sealed class CodePointSet
{
    private enum Kind { Range, Categories, Space, Word, Nested }

    private readonly record struct Part(Kind Kind, bool Negated, int First, int Last, uint Categories, CodePointSet? Nested);

    private readonly List<Part> parts = [];
    private bool[]? ascii;
    private readonly bool negated, ignoreCase;

    /// <param name="negated">the set holds what its parts do not</param>
    /// <param name="ignoreCase">a code point is in the set if one that differs in case only is</param>
    public CodePointSet(bool negated, bool ignoreCase)
    {
        this.negated = negated;
        this.ignoreCase = ignoreCase;
    }

    /// <summary>Adds the code points from first to last.</summary>
    public void AddRange(int first, int last) => Add(new Part(Kind.Range, false, first, last, 0, null));

    /// <summary>Adds general categories, one bit each.</summary>
    public void AddCategories(uint mask, bool negate) => Add(new Part(Kind.Categories, negate, 0, 0, mask, null));

    /// <summary>Adds white space.</summary>
    public void AddSpace(bool negate) => Add(new Part(Kind.Space, negate, 0, 0, 0, null));

    /// <summary>Adds word characters.</summary>
    public void AddWord(bool negate) => Add(new Part(Kind.Word, negate, 0, 0, 0, null));

    /// <summary>Adds all of another set.</summary>
    public void AddSet(CodePointSet other) => Add(new Part(Kind.Nested, false, 0, 0, 0, other));

    /// <summary>Whether the set has the code point.</summary>
    public bool Contains(int point) => point < 128 ? (ascii ?? TestAscii())[point] : Test(point);

    /// <summary>One bit for each general category that a one- or two-letter name covers; 0 for an unknown name.</summary>
    public static uint CategoriesNamed(string name) => name switch
    {
        "L" or "Letter" => 0b11111,
        "Lu" => Bit(UnicodeCategory.UppercaseLetter),
        "Ll" => Bit(UnicodeCategory.LowercaseLetter),
        "Lt" => Bit(UnicodeCategory.TitlecaseLetter),
        "Lm" => Bit(UnicodeCategory.ModifierLetter),
        "Lo" => Bit(UnicodeCategory.OtherLetter),
        "M" or "Mark" => Bit(UnicodeCategory.NonSpacingMark) | Bit(UnicodeCategory.SpacingCombiningMark) | Bit(UnicodeCategory.EnclosingMark),
        "Mn" => Bit(UnicodeCategory.NonSpacingMark),
        "Mc" => Bit(UnicodeCategory.SpacingCombiningMark),
        "Me" => Bit(UnicodeCategory.EnclosingMark),
        "N" or "Number" => Bit(UnicodeCategory.DecimalDigitNumber) | Bit(UnicodeCategory.LetterNumber) | Bit(UnicodeCategory.OtherNumber),
        "Nd" => Bit(UnicodeCategory.DecimalDigitNumber),
        "Nl" => Bit(UnicodeCategory.LetterNumber),
        "No" => Bit(UnicodeCategory.OtherNumber),
        "P" or "Punctuation" => Bit(UnicodeCategory.ConnectorPunctuation) | Bit(UnicodeCategory.DashPunctuation) | Bit(UnicodeCategory.OpenPunctuation) |
            Bit(UnicodeCategory.ClosePunctuation) | Bit(UnicodeCategory.InitialQuotePunctuation) | Bit(UnicodeCategory.FinalQuotePunctuation) |
            Bit(UnicodeCategory.OtherPunctuation),
        "Pc" => Bit(UnicodeCategory.ConnectorPunctuation),
        "Pd" => Bit(UnicodeCategory.DashPunctuation),
        "Ps" => Bit(UnicodeCategory.OpenPunctuation),
        "Pe" => Bit(UnicodeCategory.ClosePunctuation),
        "Pi" => Bit(UnicodeCategory.InitialQuotePunctuation),
        "Pf" => Bit(UnicodeCategory.FinalQuotePunctuation),
        "Po" => Bit(UnicodeCategory.OtherPunctuation),
        "S" or "Symbol" => Bit(UnicodeCategory.MathSymbol) | Bit(UnicodeCategory.CurrencySymbol) | Bit(UnicodeCategory.ModifierSymbol) |
            Bit(UnicodeCategory.OtherSymbol),
        "Sm" => Bit(UnicodeCategory.MathSymbol),
        "Sc" => Bit(UnicodeCategory.CurrencySymbol),
        "Sk" => Bit(UnicodeCategory.ModifierSymbol),
        "So" => Bit(UnicodeCategory.OtherSymbol),
        "Z" or "Separator" => Bit(UnicodeCategory.SpaceSeparator) | Bit(UnicodeCategory.LineSeparator) | Bit(UnicodeCategory.ParagraphSeparator),
        "Zs" => Bit(UnicodeCategory.SpaceSeparator),
        "Zl" => Bit(UnicodeCategory.LineSeparator),
        "Zp" => Bit(UnicodeCategory.ParagraphSeparator),
        "C" or "Other" => Bit(UnicodeCategory.Control) | Bit(UnicodeCategory.Format) | Bit(UnicodeCategory.Surrogate) |
            Bit(UnicodeCategory.PrivateUse) | Bit(UnicodeCategory.OtherNotAssigned),
        "Cc" => Bit(UnicodeCategory.Control),
        "Cf" => Bit(UnicodeCategory.Format),
        "Co" => Bit(UnicodeCategory.PrivateUse),
        "Cn" => Bit(UnicodeCategory.OtherNotAssigned),
        _ => 0,
    };

    private static uint Bit(UnicodeCategory category) => 1u << (int)category;

    private void Add(Part part)
    {
        parts.Add(part);
        ascii = null;
    }

    private bool[] TestAscii()
    {
        bool[] found = new bool[128];
        for (int point = 0; point < 128; point++)
            found[point] = Test(point);
        return ascii = found;
    }

    private bool Test(int point) => (TestParts(point) || ignoreCase && TestFolded(point)) != negated;

    private bool TestFolded(int point)
    {
        if (point is 's' or 'S' && TestParts(0x17F) || point is 'k' or 'K' && TestParts(0x212A))
            return true;
        if (point is 0x17F or 0x212A && (TestParts(point == 0x17F ? 's' : 'k') || TestParts(point == 0x17F ? 'S' : 'K')))
            return true;
        return Rune.TryCreate(point, out Rune rune) &&
            (TestParts(Rune.ToLowerInvariant(rune).Value) || TestParts(Rune.ToUpperInvariant(rune).Value));
    }

    private bool TestParts(int point)
    {
        foreach (Part part in parts)
        {
            bool inside = part.Kind switch
            {
                Kind.Range => point >= part.First && point <= part.Last,
                Kind.Categories => (part.Categories >> (int)CharacterClasses.Category(point) & 1) != 0,
                Kind.Space => CharacterClasses.Kind(point) == CharacterClasses.Space,
                Kind.Word => CharacterClasses.IsWord(point),
                _ => part.Nested!.Contains(point),
            };
            if (inside != part.Negated)
                return true;
        }
        return false;
    }
}
