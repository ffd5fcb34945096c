// dk and dv of attention, by tiles of keys. See attention_backward.cu for the whole of the gradients and their order.
//
// Limit: tensor-core rate; scores, p^T dy, v dy^T and ds^T q are 8 * Size FLOPs a (query row, key) pair and head.
#include "attention_backward.h"

// A block has 32 * Blocks keys of one key head and goes through the query rows, 32 at a time, of its share of the query heads. Scores are made transposed, keys in rows, so that they
// are left operands as they come. Two warps share 16 * Blocks keys: the first makes p from k and q, hands it over, and has dv; the second makes v dy^T, then ds, and has dk.
// Each so reads a fragment of q or dy for two products instead of one where a warp had both dk and dv of half as many keys.
template <int Size, bool Exact, int Blocks>
ELM_DEV void attention_backward_keys(const int* plan_segments, int segment_count, const int* queries, const int* checked, const unsigned char* table, int rows, int padded,
                                     int query_heads, int key_heads, int size, float scale, int shares, const bf16* q, const bf16* k, const bf16* v, const bf16* dy,
                                     const float* statistics, bf16* dk, bf16* dv, float* partial) {
    constexpr int kKeys = 32 * Blocks, kQueries = kBackwardTile, kParts = kKeys / kBackwardTile;
    constexpr uint32_t kValues = kKeys * kRowBytes<Size>, kStages = 2 * kValues, kTile = kQueries * kRowBytes<Size>, kExchange = kStages + 4 * kTile;
    constexpr uint32_t kStatistics = kExchange + kKeys * kQueries * sizeof(float), kMasks = kStatistics + 2 * 2 * kQueries * sizeof(float);
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, pair = warp % 2, tiles = pieces_of(rows, kBackwardTile);
    const bool has_keys = warp >= 2;
    const int key0 = (int)blockIdx.x * kKeys, key_head = (int)blockIdx.y / shares, share = (int)blockIdx.y % shares;
    const int group = query_heads / key_heads, heads = group / shares, first_head = key_head * group + share * heads;
    const size_t width = (size_t)query_heads * size, key_width = (size_t)key_heads * size;
    const smem_t shared = smem_addr(ELM_DYN_SMEM());
    const Segments segments{plan_segments, segment_count, rows, 0};
    float* exchange = (float*)shared_at(kExchange) + pair * (16 * Blocks * kQueries) + lane;
    unsigned* masks = (unsigned*)shared_at(kMasks);   // [stage][part][query row]

    const auto entry = [&](int tile, bool& own) {
        int some = 0, all = kAllSeen;
#pragma unroll
        for (int i = 0; i < kParts; i++) {
            const int at = key0 / kBackwardTile + i, seen = at < tiles ? table[(size_t)tile * tiles + at] : 0;
            some |= seen & kSomeSeen;
            all &= seen;
            if (i == pair * kParts / 2) own = seen & kSomeSeen;
        }
        return some | all;
    };
    TileWalk walk{-1, 0, 0, 0};
    int head = first_head;
    const auto next_step = [&] {
        if (next_tile(walk, tiles, entry)) return true;
        walk.at = -1;
        return ++head < first_head + heads && next_tile(walk, tiles, entry);
    };
    const auto load_queries = [&](int stage) {
        const int row = walk.at * kQueries;
        const size_t from = row * width + (size_t)head * size;
        load_tile<Size, Exact, kQueries>(kStages + stage * 2 * kTile, q + from, width, rows - row, size);
        load_tile<Size, Exact, kQueries>(kStages + stage * 2 * kTile + kTile, dy + from, width, rows - row, size);
        constexpr int kStatisticPieces = kQueries / 4;
        const int at = threadIdx.x;
        if (at < 2 * kStatisticPieces)
            cp_async16(shared + kStatistics + (stage * 2 * kStatisticPieces + at) * 16,
                       statistics + (size_t)(2 * head + at / kStatisticPieces) * padded + row + at % kStatisticPieces * 4, 16);
        if (!(walk.all & 1) && at < kParts * kQueries) {
            const int query = row + at % kQueries;
            masks[stage * kParts * kQueries + at] =
                query < rows ? seen_keys(segments, checked[query], queries[2 * query + 1], key0 + at / kQueries * kBackwardTile) : 0u;
        }
    };

    bool more = next_step();
    load_tile<Size, Exact, kKeys>(0, k + key0 * key_width + (size_t)key_head * size, key_width, rows - key0, size);
    load_tile<Size, Exact, kKeys>(kValues, v + key0 * key_width + (size_t)key_head * size, key_width, rows - key0, size);
    if (more) load_queries(0);
    cp_async_commit();

    float sums[Blocks][Size / 8][4] = {};
    const float factor = scale * kLog2E;
    const smem_t left = shared + (has_keys ? kValues : 0) + pair * 16 * Blocks * kRowBytes<Size> + left_lane<Size>(lane);
    int stage = 0;
    while (more) {
        cp_async_wait<0>();
        __syncthreads();   // this tile is here, and nobody reads the one before it any more
        const TileWalk now = walk;
        more = next_step();
        if (more) load_queries(stage ^ 1);
        cp_async_commit();
        const smem_t tile = shared + kStages + stage * 2 * kTile;
        const float* statistic = (const float*)shared_at(kStatistics) + (stage * 2 + (has_keys ? 1 : 0)) * kQueries + (lane & 3) * 2;
        float s[Blocks][kQueries / 8][4] = {};
        if (now.own & 1) {
            add_products<Size, Blocks, kQueries / 16>(s, left, tile + (has_keys ? kTile : 0) + right_lane<Size>(lane));
            if (!has_keys) {
                const bool masked = !(now.all & 1);
                const unsigned* mask = masks + (stage * kParts + pair * kParts / 2) * kQueries + (lane & 3) * 2;
                const int key = pair * 16 * Blocks % kBackwardTile + (lane >> 2);
#pragma unroll
                for (int i = 0; i < kQueries / 8; i++) {
                    const float2 log2_sum = *(const float2*)(statistic + i * 8);
                    unsigned bits[2] = {~0u, ~0u};
                    if (masked) {
                        bits[0] = mask[i * 8] >> key;
                        bits[1] = mask[i * 8 + 1] >> key;
                    }
#pragma unroll
                    for (int b = 0; b < Blocks; b++)
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            const float p = exp2_approx(fmaf(s[b][i][e], factor, e % 2 ? -log2_sum.y : -log2_sum.x));
                            s[b][i][e] = bits[e % 2] >> (b * 16 + e / 2 * 8) & 1 ? p : 0.f;
                            exchange[((b * (kQueries / 8) + i) * 4 + e) * kWarp] = s[b][i][e];
                        }
                }
            }
        }
        __syncthreads();   // p is in the exchange
        if (now.own & 1) {
            if (has_keys) {
#pragma unroll
                for (int i = 0; i < kQueries / 8; i++) {
                    const float2 mean = *(const float2*)(statistic + i * 8);
#pragma unroll
                    for (int b = 0; b < Blocks; b++)
#pragma unroll
                        for (int e = 0; e < 4; e++)
                            s[b][i][e] = exchange[((b * (kQueries / 8) + i) * 4 + e) * kWarp] * (s[b][i][e] - (e % 2 ? mean.y : mean.x));
                }
            }
            add_weighted<Size, Blocks, kQueries / 16>(sums, s, tile + (has_keys ? 0 : kTile) + left_lane<Size>(lane));
        }
        stage ^= 1;
    }
    cp_async_wait<0>();
    __syncthreads();   // the keys' and values' tiles, which nobody reads any more, take the output

    const float last = has_keys ? scale : 1.f;
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
        const int key = pair * 16 * Blocks + b * 16, row = key0 + key;
        if (shares == 1) {
            write_rows<Size, Exact>(sums[b], last, last, (has_keys ? kValues : 0) + key * kRowBytes<Size>, (has_keys ? dk : dv) + row * key_width + (size_t)key_head * size,
                                    key_width, rows - row, size);
        } else {
            float* out = partial + ((size_t)(has_keys ? 0 : shares) + share) * rows * key_width + row * key_width + (size_t)key_head * size;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int r = half * 8 + (lane >> 2);
                if (row + r < rows) {
                    float* at = out + r * key_width + (lane & 3) * 2;
#pragma unroll
                    for (int i = 0; i < Size / 8; i++) {
                        if constexpr (Exact) {
                            *(float2*)(at + i * 8) = float2{sums[b][i][2 * half] * last, sums[b][i][2 * half + 1] * last};
                        } else {
                            const int column = i * 8 + (lane & 3) * 2;
                            if (column < size) at[i * 8] = sums[b][i][2 * half] * last;
                            if (column + 1 < size) at[i * 8 + 1] = sums[b][i][2 * half + 1] * last;
                        }
                    }
                }
            }
        }
    }
}

