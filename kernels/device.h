// Portable device layer: the same .cu compiles under
//   nvcc 13            (cuda_runtime.h is pre-included by nvcc)
//   clang-19, no SDK   (clang -x cuda -nocudainc -nocudalib --cuda-device-only)
//   g++ / clang++      (host emulation, fibers: emulation.h)
#pragma once
#include <stddef.h>
#include <stdint.h>

#if defined(__NVCC__) || defined(__CUDACC_RTC__)             // ---------------- nvcc
#define ELM_GPU 1
#define ELM_CVTA_SHARED(p) ((uint32_t)__cvta_generic_to_shared(p))

#elif defined(__clang__) && defined(__CUDA__)                // ---------------- clang, no SDK
#define ELM_GPU 1
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __host__ __attribute__((host))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#if __has_attribute(grid_constant)
#define __grid_constant__ __attribute__((grid_constant))      // clang >= 20
#else
#define __grid_constant__
#endif
struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct __align__(8) uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
struct __align__(8) float2 { float x, y; };
struct __align__(16) float4 { float x, y, z, w; };
#include <__clang_cuda_builtin_vars.h>                        // threadIdx, blockIdx, blockDim, gridDim
#define ELM_FN static __device__ __forceinline__
ELM_FN float __shfl_xor_sync(unsigned m, float v, int l) { return __nvvm_shfl_sync_bfly_f32(m, v, l, 0x1f); }
ELM_FN int __shfl_xor_sync(unsigned m, int v, int l) { return __nvvm_shfl_sync_bfly_i32(m, v, l, 0x1f); }
ELM_FN float __shfl_sync(unsigned m, float v, int l) { return __nvvm_shfl_sync_idx_f32(m, v, l, 0x1f); }
ELM_FN int __shfl_sync(unsigned m, int v, int l) { return __nvvm_shfl_sync_idx_i32(m, v, l, 0x1f); }
ELM_FN void __syncwarp(unsigned m = 0xffffffffu) { __nvvm_bar_warp_sync(m); }
ELM_FN unsigned __ballot_sync(unsigned m, int p) { return __nvvm_vote_ballot_sync(m, p); }
ELM_FN float atomicAdd(float* p, float v) { return __nvvm_atom_add_gen_f(p, v); }
ELM_FN int atomicAdd(int* p, int v) { return __nvvm_atom_add_gen_i(p, v); }
ELM_FN void __threadfence() { __nvvm_membar_gl(); }
ELM_FN unsigned __float_as_uint(float f) { return __builtin_bit_cast(unsigned, f); }
ELM_FN float __uint_as_float(unsigned u) { return __builtin_bit_cast(float, u); }
ELM_FN float fmaxf(float a, float b) { return __nvvm_fmax_f(a, b); }
ELM_FN float fminf(float a, float b) { return __nvvm_fmin_f(a, b); }
ELM_FN float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#undef ELM_FN
#define ELM_CVTA_SHARED(p) ((uint32_t)(uintptr_t)(__attribute__((address_space(3))) const void*)(p))

#else                                                        // ---------------- host emulation
#define ELM_EMULATION 1
#include "emulation/emulation.h"
#endif

// Dynamic shared memory of the block, 128-byte aligned (1024 for swizzled TMA tiles).
#ifdef ELM_GPU
extern __shared__ __align__(1024) unsigned char elm_dyn_smem_[];
#define ELM_DYN_SMEM() (elm_dyn_smem_)
#else
#define ELM_DYN_SMEM() (elm::emulation::dyn_smem())
#endif

#define ELM_DEV static __device__ __forceinline__

// ---- scalar maths: one spelling for the three builds -------------------------------------------
#ifdef ELM_GPU
ELM_DEV float exp2_approx(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
ELM_DEV float log2_approx(float x) { float y; asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
ELM_DEV float rsqrt_approx(float x) { float y; asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
// packs {lo, hi}; round to nearest even (sm_80+)
ELM_DEV uint32_t pack_bf16(float lo, float hi) { uint32_t d; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(hi), "f"(lo)); return d; }
ELM_DEV float from_bf16(uint16_t h) { return __uint_as_float((uint32_t)h << 16); }
ELM_DEV uint16_t to_bf16(float f) { return (uint16_t)pack_bf16(f, 0.0f); }
#else
#include <math.h>
ELM_DEV float exp2_approx(float x) { return exp2f(x); }
ELM_DEV float log2_approx(float x) { return log2f(x); }
ELM_DEV float rsqrt_approx(float x) { return 1.0f / sqrtf(x); }
ELM_DEV float from_bf16(uint16_t h) { return __uint_as_float((uint32_t)h << 16); }
ELM_DEV uint16_t to_bf16(float f) {
  uint32_t u = __float_as_uint(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
ELM_DEV uint32_t pack_bf16(float lo, float hi) { return to_bf16(lo) | ((uint32_t)to_bf16(hi) << 16); }
#endif
typedef uint16_t bf16;

#ifdef ELM_GPU
#define ELM_KERNEL(f)            // host emulation: registers f under its name for cuModuleGetFunction
#endif
ELM_DEV float infinity() { return __uint_as_float(0x7f800000u); }

// Reading and writing an element as float, whatever type it is stored in.
ELM_DEV float load(const float* p) { return *p; }
ELM_DEV float load(const bf16* p) { return from_bf16(*p); }
ELM_DEV void store(float* p, float x) { *p = x; }
ELM_DEV void store(bf16* p, float x) { *p = to_bf16(x); }
