// Kernels with one bug each. A build of this program must report the bug that its name on the command line names (checks.cmake says which build, and what it says), and none must report
// anything about `nothing`, which does right what the others do wrong.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

#include "emulation/emulation.h"
#include "reduce.h"
#include "tensor_core.h"

using elm::emulation::find_kernel;
using elm::emulation::Kernel;
using elm::emulation::Order;
using elm::emulation::run;
using elm::emulation::settings;

namespace {

constexpr unsigned kThreads = 64, kBlocks = 3;
constexpr size_t kSharedBytes = 1024;

// All kernels: x and y have a row of 64 floats for each block.
float* row(float* p) { return p + blockIdx.x * kThreads; }
const float* row(const float* p) { return p + blockIdx.x * kThreads; }

extern "C" {

__global__ void nothing(const float* x, float* y) {
  __shared__ float values[kThreads];
  float* tile = (float*)ELM_DYN_SMEM();
  if (threadIdx.x < kThreads / 4) cp_async16(smem_addr(tile + threadIdx.x * 4), row(x) + threadIdx.x * 4, 16);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  values[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
  __syncthreads();
  uint32_t pairs[4];
  ldmatrix_x4(pairs, smem_addr(tile) + threadIdx.x % 16 * 16);
  row(y)[threadIdx.x] = warp_sum(values[kThreads - 1 - threadIdx.x]) + (pairs[0] != 0 ? 1.f : 0.f);
}
ELM_KERNEL(nothing)

__global__ void missing_barrier(const float* x, float* y) {
  __shared__ float values[kThreads];
  values[threadIdx.x] = row(x)[threadIdx.x];
  row(y)[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}
ELM_KERNEL(missing_barrier)

// The barrier before the second writing is missing.
__global__ void missing_second_barrier(const float* x, float* y) {
  __shared__ float values[kThreads];
  for (int i = 0; i < 2; i++) {
    values[threadIdx.x] = row(x)[threadIdx.x] + (float)i;
    __syncthreads();
    row(y)[threadIdx.x] += values[kThreads - 1 - threadIdx.x];
  }
}
ELM_KERNEL(missing_second_barrier)

__global__ void divergent_barrier(const float* x, float* y) {
  if (threadIdx.x < 32) {
    row(y)[threadIdx.x] = row(x)[threadIdx.x];
    __syncthreads();
  } else
    __syncthreads();
}
ELM_KERNEL(divergent_barrier)

__global__ void divergent_shuffle(const float* x, float* y) {
  float v = row(x)[threadIdx.x];
  if (threadIdx.x % 2)
    v += __shfl_xor_sync(kAllLanes, v, 2);
  else
    v += __shfl_xor_sync(kAllLanes, v, 4);
  row(y)[threadIdx.x] = v;
}
ELM_KERNEL(divergent_shuffle)

__global__ void early_exit(const float* x, float* y) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  row(y)[threadIdx.x] = row(x)[threadIdx.x];
}
ELM_KERNEL(early_exit)

__global__ void lone_lane(const float* x, float* y) {
  if (threadIdx.x != 7) row(y)[threadIdx.x] = warp_sum(row(x)[threadIdx.x]);
}
ELM_KERNEL(lone_lane)

__global__ void copy_not_waited_for(const float* x, float* y) {
  float* tile = (float*)ELM_DYN_SMEM();
  if (threadIdx.x < kThreads / 4) cp_async16(smem_addr(tile + threadIdx.x * 4), row(x) + threadIdx.x * 4, 16);
  cp_async_commit();
  row(y)[threadIdx.x] = 0;
}
ELM_KERNEL(copy_not_waited_for)

__global__ void copy_read_early(const float* x, float* y) {
  float* tile = (float*)ELM_DYN_SMEM();
  if (threadIdx.x < kThreads / 4) cp_async16(smem_addr(tile + threadIdx.x * 4), row(x) + threadIdx.x * 4, 16);
  cp_async_commit();
  __syncthreads();
  row(y)[threadIdx.x] = tile[threadIdx.x];
  cp_async_wait<0>();
}
ELM_KERNEL(copy_read_early)

__global__ void copy_without_barrier(const float* x, float* y) {
  float* tile = (float*)ELM_DYN_SMEM();
  if (threadIdx.x < kThreads / 4) cp_async16(smem_addr(tile + threadIdx.x * 4), row(x) + threadIdx.x * 4, 16);
  cp_async_commit();
  cp_async_wait<0>();
  row(y)[threadIdx.x] = tile[threadIdx.x];
}
ELM_KERNEL(copy_without_barrier)

__global__ void matrix_beyond_shared(const float*, float* y) {
  uint32_t pairs[4];
  ldmatrix_x4(pairs, smem_addr(ELM_DYN_SMEM()) + kSharedBytes - 256 + threadIdx.x % 32 * 16);
  row(y)[threadIdx.x] = __uint_as_float(pairs[0]);
}
ELM_KERNEL(matrix_beyond_shared)

__global__ void static_shared_overrun(const float* x, float* y) {
  __shared__ float values[kThreads];
  values[threadIdx.x] = row(x)[threadIdx.x];
  __syncthreads();
  const float* next = values + 1;
  row(y)[threadIdx.x] = next[threadIdx.x];
}
ELM_KERNEL(static_shared_overrun)

__global__ void dynamic_shared_overrun(const float* x, float* y) {
  float* tile = (float*)ELM_DYN_SMEM();
  for (unsigned i = threadIdx.x; i <= kSharedBytes / 4; i += kThreads) tile[i] = row(x)[threadIdx.x];
  __syncthreads();
  row(y)[threadIdx.x] = tile[threadIdx.x];
}
ELM_KERNEL(dynamic_shared_overrun)

__global__ void global_overrun(const float* x, float* y) { row(y)[threadIdx.x] = row(x)[threadIdx.x + 1]; }
ELM_KERNEL(global_overrun)

__global__ void copy_beyond_global(const float* x, float* y) {
  float* tile = (float*)ELM_DYN_SMEM();
  if (threadIdx.x <= kThreads / 4) cp_async16(smem_addr(tile + threadIdx.x * 4), row(x) + threadIdx.x * 4, 16);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  row(y)[threadIdx.x] = tile[threadIdx.x];
}
ELM_KERNEL(copy_beyond_global)

__global__ void misaligned_load(const float* x, float* y) {
  const float4 v = *(const float4*)(x + threadIdx.x);
  row(y)[threadIdx.x] = v.x + v.w;
}
ELM_KERNEL(misaligned_load)

__global__ void blocks_race(const float* x, float* y) { y[threadIdx.x] = row(x)[threadIdx.x]; }
ELM_KERNEL(blocks_race)

}  // extern "C"

}  // namespace

int main(int, char** arguments) {
  const Kernel* kernel = arguments[1] ? find_kernel(arguments[1]) : nullptr;
  if (!kernel) {
    fprintf(stderr, "planted: name one of the kernels\n");
    return 2;
  }
#ifndef ELM_EMULATION_STATIC_SHARED
  settings().workers = 2;
#endif
  std::vector<float> first;
  for (const Order order : {Order::Ascending, Order::Descending, Order::Random, Order::RunAhead}) {
    settings().order = order;
    // Memory of its own for each, so that a run cannot find what the last one left.
    std::vector<float> x(kBlocks * kThreads), y(x.size(), -1.f);
    for (size_t i = 0; i < x.size(); i++)
      x[i] = static_cast<float>(i + 1);
    const float* in = x.data();
    float* out = y.data();
    void* list[] = {&in, &out};
    const std::string error = run(*kernel, {kBlocks}, {kThreads}, kSharedBytes, list).error;
    if (!error.empty()) {
      fprintf(stderr, "planted: %s\n", error.c_str());
      return 1;
    }
    for (const float value : y)
      if (value != value) {
        fprintf(stderr, "planted: a result is not a number\n");
        return 1;
      }
    if (first.empty())
      first = y;
    else if (y != first) {
      fprintf(stderr, "planted: the order of the threads changes the result\n");
      return 1;
    }
  }
  printf("planted: nothing found\n");
  return 0;
}
