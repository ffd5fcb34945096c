// Gradients of attention over packed rows: store row i is query row i.
//
// Probabilities come again from the log-sum-exp, tile by tile; with D = rowsum(dy * y), dv += p^T dy and ds = p (dy v^T - D), dq += scale ds k, dk += scale ds^T q.
// Which tiles of 32 query rows see anything, or everything, of which tiles of 32 keys is worked out once, in a table; so the two kernels that do the work, one a tile of
// query rows (dq) and one a tile of keys (dk and dv: attention_backward_keys.cu), skip what nobody sees, make masks only where a tile is seen in part, and know nothing of segments besides. All sums
// have a fixed order: dq in rising key, dk and dv in rising query row, head by head. Where query heads share a key head and their blocks are spread over the device,
// each leaves float32 sums and attention_backward_sum adds them up, in rising head.
//
// Limit: tensor-core rate, 10 * Size FLOPs a (query row, key) pair and head; 14 are done, as both kernels make scores and dy v^T. A warp has 16 * Blocks rows of the output.
// Registers, counted as live values in the PTX with pointers and constants: dq about 215 for heads of 64, 280 of 128 and 235 of 256; dk and dv 200, 270 and 240. Shared memory for heads of 128: 96 and 73 KB.
#include "attention_backward.h"

// statistics [query heads, 2, padded]: the log-sum-exp times log2(e), and D, of each row; zeros for rows from `rows` on and for those that see nothing or do not fit the plan, for
// which checked [rows], else the query's segment, becomes -1. Grid: ceil(padded * query heads / 4); 128 threads, a warp for each (row, head).
// `vectors` says that rows can be read 8 bytes at a time.
extern "C" __global__ void __launch_bounds__(kAttentionThreads)
    attention_backward_prepare(const int* __restrict__ plan_segments, int segment_count, const int* __restrict__ queries, int rows, int padded, int max_context, int query_heads,
                               int size, int vectors, const bf16* __restrict__ y, const bf16* __restrict__ dy, const float* __restrict__ log_sum_exp,
                               float* __restrict__ statistics, int* __restrict__ checked) {
    const int lane = threadIdx.x % kWarp;
    const size_t vector = (size_t)blockIdx.x * kAttentionWarps + threadIdx.x / kWarp;
    const int row = (int)(vector / query_heads), head = (int)(vector % query_heads);
    if (row >= padded) return;
    float log2_sum = 0.f, dot = 0.f;
    if (row < rows) {
        const Segments segments{plan_segments, segment_count, rows, max_context};
        const int segment = queries[2 * row];
        const bool sees = context_of(segments, segment, queries[2 * row + 1]) > 0;
        if (head == 0 && lane == 0) checked[row] = sees ? segment : -1;
        if (sees) {
            y += vector * size;
            dy += vector * size;
            if (vectors) {
                for (int i = lane * 4; i < size; i += kWarp * 4) {
                    const uint2 a = *(const uint2*)(y + i), b = *(const uint2*)(dy + i);
                    dot = fmaf(from_bf16((bf16)a.x), from_bf16((bf16)b.x), dot);
                    dot = fmaf(from_bf16((bf16)(a.x >> 16)), from_bf16((bf16)(b.x >> 16)), dot);
                    dot = fmaf(from_bf16((bf16)a.y), from_bf16((bf16)b.y), dot);
                    dot = fmaf(from_bf16((bf16)(a.y >> 16)), from_bf16((bf16)(b.y >> 16)), dot);
                }
            } else {
                for (int i = lane; i < size; i += kWarp) dot = fmaf(from_bf16(y[i]), from_bf16(dy[i]), dot);
            }
            dot = warp_sum(dot);
            log2_sum = log_sum_exp[vector] * kLog2E;
        }
    }
    if (lane == 0) {
        statistics[(size_t)(2 * head) * padded + row] = log2_sum;
        statistics[(size_t)(2 * head + 1) * padded + row] = dot;
    }
}

