// y = silu(gate) up and its gradient, elementwise, BF16. With s = 1 / (1 + exp(-gate)): silu = gate s, its slope s (1 + gate (1 - s)).
// Limit: memory, 6 bytes an element forward, 10 backward. Outputs may be inputs: a thread reads all of its run before it writes any of it.
#include "runs.h"

namespace swiglu {
// 1 / (1 + exp(-x)); 0 where exp(-x) overflows or nearly does, so that no infinity comes out. The approximate division keeps the arithmetic behind the memory.
ELM_DEV float sigmoid(float x) { return __fdividef(1.0f, 1.0f + exp2_approx(-x * kLog2E)); }

template <int N>
ELM_DEV void forward(const bf16* gate, const bf16* up, bf16* y) {
  float g[N], u[N];
  load_run(gate, g);
  load_run(up, u);
#pragma unroll
  for (int i = 0; i < N; i++) u[i] *= g[i] * sigmoid(g[i]);
  store_run(y, u);
}

template <int N>
ELM_DEV void backward(const bf16* gate, const bf16* up, const bf16* dy, bf16* dgate, bf16* dup) {
  float g[N], u[N], d[N];
  load_run(gate, g);
  load_run(up, u);
  load_run(dy, d);
#pragma unroll
  for (int i = 0; i < N; i++) {
    const float s = sigmoid(g[i]), slope = s * fmaf(g[i], 1.0f - s, 1.0f);
    u[i] = d[i] * u[i] * slope;
    g[i] = d[i] * (g[i] * s);
  }
  store_run(dgate, u);
  store_run(dup, g);
}
}  // namespace swiglu

// Grid: any number of blocks; each thread strides over runs of 8 elements.
extern "C" __global__ __launch_bounds__(256) void swiglu_bf16(const bf16* gate, const bf16* up, bf16* y, size_t count) {
  const size_t stride = (size_t)gridDim.x * blockDim.x, thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  const size_t runs = aligned_for<8>(gate, up, y) ? count / 8 : 0;
  for (size_t i = thread; i < runs; i += stride) swiglu::forward<8>(gate + 8 * i, up + 8 * i, y + 8 * i);
  for (size_t i = 8 * runs + thread; i < count; i += stride) swiglu::forward<1>(gate + i, up + i, y + i);
}
ELM_KERNEL(swiglu_bf16)

extern "C" __global__ __launch_bounds__(256) void swiglu_backward_bf16(const bf16* gate, const bf16* up, const bf16* dy, bf16* dgate, bf16* dup, size_t count) {
  const size_t stride = (size_t)gridDim.x * blockDim.x, thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  const size_t runs = aligned_for<8>(gate, up, dy, dgate, dup) ? count / 8 : 0;
  for (size_t i = thread; i < runs; i += stride) swiglu::backward<8>(gate + 8 * i, up + 8 * i, dy + 8 * i, dgate + 8 * i, dup + 8 * i);
  for (size_t i = 8 * runs + thread; i < count; i += stride) swiglu::backward<1>(gate + i, up + i, dy + i, dgate + i, dup + i);
}
ELM_KERNEL(swiglu_backward_bf16)
