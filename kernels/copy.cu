// destination = source, elementwise, from one type to another: rounded to the nearest even, or bit for bit within one type (F32 serves I32 too). Limit: memory, each element read and
// written once.
#include "runs.h"

namespace copying {
template <int N, class From, class To>
ELM_DEV void move_all(const From* from, To* to, size_t count) {
  const size_t stride = (size_t)gridDim.x * blockDim.x, thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x, runs = count / N;
  for (size_t i = thread; i < runs; i += stride) move_run<N>(from + i * N, to + i * N);
  for (size_t i = runs * N + thread; i < count; i += stride) move_run<1>(from + i, to + i);
}

template <class From, class To>
ELM_DEV void copy(const From* from, To* to, size_t count) {
  if (aligned_for<8>(from, to)) move_all<8>(from, to, count);
  else move_all<1>(from, to, count);
}
}  // namespace copying

// Grid: any number of blocks; each thread strides over runs of 8 elements.
#define ELM_COPY(name, From, To)                                                                                                \
  extern "C" __global__ __launch_bounds__(256) void name(const From* from, To* to, size_t count) { copying::copy(from, to, count); } \
  ELM_KERNEL(name)

ELM_COPY(copy_f32_f32, float, float)
ELM_COPY(copy_f32_bf16, float, bf16)
ELM_COPY(copy_bf16_f32, bf16, float)
ELM_COPY(copy_bf16_bf16, bf16, bf16)
ELM_COPY(copy_f16_f32, f16, float)
ELM_COPY(copy_f16_bf16, f16, bf16)
