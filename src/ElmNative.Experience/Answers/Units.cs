namespace ElmNative.Experience.Answers;

/// <summary>
/// The unit words that may follow a number. A unit is dropped where the other answer has none; two known units of different kinds keep two
/// answers apart. Powers (square, cubic) are not part of the kind.
/// </summary>
internal static class Units
{
    private static readonly Dictionary<string, string> Kinds = Table();

    private static readonly HashSet<string> Modifiers = ["square", "sq", "cubic", "cu", "per", "of", "the", "squared", "cubed"];

    /// <summary>The kind of a unit word in lower case, or null.</summary>
    public static string? KindOf(string word) => Kinds.GetValueOrDefault(word);

    /// <summary>Whether the word is a unit or belongs to a unit's phrase.</summary>
    public static bool IsUnit(string word) => Kinds.ContainsKey(word) || Modifiers.Contains(word);

    /// <summary>Whether a single letter directly after a number may be a unit.</summary>
    public static bool IsUnitLetter(string letter) => letter is "m" or "s" or "g";

    /// <summary>Whether the content of a text command after a number is made of units only: "m/s", "cm^2", "g".</summary>
    public static bool AreUnits(string content)
    {
        string[] words = content.Split((char[])[' ', '/', '^', '.', '2', '3', '-', '\\', '~'], StringSplitOptions.RemoveEmptyEntries);
        return words.Length > 0 && Array.TrueForAll(words, word => Kinds.ContainsKey(word.ToLowerInvariant()));
    }

    /// <summary>The kind of a whole phrase ("square inches"): that of its only known unit, or null.</summary>
    public static string? KindOfPhrase(IEnumerable<string> words)
    {
        string? kind = null;
        foreach (string word in words)
        {
            if (Modifiers.Contains(word)) continue;
            if (kind is not null || KindOf(word) is not { } found) return null;
            kind = found;
        }
        return kind;
    }

    private static Dictionary<string, string> Table()
    {
        Dictionary<string, string> kinds = [];
        foreach (string line in (string[])
        [
            "millimeter mm millimeters millimetre millimetres",
            "centimeter cm centimeters centimetre centimetres",
            "meter m meters metre metres",
            "kilometer km kilometers kilometre kilometres kms",
            "inch inches in",
            "foot feet ft",
            "yard yards yd yds",
            "mile miles mi",
            "milligram mg milligrams",
            "gram g grams gm gms",
            "kilogram kg kilograms kgs kilo kilos",
            "pound pounds lb lbs",
            "ounce ounces oz",
            "ton tons tonne tonnes",
            "second s seconds sec secs",
            "minute minutes min mins",
            "hour h hours hr hrs",
            "day days",
            "week weeks",
            "month months",
            "year years yr yrs",
            "liter l liters litre litres",
            "milliliter ml milliliters millilitre millilitres",
            "gallon gallons gal",
            "quart quarts",
            "pint pints",
            "cup cups",
            "dollar dollars usd bucks",
            "cent cents",
            "euro euros eur",
            "yuan rmb",
            "degree degrees deg degs",
            "radian radians rad rads",
            "morning am",
            "afternoon pm",
            "mph", "kph kmh", "units unit", "people person persons", "students student", "ways way", "times",
            "points point pts", "hz hertz", "newton newtons", "joule joules", "watt watts", "volt volts", "percentage",
        ])
        {
            string[] words = line.Split(' ');
            foreach (string word in words) kinds[word] = words[0];
        }
        return kinds;
    }
}
