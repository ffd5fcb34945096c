using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;

namespace ElmNative.Transformers.Tokenization;

/// <summary>
/// The vocabulary of a byte-level BPE model: token bytes to id and back. All token bytes lie in one array; the index is an
/// open-addressing table of ids, hashed with a seed of its own so that no file can provoke collisions.
/// </summary>
internal sealed class Vocabulary
{
    private const ulong Multiplier = 0x9E3779B97F4A7C15;
    private static readonly ulong Seed = BinaryPrimitives.ReadUInt64LittleEndian(RandomNumberGenerator.GetBytes(8)) | 1;

    private readonly Dictionary<string, int> foreign = new(StringComparer.Ordinal);
    private byte[] bytes;
    private int used;
    private (int Start, int Length)[] tokens;
    private int[] slots;
    private int entries;

    /// <summary>An empty vocabulary.</summary>
    /// <param name="capacity">tokens to expect; it grows beyond</param>
    public Vocabulary(int capacity)
    {
        bytes = new byte[Math.Max(64, capacity * 8)];
        tokens = new (int, int)[Math.Max(16, capacity)];
        Array.Fill(tokens, (0, -1));
        slots = NewSlots(Math.Max(32, capacity));
    }

    /// <summary>One past the highest id; ids below it may have no token.</summary>
    public int Size { get; private set; }

    /// <summary>Number of tokens.</summary>
    public int Count => entries + foreign.Count;

    /// <summary>The bytes of the token with an id; false where there is none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryGetBytes(int id, out ReadOnlySpan<byte> token)
    {
        if ((uint)id < (uint)Size && tokens[id] is var (start, length) && length >= 0)
        {
            token = bytes.AsSpan(start, length);
            return true;
        }
        token = default;
        return false;
    }

    /// <summary>The id of the token with exactly these bytes, or -1.</summary>
    public int Find(ReadOnlySpan<byte> token) => Find(token, Hash(token));

    /// <summary>The same with the token's hash at hand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Find(ReadOnlySpan<byte> token, uint hash)
    {
        int[] table = slots;
        int mask = table.Length - 1;
        for (int slot = (int)hash & mask; ; slot = slot + 1 & mask)
        {
            int id = table[slot];
            if (id < 0)
                return -1;
            (int start, int length) = tokens[id];
            if (length == token.Length && token.SequenceEqual(bytes.AsSpan(start, length)))
                return id;
        }
    }

    /// <summary>The id of a token written in the byte alphabet, or of one that cannot be written in it; null if there is none.</summary>
    public int? FindText(string token)
    {
        if (foreign.TryGetValue(token, out int id))
            return id;
        byte[] text = Unicode.Utf8.From(token);
        int count = ByteLevel.ToBytes(text, text);
        return count >= 0 && Find(text.AsSpan(0, count)) is >= 0 and int found ? found : null;
    }

    /// <summary>Adds a token that the byte alphabet can write. False where the id, or the token under another id, is there already.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool TryAdd(ReadOnlySpan<byte> token, int id)
    {
        if (Has(id))
            return false;
        if (entries * 2 >= slots.Length)
            Grow();
        int mask = slots.Length - 1;
        int slot = (int)Hash(token) & mask;
        for (; slots[slot] is >= 0 and int other; slot = slot + 1 & mask)
        {
            (int start, int length) = tokens[other];
            if (length == token.Length && token.SequenceEqual(bytes.AsSpan(start, length)))
                return false;
        }
        Keep(token, id);
        slots[slot] = id;
        entries++;
        return true;
    }

    /// <summary>Adds a token with a character outside the byte alphabet: no text encodes to it, but it decodes to its own UTF-8.</summary>
    public bool TryAddForeign(string token, int id)
    {
        if (Has(id) || !foreign.TryAdd(token, id))
            return false;
        Keep(Unicode.Utf8.From(token), id);
        return true;
    }

    /// <summary>Adds bytes that an id decodes to and that no text encodes to, as an added token outside the model's vocabulary.</summary>
    public bool TryAddDecoded(ReadOnlySpan<byte> token, int id)
    {
        if (Has(id))
            return false;
        Keep(token, id);
        return true;
    }

    private bool Has(int id) => (uint)id < (uint)Size && tokens[id].Length >= 0;

    private void Keep(ReadOnlySpan<byte> token, int id)
    {
        if (used + token.Length > bytes.Length)
            Array.Resize(ref bytes, Math.Max(bytes.Length * 2, used + token.Length));
        token.CopyTo(bytes.AsSpan(used));
        if (id >= tokens.Length)
        {
            int old = tokens.Length;
            Array.Resize(ref tokens, Math.Max(old * 2, id + 1));
            Array.Fill(tokens, (0, -1), old, tokens.Length - old);
        }
        tokens[id] = (used, token.Length);
        used += token.Length;
        Size = Math.Max(Size, id + 1);
    }

    private void Grow()
    {
        int[] old = slots;
        slots = NewSlots(old.Length);
        int mask = slots.Length - 1;
        foreach (int id in old)
        {
            if (id < 0)
                continue;
            (int start, int length) = tokens[id];
            int slot = (int)Hash(bytes.AsSpan(start, length)) & mask;
            while (slots[slot] >= 0)
                slot = slot + 1 & mask;
            slots[slot] = id;
        }
    }

    private static int[] NewSlots(int tokens)
    {
        int[] table = new int[System.Numerics.BitOperations.RoundUpToPowerOf2((uint)tokens * 2)];
        Array.Fill(table, -1);
        return table;
    }

    /// <summary>A seeded multiplicative hash of a byte string, eight bytes at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Hash(ReadOnlySpan<byte> token)
    {
        ulong hash = Seed ^ (ulong)token.Length;
        while (token.Length > 8)
        {
            hash = Mix(hash ^ BinaryPrimitives.ReadUInt64LittleEndian(token));
            token = token[8..];
        }
        ulong tail = 0;
        if (token.Length >= 4)
            tail = BinaryPrimitives.ReadUInt32LittleEndian(token) | (ulong)BinaryPrimitives.ReadUInt32LittleEndian(token[^4..]) << 32;
        else
            for (int i = 0; i < token.Length; i++)
                tail |= (ulong)token[i] << 8 * i;
        return (uint)(Mix(hash ^ tail) >> 32);
    }

    /// <summary>The seeded hash of a pair of ids.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Hash(ulong pair) => (uint)(Mix(pair ^ Seed) >> 32);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Mix(ulong value)
    {
        ulong high = Math.BigMul(value, Multiplier, out ulong low);
        return (high ^ low) * Seed;
    }
}
