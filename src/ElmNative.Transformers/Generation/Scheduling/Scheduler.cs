using ElmNative.Compute;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation.Scheduling;

/// <summary>
/// Continuous batching: one run over all requests. Rollouts wait in the order of requests and enter between two windows of steps, as soon as there are free places in the
/// batch and free slots in the store; nobody overtakes, so whoever waits gets in. A rollout that is done leaves with its window, and its slots are used again.
/// Who decodes beside whom changes no bit of a completion: a draw depends on the request's key, the rollout's index and the position only.
/// </summary>
internal sealed class Scheduler : IDisposable
{
    /// <summary>Newcomers enter when one in so many places of the batch is free, so that they share a prefill.</summary>
    private const int PlacesPerFree = 16;

    private readonly LanguageModel model;
    private readonly RentedTensors rent;
    private readonly Prefix[] prefixes;
    private readonly SlotStore store;
    private readonly DecodeBatch batch;
    private readonly Prefill prefill;
    private readonly Tensor lastHidden;
    private readonly Stack<int> freeHiddenRows;
    private readonly List<Prefix> arriving = [];
    private readonly List<Sequence> newcomers = [];
    private readonly Completion[][] completions;

    /// <summary>The first request that has rollouts waiting.</summary>
    private int waiting;

    /// <summary>Allocates all that a run needs.</summary>
    /// <param name="model">the model</param><param name="requests">at least one, each checked</param>
    /// <param name="maxSequences">most rollouts that decode at once</param><param name="keyValueBudget">most bytes of keys and values, unless a single rollout needs more</param>
    public Scheduler(LanguageModel model, IReadOnlyList<GenerationRequest> requests, int maxSequences, long keyValueBudget)
    {
        this.model = model;
        prefixes = requests.Select((request, index) => new Prefix(model, index, request)).ToArray();
        completions = requests.Select(request => new Completion[request.Count]).ToArray();
        int capacity = (int)Math.Min(maxSequences, requests.Sum(request => (long)request.Count));
        freeHiddenRows = new Stack<int>(Enumerable.Range(0, capacity));
        rent = new RentedTensors(model.Buffers);
        try
        {
            lastHidden = rent.Activation(capacity, model.HiddenSize);
            store = new SlotStore(model, rent, SlotStore.Slots(model, prefixes, capacity, keyValueBudget));
            batch = new DecodeBatch(model, rent, store, lastHidden, capacity, prefixes.Max(prefix => prefix.Rows + prefix.TokenLimit));
            prefill = new Prefill(model, store, lastHidden);
        }
        catch
        {
            rent.Dispose();
            throw;
        }
    }

    /// <summary>See <see cref="Generator.TokensGenerated"/>.</summary>
    public Action<int>? TokensGenerated { get; init; }

    /// <summary>See <see cref="Generator.TokenArrived"/>.</summary>
    public Action<int, int, int>? TokenArrived { get; init; }

    /// <summary>Runs until every rollout is done; result [request][rollout]. Once only.</summary>
    public Completion[][] Run(CancellationToken cancellation)
    {
        Admit(cancellation);
        while (batch.Count > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            batch.Run();
            bool someoneLeft = Collect();
            if (someoneLeft && (batch.Count == 0 || batch.Capacity - batch.Count >= batch.Capacity / PlacesPerFree))
                Admit(cancellation);
        }
        return completions;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        batch.Dispose();
        rent.Dispose();
    }

    /// <summary>Lets rollouts in until the batch or the store is full, and prefills the prefixes that come with them.</summary>
    private void Admit(CancellationToken cancellation)
    {
        while (waiting < prefixes.Length && batch.Count + newcomers.Count < batch.Capacity && TryPlace(prefixes[waiting]))
            if (prefixes[waiting].Entered == prefixes[waiting].Rollouts)
                waiting++;
        if (newcomers.Count == 0)
            return;
        prefill.Run(arriving, cancellation);
        arriving.Clear();
        batch.Enter(newcomers);
        newcomers.Clear();
    }

    /// <summary>
    /// Finds slots for a request's next rollout, and for its prefix with the first one. An empty store has room for any prefix with a rollout, and while a request has rollouts
    /// waiting only they take what its earlier ones gave back: an empty batch never finds the store full.
    /// </summary>
    private bool TryPlace(Prefix prefix)
    {
        bool isFirst = prefix.Entered == 0;
        int prefixSlot = isFirst ? store.Ranges.TakeHighest(prefix.Rows) : prefix.FirstSlot;
        if (prefixSlot < 0)
            return false;
        int slot = store.Ranges.Take(prefix.RowsPerSequence);
        if (slot < 0)
        {
            if (isFirst)
                store.Ranges.Return(prefixSlot, prefix.Rows);
            return false;
        }
        if (isFirst)
        {
            prefix.FirstSlot = prefixSlot;
            prefix.HiddenRow = freeHiddenRows.Pop();
            arriving.Add(prefix);
        }
        newcomers.Add(new Sequence(prefix, prefix.Entered++, slot));
        return true;
    }

    /// <summary>Appends the tokens that a window drew, step by step; rollouts that are done become completions and leave. Returns whether any did.</summary>
    private bool Collect()
    {
        bool someoneLeft = false;
        for (int step = 0; step < batch.Steps; step++)
        {
            int drawn = 0;
            for (int i = 0; i < batch.Count; i++)
            {
                Sequence sequence = batch.Sequences[i];
                if (sequence.IsDone)
                    continue;
                (int token, float logProb) = batch.Drawn(step, i);
                if (token < 0)
                    throw model.NotANumber();
                sequence.Append(token, logProb, IsEnd(token));
                TokenArrived?.Invoke(sequence.Prefix.Request, sequence.Rollout, token);
                drawn++;
                if (sequence.IsDone)
                {
                    Leave(sequence);
                    someoneLeft = true;
                }
            }
            if (drawn > 0)
                TokensGenerated?.Invoke(drawn);
        }
        if (someoneLeft)
            batch.RemoveDone();
        return someoneLeft;
    }

    private void Leave(Sequence sequence)
    {
        Prefix prefix = sequence.Prefix;
        completions[prefix.Request][sequence.Rollout] = sequence.ToCompletion();
        store.Ranges.Return(sequence.FirstSlot, prefix.RowsPerSequence);
        if (++prefix.Left < prefix.Rollouts)
            return;
        store.Ranges.Return(prefix.FirstSlot, prefix.Rows);
        freeHiddenRows.Push(prefix.HiddenRow);
    }

    private bool IsEnd(int token)
    {
        IReadOnlyList<int> ends = model.EndTokens;
        for (int i = 0; i < ends.Count; i++)
            if (ends[i] == token)
                return true;
        return false;
    }
}