// Grid: (ceil(rows / keys of a block), key heads * shares); 128 threads. Keys of a block: 32 * Blocks. Shared bytes: (2 * keys of a block + 128) * Size * 2 + keys of a block * 128 + 1024.
// shares divides the query heads of a key head. Where it is 1, dk and dv are written; else partial [2 (dk, dv), shares, rows, key heads * size].
#define ELM_ATTENTION_BACKWARD_KEYS(NAME, SIZE, EXACT, BLOCKS, OCCUPANCY)                                                                                               \
    extern "C" __global__ void __launch_bounds__(kAttentionThreads, OCCUPANCY)                                                                                          \
        NAME(const int* __restrict__ segments, int segment_count, const int* __restrict__ queries, const int* __restrict__ checked,                                     \
             const unsigned char* __restrict__ table, int rows, int padded, int query_heads, int key_heads, int size, float scale, int shares,                          \
             const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v, const bf16* __restrict__ dy, const float* __restrict__ statistics,     \
             bf16* __restrict__ dk, bf16* __restrict__ dv, float* __restrict__ partial) {                                                                               \
        attention_backward_keys<SIZE, EXACT, BLOCKS>(segments, segment_count, queries, checked, table, rows, padded, query_heads, key_heads, size, scale, shares, q, k, \
                                                     v, dy, statistics, dk, dv, partial);                                                                               \
    }                                                                                                                                                                   \
    ELM_KERNEL(NAME)

