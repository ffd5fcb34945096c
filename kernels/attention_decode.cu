// Attention of sequences that decode together: few query rows, each at the end of its own segment, groups of which share their ancestors (the rollouts of a prompt).
//
// The work is cut into pieces of up to `piece` keys. Consecutive queries whose segments have the same parent are a team, of as many as fill 64 rows (query, query head of a
// key head) of the tensor core: the rows of their common ancestors are read once for the team. The rows of a query's own segment are read for it alone. A block of a
// fixed grid works the list of pieces out for itself, from the plan as it is in device memory, and takes every gridDim.x-th piece; loads of the next tile of keys, of the
// next piece too, run behind the work on this one. Each piece leaves (largest score, sum, weighted sum of values) of its rows in its slot; attention_decode_combine
// puts the slots of a row together, ancestors first, in rising order. Grid and slots follow from shapes and the largest context alone.
//
// Limit: bandwidth, 2 * head size * 2 bytes a key and key head; 64 keys are in flight a block while 64 others are worked on (32 of 256 elements).
// Registers, counted as live values in the PTX: about 165 for heads of 64, 220 of 128, 255 of 256. Shared memory: 55, 103 and 135 KB: four, two and one block a multiprocessor of 227 KB.
#include "attention.h"

constexpr int kTeamRows = 64;
// Queries whose plan a block looks at: those of its blockIdx.y.
constexpr int kPlanQueries = 256;

// Inclusive sum (or maximum) of x over the threads up to this one; `all` gets that of the block. scratch holds 4 ints.
template <bool Maximum> ELM_DEV int block_scan(int x, int& all, int* scratch) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
#pragma unroll
    for (int d = 1; d < kWarp; d <<= 1) {
        const int other = __shfl_sync(kAllLanes, x, lane - d);
        if (lane >= d) x = Maximum ? max(x, other) : x + other;
    }
    if (lane == kWarp - 1) scratch[warp] = x;
    __syncthreads();
    all = scratch[0];
    if (warp > 0) x = Maximum ? max(x, all) : x + all;
#pragma unroll
    for (int w = 1; w < kAttentionWarps; w++) {
        if (warp > w) x = Maximum ? max(x, scratch[w]) : x + scratch[w];
        all = Maximum ? max(all, scratch[w]) : all + scratch[w];
    }
    __syncthreads();
    return x;
}

// What a block knows of each of its queries, in shared memory.
struct DecodePlan {
    int first[kPlanQueries];    // store row of the own segment's first row
    int visible[kPlanQueries];  // rows seen of the own segment
    int parent[kPlanQueries];   // segment, or -1
    int before[kPlanQueries];   // rows of the ancestors
    int led[kPlanQueries];      // pieces of the ancestors, if the query is the first of a team; else 0
    int ends[kPlanQueries];     // pieces of this query and those before it
    int scratch[kAttentionWarps];
};

// Fills the plan of `count` queries; returns the number of pieces.
ELM_DEV int make_plan(DecodePlan& plan, const Segments& segments, const int* queries, int count, int piece, int team) {
    int pieces = 0, run = 0;
    for (int base = 0; base < count; base += kAttentionThreads) {
        const int i = base + (int)threadIdx.x;
        int visible = 0, parent = -1, before = 0;
        if (i < count) {
            const int segment = queries[2 * i];
            visible = queries[2 * i + 1];
            const int context = context_of(segments, segment, visible);
            plan.first[i] = context > 0 ? segments.first(segment) : 0;
            if (context > 0) {
                parent = segments.parent(segment);
                before = context - visible;
            } else {
                visible = 0;
            }
            plan.visible[i] = visible;
            plan.parent[i] = parent;
            plan.before[i] = before;
        }
        __syncthreads();
        // where the run of queries of one parent starts: the last query so far that differs from the one before it
        const bool starts = i == 0 || (i < count && (parent < 0 || parent != plan.parent[i - 1]));
        int last;
        const int start = max(run, block_scan<true>(starts ? i : 0, last, plan.scratch));
        run = max(run, last);
        const int led = i < count && (i - start) % team == 0 ? pieces_of(before, piece) : 0;
        int sum;
        const int end = pieces + block_scan<false>(led + pieces_of(visible, piece), sum, plan.scratch);
        pieces += sum;
        if (i < count) {
            plan.led[i] = led;
            plan.ends[i] = end;
        }
    }
    __syncthreads();
    return pieces;
}

