using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ElmNative.Transformers.Tokenization;

/// <summary>The merges of a BPE model: pair of token ids to rank and merged id, in an open-addressing table.</summary>
internal sealed class MergeTable
{
    [StructLayout(LayoutKind.Sequential)]
    private struct Slot
    {
        public ulong Pair;
        public int Rank;
        public int Merged;
    }

    private const ulong Free = ulong.MaxValue;
    private Slot[] slots;
    private int count;

    /// <summary>An empty table.</summary>
    /// <param name="capacity">merges to expect; it grows beyond</param>
    public MergeTable(int capacity) => slots = NewSlots(Math.Max(16, capacity));

    /// <summary>Adds a merge; a repeated pair takes the later rank, as in Hugging Face's reader.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Add(int left, int right, int rank, int merged)
    {
        if (count * 3L >= slots.Length * 2L)
            Grow();
        ref Slot slot = ref FindSlot(slots, Key(left, right));
        if (slot.Pair == Free)
            count++;
        slot = new Slot { Pair = Key(left, right), Rank = rank, Merged = merged };
    }

    /// <summary>Rank of the merge of two tokens (lower merges first), or <see cref="int.MaxValue"/> if they do not merge.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Rank(int left, int right, out int merged)
    {
        ulong pair = Key(left, right);
        Slot[] table = slots;
        int mask = table.Length - 1;
        for (int index = (int)Vocabulary.Hash(pair) & mask; ; index = index + 1 & mask)
        {
            ref Slot slot = ref table[index];
            if (slot.Pair == pair)
            {
                merged = slot.Merged;
                return slot.Rank;
            }
            if (slot.Pair == Free)
            {
                merged = -1;
                return int.MaxValue;
            }
        }
    }

    private void Grow()
    {
        Slot[] old = slots;
        slots = NewSlots(old.Length);
        foreach (ref Slot slot in old.AsSpan())
            if (slot.Pair != Free)
                FindSlot(slots, slot.Pair) = slot;
    }

    private static ref Slot FindSlot(Slot[] table, ulong pair)
    {
        int mask = table.Length - 1;
        int index = (int)Vocabulary.Hash(pair) & mask;
        while (table[index].Pair != Free && table[index].Pair != pair)
            index = index + 1 & mask;
        return ref table[index];
    }

    private static Slot[] NewSlots(int merges)
    {
        Slot[] table = new Slot[System.Numerics.BitOperations.RoundUpToPowerOf2((uint)merges * 3 / 2 + 1)];
        Array.Fill(table, new Slot { Pair = Free });
        return table;
    }

    private static ulong Key(int left, int right) => (ulong)(uint)left << 32 | (uint)right;
}
