using System.Buffers;
using System.Runtime.CompilerServices;

namespace ElmNative.Transformers.Tokenization;

/// <summary>
/// Byte-pair encoding of one piece: from its bytes on, the pair with the lowest rank (of equals the leftmost) merges until none can.
/// Short pieces scan an array; long ones use a priority queue, so time grows as n log n. Safe to share between threads.
/// </summary>
internal sealed class BytePairMerger
{
    private const int ShortPiece = 64;
    private const int LongestCached = 48;
    private const int CacheSlots = 1 << 13;

    /// <summary>Pieces met lately; a slot is replaced whole, so readers on other threads see the old or the new entry.</summary>
    private sealed record CachedPiece(uint Hash, byte[] Piece, int[] Ids);

    private readonly Vocabulary vocabulary;
    private readonly MergeTable merges;
    private readonly bool ignoreMerges, fuseUnknown;
    private readonly int unknown;
    private readonly int[] byteIds = new int[256];

    /// <summary>By token id: 1 where the merges turn the token's own bytes into it, 2 where they do not, 0 while nobody asked.</summary>
    private readonly byte[] reachable;
    private readonly CachedPiece?[] cache = new CachedPiece?[CacheSlots];

    /// <param name="vocabulary">token bytes and ids</param>
    /// <param name="merges">the ranked merges</param>
    /// <param name="ignoreMerges">a piece that is a token is that token, whatever the merges say</param>
    /// <param name="unknown">id for bytes that have no token, or -1 to leave such bytes out as Hugging Face does</param>
    /// <param name="fuseUnknown">one unknown id for a run of such bytes</param>
    public BytePairMerger(Vocabulary vocabulary, MergeTable merges, bool ignoreMerges, int unknown, bool fuseUnknown)
    {
        this.vocabulary = vocabulary;
        this.merges = merges;
        this.ignoreMerges = ignoreMerges;
        this.unknown = unknown;
        this.fuseUnknown = fuseUnknown;
        reachable = new byte[vocabulary.Size];
        for (int value = 0; value < 256; value++)
            byteIds[value] = vocabulary.Find([(byte)value]);
    }

    /// <summary>Whether each of the 256 bytes has a token.</summary>
    public bool CoversAllBytes => !byteIds.Contains(-1);

    /// <summary>Appends the ids of a piece.</summary>
    public void Encode(ReadOnlySpan<byte> piece, List<int> output)
    {
        if (piece.IsEmpty)
            return;
        uint hash = Vocabulary.Hash(piece);
        int whole = vocabulary.Find(piece, hash);
        if (whole >= 0 && (ignoreMerges || reachable[whole] == 1))
        {
            output.Add(whole);
            return;
        }
        ref CachedPiece? slot = ref cache[hash & CacheSlots - 1];
        if (slot is { } known && known.Hash == hash && piece.SequenceEqual(known.Piece))
        {
            output.AddRange(known.Ids.AsSpan());
            return;
        }
        int start = output.Count;
        if (piece.Length <= ShortPiece)
            MergeShort(piece, output);
        else
            MergeLong(piece, output);
        if (whole >= 0)
            reachable[whole] = output.Count - start == 1 && output[start] == whole ? (byte)1 : (byte)2;
        if (piece.Length <= LongestCached)
        {
            int[] ids = new int[output.Count - start];
            output.CopyTo(start, ids, 0, ids.Length);
            slot = new CachedPiece(hash, piece.ToArray(), ids);
        }
    }

    private void MergeShort(ReadOnlySpan<byte> piece, List<int> output)
    {
        Span<int> ids = stackalloc int[ShortPiece], ranks = stackalloc int[ShortPiece], merged = stackalloc int[ShortPiece];
        int count = Symbols(piece, ids);
        for (int i = 0; i + 1 < count; i++)
            ranks[i] = merges.Rank(ids[i], ids[i + 1], out merged[i]);
        while (count > 1)
        {
            int best = 0;
            for (int i = 1; i < count - 1; i++)
                if (ranks[i] < ranks[best])
                    best = i;
            if (ranks[best] == int.MaxValue)
                break;
            ids[best] = merged[best];
            ids[(best + 2)..count].CopyTo(ids[(best + 1)..]);
            if (best + 2 < count)
            {
                ranks[(best + 2)..count].CopyTo(ranks[(best + 1)..]);
                merged[(best + 2)..count].CopyTo(merged[(best + 1)..]);
            }
            count--;
            if (best > 0)
                ranks[best - 1] = merges.Rank(ids[best - 1], ids[best], out merged[best - 1]);
            if (best + 1 < count)
                ranks[best] = merges.Rank(ids[best], ids[best + 1], out merged[best]);
        }
        output.AddRange(ids[..count]);
    }

    private void MergeLong(ReadOnlySpan<byte> piece, List<int> output)
    {
        int[] ids = ArrayPool<int>.Shared.Rent(piece.Length);
        int[] next = ArrayPool<int>.Shared.Rent(piece.Length);
        int[] previous = ArrayPool<int>.Shared.Rent(piece.Length);
        int[] ranks = ArrayPool<int>.Shared.Rent(piece.Length);
        try
        {
            int count = Symbols(piece, ids);
            PriorityQueue<int, ulong> queue = new(count);
            for (int i = 0; i < count; i++)
            {
                previous[i] = i - 1;
                next[i] = i + 1 < count ? i + 1 : -1;
            }
            for (int i = 0; i < count; i++)
                Enqueue(i);
            while (queue.TryDequeue(out int left, out ulong priority))
            {
                // An entry is stale once its left symbol is gone or has another right neighbour.
                if (ranks[left] != (int)(priority >> 32))
                    continue;
                int right = next[left];
                merges.Rank(ids[left], ids[right], out ids[left]);
                ranks[right] = int.MaxValue;
                next[left] = next[right];
                if (next[left] >= 0)
                    previous[next[left]] = left;
                Enqueue(left);
                if (previous[left] >= 0)
                    Enqueue(previous[left]);
            }
            for (int i = count > 0 ? 0 : -1; i >= 0; i = next[i])
                output.Add(ids[i]);

            void Enqueue(int left)
            {
                ranks[left] = next[left] < 0 ? int.MaxValue : merges.Rank(ids[left], ids[next[left]], out _);
                if (ranks[left] != int.MaxValue)
                    queue.Enqueue(left, (ulong)ranks[left] << 32 | (uint)left);
            }
        }
        finally
        {
            ArrayPool<int>.Shared.Return(ids);
            ArrayPool<int>.Shared.Return(next);
            ArrayPool<int>.Shared.Return(previous);
            ArrayPool<int>.Shared.Return(ranks);
        }
    }

    /// <summary>The ids of the bytes, with unknown ones replaced, fused or left out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Symbols(ReadOnlySpan<byte> piece, Span<int> ids)
    {
        int count = 0;
        bool afterUnknown = false;
        foreach (byte value in piece)
        {
            int id = byteIds[value];
            bool isUnknown = id < 0;
            if (isUnknown && (unknown < 0 || fuseUnknown && afterUnknown))
                continue;
            ids[count++] = isUnknown ? unknown : id;
            afterUnknown = isUnknown;
        }
        return count;
    }
}
