// What nvcc predefines of CUDA C++, for clang without a CUDA SDK (clang++-19 -x cuda --cuda-device-only -nocudainc -nocudalib): attributes, vector types, and the
// intrinsics that the kernels use, with nvcc's names and meanings. No device library is linked: sine, exponential and power functions do not exist here.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __host__ __attribute__((host))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))

#define ELM_CVTA_SHARED(p) ((uint32_t)(uintptr_t)(__attribute__((address_space(3))) const void*)(p))
#define ELM_FN static __device__ __forceinline__

struct dim3 { unsigned x, y, z; };
#include "language_common.h"
#include <__clang_cuda_builtin_vars.h>  // threadIdx, blockIdx, blockDim, gridDim, warpSize

ELM_FN unsigned __brev(unsigned x) { return __builtin_bitreverse32(x); }

// ---- numbers
ELM_FN int abs(int x) { return x < 0 ? -x : x; }
ELM_FN float fmaxf(float x, float y) { return __nvvm_fmax_f(x, y); }
ELM_FN float fminf(float x, float y) { return __nvvm_fmin_f(x, y); }
ELM_FN float max(float x, float y) { return fmaxf(x, y); }
ELM_FN float min(float x, float y) { return fminf(x, y); }
ELM_FN float fmaf(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
ELM_FN float fabsf(float x) { return __builtin_fabsf(x); }
ELM_FN float sqrtf(float x) { return __nvvm_sqrt_rn_f(x); }
ELM_FN float floorf(float x) { return __builtin_floorf(x); }
ELM_FN float ceilf(float x) { return __builtin_ceilf(x); }
ELM_FN float truncf(float x) { return __builtin_truncf(x); }
ELM_FN float rintf(float x) { return __builtin_rintf(x); }
ELM_FN float copysignf(float x, float y) { return __uint_as_float((__float_as_uint(x) & 0x7fffffffu) | (__float_as_uint(y) & 0x80000000u)); }
ELM_FN bool isnan(float x) { return x != x; }
ELM_FN bool isinf(float x) { return (__float_as_uint(x) & 0x7fffffffu) == 0x7f800000u; }
ELM_FN bool isfinite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }
// Rounded once each and never fused into a multiply-add.
ELM_FN float __fadd_rn(float x, float y) { return __nvvm_add_rn_f(x, y); }
ELM_FN float __fmul_rn(float x, float y) { return __nvvm_mul_rn_f(x, y); }
ELM_FN float __fmaf_rn(float x, float y, float z) { return __nvvm_fma_rn_f(x, y, z); }
ELM_FN float __fdiv_rn(float x, float y) { return __nvvm_div_rn_f(x, y); }
ELM_FN float __fsqrt_rn(float x) { return __nvvm_sqrt_rn_f(x); }
// Two units in the last place; 0 for |y| > 2^126.
ELM_FN float __fdividef(float x, float y) { return __nvvm_div_approx_f(x, y); }

