// What the attention kernels share: plans on the device, tiles of heads in shared memory, and the tensor-core steps over them.
//
// Every kernel runs four warps. Template parameters: Size is the head size that a tile holds (32, 64, 96, 128 or 256); Exact says that heads have that very size and that
// all rows start at multiples of 16 bytes, so that they can be copied in pieces of 16 bytes. Without it heads have up to Size elements, which are copied one by one, and
// zeros fill the rest: slow and always right.
#pragma once
#include "reduce.h"
#include "tensor_core.h"

constexpr int kAttentionThreads = 128;
constexpr int kAttentionWarps = kAttentionThreads / kWarp;
constexpr int kNone = 0x7fffffff;

ELM_DEV int pieces_of(int count, int size) { return (count + size - 1) / size; }

ELM_DEV int warp_least(int x) {
    for (int m = kWarp / 2; m; m >>= 1) x = min(x, __shfl_xor_sync(kAllLanes, x, m));
    return x;
}

ELM_DEV int warp_greatest(int x) {
    for (int m = kWarp / 2; m; m >>= 1) x = max(x, __shfl_xor_sync(kAllLanes, x, m));
    return x;
}

// ---- plans ------------------------------------------------------------------------------------------------------------------------------------------------------------

// Segments [segments, 3]: first store row, rows, parent (which comes before) or -1. See AttentionPlan.
struct Segments {
    const int* rows;
    int count, store_rows, max_context;

    __device__ __forceinline__ int first(int s) const { return rows[3 * s]; }
    __device__ __forceinline__ int size(int s) const { return rows[3 * s + 1]; }
    __device__ __forceinline__ int parent(int s) const { return rows[3 * s + 2]; }
};

// Store rows that a query sees with `visible` rows of a segment and all of its ancestors; -1 where that leads outside the segments, the store or the largest context, or where
// a parent does not come before its child. A kernel reads nothing for such a query and gives NaN.
ELM_DEV int context_of(const Segments& segments, int segment, int visible) {
    if (segment < 0 || segment >= segments.count || visible < 0 || visible > segments.size(segment)) return -1;
    int total = 0;
    for (int s = segment, seen = visible;;) {
        const int first = segments.first(s), size = segments.size(s), parent = segments.parent(s);
        if (first < 0 || size < 0 || first > segments.store_rows - size || parent >= s || seen > segments.max_context - total) return -1;
        total += seen;
        if (parent < 0) return total;
        s = parent;
        seen = segments.size(s);
        if (seen < 0) return -1;
    }
}

// ---- tiles in shared memory -------------------------------------------------------------------------------------------------------------------------------------------

// Byte `at` of the block's dynamic shared memory.
ELM_DEV unsigned char* shared_at(uint32_t at) { return (unsigned char*)ELM_DYN_SMEM() + at; }

// A tile is rows of Size BF16 behind each other. The 16-byte pieces of a row change places with the row, so that eight rows of one piece lie in different banks: the low three
// bits of a piece's index are xor-ed with the row, or two bits with half of the row where a row is an odd multiple of 64 bytes.
template <int Size> constexpr bool kTwoBits = Size == 32 || Size == 96;
template <int Size> constexpr int kRowBytes = Size * 2;
template <int Size> constexpr int kPieces = Size / 8;

template <int Size> ELM_DEV uint32_t tile_at(int row, int piece) {
    return (uint32_t)(row * kRowBytes<Size> + ((piece ^ (kTwoBits<Size> ? row >> 1 & 3 : row & 7)) << 4));
}

// Moves an address in a tile from piece 0 or 1 to piece `step` (even) or step + 1 of the same row. Tiles start at multiples of 512 bytes.
template <int Size> ELM_DEV smem_t at_step(smem_t a, int step) {
    return kTwoBits<Size> ? (a ^ (smem_t)((step & 2) << 4)) + (smem_t)((step >> 2) * 64) : a ^ (smem_t)(step << 4);
}

