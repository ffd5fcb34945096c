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

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };

#include "block.h"
#include "registry.h"

#define threadIdx (::elm::emulation::position.thread)
#define blockIdx (::elm::emulation::position.block)
#define blockDim (::elm::emulation::position.block_size)
#define gridDim (::elm::emulation::position.grid_size)
constexpr int warpSize = 32;

#define ELM_FN static inline
// Where a kernel called: divergence is told by it, and errors name it.
#define ELM_HERE ::elm::emulation::Where here = ::elm::emulation::Where::current()

ELM_FN int2 make_int2(int x, int y) { return {x, y}; }
ELM_FN int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
ELM_FN uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
ELM_FN uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
ELM_FN float2 make_float2(float x, float y) { return {x, y}; }
ELM_FN float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// ---- bits
ELM_FN int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
ELM_FN unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
ELM_FN float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
ELM_FN float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
ELM_FN int __popc(unsigned x) { return __builtin_popcount(x); }
ELM_FN int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
ELM_FN int __ffs(int x) { return __builtin_ffs(x); }
ELM_FN unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; i++) reversed |= (x >> i & 1u) << (31 - i);
  return reversed;
}
ELM_FN unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((uint64_t)x * y >> 32); }
ELM_FN int __mulhi(int x, int y) { return (int)((int64_t)x * y >> 32); }

// ---- numbers
#define ELM_MIN_MAX(T)                             \
  ELM_FN T min(T x, T y) { return y < x ? y : x; } \
  ELM_FN T max(T x, T y) { return x < y ? y : x; }
ELM_MIN_MAX(int)
ELM_MIN_MAX(unsigned)
ELM_MIN_MAX(long)
ELM_MIN_MAX(unsigned long)
ELM_MIN_MAX(long long)
ELM_MIN_MAX(unsigned long long)
#undef ELM_MIN_MAX
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