// A piece of work: keys [begin, end) of the ancestors of `members` queries from `query` on, or of one query's own segment.
struct Piece {
    int query, members, key_head, head, heads, begin, end, slot, shared;
};

// Store rows [row, row + count) of up to as many keys as a tile holds.
struct Keys {
    int row, count;
};

// KeysAtOnce: keys of a tile.
template <int Size, bool Exact, int KeysAtOnce>
ELM_DEV void attention_decode(const int* plan_segments, int segment_count, const int* queries, int rows, int store_rows, int max_context, int query_heads, int key_heads,
                              int size, float scale, int piece_keys, int slots, const bf16* q, const bf16* k, const bf16* v, float* sums_out, float* softmax_out) {
    constexpr int kKeys = KeysAtOnce;
    constexpr bool kQueriesStay = Size <= 128;   // in registers
    constexpr uint32_t kQueryTile = kTeamRows * kRowBytes<Size>, kKeyTile = kKeys * kRowBytes<Size>, kStages = 2 * kQueryTile, kExchange = kStages + 4 * kKeyTile;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const smem_t shared = smem_addr(ELM_DYN_SMEM());
    float* exchange = (float*)shared_at(kExchange);   // largest score and sum, of each lane of two warps
    DecodePlan& plan = *(DecodePlan*)(exchange + 2 * 4 * kWarp);
    const Segments segments{plan_segments, segment_count, store_rows, max_context};
    const int query0 = (int)blockIdx.y * kPlanQueries, count = min(kPlanQueries, rows - query0);
    const int group = query_heads / key_heads, head_blocks = pieces_of(group, kTeamRows), team = max(1, kTeamRows / group);
    const size_t width = (size_t)query_heads * size, key_width = (size_t)key_heads * size;
    const float factor = scale * kLog2E;

    const int items = make_plan(plan, segments, queries + 2 * query0, count, piece_keys, team) * key_heads * head_blocks;
    int item = blockIdx.x;
    if (item >= items) return;

    const auto find = [&](int index) {
        const int unit = index % (key_heads * head_blocks), n = index / (key_heads * head_blocks);
        int low = 0, high = count - 1;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (plan.ends[middle] > n) high = middle;
            else low = middle + 1;
        }
        Piece piece;
        piece.query = low;
        piece.key_head = unit / head_blocks;
        piece.head = piece.key_head * group + unit % head_blocks * kTeamRows;
        piece.heads = min(kTeamRows, group - unit % head_blocks * kTeamRows);
        piece.members = 1;
        const int led = plan.led[low];
        int at = n - (low > 0 ? plan.ends[low - 1] : 0);
        piece.shared = at < led;
        if (piece.shared) {
            while (piece.members < team && low + piece.members < count && plan.parent[low + piece.members] == plan.parent[low]) piece.members++;
            piece.slot = at;
        } else {
            at -= led;
            piece.slot = pieces_of(plan.before[low], piece_keys) + at;
        }
        piece.begin = at * piece_keys;
        piece.end = min(piece.begin + piece_keys, piece.shared ? plan.before[low] : plan.visible[low]);
        return piece;
    };

    const auto keys_at = [&](const Piece& piece, int at) {
        if (!piece.shared) return Keys{plan.first[piece.query] + at, min(kKeys, piece.end - at)};
        int s = plan.parent[piece.query], n = segments.size(s), start = plan.before[piece.query] - n;
        while (at < start) {
            s = segments.parent(s);
            n = segments.size(s);
            start -= n;
        }
        return Keys{segments.first(s) + at - start, min(kKeys, min(piece.end, start + n) - at)};
    };

    const auto load_queries = [&](const Piece& piece, int held) {
        const int team_rows = piece.members * piece.heads, tile_rows = pieces_of(team_rows, 16) * 16;
        const bf16* x = q + (size_t)(query0 + piece.query) * width + (size_t)piece.head * size;
        constexpr int kStep = Exact ? 8 : 1;
        for (int at = (int)threadIdx.x * kStep; at < tile_rows * Size; at += kAttentionThreads * kStep) {
            const int row = at / Size, column = at % Size;
            const bool inside = row < team_rows && column < size;
            const bf16* from = inside ? x + row / piece.heads * width + row % piece.heads * size + column : x;
            const uint32_t to = held * kQueryTile + tile_at<Size>(row, column / 8);
            if constexpr (Exact) cp_async16(shared + to, from, inside ? 16 : 0);
            else *(bf16*)shared_at(to + column % 8 * 2) = inside ? *from : (bf16)0;
        }
    };

    const auto load_keys = [&](const Piece& piece, const Keys& keys, int stage) {
        const size_t from = keys.row * key_width + (size_t)piece.key_head * size;
        load_tile<Size, Exact, kKeys>(kStages + stage * 2 * kKeyTile, k + from, key_width, keys.count, size);
        load_tile<Size, Exact, kKeys>(kStages + stage * 2 * kKeyTile + kKeyTile, v + from, key_width, keys.count, size);
    };

    Piece piece = find(item);
    int at = piece.begin, stage = 0, held = 0;
    Keys keys = keys_at(piece, at);
    load_queries(piece, held);
    load_keys(piece, keys, stage);
    cp_async_commit();

    bool starts = true;
    [[maybe_unused]] uint32_t query[Size / 16][1][4];
    float sums[1][Size / 8][4], top[2], total[2];
    for (;;) {
        const bool ends = at + keys.count >= piece.end;
        bool more = true;
        Piece next = piece;
        Keys next_keys{0, 0};
        int next_at = at + keys.count;
        if (ends) {
            item += gridDim.x;
            more = item < items;
            if (more) {
                next = find(item);
                next_at = next.begin;
                load_queries(next, held ^ 1);
            }
        }
        if (more) {
            next_keys = keys_at(next, next_at);
            load_keys(next, next_keys, stage ^ 1);
        }
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();

        // The warps share the 16-row blocks of the team; where there are fewer than warps, they also share the keys.
        const int team_rows = piece.members * piece.heads, row_warps = team_rows <= 16 ? 1 : team_rows <= 32 ? 2 : 4;
        const int row0 = warp % row_warps * 16;
        const smem_t query_lane = shared + held * kQueryTile + row0 * kRowBytes<Size> + left_lane<Size>(lane);
        if (starts) {
            if (kQueriesStay && row0 < team_rows) {
#pragma unroll
                for (int step = 0; step < Size / 16; step++) ldmatrix_x4(query[step][0], at_step<Size>(query_lane, 2 * step));
            }
#pragma unroll
            for (int i = 0; i < Size / 8; i++) sums[0][i][0] = sums[0][i][1] = sums[0][i][2] = sums[0][i][3] = 0.f;
            top[0] = top[1] = -infinity();
            total[0] = total[1] = 0.f;
        }
        if (row0 < team_rows)
            for (int key = warp / row_warps * 16; key < keys.count; key += kAttentionWarps / row_warps * 16) {
                const smem_t tile = shared + kStages + stage * 2 * kKeyTile + key * kRowBytes<Size>;
                float s[1][2][4] = {};
                if constexpr (kQueriesStay) add_products<Size, 1, 1>(s, query, tile + right_lane<Size>(lane));
                else add_products<Size, 1, 1>(s, query_lane, tile + right_lane<Size>(lane));
                if (key + 16 > keys.count) {
                    const int seen = keys.count - key - (lane & 3) * 2;
#pragma unroll
                    for (int i = 0; i < 2; i++)
#pragma unroll
                        for (int e = 0; e < 4; e++)
                            if (i * 8 + e % 2 >= seen) s[0][i][e] = -infinity();
                }
                float kept[2];
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    // the first of the 16 keys is always seen: the largest score is finite
                    float high = fmaxf(fmaxf(s[0][0][2 * half], s[0][0][2 * half + 1]), fmaxf(s[0][1][2 * half], s[0][1][2 * half + 1]));
                    high = fmaxf(high, __shfl_xor_sync(kAllLanes, high, 1));
                    high = fmaxf(fmaxf(top[half], high), __shfl_xor_sync(kAllLanes, high, 2));
                    kept[half] = exp2_approx((top[half] - high) * factor);
                    top[half] = high;
                    float sum = 0.f;
#pragma unroll
                    for (int i = 0; i < 2; i++)
#pragma unroll
                        for (int e = 0; e < 2; e++) sum += s[0][i][2 * half + e] = exp2_approx((s[0][i][2 * half + e] - high) * factor);
                    total[half] = fmaf(total[half], kept[half], sum);
                }
                if (__ballot_sync(kAllLanes, kept[0] != 1.f || kept[1] != 1.f)) {
#pragma unroll
                    for (int i = 0; i < Size / 8; i++)
#pragma unroll
                        for (int e = 0; e < 4; e++) sums[0][i][e] *= kept[e / 2];
                }
                add_weighted<Size, 1, 1>(sums, s, tile + kKeyTile + left_lane<Size>(lane));
            }

        if (ends) {
            // Warps that share rows put their keys together, in the place of the queries: half of them give, half take.
            for (int half = kAttentionWarps / 2; half >= row_warps; half >>= 1) {
                __syncthreads();
                float* slot = (float*)shared_at(held * kQueryTile) + warp % half * (kQueryTile / 8) + lane;
                float* soft = exchange + warp % half * 4 * kWarp + lane;
                if (warp >= half && warp < 2 * half) {
#pragma unroll
                    for (int i = 0; i < Size / 8; i++)
#pragma unroll
                        for (int e = 0; e < 4; e++) slot[(i * 4 + e) * kWarp] = sums[0][i][e];
#pragma unroll
                    for (int e = 0; e < 2; e++) {
                        float sum = total[e];
                        soft[e * kWarp] = top[e];
                        soft[(2 + e) * kWarp] = sum;
                    }
                }
                __syncthreads();
                if (warp < half) {
#pragma unroll
                    for (int e = 0; e < 2; e++) {
                        const float other = soft[e * kWarp], high = fmaxf(top[e], other), shift = high == -infinity() ? 0.f : high;
                        const float mine = exp2_approx((top[e] - shift) * factor), theirs = exp2_approx((other - shift) * factor);
                        top[e] = high;
                        total[e] = total[e] * mine + soft[(2 + e) * kWarp] * theirs;
#pragma unroll
                        for (int i = 0; i < Size / 8; i++)
#pragma unroll
                            for (int c = 2 * e; c < 2 * e + 2; c++) sums[0][i][c] = sums[0][i][c] * mine + slot[(i * 4 + c) * kWarp] * theirs;
                    }
                }
            }
            if (warp < row_warps && row0 < team_rows) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float sum = total[half];
                    sum += __shfl_xor_sync(kAllLanes, sum, 1);
                    sum += __shfl_xor_sync(kAllLanes, sum, 2);
                    const int row = row0 + half * 8 + (lane >> 2);
                    if (row < team_rows) {
                        const int query_row = query0 + piece.query + row / piece.heads, head = piece.head + row % piece.heads;
                        const size_t slot = ((size_t)query_row * query_heads + head) * slots + piece.slot;
                        if ((lane & 3) == 0) {
                            softmax_out[2 * slot] = top[half] * factor;
                            softmax_out[2 * slot + 1] = sum;
                        }
                        float* out = sums_out + slot * size + (lane & 3) * 2;
#pragma unroll
                        for (int i = 0; i < Size / 8; i++) {
                            if constexpr (Exact) {
                                *(float2*)(out + i * 8) = float2{sums[0][i][2 * half], sums[0][i][2 * half + 1]};
                            } else {
                                if (i * 8 + (lane & 3) * 2 < size) out[i * 8] = sums[0][i][2 * half];
                                if (i * 8 + (lane & 3) * 2 + 1 < size) out[i * 8 + 1] = sums[0][i][2 * half + 1];
                            }
                        }
                    }
                }
            }
            held ^= 1;
        }
        __syncthreads();   // nobody reads this tile, or the queries of a piece that ended, any more
        if (!more) break;
        piece = next;
        keys = next_keys;
        at = next_at;
        starts = ends;
        stage ^= 1;
    }
    cp_async_wait<0>();
}

