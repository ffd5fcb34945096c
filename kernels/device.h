// The one header of every kernel. The same source compiles
//   - by nvcc: cubins;
//   - by clang++-19 without a CUDA SDK: PTX (language_clang.h);
//   - as C++20 by any compiler: the emulation that the tests run on (emulation/language.h).
// Kernels write CUDA C++ with the intrinsics of language_clang.h, and what this file and tensor_core.h add; inline PTX is in these two headers only.
#pragma once
#include <stddef.h>
#include <stdint.h>

#if defined(__NVCC__) || defined(__CUDACC_RTC__)
#define ELM_GPU 1
#define ELM_CVTA_SHARED(p) ((uint32_t)__cvta_generic_to_shared(p))
#elif defined(__clang__) && defined(__CUDA__)
#define ELM_GPU 1
#include "language_clang.h"
#else
#include "emulation/language.h"
#endif

#define ELM_DEV static __device__ __forceinline__

// Dynamic shared memory of the block, aligned to 1024 bytes.
#ifdef ELM_GPU
extern __shared__ __align__(1024) unsigned char elm_dynamic_shared[];
#define ELM_DYN_SMEM() (elm_dynamic_shared)
#else
#define ELM_DYN_SMEM() (elm::emulation::dynamic_shared())
#endif

// After a kernel's definition: makes it known by its name to the emulation.
#ifdef ELM_GPU
#define ELM_KERNEL(name)
#endif

// bfloat16 as its bits: the upper half of a float.
typedef uint16_t bf16;

ELM_DEV float from_bf16(bf16 x) { return __uint_as_float((uint32_t)x << 16); }
ELM_DEV float infinity() { return __uint_as_float(0x7f800000u); }
ELM_DEV float not_a_number() { return __uint_as_float(0x7fffffffu); }

constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;

// Floats as integers in the same order; -0 and 0 are one. And back.
ELM_DEV uint32_t key_of(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
ELM_DEV float from_key(uint32_t key) { return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key); }

#ifdef ELM_GPU
// 2^x, the logarithm to base 2, 1 / sqrt(x): relative errors below 2^-22 (log2 near 1: absolute); subnormal inputs and results become 0.
ELM_DEV float exp2_approx(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
ELM_DEV float log2_approx(float x) { float y; asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
ELM_DEV float rsqrt_approx(float x) { float y; asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
// Two floats as bfloat16, the first in the lower half; to nearest, ties to even.
ELM_DEV uint32_t pack_bf16(float low, float high) { uint32_t y; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low)); return y; }
ELM_DEV bf16 to_bf16(float x) { return (bf16)pack_bf16(x, 0.0f); }
#else
ELM_DEV float exp2_approx(float x) { return exp2f(x); }
ELM_DEV float log2_approx(float x) { return log2f(x); }
ELM_DEV float rsqrt_approx(float x) { return 1.0f / sqrtf(x); }
ELM_DEV bf16 to_bf16(float x) {
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (bf16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
ELM_DEV uint32_t pack_bf16(float low, float high) { return to_bf16(low) | (uint32_t)to_bf16(high) << 16; }
#endif

// Reading and writing an element as float, whatever type it is stored in.
ELM_DEV float load(const float* p) { return *p; }
ELM_DEV float load(const bf16* p) { return from_bf16(*p); }
ELM_DEV void store(float* p, float x) { *p = x; }
ELM_DEV void store(bf16* p, float x) { *p = to_bf16(x); }
