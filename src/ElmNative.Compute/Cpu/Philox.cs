namespace ElmNative.Compute.Cpu;

/// <summary>Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), the counter-based generator behind every random number; the same as the native library's.</summary>
internal static class Philox
{
    /// <summary>The four words of counter (low, high, 0, 0) under the key (seed low, seed high).</summary>
    public static (uint W0, uint W1, uint W2, uint W3) Words(ulong counter, ulong seed)
    {
        uint c0 = (uint)counter, c1 = (uint)(counter >> 32), c2 = 0, c3 = 0, k0 = (uint)seed, k1 = (uint)(seed >> 32);
        for (int round = 0; round < 10; round++)
        {
            ulong first = 0xD251_1F53UL * c0, second = 0xCD9E_8D57UL * c2;
            (c0, c1, c2, c3) = ((uint)(second >> 32) ^ c1 ^ k0, (uint)second, (uint)(first >> 32) ^ c3 ^ k1, (uint)first);
            k0 += 0x9E37_79B9;
            k1 += 0xBB67_AE85;
        }
        return (c0, c1, c2, c3);
    }
}
