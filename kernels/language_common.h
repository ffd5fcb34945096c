// What is spelled alike in language_clang.h and emulation/language.h: vector types and their makers, bits, minima and maxima of integers. Both define __align__ and ELM_FN, which
// stands before a function, and then include this; nvcc needs none of it.
#pragma once
#include <stdint.h>

struct uint3 { unsigned x, y, z; };
struct __align__(8) int2 { int x, y; };
struct __align__(16) int4 { int x, y, z, w; };
struct __align__(8) uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
struct __align__(8) float2 { float x, y; };
struct __align__(16) float4 { float x, y, z, w; };

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
