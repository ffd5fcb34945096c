// Attention of many query rows (prefill and training), in the manner of FlashAttention-2.
//
// A block takes Rows consecutive query rows, whatever segments they are of, and one query head. It walks the segments that any of its rows sees in rising index, which puts
// ancestors first, in tiles of 64 keys; a query row sees the first `limit` keys of a segment (all of an ancestor, `visible` of its own, none of another). So rows of several
// completions share the work on their prefix, and a warp sits out a tile that none of its rows sees. Masks are made only for tiles that some row of the warp sees in part.
//
// Limit: tensor-core rate, 4 * Size FLOPs a (query row, key) pair and head. A warp has 16 * Blocks query rows, so that a fragment of keys read from shared memory feeds
// 2 * Blocks products; the sums stay in registers. Keys and values have a buffer each: values arrive while scores are made, the next keys while values are summed.
// Registers, counted as live values in the PTX: about 245 for heads of 64, 275 of 128 and 235 of 256 with pointers and constants, which ptxas takes from the constant bank where it must; 155 and 170 for
// few rows. Two blocks a multiprocessor (three for few rows), 64.1 KB of shared memory each for heads of 128.
#include "attention.h"

constexpr int kKeys = 64;

template <int Size, int Blocks> constexpr int kForwardRows = kAttentionWarps * 16 * Blocks;

// The keys that a block works on now: `at` .. at + 63 of `count` keys of a segment; how many of the segment's keys this lane's row sees, and the fewest and most that a row of the warp sees.
struct KeyWalk {
    int segment, first, count, at, limit, fewest, most;
};

// The least value over the block.
ELM_DEV int block_least(int x, int* scratch) {
    x = warp_least(x);
    if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = x;
    __syncthreads();
    x = min(min(scratch[0], scratch[1]), min(scratch[2], scratch[3]));
    return x;
}

// Moves to the first tile of the next segment that a row of the block sees; false where there is none. `segment` and `visible` are of this lane's row, -1 where it has none.
// scratch holds 8 ints. Every thread of the block calls it.
ELM_DEV bool next_segment(const Segments& segments, KeyWalk& walk, int segment, int visible, int* scratch) {
    int found = kNone, limit = 0;
    for (int s = segment, seen = visible; s > walk.segment;) {
        if (seen > 0) {
            found = s;
            limit = seen;
        }
        s = segments.parent(s);
        if (s >= 0) seen = segments.size(s);
    }
    const int next = block_least(found, scratch);
    walk.limit = found == next ? limit : 0;
    walk.fewest = warp_least(walk.limit);
    walk.most = warp_greatest(walk.limit);
    walk.count = -block_least(-walk.limit, scratch + kAttentionWarps);
    __syncthreads();
    if (next == kNone) return false;
    walk.segment = next;
    walk.first = segments.first(next);
    walk.at = 0;
    return true;
}