// Copies rows x[0 .. count), `stride` elements apart, to the rows [0, Rows) of the tile at byte `tile` of shared memory; the rows from `count` on become zeros. Asynchronous
// where Exact: the caller commits and waits; and synchronises the block in any case.
template <int Size, bool Exact, int Rows> ELM_DEV void load_tile(uint32_t tile, const bf16* x, size_t stride, int count, int size) {
    if constexpr (Exact) {
        // A pass takes kAcross pieces of 128 / kAcross rows, a multiple of 8, so that a thread's places in the tile are a constant apart.
        constexpr int kAcross = kTwoBits<Size> ? 4 : kPieces<Size> < 16 ? kPieces<Size> : 16, kDown = kAttentionThreads / kAcross;
        static_assert(kPieces<Size> % kAcross == 0 && Rows % kDown == 0);
        const int row = (int)threadIdx.x / kAcross, piece = (int)threadIdx.x % kAcross;
        const smem_t to = fresh(smem_addr(ELM_DYN_SMEM()) + tile + tile_at<Size>(row, piece));
        const size_t step = (size_t)fresh((int)stride) * kDown;
        x += (size_t)row * stride + piece * 8;
#pragma unroll
        for (int i = 0; i < Rows / kDown; i++, x += step)
#pragma unroll
            for (int across = 0; across < kPieces<Size> / kAcross; across++)
                cp_async16(to + i * kDown * kRowBytes<Size> + across * kAcross * 16, x + across * kAcross * 8, row + i * kDown < count ? 16 : 0);
    } else {
        unsigned char* to = shared_at(tile);
        for (int at = (int)threadIdx.x; at < Rows * Size; at += kAttentionThreads) {
            const int row = at / Size, column = at % Size;
            *(bf16*)(to + tile_at<Size>(row, column / 8) + column % 8 * 2) = row < count && column < size ? x[(size_t)row * stride + column] : (bf16)0;
        }
    }
}

// Where a lane's address for ldmatrix lies: of a matrix of 16 rows x 16 columns as the left operand, or of the transposed right operand (16 of the inner dimension, 16 columns) ...
template <int Size> ELM_DEV smem_t left_lane(int lane) { return tile_at<Size>(lane & 15, lane >> 4); }
// ... and of the right operand whose 16 rows are the columns of the product.
template <int Size> ELM_DEV smem_t right_lane(int lane) { return tile_at<Size>((lane & 7) + (lane >> 4 << 3), lane >> 3 & 1); }

// s[b][2 i], s[b][2 i + 1] += a[b] times the rows 16 i .. 16 i + 15 at `right`, over the 16 elements of `step`, for b < Blocks and i < Count. The address is the lane's.
template <int Size, int Blocks, int Count> ELM_DEV void add_step(float (&s)[Blocks][2 * Count][4], const uint32_t (&a)[Blocks][4], smem_t right, int step) {
#pragma unroll
    for (int i = 0; i < Count; i++) {
        uint32_t c[4];
        ldmatrix_x4(c, at_step<Size>(right, 2 * step) + i * 16 * kRowBytes<Size>);
#pragma unroll
        for (int b = 0; b < Blocks; b++) {
            mma_bf16_16816(s[b][2 * i], a[b], c[0], c[1]);
            mma_bf16_16816(s[b][2 * i + 1], a[b], c[2], c[3]);
        }
    }
}

// s[b][2 i], s[b][2 i + 1] += the 16 rows b at `left` times the rows 16 i .. 16 i + 15 at `right`, over the head, for b < Blocks and i < Count. Both addresses are the lane's.
template <int Size, int Blocks, int Count> ELM_DEV void add_products(float (&s)[Blocks][2 * Count][4], smem_t left, smem_t right) {
    left = fresh(left);
    right = fresh(right);
#pragma unroll
    for (int step = 0; step < Size / 16; step++) {
        uint32_t a[Blocks][4];
#pragma unroll
        for (int b = 0; b < Blocks; b++) ldmatrix_x4(a[b], at_step<Size>(left, 2 * step) + b * 16 * kRowBytes<Size>);
        add_step<Size, Blocks, Count>(s, a, right, step);
    }
}