// table [tiles, tiles]: what the 32 query rows of a tile see of 32 keys. Grid: (tiles, ceil(tiles / 64)); 128 threads, whose warps take every fourth of 64 tiles of keys.
extern "C" __global__ void __launch_bounds__(kAttentionThreads)
    attention_backward_table(const int* __restrict__ plan_segments, int segment_count, const int* __restrict__ queries, const int* __restrict__ checked, int rows,
                             unsigned char* __restrict__ table) {
    const int lane = threadIdx.x % kWarp, tiles = pieces_of(rows, kBackwardTile), row = (int)blockIdx.x * kBackwardTile + lane;
    const Segments segments{plan_segments, segment_count, rows, 0};
    const int segment = row < rows ? checked[row] : -1, visible = row < rows ? queries[2 * row + 1] : 0;
    const int end = min(tiles, ((int)blockIdx.y + 1) * 64);
    for (int tile = (int)blockIdx.y * 64 + (int)threadIdx.x / kWarp; tile < end; tile += kAttentionWarps) {
        const unsigned seen = seen_keys(segments, segment, visible, tile * kBackwardTile);
        const bool some = __ballot_sync(kAllLanes, seen != 0) != 0, all = __ballot_sync(kAllLanes, seen == ~0u) == ~0u;
        if (lane == 0) table[(size_t)blockIdx.x * tiles + tile] = (unsigned char)((some ? kSomeSeen : 0) | (all ? kAllSeen : 0));
    }
}

// A block has 64 * Blocks query rows of one query head, and goes through keys, 32 at a time, the next 32 on their way.
template <int Size, bool Exact, int Blocks>
ELM_DEV void attention_backward_queries(const int* plan_segments, int segment_count, const int* queries, const int* checked, const unsigned char* table, int rows, int padded,
                                        int query_heads, int key_heads, int size, float scale, const bf16* q, const bf16* k, const bf16* v, const bf16* dy,
                                        const float* statistics, bf16* dq) {
    constexpr int kRows = kAttentionWarps * 16 * Blocks, kKeys = kBackwardTile;
    constexpr uint32_t kSlopes = kRows * kRowBytes<Size>, kStages = 2 * kSlopes, kTile = kKeys * kRowBytes<Size>;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, tiles = pieces_of(rows, kBackwardTile);
    const int row0 = (int)(gridDim.x - 1 - blockIdx.x) * kRows, head = blockIdx.y, key_head = head / (query_heads / key_heads);
    const size_t width = (size_t)query_heads * size, key_width = (size_t)key_heads * size;
    const smem_t shared = smem_addr(ELM_DYN_SMEM());
    const Segments segments{plan_segments, segment_count, rows, 0};
    k += (size_t)key_head * size;
    v += (size_t)key_head * size;

    const int own_row = row0 + warp * 16 * Blocks + lane % (16 * Blocks);
    const int segment = own_row < rows ? checked[own_row] : -1, visible = own_row < rows ? queries[2 * own_row + 1] : 0;
    const auto entry = [&](int tile, bool& own) {
        int some = 0, all = kAllSeen;
#pragma unroll
        for (int i = 0; i < kRows / kBackwardTile; i++) {
            const int at = row0 / kBackwardTile + i, seen = at < tiles ? table[(size_t)at * tiles + tile] : 0;
            some |= seen & kSomeSeen;
            all &= seen;
            if (i == warp * Blocks / 2) own = seen & kSomeSeen;
        }
        return some | all;
    };
    const auto load_keys = [&](int tile, int stage) {
        const size_t from = (size_t)tile * kKeys * key_width;
        load_tile<Size, Exact, kKeys>(kStages + stage * 2 * kTile, k + from, key_width, rows - tile * kKeys, size);
        load_tile<Size, Exact, kKeys>(kStages + stage * 2 * kTile + kTile, v + from, key_width, rows - tile * kKeys, size);
    };

    TileWalk walk{-1, 0, 0, 0};
    bool more = next_tile(walk, tiles, entry);
    load_tile<Size, Exact, kRows>(0, q + row0 * width + (size_t)head * size, width, rows - row0, size);
    load_tile<Size, Exact, kRows>(kSlopes, dy + row0 * width + (size_t)head * size, width, rows - row0, size);
    if (more) load_keys(walk.at, 0);
    cp_async_commit();

    float log2_sum[Blocks][2], mean[Blocks][2];
#pragma unroll
    for (int b = 0; b < Blocks; b++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = row0 + (warp * Blocks + b) * 16 + half * 8 + (lane >> 2);
            log2_sum[b][half] = row < rows ? statistics[(size_t)(2 * head) * padded + row] : 0.f;
            mean[b][half] = row < rows ? statistics[(size_t)(2 * head + 1) * padded + row] : 0.f;
        }
    float sums[Blocks][Size / 8][4] = {};
    const float factor = scale * kLog2E;
    const smem_t query_lane = shared + warp * 16 * Blocks * kRowBytes<Size> + left_lane<Size>(lane);
    int stage = 0;
    while (more) {
        cp_async_wait<0>();
        __syncthreads();   // this tile is here, and nobody reads the one before it any more
        const TileWalk now = walk;
        more = next_tile(walk, tiles, entry);
        if (more) load_keys(walk.at, stage ^ 1);
        cp_async_commit();
        if (now.own & 1) {
            const smem_t keys = shared + kStages + stage * 2 * kTile, values = keys + kTile;
            float s[Blocks][kKeys / 8][4] = {}, ds[Blocks][kKeys / 8][4] = {};
            add_products<Size, Blocks, kKeys / 16>(s, query_lane, keys + right_lane<Size>(lane));
            add_products<Size, Blocks, kKeys / 16>(ds, query_lane + kSlopes, values + right_lane<Size>(lane));
            const bool masked = !(now.all & 1);
            const unsigned seen = masked ? seen_keys(segments, segment, visible, now.at * kKeys) : ~0u;
#pragma unroll
            for (int b = 0; b < Blocks; b++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const unsigned bits = masked ? (unsigned)__shfl_sync(kAllLanes, (int)seen, b * 16 + half * 8 + (lane >> 2)) >> (lane & 3) * 2 : ~0u;
#pragma unroll
                    for (int i = 0; i < kKeys / 8; i++)
#pragma unroll
                        for (int e = 2 * half; e < 2 * half + 2; e++) {
                            const float p = exp2_approx(fmaf(s[b][i][e], factor, -log2_sum[b][half]));
                            ds[b][i][e] = bits >> (i * 8 + e % 2) & 1 ? p * (ds[b][i][e] - mean[b][half]) : 0.f;
                        }
                }
            add_weighted<Size, Blocks, kKeys / 16>(sums, ds, keys + left_lane<Size>(lane));
        }
        stage ^= 1;
    }
    cp_async_wait<0>();
    __syncthreads();   // the queries' tile, which nobody reads any more, takes the output
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
        const int row = row0 + (warp * Blocks + b) * 16;
        write_rows<Size, Exact>(sums[b], scale, scale, (uint32_t)((warp * Blocks + b) * 16 * kRowBytes<Size>), dq + row * width + (size_t)head * size, width, rows - row, size);
    }
}

