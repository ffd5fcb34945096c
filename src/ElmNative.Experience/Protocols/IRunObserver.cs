using ElmNative.Experience.Learning;
using ElmNative.Experience.Reports;

namespace ElmNative.Experience.Protocols;

/// <summary>What a run is busy with.</summary>
public enum RunPhase
{
    /// <summary>Answering without a memory.</summary>
    Plain,
    /// <summary>Training memories.</summary>
    Training,
    /// <summary>Answering with retrieved memories, and routing.</summary>
    Memory,
}

/// <summary>Follows a run as it goes, for a live display. Nothing that it does changes a result. Every method is optional.</summary>
public interface IRunObserver
{
    /// <summary>The run starts or goes on.</summary>
    /// <param name="total">problems of the run</param>
    /// <param name="committed">problems already done by an earlier start</param>
    /// <param name="discarded">problems whose records were incomplete, and that are done again</param>
    void Started(int total, int committed, int discarded) { }

    /// <summary>A phase begins for a window of problems.</summary>
    void PhaseStarted(RunPhase phase, int first, int count) { }

    /// <summary>Tokens were generated.</summary>
    void TokensGenerated(int count) { }

    /// <summary>A training step of one memory is done.</summary>
    void StepDone(StepRecord step) { }

    /// <summary>A problem is done and on disk.</summary>
    /// <param name="sample">its record</param>
    /// <param name="soFar">figures over all problems done</param>
    void ProblemDone(SampleRecord sample, Summary soFar) { }
}