ELM_ATTENTION_BACKWARD_KEYS(attention_backward_keys_32, 32, true, 2, 2)
ELM_ATTENTION_BACKWARD_KEYS(attention_backward_keys_64, 64, true, 2, 2)
ELM_ATTENTION_BACKWARD_KEYS(attention_backward_keys_96, 96, true, 2, 2)
ELM_ATTENTION_BACKWARD_KEYS(attention_backward_keys_128, 128, true, 2, 2)
ELM_ATTENTION_BACKWARD_KEYS(attention_backward_keys_256, 256, true, 1, 2)
ELM_ATTENTION_BACKWARD_KEYS(attention_backward_keys_any_64, 64, false, 1, 2)
ELM_ATTENTION_BACKWARD_KEYS(attention_backward_keys_any_256, 256, false, 1, 2)

// dk and dv [count] from partial [2, shares, count], in rising share. Grid: (any number of blocks, 2); each thread strides over the elements.
extern "C" __global__ void __launch_bounds__(256)
    attention_backward_sum(const float* __restrict__ partial, int shares, size_t count, bf16* __restrict__ dk, bf16* __restrict__ dv) {
    const float* from = partial + (size_t)blockIdx.y * shares * count;
    bf16* to = blockIdx.y ? dv : dk;
    const size_t stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        float sum = 0.f;
        for (int share = 0; share < shares; share++) sum += from[share * count + i];
        to[i] = to_bf16(sum);
    }
}

ELM_KERNEL(attention_backward_sum)
