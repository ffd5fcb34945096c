// The intrinsics of kernels/emulation/language.h and the instructions of tensor_core.h against plain arithmetic, in every order.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "emulation/emulation.h"
#include "reduce.h"
#include "tensor_core.h"

using elm::emulation::find_kernel;
using elm::emulation::Order;
using elm::emulation::run;
using elm::emulation::settings;

namespace {

int failures = 0;

void expect(bool holds, const char* what) {
  if (!holds) {
    fprintf(stderr, "intrinsics_check: %s\n", what);
    failures++;
  }
}

constexpr int kThreads = 96, kShuffles = 10;

extern "C" {

__global__ void shuffles(int* y) {
  const int lane = threadIdx.x % 32;
  int* own = y + threadIdx.x * kShuffles;
  own[0] = __shfl_sync(kAllLanes, lane, 7);
  own[1] = __shfl_sync(kAllLanes, lane, 3, 8);
  own[2] = (int)__shfl_up_sync(kAllLanes, (unsigned)lane, 2);
  own[3] = __shfl_up_sync(kAllLanes, lane, 3, 16);
  own[4] = __shfl_down_sync(kAllLanes, lane, 1);
  own[5] = (int)__shfl_down_sync(kAllLanes, (float)lane, 5, 8);
  own[6] = __shfl_xor_sync(kAllLanes, lane, 9);
  own[7] = (int)(__shfl_xor_sync(kAllLanes, (unsigned long long)lane << 32 | 5u, 1) >> 32);
  own[8] = (int)__ballot_sync(kAllLanes, lane % 3 == 0);
  own[9] = __any_sync(kAllLanes, lane == 31) + 2 * __all_sync(kAllLanes, lane < 31) + 4 * __any_sync(kAllLanes, 0);
}
ELM_KERNEL(shuffles)

__global__ void reductions(const float* x, float* y, int* counters) {
  __shared__ float scratch[32];
  const float own = x[blockIdx.x * blockDim.x + threadIdx.x];
  const float sum = block_sum(own, scratch), largest = block_max(own, scratch);
  if (threadIdx.x == 0) {
    y[blockIdx.x * 2] = sum;
    y[blockIdx.x * 2 + 1] = largest;
  }
  atomicAdd(counters, 1);
  atomicMax(counters + 1, (int)(blockIdx.x * blockDim.x + threadIdx.x));
}
ELM_KERNEL(reductions)

// One product of a warp: a is 16 x 16 by rows, b is 16 x 8 by rows, d is 16 x 8.
__global__ void product(const bf16* a, const bf16* b, float* d) {
  bf16* tile = (bf16*)ELM_DYN_SMEM();
  const int lane = threadIdx.x, g = lane / 4, t = lane % 4 * 2;
  cp_async16(smem_addr(tile + lane * 8), a + lane * 8, 16);
  cp_async16(smem_addr(tile + 256 + (lane % 16) * 8), b + (lane % 16) * 8, 16);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  uint32_t left[4], right[4];
  ldmatrix_x4(left, smem_addr(tile + lane % 16 * 16 + lane / 16 * 8));
  ldmatrix_x4_trans(right, smem_addr(tile + 256 + lane % 16 * 8));
  float sum[4] = {1.f, 2.f, 3.f, 4.f};
  mma_bf16_16816(sum, left, right[0], right[1]);
  d[g * 8 + t] = sum[0];
  d[g * 8 + t + 1] = sum[1];
  d[(g + 8) * 8 + t] = sum[2];
  d[(g + 8) * 8 + t + 1] = sum[3];
}
ELM_KERNEL(product)

}  // extern "C"

void launch(const char* name, unsigned blocks, unsigned threads, size_t shared_bytes, std::vector<void*> arguments) {
  const std::string error = run(*find_kernel(name), {blocks}, {threads}, shared_bytes, arguments.data()).error;
  expect(error.empty(), error.c_str());
}

void check_shuffles() {
  std::vector<int> y(kThreads * kShuffles);
  int* out = y.data();
  launch("shuffles", 1, kThreads, 0, {&out});
  unsigned thirds = 0;
  for (int i = 0; i < 32; i += 3)
    thirds |= 1u << i;
  for (int thread = 0; thread < kThreads; thread++) {
    const int lane = thread % 32, *own = &y[static_cast<size_t>(thread * kShuffles)];
    const int expected[kShuffles] = {7,
                                     lane / 8 * 8 + 3,
                                     lane < 2 ? lane : lane - 2,
                                     lane % 16 < 3 ? lane : lane - 3,
                                     lane == 31 ? 31 : lane + 1,
                                     lane % 8 > 2 ? lane : lane + 5,
                                     lane ^ 9,
                                     lane ^ 1,
                                     static_cast<int>(thirds),
                                     1};
    for (int i = 0; i < kShuffles; i++)
      expect(own[i] == expected[i], ("shuffle " + std::to_string(i) + " of lane " + std::to_string(lane) + " gives " + std::to_string(own[i])).c_str());
  }
}

void check_reductions() {
  constexpr unsigned kBlocks = 5;
  std::vector<float> x(kBlocks * kThreads), y(kBlocks * 2);
  int counters[2] = {0, -1};
  for (size_t i = 0; i < x.size(); i++)
    x[i] = static_cast<float>((i * 37) % 101) - 60.f;
  const float* in = x.data();
  float* out = y.data();
  int* counts = counters;
  launch("reductions", kBlocks, kThreads, 0, {&in, &out, &counts});
  for (unsigned block = 0; block < kBlocks; block++) {
    float sum = 0, largest = -1e9f;
    for (int i = 0; i < kThreads; i++) {
      sum += x[block * kThreads + static_cast<unsigned>(i)];
      largest = fmaxf(largest, x[block * kThreads + static_cast<unsigned>(i)]);
    }
    expect(y[block * 2] == sum && y[block * 2 + 1] == largest, "block_sum or block_max");  // whole numbers: exact in any order
  }
  expect(counters[0] == static_cast<int>(kBlocks * kThreads) && counters[1] == counters[0] - 1, "atomicAdd or atomicMax");
}

void check_product() {
  alignas(16) bf16 a[256], b[128];
  float d[128];
  for (int i = 0; i < 256; i++)
    a[i] = to_bf16(static_cast<float>(i * 7 % 23 - 11));
  for (int i = 0; i < 128; i++)
    b[i] = to_bf16(static_cast<float>(i * 5 % 17 - 8));
  const bf16 *left = a, *right = b;
  float* out = d;
  launch("product", 1, 32, 1024, {&left, &right, &out});
  for (int row = 0; row < 16; row++)
    for (int column = 0; column < 8; column++) {
      float sum = (row < 8 ? 1.f : 3.f) + static_cast<float>(column % 2);
      for (int k = 0; k < 16; k++)
        sum += from_bf16(a[row * 16 + k]) * from_bf16(b[k * 8 + column]);
      expect(d[row * 8 + column] == sum, "ldmatrix_x4, ldmatrix_x4_trans or mma_bf16_16816");
    }
}

void check_scalars() {
  expect(__umulhi(0xffffffffu, 0xfffffffeu) == 0xfffffffdu && __mulhi(-2, 3) == -1, "__umulhi or __mulhi");
  expect(__popc(0xf0f0u) == 8 && __clz(1) == 31 && __clz(0) == 32 && __ffs(8) == 4 && __ffs(0) == 0 && __brev(1u) == 0x80000000u, "bit counts");
  expect(__float_as_int(-2.f) == static_cast<int>(0xc0000000u) && __int_as_float(0x3f800000) == 1.f, "bit casts");
  expect(to_bf16(1.00390625f) == 0x3f80 && to_bf16(1.01171875f) == 0x3f82, "to_bf16 does not round ties to even");
  expect(from_bf16(to_bf16(NAN)) != from_bf16(to_bf16(NAN)), "to_bf16 loses NaN");
  expect(to_bf16(3.4e38f) == 0x7f80 && pack_bf16(1.f, 2.f) == 0x40003f80u, "to_bf16 or pack_bf16");
}

}  // namespace

int main() {
  check_scalars();
  for (const Order order : {Order::Ascending, Order::Descending, Order::Random, Order::RunAhead}) {
    settings().order = order;
    check_shuffles();
    check_reductions();
    check_product();
  }
  if (failures == 0)
    printf("intrinsics_check: as they should be\n");
  return failures != 0;
}
