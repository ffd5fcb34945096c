// What the kernels of attention's gradients share: which keys a query sees, and walks over the table of tiles. See attention_backward.cu.
#pragma once
#include "attention.h"

constexpr int kBackwardTile = 32;
// Bits of the table's entries.
constexpr int kSomeSeen = 1, kAllSeen = 2;

// The first n bits.
ELM_DEV unsigned low_bits(int n) { return n <= 0 ? 0u : n >= 32 ? ~0u : (1u << n) - 1u; }

// Which of the store rows [key, key + 32) a query sees with `visible` rows of a segment, or -1 for a query that sees nothing.
ELM_DEV unsigned seen_keys(const Segments& segments, int segment, int visible, int key) {
    unsigned bits = 0;
    for (int s = segment, seen = visible; s >= 0;) {
        const int first = segments.first(s) - key;
        bits |= low_bits(first + seen) & ~low_bits(first);
        s = segments.parent(s);
        if (s >= 0) seen = segments.size(s);
    }
    return bits;
}

// A walk over the tiles in one direction of the table, 32 of them in registers: bit 0 is tile `at`. The same for all threads of a block but for `own`, which is of the warp.
struct TileWalk {
    int at;
    unsigned some, all, own;   // anything of the block's rows or keys is seen; all of them; anything of the warp's
};

// The next tile of which something is seen; false where there is none. entry(tile, own) gives the table's entry for the block (the or of kSomeSeen, the and of kAllSeen)
// and whether the warp's part has anything.
template <class Entry> ELM_DEV bool next_tile(TileWalk& walk, int tiles, const Entry& entry) {
    for (;;) {
        walk.at++;
        if (walk.at >= tiles) return false;
        if (walk.at % kWarp == 0) {
            const int tile = walk.at + (int)threadIdx.x % kWarp;
            bool own = false;
            const int seen = tile < tiles ? entry(tile, own) : 0;
            walk.some = __ballot_sync(kAllLanes, seen & kSomeSeen);
            walk.all = __ballot_sync(kAllLanes, seen & kAllSeen);
            walk.own = __ballot_sync(kAllLanes, own);
        } else {
            walk.some >>= 1;
            walk.all >>= 1;
            walk.own >>= 1;
        }
        if (walk.some == 0) walk.at |= kWarp - 1;
        else if (walk.some & 1) return true;
    }
}