// The same where the rows at the left are in registers already: left[step][b].
template <int Size, int Blocks, int Count> ELM_DEV void add_products(float (&s)[Blocks][2 * Count][4], const uint32_t (&left)[Size / 16][Blocks][4], smem_t right) {
    right = fresh(right);
#pragma unroll
    for (int step = 0; step < Size / 16; step++) add_step<Size, Blocks, Count>(s, left[step], right, step);
}

// sums[b] (16 rows x Size) += p[b] (16 rows x 16 Count, as add_products leaves them, rounded to BF16) times the 16 Count rows at the lane's address `right`.
template <int Size, int Blocks, int Count> ELM_DEV void add_weighted(float (&sums)[Blocks][Size / 8][4], const float (&p)[Blocks][2 * Count][4], smem_t right) {
    right = fresh(right);
#pragma unroll
    for (int i = 0; i < Count; i++) {
        uint32_t a[Blocks][4];
#pragma unroll
        for (int b = 0; b < Blocks; b++) {
            a[b][0] = pack_bf16(p[b][2 * i][0], p[b][2 * i][1]);
            a[b][1] = pack_bf16(p[b][2 * i][2], p[b][2 * i][3]);
            a[b][2] = pack_bf16(p[b][2 * i + 1][0], p[b][2 * i + 1][1]);
            a[b][3] = pack_bf16(p[b][2 * i + 1][2], p[b][2 * i + 1][3]);
        }
#pragma unroll
        for (int step = 0; step < Size / 16; step++) {
            uint32_t c[4];
            ldmatrix_x4_trans(c, at_step<Size>(right, 2 * step) + i * 16 * kRowBytes<Size>);
#pragma unroll
            for (int b = 0; b < Blocks; b++) {
                mma_bf16_16816(sums[b][2 * step], a[b], c[0], c[1]);
                mma_bf16_16816(sums[b][2 * step + 1], a[b], c[2], c[3]);
            }
        }
    }
}

// Writes 16 rows of accumulators, times a factor for each half (rows 0-7 and 8-15), as BF16 rows of `size` elements, `stride` apart; rows from `count` on are left alone.
// Where Exact they go through the warp's 16 rows at byte `tile` of shared memory, as a tile, so that the copy out is in pieces of 16 bytes.
template <int Size, bool Exact>
ELM_DEV void write_rows(const float (&sums)[Size / 8][4], float upper, float lower, uint32_t tile, bf16* y, size_t stride, int count, int size) {
    const int lane = threadIdx.x % kWarp, row = lane >> 2, column = (lane & 3) * 2;
    if constexpr (Exact) {
        unsigned char* rows = shared_at(tile);
        __syncwarp();
#pragma unroll
        for (int i = 0; i < Size / 8; i++) {
            *(uint32_t*)(rows + tile_at<Size>(row, i) + column * 2) = pack_bf16(sums[i][0] * upper, sums[i][1] * upper);
            *(uint32_t*)(rows + tile_at<Size>(row + 8, i) + column * 2) = pack_bf16(sums[i][2] * lower, sums[i][3] * lower);
        }
        __syncwarp();
#pragma unroll
        for (int at = lane; at < 16 * kPieces<Size>; at += kWarp) {
            const int r = at / kPieces<Size>, piece = at % kPieces<Size>;
            if (r < count) *(uint4*)(y + (size_t)r * stride + piece * 8) = *(const uint4*)(rows + tile_at<Size>(r, piece));
        }
    } else {
#pragma unroll
        for (int i = 0; i < Size / 8; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int r = row + e / 2 * 8, c = i * 8 + column + e % 2;
                if (r < count && c < size) y[(size_t)r * stride + c] = to_bf16(sums[i][e] * (e < 2 ? upper : lower));
            }
    }
}
