using System.Numerics;

namespace ElmNative.Experience.Answers;

/// <summary>Reads whole numbers written as English words.</summary>
internal static class NumberWords
{
    private static readonly (string Word, long Value)[] Words =
    [
        ("thousand", 1000), ("million", 1_000_000), ("billion", 1_000_000_000), ("hundred", 100),
        ("seventeen", 17), ("thirteen", 13), ("fourteen", 14), ("eighteen", 18), ("nineteen", 19), ("fifteen", 15), ("sixteen", 16), ("seventy", 70),
        ("eleven", 11), ("twelve", 12), ("twenty", 20), ("thirty", 30), ("eighty", 80), ("ninety", 90), ("forty", 40), ("fifty", 50), ("sixty", 60),
        ("three", 3), ("seven", 7), ("eight", 8), ("zero", 0), ("four", 4), ("five", 5), ("nine", 9), ("one", 1), ("two", 2), ("six", 6), ("ten", 10), ("and", -1),
    ];

    /// <summary>The number that the letters spell (lower case, no spaces), or null.</summary>
    public static BigInteger? Read(string letters)
    {
        if (letters.Length is < 3 or > 120) return null;
        long total = 0, group = 0;
        bool any = false;
        for (int at = 0; at < letters.Length;)
        {
            (string word, long value) = Array.Find(Words, w => letters.AsSpan(at).StartsWith(w.Word));
            if (word is null) return null;
            at += word.Length;
            if (value < 0) continue;
            if (value >= 1000)
            {
                if (group == 0) return null;
                total += group * value;
                group = 0;
            }
            else if (value == 100)
            {
                if (group is 0 or > 9) return null;
                group *= 100;
            }
            else
            {
                long low = group % 100;
                if (any && low != 0 && !(low >= 20 && low % 10 == 0 && value is > 0 and < 10)) return null;
                group += value;
            }
            any = true;
        }
        return any ? total + group : null;
    }
}