template <int Size, bool Exact, int Blocks>
ELM_DEV void attention_forward(const int* plan_segments, int segment_count, const int* queries, int rows, int store_rows, int max_context, int query_heads, int key_heads,
                               int size, float scale, const bf16* q, const bf16* k, const bf16* v, bf16* y, float* log_sum_exp) {
    constexpr int kRows = kForwardRows<Size, Blocks>;
    constexpr uint32_t kKeyTile = kRows * kRowBytes<Size>, kValueTile = kKeyTile + kKeys * kRowBytes<Size>, kScratch = kValueTile + kKeys * kRowBytes<Size>;
    constexpr bool kQueriesStay = Size <= 64;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const int row0 = (int)(gridDim.x - 1 - blockIdx.x) * kRows, head = blockIdx.y;
    const size_t width = (size_t)query_heads * size, key_width = (size_t)key_heads * size;
    const int key_head = head / (query_heads / key_heads);
    int* scratch = (int*)shared_at(kScratch);
    const smem_t shared = smem_addr(ELM_DYN_SMEM());
    const Segments segments{plan_segments, segment_count, store_rows, max_context};
    q += row0 * width + (size_t)head * size;
    k += (size_t)key_head * size;
    v += (size_t)key_head * size;

    // Each lane looks after one row of its warp: its segment, and the length of its context.
    const int own = row0 + warp * 16 * Blocks + lane % (16 * Blocks);
    int segment = -1, visible = 0, context = 0;
    if (own < rows) {
        segment = queries[2 * own];
        visible = queries[2 * own + 1];
        context = context_of(segments, segment, visible);
        if (context <= 0) segment = -1;
    }

    KeyWalk walk{-1, 0, 0, 0, 0, 0, 0};
    bool more = next_segment(segments, walk, segment, visible, scratch);
    load_tile<Size, Exact, kRows>(0, q, width, rows - row0, size);
    if (more) load_tile<Size, Exact, kKeys>(kKeyTile, k + walk.first * key_width, key_width, walk.count, size);
    cp_async_commit();

    float sums[Blocks][Size / 8][4] = {};
    float top[Blocks][2], total[Blocks][2] = {};
#pragma unroll
    for (int b = 0; b < Blocks; b++) top[b][0] = top[b][1] = -infinity();
    [[maybe_unused]] uint32_t query[Size / 16][Blocks][4];
    const float factor = scale * kLog2E;
    const smem_t query_lane = shared + warp * 16 * Blocks * kRowBytes<Size> + left_lane<Size>(lane);
    const smem_t key_lane = shared + kKeyTile + right_lane<Size>(lane), value_lane = shared + kValueTile + left_lane<Size>(lane);
    [[maybe_unused]] bool first = true;

    while (more) {
        cp_async_wait<0>();
        __syncthreads();   // the keys are here, and nobody reads the values of the tile before
        load_tile<Size, Exact, kKeys>(kValueTile, v + (size_t)(walk.first + walk.at) * key_width, key_width, walk.count - walk.at, size);
        cp_async_commit();
        if constexpr (kQueriesStay)
            if (first) {
#pragma unroll
                for (int b = 0; b < Blocks; b++)
#pragma unroll
                    for (int step = 0; step < Size / 16; step++)
                        ldmatrix_x4(query[step][b], at_step<Size>(query_lane, 2 * step) + b * 16 * kRowBytes<Size>);
                first = false;
            }

        const bool takes_part = walk.at < walk.most;
        float s[Blocks][kKeys / 8][4] = {};
        if (takes_part) {
            if constexpr (kQueriesStay) add_products<Size, Blocks, kKeys / 16>(s, query, key_lane);
            else add_products<Size, Blocks, kKeys / 16>(s, query_lane, key_lane);
            if (walk.at + kKeys > walk.fewest) {
#pragma unroll
                for (int b = 0; b < Blocks; b++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const int seen = __shfl_sync(kAllLanes, walk.limit, b * 16 + half * 8 + (lane >> 2)) - walk.at - (lane & 3) * 2;
#pragma unroll
                        for (int i = 0; i < kKeys / 8; i++) {
                            if (i * 8 >= seen) s[b][i][2 * half] = -infinity();
                            if (i * 8 + 1 >= seen) s[b][i][2 * half + 1] = -infinity();
                        }
                    }
            }
            float kept[Blocks][2];
            bool changed = false;
#pragma unroll
            for (int b = 0; b < Blocks; b++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float high = top[b][half];
#pragma unroll
                    for (int i = 0; i < kKeys / 8; i++) high = fmaxf(high, fmaxf(s[b][i][2 * half], s[b][i][2 * half + 1]));
                    high = fmaxf(high, __shfl_xor_sync(kAllLanes, high, 1));
                    high = fmaxf(high, __shfl_xor_sync(kAllLanes, high, 2));
                    // a row that has seen nothing yet shifts by 0: -infinity - -infinity is no number
                    const float finite = high == -infinity() ? 0.f : high, shift = finite * factor;
                    kept[b][half] = exp2_approx((top[b][half] - finite) * factor);
                    changed |= kept[b][half] != 1.f;
                    top[b][half] = high;
                    float sum = 0.f;
#pragma unroll
                    for (int i = 0; i < kKeys / 8; i++) {
                        s[b][i][2 * half] = exp2_approx(fmaf(s[b][i][2 * half], factor, -shift));
                        s[b][i][2 * half + 1] = exp2_approx(fmaf(s[b][i][2 * half + 1], factor, -shift));
                        sum += s[b][i][2 * half] + s[b][i][2 * half + 1];
                    }
                    total[b][half] = fmaf(total[b][half], kept[b][half], sum);
                }
            if (__ballot_sync(kAllLanes, changed)) {   // the largest scores soon stand
#pragma unroll
                for (int b = 0; b < Blocks; b++)
#pragma unroll
                    for (int i = 0; i < Size / 8; i++)
#pragma unroll
                        for (int e = 0; e < 4; e++) sums[b][i][e] *= kept[b][e / 2];
            }
        }

        cp_async_wait<0>();
        __syncthreads();   // the values are here, and nobody reads the keys any more
        walk.at += kKeys;
        if (walk.at >= walk.count) more = next_segment(segments, walk, segment, visible, scratch);
        if (more) load_tile<Size, Exact, kKeys>(kKeyTile, k + (size_t)(walk.first + walk.at) * key_width, key_width, walk.count - walk.at, size);
        cp_async_commit();
        if (takes_part) add_weighted<Size, Blocks, kKeys / 16>(sums, s, value_lane);
    }
    cp_async_wait<0>();
    __syncthreads();   // the queries' tile, which nobody reads any more, takes the output

#pragma unroll
    for (int b = 0; b < Blocks; b++) {
        const int block_row = row0 + warp * 16 * Blocks + b * 16;
        float inverse[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sum = total[b][half];
            sum += __shfl_xor_sync(kAllLanes, sum, 1);
            sum += __shfl_xor_sync(kAllLanes, sum, 2);
            const bool wrong = __shfl_sync(kAllLanes, context, b * 16 + half * 8 + (lane >> 2)) < 0;
            inverse[half] = wrong ? not_a_number() : sum > 0.f ? 1.f / sum : sum;
            const int row = block_row + half * 8 + (lane >> 2);
            if (log_sum_exp && (lane & 3) == 0 && row < rows)
                log_sum_exp[(size_t)row * query_heads + head] = wrong ? not_a_number() : sum == 0.f ? -infinity() : (top[b][half] * factor + log2_approx(sum)) * kLn2;
        }
        write_rows<Size, Exact>(sums[b], inverse[0], inverse[1], (uint32_t)((warp * Blocks + b) * 16 * kRowBytes<Size>),
                                y + block_row * width + (size_t)head * size, width, rows - block_row, size);
    }
}