// Puts the slots of each (query, head) together: y as BF16, and the log-sum-exp unless it is null. No keys give zeros and -infinity; a query that does not fit the plan NaN.
// Grid: ceil(rows * query heads / 4); 128 threads, a warp for each (query, head). `size` is up to 256.
extern "C" __global__ void __launch_bounds__(kAttentionThreads)
    attention_decode_combine(const int* __restrict__ plan_segments, int segment_count, const int* __restrict__ queries, int rows, int store_rows, int max_context,
                             int query_heads, int size, int piece_keys, int slots, const float* __restrict__ sums, const float* __restrict__ softmax, bf16* __restrict__ y,
                             float* __restrict__ log_sum_exp) {
    constexpr int kParts = 256 / kWarp;
    const int lane = threadIdx.x % kWarp;
    const size_t vector = (size_t)blockIdx.x * kAttentionWarps + threadIdx.x / kWarp;
    const int row = (int)(vector / query_heads);
    if (row >= rows) return;
    const Segments segments{plan_segments, segment_count, store_rows, max_context};
    const int visible = queries[2 * row + 1], context = context_of(segments, queries[2 * row], visible);
    const int used = context > 0 ? pieces_of(context - visible, piece_keys) + pieces_of(visible, piece_keys) : 0;
    const float* soft = softmax + 2 * vector * slots;
    sums += vector * slots * size;
    float top = -infinity();
    for (int i = lane; i < used; i += kWarp) top = fmaxf(top, soft[2 * i]);
    top = warp_max(top);
    float total = 0.f, weighted[kParts] = {};
    for (int i = 0; i < used; i++) {
        const float weight = exp2_approx(soft[2 * i] - top);
        total = fmaf(soft[2 * i + 1], weight, total);
#pragma unroll
        for (int part = 0; part < kParts; part++)
            if (part * kWarp + lane < size) weighted[part] = fmaf(sums[(size_t)i * size + part * kWarp + lane], weight, weighted[part]);
    }
    const float inverse = context < 0 ? not_a_number() : used > 0 ? 1.f / total : 0.f;
#pragma unroll
    for (int part = 0; part < kParts; part++)
        if (part * kWarp + lane < size) y[vector * size + part * kWarp + lane] = to_bf16(weighted[part] * inverse);
    if (log_sum_exp && lane == 0) log_sum_exp[vector] = context < 0 ? not_a_number() : used > 0 ? (top + log2_approx(total)) * kLn2 : -infinity();
}

