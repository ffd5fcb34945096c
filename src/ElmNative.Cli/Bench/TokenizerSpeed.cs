using System.Diagnostics;
using System.Text;
using ElmNative.Compute;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Cli.Bench;

/// <summary>Encoding and decoding a text on one thread, and loading the tokenizer.</summary>
internal sealed class TokenizerSpeed(BenchSession session)
{
    /// <summary>Measures and prints a row for each folder.</summary>
    /// <param name="folders">folders with tokenizer.json</param>
    /// <param name="textFile">the text; null for <see cref="MixedText"/></param>
    /// <exception cref="ElmException">a folder or the text cannot be read</exception>
    public void Run(string[] folders, string? textFile)
    {
        if (textFile is not null && !File.Exists(textFile))
            throw new ElmException($"{textFile} does not exist: name a text file with --text");
        string text = textFile is null ? MixedText.Make() : File.ReadAllText(textFile);
        if (text.Length == 0)
            throw new ElmException($"{textFile} is empty: name a text file with --text");
        double megabytes = Encoding.UTF8.GetByteCount(text) / 1e6;
        BenchReport report = session.Report(new("tokenizer", "tokenizer"), new("load ms", "load_milliseconds", "0", Spread: true), new("encode MB/s", "encode_megabytes_per_second", "0.00", Spread: true),
            new("decode MB/s", "decode_megabytes_per_second", "0.00", Spread: true), new("tokens", "tokens", "0"), new("bytes a token", "bytes_per_token", "0.00"), new("round trip", "round_trip"));
        foreach (string folder in folders)
        {
            BytePairTokenizer tokenizer = BytePairTokenizer.Load(folder);
            Measured load = Measured.Over(session.Runs, () => Seconds(() => tokenizer = BytePairTokenizer.Load(folder)) * 1e3, session.Cancellation);
            int[] ids = [];
            Measured encode = Measured.Over(session.Runs, () => megabytes / Seconds(() => ids = tokenizer.Encode(text, addSpecialTokens: false)), session.Cancellation);
            string back = "";
            Measured decode = Measured.Over(session.Runs, () => megabytes / Seconds(() => back = tokenizer.Decode(ids, skipSpecialTokens: false)), session.Cancellation);
            string name = new DirectoryInfo(folder).Name;
            report.Row(name, load, encode, decode, ids.Length, megabytes * 1e6 / Math.Max(1, ids.Length), back == text ? "same" : "differs");
            BenchSession.Progress($"{name}: encode {encode.Mean:0.00} MB/s, decode {decode.Mean:0.00} MB/s");
        }
        report.Fact("text", FormattableString.Invariant($"{textFile ?? "generated: English, code, numbers, LaTeX, CJK, emoji"}, {megabytes:0.00} MB; {session.Runs} runs after one that warms up"));
        session.Print(report, "1 thread");
    }

    private static double Seconds(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
