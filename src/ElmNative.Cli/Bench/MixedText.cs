using System.Globalization;
using System.Text;

namespace ElmNative.Cli.Bench;

/// <summary>A text of everything that tokenizers meet: English prose, code, numbers, LaTeX, Chinese, Japanese, Korean, emoji. Always the same.</summary>
internal static class MixedText
{
    private const int Length = 2_000_000, Seed = 1;

    private static readonly string[] Words =
        ("the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out "
        + "them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little "
        + "very after words called just where most know get through back much before go good new write our used me man too any day same right look think also around another came come work three word must "
        + "because does part even place well such here take why things help put years different away again off went old number great tell men say small every found still between name should home big give air "
        + "line set own under read last never us left end along while might next sound below saw something thought both few those always looked show large often together asked house world going want school "
        + "important until form food keep children feet land side without boy once animals life enough took sometimes four head above kind began almost live page got earth need far hand high year mother light "
        + "parts country father let night following picture being study second eyes soon times story boys since white days ever paper hard near sentence better best across during today others however sure means "
        + "knew it's try told young miles sun ways thing whole hear example heard several change answer room sea against top turned learn point city play toward five using himself usually money").Split(' ');

    private static readonly string[] Syllables = "ba ter con mi ra lo ve san tor pel ing ol ur qui hex dra fen gal nor stu wim zep yar kle".Split(' ');
    private static readonly string[] Types = ["int", "double", "float*", "std::string", "auto", "var", "let", "const char*", "List<int>", "size_t"];
    private static readonly string[] Emoji = ["😀", "🎉", "🚀", "👩‍💻", "🇫🇷", "👍🏽", "❤️", "🔥", "🧠", "✅"];
    private static readonly string[] Cjk =
        ["今天的天气很好，我们去公园散步吧。", "请在方框里写出最后的答案。", "一个长方形的长是十一厘米，宽是三厘米。", "これはテストの文章です。", "東京から京都まで新幹線で二時間ぐらいかかります。", "모든 사람은 자유롭게 태어났다.", "오늘은 날씨가 맑습니다."];
    private const string CjkCharacters = "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看起发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动";

    /// <summary>The text, two million characters.</summary>
    public static string Make()
    {
        Random random = new(Seed);
        StringBuilder text = new(Length + 1000);
        while (text.Length < Length)
        {
            switch (random.Next(20))
            {
                case < 9: Prose(text, random); break;
                case < 13: Code(text, random); break;
                case < 15: Numbers(text, random); break;
                case < 17: Latex(text, random); break;
                case < 19: Asian(text, random); break;
                default: Symbols(text, random); break;
            }
            text.Append(random.Next(3) == 0 ? "\n\n" : "\n");
        }
        return text.ToString();
    }

    private static void Prose(StringBuilder text, Random random)
    {
        for (int sentence = random.Next(2, 7); sentence > 0; sentence--)
        {
            int words = random.Next(4, 20);
            for (int i = 0; i < words; i++)
            {
                string word = Word(random);
                text.Append(i == 0 ? char.ToUpperInvariant(word[0]) + word[1..] : word).Append(i == words - 1 ? "" : random.Next(9) == 0 ? ", " : " ");
            }
            text.Append(random.Next(8) == 0 ? "? " : random.Next(20) == 0 ? "! " : ". ");
        }
    }

    private static void Code(StringBuilder text, Random random)
    {
        string function = Identifier(random), index = Identifier(random), array = Identifier(random);
        text.Append(CultureInfo.InvariantCulture, $"{Pick(Types, random)} {function}({Pick(Types, random)} {array}, int n) {{\n");
        for (int line = random.Next(2, 6); line > 0; line--)
            text.Append(CultureInfo.InvariantCulture, $"    for (int {index} = {random.Next(10)}; {index} < n; ++{index})\n        {array}[{index}] += 0x{random.Next():x} * {Identifier(random)}({index}, {random.NextDouble():0.0###}f); // {Word(random)} {Word(random)}\n");
        text.Append("    return ").Append(array).Append("[n - 1];\n}");
    }

    private static void Numbers(StringBuilder text, Random random)
    {
        for (int row = random.Next(2, 8); row > 0; row--)
            text.Append(CultureInfo.InvariantCulture, $"{random.Next(1900, 2100)}-{random.Next(1, 13):00}-{random.Next(1, 29):00}\t{random.Next():#,0}\t{random.NextDouble() * 1000:0.000}\t{random.NextDouble() * 100:0.0} %\n");
    }

    private static void Latex(StringBuilder text, Random random)
    {
        for (int line = random.Next(1, 5); line > 0; line--)
            text.Append(CultureInfo.InvariantCulture,
                $@"We have $\frac{{{random.Next(100)}x^{{{random.Next(9)}}}}}{{\sqrt{{{random.Next(100)} + y_{{{random.Next(9)}}}}}}} \leq \sum_{{k=1}}^{{n}} \alpha_k \cdot \left( {random.Next(1000)} - \pi \right)$, so the answer is \boxed{{{random.Next(1000)}}}.").Append('\n');
    }

    private static void Asian(StringBuilder text, Random random)
    {
        for (int sentence = random.Next(1, 5); sentence > 0; sentence--)
        {
            text.Append(Pick(Cjk, random));
            for (int i = random.Next(4, 12); i > 0; i--)
                text.Append(CjkCharacters[random.Next(CjkCharacters.Length)]);
            text.Append('。');
        }
    }

    private static void Symbols(StringBuilder text, Random random)
    {
        for (int i = random.Next(1, 10); i > 0; i--)
            text.Append(Pick(Emoji, random)).Append(random.Next(2) == 0 ? " " : Word(random));
        text.Append("  — “é, ü, ß, ñ” … ± ≠ → ∞");
    }

    private static string Word(Random random) => random.Next(12) > 0 ? Pick(Words, random) : Pick(Syllables, random) + Pick(Syllables, random) + Pick(Syllables, random);

    private static string Identifier(Random random) => random.Next(2) == 0 ? $"{Pick(Words, random)}_{Pick(Syllables, random)}" : $"{Pick(Syllables, random)}{char.ToUpperInvariant(Pick(Words, random)[0])}{random.Next(100)}";

    private static string Pick(string[] from, Random random) => from[random.Next(from.Length)];
}
