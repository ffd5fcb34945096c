using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation.Scheduling;

/// <summary>The keys and values of everything that is being generated: one row (slot) a position, the same slots in every layer.</summary>
internal sealed class SlotStore
{
    private readonly Tensor[] keys, values;

    /// <summary>Rents a store of a number of slots; the rent ends with <paramref name="rent"/>.</summary>
    public SlotStore(LanguageModel model, RentedTensors rent, int slots)
    {
        Ranges = new SlotRanges(slots);
        keys = new Tensor[model.Layers];
        values = new Tensor[model.Layers];
        for (int i = 0; i < model.Layers; i++)
        {
            keys[i] = rent.Activation(slots, model.Tensors.KeyWidth);
            values[i] = rent.Activation(slots, model.Tensors.KeyWidth);
        }
    }

    /// <summary>Who holds which slots.</summary>
    public SlotRanges Ranges { get; }

    /// <summary>Bytes of one slot in all layers.</summary>
    public static long BytesPerSlot(LanguageModel model) => BytesPerSlot(model.Config, model.ActivationType);

    /// <summary>The same for a configuration and a type of activations.</summary>
    public static long BytesPerSlot(ModelConfig config, ElementType activations) => 2L * activations.Size() * config.Layers * config.KeyHeads * config.HeadSize;

    /// <summary>
    /// Slots that a run needs: all that <paramref name="sequences"/> sequences with their prefixes can hold at once, with an eighth more for the gaps between
    /// them, as far as the budget goes; but always room for any one sequence with its prefix.
    /// </summary>
    public static int Slots(LanguageModel model, IReadOnlyList<Prefix> prefixes, int sequences, long budget)
    {
        long all = prefixes.Sum(prefix => prefix.Rows + (long)prefix.Rollouts * prefix.RowsPerSequence);
        long atOnce = prefixes.Select(prefix => (long)prefix.Rows).OrderDescending().Take(sequences).Sum();
        int left = sequences;
        foreach (Prefix prefix in prefixes.OrderByDescending(prefix => prefix.RowsPerSequence))
        {
            int together = Math.Min(left, prefix.Rollouts);
            atOnce += (long)together * prefix.RowsPerSequence;
            left -= together;
        }
        long wanted = Math.Min(Math.Min(all, atOnce + atOnce / 8), budget / BytesPerSlot(model));
        long least = prefixes.Max(prefix => (long)prefix.Rows + prefix.RowsPerSequence);
        return (int)Math.Min(Math.Max(wanted, least), int.MaxValue);
    }

    /// <summary>Lets a layer's state attend to this store.</summary>
    public void Attach(int layer, ref LayerState state)
    {
        state.KeyStore = keys[layer];
        state.ValueStore = values[layer];
    }
}
