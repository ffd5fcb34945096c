using System.Diagnostics;
using ElmNative.Compute;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;

namespace ElmNative.Cli.Bench;

/// <summary>
/// Prompt processing and decoding on random token ids, in the shape of llama-bench: ppN is a prefill of N tokens with the head for the last one, tgN
/// are N decode steps behind a single token, of one sequence or of several with a prompt each.
/// </summary>
/// <param name="session">runs and format</param><param name="model">what is measured</param><param name="window">decode steps between two looks of the host at what was drawn (<see cref="IBackend.DecodeWindow"/>)</param>
internal sealed class ModelSpeed(BenchSession session, LanguageModel model, int window)
{
    private const int Seed = 1;

    /// <summary>Measures and prints all tests.</summary>
    /// <param name="facts">the model, for the table</param>
    /// <param name="device">what it runs on</param>
    /// <param name="threads">CPU threads; null on a GPU</param>
    /// <param name="prompts">lengths of prefills; 0 is left out</param>
    /// <param name="lengths">numbers of decode steps; 0 is left out</param>
    /// <param name="batches">numbers of sequences</param>
    public void Run(ModelFacts facts, string device, int? threads, int[] prompts, int[] lengths, int[] batches)
    {
        foreach (int prompt in prompts.Where(prompt => prompt >= model.MaxPositions))
            throw new ElmException($"-p is {prompt}, but {facts.Name} has {model.MaxPositions} positions and needs one for the answer: make it smaller");
        foreach (int length in lengths.Where(length => length + 2 * window > model.MaxPositions + 1))
            throw new ElmException($"-n is {length}, but {facts.Name} has {model.MaxPositions} positions: make it smaller");
        BenchReport report = session.Report(new("model", "model"), new("params", "parameters"), new("size", "bytes"), new("dtype", "dtype"), new("device", "device"),
            new("threads", "threads", "0"), new("test", "test"), new("t/s", "tokens_per_second", "0.00", Spread: true));
        foreach (int prompt in prompts.Where(prompt => prompt > 0))
            Add($"pp{prompt}", () => Prefill(prompt));
        foreach (int length in lengths.Where(length => length > 0))
            foreach (int batch in batches)
                Add(batch == 1 ? $"tg{length}" : $"tg{length} x{batch}", () => Decode(length, batch));
        session.Print(report, device);

        void Add(string test, Func<double> run)
        {
            Measured rate = Measured.Over(session.Runs, run, session.Cancellation);
            report.Row(facts.Name, new Quantity(facts.Parameters, facts.ParameterText), new Quantity(facts.Bytes, facts.SizeText), facts.Type, device.Split([',', '('])[0].TrimEnd(), threads, test, rate);
            BenchSession.Progress($"{test}: {rate.Mean:0.00} tokens/s");
        }
    }

    /// <summary>Tokens a second from the start of a prefill until the first token behind it is drawn.</summary>
    private double Prefill(int tokens)
    {
        long end = 0;
        Generator generator = new(model) { TokensGenerated = _ => end = Stopwatch.GetTimestamp() };
        GenerationRequest request = Request(new Random(Seed), tokens, 1);
        long start = Stopwatch.GetTimestamp();
        generator.Generate([request], session.Cancellation);
        return tokens / Stopwatch.GetElapsedTime(start, end).TotalSeconds;
    }

    /// <summary>
    /// Tokens a second of the decode steps, in whole windows: from the end of the first window, which begins with the prefill's draw and does not count, to that of the last. A window's draws
    /// arrive together, at its end.
    /// </summary>
    private double Decode(int tokens, int sequences)
    {
        long first = 0, last = 0;
        int steps = -window, wanted = (tokens + window - 1) / window * window;
        Generator generator = new(model)
        {
            KeyValueBudget = long.MaxValue,
            MaxSequences = sequences,
            TokensGenerated = drawn =>
            {
                if (drawn != sequences)
                    return;
                last = Stopwatch.GetTimestamp();
                if (++steps <= 0)
                    first = last;
            },
        };
        Random random = new(Seed);
        generator.Generate([.. Enumerable.Range(0, sequences).Select(_ => Request(random, 1, wanted + window))], session.Cancellation);
        return steps > 0
            ? (double)steps * sequences / Stopwatch.GetElapsedTime(first, last).TotalSeconds
            : throw new ElmException($"{sequences} sequences of {tokens} tokens were never decoded together: give --batch fewer of them");
    }

    private GenerationRequest Request(Random random, int promptTokens, int newTokens)
    {
        int[] ids = new int[promptTokens];
        for (int i = 0; i < ids.Length; i++)
            ids[i] = random.Next(model.Config.VocabularySize);
        return new GenerationRequest([], ids, 1, newTokens, SamplingSettings.Greedy, new RandomKey(0, 0, 0)) { IgnoreEndTokens = true };
    }
}