// ---- lanes of a warp; every lane of the mask makes the same call
// PTX's c operand: segments of `width` lanes, and the last (for `up`: first) lane of one.
#define ELM_SHUFFLE(name, nvvm, clamp, Lane)                                                                                                                          \
  ELM_FN int name(unsigned mask, int x, Lane lane, int width = 32) { return nvvm##_i32(mask, x, (int)lane, (32 - width) << 8 | clamp); }                              \
  ELM_FN float name(unsigned mask, float x, Lane lane, int width = 32) { return nvvm##_f32(mask, x, (int)lane, (32 - width) << 8 | clamp); }                          \
  ELM_FN unsigned name(unsigned mask, unsigned x, Lane lane, int width = 32) { return (unsigned)name(mask, (int)x, lane, width); }                                    \
  ELM_FN unsigned long long name(unsigned mask, unsigned long long x, Lane lane, int width = 32) {                                                                    \
    const unsigned low = name(mask, (unsigned)x, lane, width), high = name(mask, (unsigned)(x >> 32), lane, width);                                                   \
    return (unsigned long long)high << 32 | low;                                                                                                                      \
  }                                                                                                                                                                   \
  ELM_FN long long name(unsigned mask, long long x, Lane lane, int width = 32) { return (long long)name(mask, (unsigned long long)x, lane, width); }
ELM_SHUFFLE(__shfl_sync, __nvvm_shfl_sync_idx, 0x1f, int)
ELM_SHUFFLE(__shfl_up_sync, __nvvm_shfl_sync_up, 0, unsigned)
ELM_SHUFFLE(__shfl_down_sync, __nvvm_shfl_sync_down, 0x1f, unsigned)
ELM_SHUFFLE(__shfl_xor_sync, __nvvm_shfl_sync_bfly, 0x1f, int)
#undef ELM_SHUFFLE
ELM_FN void __syncwarp(unsigned mask = 0xffffffffu) { __nvvm_bar_warp_sync(mask); }
ELM_FN unsigned __ballot_sync(unsigned mask, int holds) { return __nvvm_vote_ballot_sync(mask, holds); }
ELM_FN int __any_sync(unsigned mask, int holds) { return __nvvm_vote_any_sync(mask, holds); }
ELM_FN int __all_sync(unsigned mask, int holds) { return __nvvm_vote_all_sync(mask, holds); }

// ---- memory
// Integers only: a sum of floats in whatever order the threads come has other bits each time.
ELM_FN int atomicAdd(int* p, int x) { return __nvvm_atom_add_gen_i(p, x); }
ELM_FN unsigned atomicAdd(unsigned* p, unsigned x) { return (unsigned)__nvvm_atom_add_gen_i((int*)p, (int)x); }
ELM_FN int atomicMax(int* p, int x) { return __nvvm_atom_max_gen_i(p, x); }
ELM_FN unsigned atomicMax(unsigned* p, unsigned x) { return __nvvm_atom_max_gen_ui(p, x); }
ELM_FN int atomicMin(int* p, int x) { return __nvvm_atom_min_gen_i(p, x); }
ELM_FN unsigned atomicMin(unsigned* p, unsigned x) { return __nvvm_atom_min_gen_ui(p, x); }
ELM_FN int atomicExch(int* p, int x) { return __nvvm_atom_xchg_gen_i(p, x); }
ELM_FN int atomicCAS(int* p, int expected, int x) { return __nvvm_atom_cas_gen_i(p, expected, x); }
ELM_FN int atomicOr(int* p, int x) { return __nvvm_atom_or_gen_i(p, x); }
ELM_FN unsigned atomicOr(unsigned* p, unsigned x) { return (unsigned)__nvvm_atom_or_gen_i((int*)p, (int)x); }
ELM_FN void __threadfence() { __nvvm_membar_gl(); }
ELM_FN void __threadfence_block() { __nvvm_membar_cta(); }

// Through the read-only cache: nothing writes there while the kernel runs.
ELM_FN int __ldg(const int* p) { return __nvvm_ldg_i(p); }
ELM_FN unsigned __ldg(const unsigned* p) { return __nvvm_ldg_ui(p); }
ELM_FN unsigned short __ldg(const unsigned short* p) { return __nvvm_ldg_us(p); }
ELM_FN float __ldg(const float* p) { return __nvvm_ldg_f(p); }
#define ELM_LDG(T, Element, n, nvvm)                                                          \
  ELM_FN T __ldg(const T* p) {                                                                \
    typedef Element Vector __attribute__((ext_vector_type(n)));                               \
    return __builtin_bit_cast(T, nvvm((const Vector*)p));                                     \
  }
ELM_LDG(int2, int, 2, __nvvm_ldg_i2)
ELM_LDG(int4, int, 4, __nvvm_ldg_i4)
ELM_LDG(uint2, unsigned, 2, __nvvm_ldg_ui2)
ELM_LDG(uint4, unsigned, 4, __nvvm_ldg_ui4)
ELM_LDG(float2, float, 2, __nvvm_ldg_f2)
ELM_LDG(float4, float, 4, __nvvm_ldg_f4)
#undef ELM_LDG
#undef ELM_FN
