// Uniform values in [-magnitude, magnitude) from Philox4x32-10: element i is ((w >> 8) 2^-23 - 1) magnitude for word w = i mod 4 of counter (i / 4 low, i / 4 high, 0, 0) under key (seed
// low, seed high), rounded to F32 and then to the type. The difference is exact, so that every backend gives the same bits. Limit: memory, each element written once.
#include "philox.h"
#include "runs.h"

namespace filling {
ELM_DEV void store_as(f16* p, float x) {
  // To nearest even; a value beyond 65504 becomes infinite, one under 2^-14 a multiple of 2^-24.
  const uint32_t bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude >= 0x47800000u) half = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  else if (magnitude >= 0x38800000u) half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  else half = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3f000000u;  // the sum rounds at 2^-24
  p->bits = (uint16_t)(sign | half);
}
ELM_DEV void store_as(float* p, float x) { store(p, x); }
ELM_DEV void store_as(bf16* p, float x) { store(p, x); }

template <class T>
ELM_DEV void fill(T* x, size_t count, uint32_t seed_low, uint32_t seed_high, float magnitude) {
  const size_t stride = (size_t)gridDim.x * blockDim.x;
  for (size_t four = (size_t)blockIdx.x * blockDim.x + threadIdx.x; four * 4 < count; four += stride) {
    const Words words = philox((uint32_t)four, (uint32_t)((uint64_t)four >> 32), 0, 0, seed_low, seed_high);
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (four * 4 + i < count) store_as(x + four * 4 + i, ((float)(words.w[i] >> 8) * 0x1p-23f - 1.0f) * magnitude);
  }
}
}  // namespace filling

// Grid: any number of blocks; each thread strides over groups of 4 elements.
#define ELM_FILL(name, T)                                                                                                                  \
  extern "C" __global__ __launch_bounds__(256) void name(T* x, size_t count, unsigned seed_low, unsigned seed_high, float magnitude) {      \
    filling::fill(x, count, seed_low, seed_high, magnitude);                                                                               \
  }                                                                                                                                        \
  ELM_KERNEL(name)

ELM_FILL(fill_uniform_f32, float)
ELM_FILL(fill_uniform_bf16, bf16)
ELM_FILL(fill_uniform_f16, f16)
