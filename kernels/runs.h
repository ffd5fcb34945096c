// Runs of consecutive elements: 1, 4 or 8 at a time, as floats in registers. Runs of 4 floats or 8 halves are one access of 16 bytes. All types of the host's ElementType are
// read; F32 and BF16 are written.
#pragma once
#include "device.h"

// IEEE half precision as its bits.
struct f16 { uint16_t bits; };

// Exact for every value: the exponent is moved by a product with 2^112, which also widens subnormals.
ELM_DEV float from_f16(uint16_t x) {
  const uint32_t magnitude = (uint32_t)(x & 0x7fffu) << 13, sign = (uint32_t)(x & 0x8000u) << 16;
  const uint32_t wide = __float_as_uint(__uint_as_float(magnitude) * 0x1p112f);
  return __uint_as_float(sign | (magnitude >= 0x0f800000u ? wide | 0x7f800000u : wide));
}
ELM_DEV float load(const f16* p) { return from_f16(p->bits); }

// The type of a tensor's elements where a kernel learns it at run time: ElementType of the host.
constexpr int kF32 = 0, kBF16 = 1;

// True where runs of N elements of each of the arrays, starting at multiples of N, may be accessed at once.
template <int N, class... T>
ELM_DEV bool aligned_for(const T*... first) {
  return (... && ((uintptr_t)first % (N * sizeof(T) < 16 ? N * sizeof(T) : 16) == 0));
}
// The same for all rows of matrices of so many columns.
template <int N, class... T>
ELM_DEV bool rows_in_runs(int columns, const T*... first) { return columns % N == 0 && aligned_for<N>(first...); }

template <int N>
ELM_DEV void load_run(const float* p, float (&x)[N]) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      const float4 v = *(const float4*)(p + i);
      x[i] = v.x, x[i + 1] = v.y, x[i + 2] = v.z, x[i + 3] = v.w;
    }
  } else {
    for (int i = 0; i < N; i++) x[i] = p[i];
  }
}
template <int N>
ELM_DEV void store_run(float* p, const float (&x)[N]) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 4) *(float4*)(p + i) = float4{x[i], x[i + 1], x[i + 2], x[i + 3]};
  } else {
    for (int i = 0; i < N; i++) p[i] = x[i];
  }
}
template <int N>
ELM_DEV void load_run(const bf16* p, float (&x)[N]) {
  if constexpr (N == 8) {
    const uint4 v = *(const uint4*)p;
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) x[2 * i] = from_bf16((bf16)words[i]), x[2 * i + 1] = from_bf16((bf16)(words[i] >> 16));
  } else if constexpr (N == 4) {
    const uint2 v = *(const uint2*)p;
    x[0] = from_bf16((bf16)v.x), x[1] = from_bf16((bf16)(v.x >> 16)), x[2] = from_bf16((bf16)v.y), x[3] = from_bf16((bf16)(v.y >> 16));
  } else {
    for (int i = 0; i < N; i++) x[i] = from_bf16(p[i]);
  }
}
template <int N>
ELM_DEV void store_run(bf16* p, const float (&x)[N]) {
  if constexpr (N == 8)
    *(uint4*)p = uint4{pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7])};
  else if constexpr (N == 4)
    *(uint2*)p = uint2{pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3])};
  else
    for (int i = 0; i < N; i++) p[i] = to_bf16(x[i]);
}
template <int N>
ELM_DEV void load_run(const f16* p, float (&x)[N]) {
  if constexpr (N == 8) {
    const uint4 v = *(const uint4*)p;
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) x[2 * i] = from_f16((uint16_t)words[i]), x[2 * i + 1] = from_f16((uint16_t)(words[i] >> 16));
  } else if constexpr (N == 4) {
    const uint2 v = *(const uint2*)p;
    x[0] = from_f16((uint16_t)v.x), x[1] = from_f16((uint16_t)(v.x >> 16)), x[2] = from_f16((uint16_t)v.y), x[3] = from_f16((uint16_t)(v.y >> 16));
  } else {
    for (int i = 0; i < N; i++) x[i] = from_f16(p[i].bits);
  }
}
// Elements of a type that is known at run time.
template <int N>
ELM_DEV void load_run(const void* p, int type, size_t first, float (&x)[N]) {
  if (type == kF32) load_run((const float*)p + first, x);
  else if (type == kBF16) load_run((const bf16*)p + first, x);
  else load_run((const f16*)p + first, x);
}

// Moves a run from one type to another, rounded to nearest even; within one type it keeps every bit.
template <int N, class From, class To>
ELM_DEV void move_run(const From* from, To* to) {
  float x[N];
  load_run(from, x);
  store_run(to, x);
}
template <int N>
ELM_DEV void move_run(const bf16* from, bf16* to) {
  if constexpr (N == 8) *(uint4*)to = *(const uint4*)from;
  else if constexpr (N == 4) *(uint2*)to = *(const uint2*)from;
  else
    for (int i = 0; i < N; i++) to[i] = from[i];
}