// Grid: (ceil(rows / query rows of a block), query heads); 128 threads. Query rows of a block: 64 * Blocks. Shared bytes: (2 * rows of a block + 128) * Size * 2.
#define ELM_ATTENTION_BACKWARD_QUERIES(NAME, SIZE, EXACT, BLOCKS, OCCUPANCY)                                                                                            \
    extern "C" __global__ void __launch_bounds__(kAttentionThreads, OCCUPANCY)                                                                                          \
        NAME(const int* __restrict__ segments, int segment_count, const int* __restrict__ queries, const int* __restrict__ checked,                                     \
             const unsigned char* __restrict__ table, int rows, int padded, int query_heads, int key_heads, int size, float scale, const bf16* __restrict__ q,          \
             const bf16* __restrict__ k, const bf16* __restrict__ v, const bf16* __restrict__ dy, const float* __restrict__ statistics, bf16* __restrict__ dq) {        \
        attention_backward_queries<SIZE, EXACT, BLOCKS>(segments, segment_count, queries, checked, table, rows, padded, query_heads, key_heads, size, scale, q, k, v,  \
                                                        dy, statistics, dq);                                                                                            \
    }                                                                                                                                                                   \
    ELM_KERNEL(NAME)

ELM_KERNEL(attention_backward_prepare)
ELM_KERNEL(attention_backward_table)
ELM_ATTENTION_BACKWARD_QUERIES(attention_backward_queries_32, 32, true, 2, 2)
ELM_ATTENTION_BACKWARD_QUERIES(attention_backward_queries_64, 64, true, 2, 2)
ELM_ATTENTION_BACKWARD_QUERIES(attention_backward_queries_96, 96, true, 2, 2)
ELM_ATTENTION_BACKWARD_QUERIES(attention_backward_queries_128, 128, true, 2, 2)
ELM_ATTENTION_BACKWARD_QUERIES(attention_backward_queries_256, 256, true, 1, 1)
ELM_ATTENTION_BACKWARD_QUERIES(attention_backward_queries_any_64, 64, false, 1, 2)
ELM_ATTENTION_BACKWARD_QUERIES(attention_backward_queries_any_256, 256, false, 1, 1)
