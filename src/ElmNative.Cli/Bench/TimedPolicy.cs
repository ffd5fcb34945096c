using System.Diagnostics;
using ElmNative.Compute;
using ElmNative.Experience.Learning;
using ElmNative.Transformers.Generation;
using ElmNative.Transformers.Models;
using ElmNative.Transformers.Tokenization;

namespace ElmNative.Cli.Bench;

/// <summary>What a memory-training step spends its time on.</summary>
internal enum StepPart
{
    /// <summary>Before the first step and after the last: initial values, retrieval keys.</summary>
    Outside,
    /// <summary>Sampling the completions.</summary>
    Rollouts,
    /// <summary>Text, answers, the vote, advantages.</summary>
    Votes,
    /// <summary>Log-probabilities of the completions, and the loss.</summary>
    Forward,
    /// <summary>Back to the memories' gradients.</summary>
    Backward,
    /// <summary>The optimiser and the step's records.</summary>
    Update,
}

/// <summary>
/// A policy that keeps the time of each part of a training step. The trainer calls it in a fixed order, so what lies between two calls has a name too: behind
/// the rollouts come the votes, behind the backward pass the update. The trainer itself runs unchanged.
/// </summary>
internal sealed class TimedPolicy(IPolicy policy) : IPolicy
{
    private readonly long[] ticks = new long[Enum.GetValues<StepPart>().Length];
    private StepPart current = StepPart.Outside;
    private long since = Stopwatch.GetTimestamp();

    /// <summary>Tokens that were sampled.</summary>
    public long Tokens { get; private set; }

    /// <summary>Seconds spent in a part so far.</summary>
    public double Seconds(StepPart part) => (double)ticks[(int)part] / Stopwatch.Frequency;

    /// <summary>Seconds of all parts of the steps.</summary>
    public double StepSeconds => Enum.GetValues<StepPart>().Where(part => part != StepPart.Outside).Sum(Seconds);

    /// <inheritdoc/>
    public int HiddenSize => policy.HiddenSize;
    /// <inheritdoc/>
    public int Layers => policy.Layers;
    /// <inheritdoc/>
    public int HeadSize => policy.HeadSize;
    /// <inheritdoc/>
    public int MaxPositions => policy.MaxPositions;
    /// <inheritdoc/>
    public string ModelType => policy.ModelType;
    /// <inheritdoc/>
    public string Fingerprint => policy.Fingerprint;
    /// <inheritdoc/>
    public double EmbeddingRms => policy.EmbeddingRms;
    /// <inheritdoc/>
    public ElementType ActivationType => policy.ActivationType;
    /// <inheritdoc/>
    public long TrainingBytesPerRow => policy.TrainingBytesPerRow;
    /// <inheritdoc/>
    public ITokenizer Tokenizer => policy.Tokenizer;
    /// <inheritdoc/>
    public IChatTemplate? ChatTemplate => policy.ChatTemplate;
    /// <inheritdoc/>
    public Action<int>? TokensGenerated { get => policy.TokensGenerated; set => policy.TokensGenerated = value; }

    /// <inheritdoc/>
    public float[] Embed(ReadOnlySpan<int> ids) => policy.Embed(ids);

    /// <inheritdoc/>
    public Completion[][] Generate(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellation)
    {
        Enter(StepPart.Rollouts);
        Completion[][] completions = policy.Generate(requests, cancellation);
        Enter(StepPart.Votes);
        foreach (Completion[] group in completions)
            foreach (Completion completion in group)
                Tokens += completion.Tokens.Length;
        return completions;
    }

    /// <inheritdoc/>
    public IPolicyPass Forward(IReadOnlyList<PackedTree> trees, float temperature, bool keepForBackward, long activationMemory = long.MaxValue)
    {
        Enter(StepPart.Forward);
        return new TimedPass(this, policy.Forward(trees, temperature, keepForBackward, activationMemory));
    }

    /// <inheritdoc/>
    public float[][] PoolQueries(IReadOnlyList<int[]> sequences) => policy.PoolQueries(sequences);

    /// <inheritdoc/>
    public float[][] PoolKeys(IReadOnlyList<float[]> softPrompts, int skipRows)
    {
        Enter(StepPart.Outside);
        return policy.PoolKeys(softPrompts, skipRows);
    }

    private void Enter(StepPart part)
    {
        long now = Stopwatch.GetTimestamp();
        ticks[(int)current] += now - since;
        (current, since) = (part, now);
    }

    private sealed class TimedPass(TimedPolicy owner, IPolicyPass pass) : IPolicyPass
    {
        public float[][][] LogProbs => pass.LogProbs;
        public float[][][] Entropies => pass.Entropies;

        public float[][] Backward(float[][][] dLogProbs)
        {
            owner.Enter(StepPart.Backward);
            float[][] gradients = pass.Backward(dLogProbs);
            owner.Enter(StepPart.Update);
            return gradients;
        }

        public void Dispose() => pass.Dispose();
    }
}
