using System.Diagnostics;
using System.Globalization;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Reports;
using ElmNative.Experience.Verification;
using Spectre.Console;

namespace ElmNative.Cli.Output;

/// <summary>
/// Follows a run on standard error: a row a problem, and on a terminal a moving line below with the phase, the rate and the time that is left.
/// </summary>
internal sealed class StreamDisplay : IRunObserver, IDisposable
{
    /// <summary>Shares of a problem's work, about as measured; they only move the bar.</summary>
    private const double PlainShare = 0.03, TrainingShare = 0.92;

    private readonly int problems, steps;
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private ProgressTask? bar;
    private int committed, done, window, stepsDone;
    private long tokens;
    private bool headed;

    public StreamDisplay(int problems, int steps)
    {
        this.problems = problems;
        this.steps = steps;
    }

    /// <summary>Runs the work with the moving line below it, where there is a terminal.</summary>
    public Summary Follow(Func<Summary> work)
    {
        if (!Terminal.IsLive)
            return work();
        Summary? summary = null;
        Terminal.Progress.Progress().AutoClear(true).HideCompleted(false)
            .Columns(new ProgressBarColumn { Width = 24 }, new PercentageColumn(), new TaskDescriptionColumn { Alignment = Justify.Left })
            .Start(context =>
            {
                bar = context.AddTask("starting", maxValue: problems);
                summary = work();
            });
        bar = null;
        return summary!;
    }

    public void Started(int total, int alreadyCommitted, int discarded)
    {
        committed = done = alreadyCommitted;
        clock.Restart();
        if (alreadyCommitted == total)
            Terminal.Progress.MarkupLine("[grey]this run is finished; these are its figures (--overwrite starts it again)[/]");
        else if (alreadyCommitted > 0)
            Terminal.Progress.MarkupLine($"[grey]going on after problem {alreadyCommitted}{(discarded > 0 ? $"; {discarded} unfinished done again" : "")}[/]");
        Move("");
    }

    public void PhaseStarted(RunPhase phase, int first, int count)
    {
        if (phase == RunPhase.Plain)
            stepsDone = 0;
        window = count;
        Move(phase switch
        {
            RunPhase.Plain => $"problems {first + 1}-{first + count}: plain answers",
            RunPhase.Training => $"problems {first + 1}-{first + count}: training memories",
            _ => $"problems {first + 1}-{first + count}: answers with memories",
        });
    }

    public void TokensGenerated(int count) => tokens += count;

    public void StepDone(StepRecord step)
    {
        stepsDone++;
        Move($"step {step.Step + 1}/{steps} of {window} memor{(window == 1 ? "y" : "ies")}");
    }

    public void ProblemDone(SampleRecord sample, Summary soFar)
    {
        if (!headed)
            Terminal.Progress.MarkupLine($"[grey]{"#",4}  {"id",-8} {"truth",8} {"plain",10}   {"memory",10}   {"from",5} {"cosine",6}  {"route",-6} {"plain",6} {"memory",6} {"routed",6} {"tok/s",7} {"left",6}[/]");
        headed = true;
        done = sample.Index + 1;
        stepsDone = Math.Max(0, stepsDone - steps);
        window = Math.Max(0, window - 1);
        string memory = sample.Memory is { } m
            ? $"{Answer(m.Answer, m.Correct)} {m.Index + 1,5} {m.Similarity.ToString("0.000", CultureInfo.InvariantCulture),6}"
            : $"[grey]{"none yet",10}[/]   {"",5} {"",6}";
        Terminal.Progress.MarkupLine(
            $"{sample.Index + 1,4}  {Cut(sample.Id ?? "", 8),-8} {Cut(sample.Answer ?? "?", 8),8} {Answer(sample.Plain.Answer, sample.Plain.Correct)} {memory}  {RouteName(sample.Route),-6} "
            + $"{Rate(soFar, "plain")} {Rate(soFar, "memory")} {Rate(soFar, "routed")} [grey]{TokenRate,7:#,0} {TimeLeft(done + window),6}[/]");
        Move("");
    }

    public void Dispose() => bar = null;

    private void Move(string phase)
    {
        if (bar is null)
            return;
        double training = steps == 0 || window == 0 ? 0 : TrainingShare * stepsDone / steps;
        double value = Math.Min(problems, done + (stepsDone > 0 ? PlainShare * window + training : 0));
        bar.Value = value;
        bar.Description = Markup.Escape($"{phase}{(phase.Length > 0 ? "  " : "")}{TokenRate:#,0} tokens/s  {Clock(clock.Elapsed)} gone, {TimeLeft(value)} left");
    }

    private double TokenRate => tokens / Math.Max(1e-3, clock.Elapsed.TotalSeconds);

    /// <summary>What is left at the pace of this start, when <paramref name="value"/> problems are done.</summary>
    private string TimeLeft(double value)
    {
        double share = (value - committed) / Math.Max(1, problems - committed);
        return share > 0.005 ? Clock(TimeSpan.FromSeconds(clock.Elapsed.TotalSeconds / share * (1 - share))) : "?";
    }

    private static string RouteName(Route route) => route.ToString().ToLowerInvariant();

    private static string Answer(string? answer, bool? correct)
    {
        string text = $"{Cut(answer ?? "none", 10),10}";
        return correct switch
        {
            true => $"[green]{text} ✓[/]",
            false => $"[red]{text} ✗[/]",
            null => $"{text}  ",
        };
    }

    private static string Rate(Summary soFar, string name) => $"{(soFar[name] is { } metric ? metric.Value.ToString("0.000", CultureInfo.InvariantCulture) : ""),6}";

    private static string Cut(string text, int width) => Markup.Escape(text.Length <= width ? text : text[..(width - 1)] + "…");

    private static string Clock(TimeSpan time) => time.TotalHours >= 1 ? $"{(int)time.TotalHours}:{time.Minutes:00}:{time.Seconds:00}" : $"{time.Minutes}:{time.Seconds:00}";
}