ELM_KERNEL(attention_decode_combine)

// Grid: (any number of blocks, ceil(rows / 256)); 128 threads. piece_keys is a multiple of 64; slots at least max_context / piece_keys + 2.
// sums_out [rows, query heads, slots, size] and softmax_out [rows, query heads, slots, 2]: only the slots in use are written. Scale is above 0.
// Shared bytes: 256 * Size + 8 * KEYS * Size + 1024 + 6160.
#define ELM_ATTENTION_DECODE(NAME, SIZE, EXACT, KEYS)                                                                                                                     \
    extern "C" __global__ void __launch_bounds__(kAttentionThreads)                                                                                                     \
        NAME(const int* __restrict__ segments, int segment_count, const int* __restrict__ queries, int rows, int store_rows, int max_context, int query_heads,          \
             int key_heads, int size, float scale, int piece_keys, int slots, const bf16* __restrict__ q, const bf16* __restrict__ k, const bf16* __restrict__ v,        \
             float* __restrict__ sums, float* __restrict__ softmax) {                                                                                                   \
        attention_decode<SIZE, EXACT, KEYS>(segments, segment_count, queries, rows, store_rows, max_context, query_heads, key_heads, size, scale, piece_keys, slots, q, \
                                            k, v, sums, softmax);                                                                                                       \
    }                                                                                                                                                                   \
    ELM_KERNEL(NAME)

ELM_ATTENTION_DECODE(attention_decode_32, 32, true, 64)
ELM_ATTENTION_DECODE(attention_decode_64, 64, true, 64)
ELM_ATTENTION_DECODE(attention_decode_96, 96, true, 64)
ELM_ATTENTION_DECODE(attention_decode_128, 128, true, 64)
// For devices whose blocks have no 103 KB of shared memory (compute capability 8.6 and 8.9: 99 KB).
ELM_ATTENTION_DECODE(attention_decode_narrow_128, 128, true, 32)
ELM_ATTENTION_DECODE(attention_decode_256, 256, true, 32)
ELM_ATTENTION_DECODE(attention_decode_any_64, 64, false, 64)
ELM_ATTENTION_DECODE(attention_decode_any_256, 256, false, 32)