// Grid: (ceil(rows / query rows of a block), query heads); 128 threads. Query rows of a block: 64 * Blocks. Shared bytes: (rows of a block + 128) * Size * 2 + 64.
// A query that does not fit the plan (see context_of) gives NaN. Scale is above 0; log_sum_exp may be null.
#define ELM_ATTENTION_FORWARD(NAME, SIZE, EXACT, BLOCKS, OCCUPANCY)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(kAttentionThreads, OCCUPANCY)                                                                                          \
        NAME(const int* __restrict__ segments, int segment_count, const int* __restrict__ queries, int rows, int store_rows, int max_context, int query_heads,          \
             int key_heads, int size, float scale, const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v, bf16* __restrict__ y,             \
             float* __restrict__ log_sum_exp) {                                                                                                                         \
        attention_forward<SIZE, EXACT, BLOCKS>(segments, segment_count, queries, rows, store_rows, max_context, query_heads, key_heads, size, scale, q, k, v, y,        \
                                               log_sum_exp);                                                                                                            \
    }                                                                                                                                                                   \
    ELM_KERNEL(NAME)

ELM_ATTENTION_FORWARD(attention_forward_32, 32, true, 2, 2)
ELM_ATTENTION_FORWARD(attention_forward_64, 64, true, 2, 2)
ELM_ATTENTION_FORWARD(attention_forward_96, 96, true, 2, 2)
ELM_ATTENTION_FORWARD(attention_forward_128, 128, true, 2, 2)
ELM_ATTENTION_FORWARD(attention_forward_256, 256, true, 1, 2)
// The same with half the rows a block, for few rows: twice the blocks.
ELM_ATTENTION_FORWARD(attention_forward_few_32, 32, true, 1, 3)
ELM_ATTENTION_FORWARD(attention_forward_few_64, 64, true, 1, 3)
ELM_ATTENTION_FORWARD(attention_forward_few_96, 96, true, 1, 3)
ELM_ATTENTION_FORWARD(attention_forward_few_128, 128, true, 1, 3)
// Any head size up to 64, or up to 256.
ELM_ATTENTION_FORWARD(attention_forward_any_64, 64, false, 1, 2)
ELM_ATTENTION_FORWARD(attention_forward_any_256, 256, false, 1, 2)
