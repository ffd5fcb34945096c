// y = x W^T + bias for up to 16 rows of x: the products of decode. Limit: the bytes of W [n, k], which are read once.
//
// A block has 8 R rows of W. Its eight warps take the reduction in turn, 64 elements at a time: each lane keeps several 16-byte cp.async copies of W in flight in a ring of its own in shared
// memory, which it alone reads back (no barrier in the loop; 128 bytes side by side for each row of W, 1 KiB for the block). Tensor cores multiply: x is the 16-row side of mma m16n8k16, eight
// rows of W the other, so that a warp issues about ten instructions for a kilobyte of W. Inside 64 elements both sides take k in the order that 16-byte loads give it, which changes nothing but the
// order of a sum. x comes through L1. The warps' sums are added in their fixed order at the end.
#include "tile.h"

namespace {
constexpr int kWarps = 8, kStep = 64, kMaxRows = 16;
}

// R: groups of eight rows of W for a block; Stages: depth of the ring. Shared memory: max of the ring, 8 warps x Stages x R KiB, and 8 x 16 x 8 R floats.
template <int R, int Stages, bool Aligned>
ELM_DEV void skinny(const bf16* __restrict__ x, const bf16* __restrict__ w, const void* bias, int bias_type, void* y, int y_type, int accumulate, int m, int n, int k) {
  constexpr int stage_bytes = R * 2 * kWarp * 16;
  unsigned char* shared = (unsigned char*)ELM_DYN_SMEM();
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, group = lane / 4, part = lane % 4;
  unsigned char* ring = shared + warp * Stages * stage_bytes + lane * 16;
  const int column0 = blockIdx.x * 8 * R;
  const int all_steps = (k + kStep - 1) / kStep, steps = all_steps > warp ? (all_steps - warp + kWarps - 1) / kWarps : 0;

  // Copies this lane's chunks (elements 8 part and 32 + 8 part of the step) of R rows of W.
  auto start = [&](int step) {
    if (step < steps) {
      unsigned char* stage = ring + step % Stages * stage_bytes;
      const int at = (step * kWarps + warp) * kStep + part * 8;
#pragma unroll
      for (int r = 0; r < R; r++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
          const int row = column0 + r * 8 + group, left = k - at - 32 * h, count = row >= n || left <= 0 ? 0 : left < 8 ? left : 8;
          const bf16* from = count ? w + (size_t)row * k + at + 32 * h : w;
          unsigned char* to = stage + (r * 2 + h) * kWarp * 16;
          if constexpr (Aligned) cp_async16(smem_addr(to), from, count * 2);
          else *(uint4*)to = gather_chunk(from, count);
        }
    }
    cp_async_commit();
  };
  // The same chunks of rows `group` and `group + 8` of x: [2 rows][2 chunks].
  auto load_x = [&](int step, uint4 (&v)[2][2]) {
    const int at = (step * kWarps + warp) * kStep + part * 8;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const int row = group + 8 * i, left = k - at - 32 * h, count = row >= m || step >= steps || left <= 0 ? 0 : left < 8 ? left : 8;
        const bf16* from = count ? x + (size_t)row * k + at + 32 * h : x;
        if constexpr (Aligned) v[i][h] = count ? *(const uint4*)from : uint4{0, 0, 0, 0};
        else v[i][h] = gather_chunk(from, count);
      }
  };

  float sums[R][4] = {};
  uint4 xs[2][2], next[2][2];
  for (int step = 0; step < Stages - 1; step++) start(step);
  load_x(0, xs);
  for (int step = 0; step < steps; step++) {
    load_x(step + 1, next);
    cp_async_wait<Stages - 2>();
    const unsigned char* stage = ring + step % Stages * stage_bytes;
    uint4 ws[R][2];
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
      for (int h = 0; h < 2; h++) ws[r][h] = *(const uint4*)(stage + (r * 2 + h) * kWarp * 16);
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const uint32_t first[4] = {xs[0][h].x, xs[1][h].x, xs[0][h].y, xs[1][h].y}, second[4] = {xs[0][h].z, xs[1][h].z, xs[0][h].w, xs[1][h].w};
#pragma unroll
      for (int r = 0; r < R; r++) {
        mma_bf16_16816(sums[r], first, ws[r][h].x, ws[r][h].y);
        mma_bf16_16816(sums[r], second, ws[r][h].z, ws[r][h].w);
      }
    }
    start(step + Stages - 1);                         // into the stage that the previous step has used up
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int h = 0; h < 2; h++) xs[i][h] = next[i][h];
  }
  cp_async_wait<0>();
  __syncthreads();

  // Sums of the warps, [8 warps][16 rows][8 R columns].
  float* all = (float*)shared;
#pragma unroll
  for (int r = 0; r < R; r++)
#pragma unroll
    for (int h = 0; h < 2; h++) *(float2*)(all + (warp * kMaxRows + group + 8 * h) * 8 * R + r * 8 + part * 2) = float2{sums[r][2 * h], sums[r][2 * h + 1]};
  __syncthreads();
  for (int i = threadIdx.x; i < m * 8 * R; i += blockDim.x) {
    const int column = column0 + i % (8 * R);
    if (column >= n) continue;
    float v = 0.f;
    for (int other = 0; other < kWarps; other++) v += all[other * kMaxRows * 8 * R + i];
    v += load_typed(bias, bias_type, column);
    const size_t at = (size_t)(i / (8 * R)) * n + column;
    store_typed(y, y_type, at, accumulate ? load_typed(y, y_type, at) + v : v);
  }
}

// Types: 0 absent, 1 F32, 2 BF16. x [m, k] and w [n, k] start at multiples of 16 bytes and k is a multiple of 8, except in skinny_unaligned. 256 threads, 1 <= m <= 16,
// grid: a block for each 8 R rows of W.
#define SKINNY(name, R, stages, blocks, aligned)                                                                                                                            \
  extern "C" __global__ void __launch_bounds__(kWarps * kWarp, blocks)                                                                                                      \
      name(const bf16* x, const bf16* w, const void* bias, int bias_type, void* y, int y_type, int accumulate, int m, int n, int k) {                                       \
    skinny<R, stages, aligned>(x, w, bias, bias_type, y, y_type, accumulate, m, n, k);                                                                                      \
  }                                                                                                                                                                         \
  ELM_KERNEL(name)

SKINNY(skinny_8, 1, 6, 3, true)                       // 48 KiB; small n, where it is blocks that are scarce
SKINNY(skinny_16, 2, 4, 3, true)                      // 64 KiB
SKINNY(skinny_32, 4, 3, 2, true)                      // 96 KiB; large n: x is read half as often
SKINNY(skinny_unaligned, 2, 4, 2, false)
