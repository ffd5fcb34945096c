// Sums and maxima over a warp and over a block, in one fixed order: the same bits each time.
#pragma once
#include "device.h"

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarp = 32;

// Every lane gets the sum of all lanes' values.
ELM_DEV float warp_sum(float x) {
  for (int m = kWarp / 2; m; m >>= 1) x += __shfl_xor_sync(kAllLanes, x, m);
  return x;
}

// Every lane gets the largest of all lanes' values.
ELM_DEV float warp_max(float x) {
  for (int m = kWarp / 2; m; m >>= 1) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, m));
  return x;
}

// Every thread gets the sum over the block; scratch holds 32 floats and may be used again after the call. Blocks are whole warps.
ELM_DEV float block_sum(float x, float* scratch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  x = warp_sum(x);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = warp_sum(lane < warps ? scratch[lane] : 0.f);
  __syncthreads();
  return x;
}

// The same for the maximum.
ELM_DEV float block_max(float x, float* scratch) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  x = warp_max(x);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = warp_max(lane < warps ? scratch[lane] : -infinity());
  __syncthreads();
  return x;
}
