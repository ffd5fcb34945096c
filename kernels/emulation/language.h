// CUDA C++ for a host compiler: what nvcc predefines, on the emulation of a block (block.h). Included by device.h.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// A block runs on one thread of the system. AddressSanitizer puts guards around plain statics but not around thread-local ones: one worker then.
#ifdef ELM_EMULATION_STATIC_SHARED
#define __shared__ static
#else
#define __shared__ static thread_local
#endif

#define ELM_FN static inline

struct dim3 { unsigned x = 1, y = 1, z = 1; };
#include "../language_common.h"
#include "block.h"
#include "registry.h"

#define threadIdx (::elm::emulation::position.thread)
#define blockIdx (::elm::emulation::position.block)
#define blockDim (::elm::emulation::position.block_size)
#define gridDim (::elm::emulation::position.grid_size)
constexpr int warpSize = 32;

// Where a kernel called: divergence is told by it, and errors name it.
#define ELM_HERE ::elm::emulation::Where here = ::elm::emulation::Where::current()

ELM_FN unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; i++) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}

// ---- numbers
ELM_FN float max(float x, float y) { return fmaxf(x, y); }
ELM_FN float min(float x, float y) { return fminf(x, y); }
ELM_FN float __fadd_rn(float x, float y) { return x + y; }
ELM_FN float __fmul_rn(float x, float y) { return x * y; }
ELM_FN float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
ELM_FN float __fdiv_rn(float x, float y) { return x / y; }
ELM_FN float __fsqrt_rn(float x) { return sqrtf(x); }
ELM_FN float __fdividef(float x, float y) { return x / y; }

// ---- lanes of a warp; every lane of the mask makes the same call
// The source lane of each kind as the PTX manual defines it: segments of `width` lanes, and a lane keeps its own value where the source lies outside its segment.
template <class T> ELM_FN T __shfl_sync(unsigned mask, T x, int lane, int width = 32, ELM_HERE) {
  const int first = elm::emulation::lane() & ~(width - 1);
  return elm::emulation::shuffle(mask, x, first | (lane & (width - 1)), here);
}
template <class T> ELM_FN T __shfl_up_sync(unsigned mask, T x, unsigned distance, int width = 32, ELM_HERE) {
  const int own = elm::emulation::lane(), source = own - (int)distance;
  return elm::emulation::shuffle(mask, x, source >= (own & ~(width - 1)) ? source : own, here);
}
template <class T> ELM_FN T __shfl_down_sync(unsigned mask, T x, unsigned distance, int width = 32, ELM_HERE) {
  const int own = elm::emulation::lane(), source = own + (int)distance;
  return elm::emulation::shuffle(mask, x, source <= (own | (width - 1)) ? source : own, here);
}
template <class T> ELM_FN T __shfl_xor_sync(unsigned mask, T x, int bits, int width = 32, ELM_HERE) {
  const int own = elm::emulation::lane(), source = own ^ bits;
  return elm::emulation::shuffle(mask, x, source <= (own | (width - 1)) ? source : own, here);
}
ELM_FN void __syncwarp(unsigned mask = 0xffffffffu, ELM_HERE) { elm::emulation::synchronize_warp(mask, here); }
ELM_FN unsigned __ballot_sync(unsigned mask, int holds, ELM_HERE) { return elm::emulation::ballot(mask, holds != 0, here); }
ELM_FN int __any_sync(unsigned mask, int holds, ELM_HERE) { return elm::emulation::ballot(mask, holds != 0, here) != 0; }
ELM_FN int __all_sync(unsigned mask, int holds, ELM_HERE) { return elm::emulation::ballot(mask, holds != 0, here) == mask; }
ELM_FN void __syncthreads(ELM_HERE) { elm::emulation::synchronize_block(here); }

// ---- memory
ELM_FN int atomicAdd(int* p, int x) { return __atomic_fetch_add(p, x, __ATOMIC_RELAXED); }
ELM_FN unsigned atomicAdd(unsigned* p, unsigned x) { return __atomic_fetch_add(p, x, __ATOMIC_RELAXED); }
template <class T> ELM_FN T elm_atomic_extreme(T* p, T x, bool largest) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while ((largest ? old < x : x < old) && !__atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  return old;
}
ELM_FN int atomicMax(int* p, int x) { return elm_atomic_extreme(p, x, true); }
ELM_FN unsigned atomicMax(unsigned* p, unsigned x) { return elm_atomic_extreme(p, x, true); }
ELM_FN int atomicMin(int* p, int x) { return elm_atomic_extreme(p, x, false); }
ELM_FN unsigned atomicMin(unsigned* p, unsigned x) { return elm_atomic_extreme(p, x, false); }
ELM_FN int atomicExch(int* p, int x) { return __atomic_exchange_n(p, x, __ATOMIC_RELAXED); }
ELM_FN int atomicCAS(int* p, int expected, int x) {
  __atomic_compare_exchange_n(p, &expected, x, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
ELM_FN int atomicOr(int* p, int x) { return __atomic_fetch_or(p, x, __ATOMIC_RELAXED); }
ELM_FN unsigned atomicOr(unsigned* p, unsigned x) { return __atomic_fetch_or(p, x, __ATOMIC_RELAXED); }
ELM_FN void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
ELM_FN void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
template <class T> ELM_FN T __ldg(const T* p) { return *p; }
#undef ELM_HERE
#undef ELM_FN
