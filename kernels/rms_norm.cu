// RMS norm of rows and its gradient. With r = 1 / sqrt(mean(x^2) + epsilon): y = x r w, and for g = dy w: dx += r g - x r^3 / d sum(g x).
// Limit: memory. Forward reads x and writes y once (the second look at a row hits the L1 cache), backward reads x and dy, reads and writes dx. A row belongs to one warp where rows are
// short (queries and keys of a head), else to one block; the bits of a row depend on that row alone. y may be x itself, so nothing here is declared to be unaliased.
#include "reduce.h"
#include "runs.h"

namespace norms {
// The threads that share a row: a warp where the block has several rows, else the block.
struct Team {
  size_t row;
  int index, size;
  bool is_warp;
};
ELM_DEV Team team(int rows_of_block) {
  if (rows_of_block > 1) return {(size_t)blockIdx.x * rows_of_block + threadIdx.x / kWarp, (int)(threadIdx.x % kWarp), kWarp, true};
  return {blockIdx.x, (int)threadIdx.x, (int)blockDim.x, false};
}
ELM_DEV float team_sum(const Team& t, float x, float* scratch) { return t.is_warp ? warp_sum(x) : block_sum(x, scratch); }

template <int N, class X, class Y>
ELM_DEV void forward(const X* x, const void* weight, int weight_type, float epsilon, Y* y, const Team& t, int d, float* scratch) {
  float v[N], w[N], squares = 0.f;
  for (int j = t.index * N; j < d; j += t.size * N) {
    load_run(x + j, v);
#pragma unroll
    for (int i = 0; i < N; i++) squares = fmaf(v[i], v[i], squares);
  }
  const float r = 1.0f / sqrtf(team_sum(t, squares, scratch) / (float)d + epsilon);
  for (int j = t.index * N; j < d; j += t.size * N) {
    load_run(x + j, v);
    load_run(weight, weight_type, j, w);
#pragma unroll
    for (int i = 0; i < N; i++) v[i] = v[i] * r * w[i];
    store_run(y + j, v);
  }
}

template <int N, class X, class DY, class DX>
ELM_DEV void backward(const X* x, const void* weight, int weight_type, float epsilon, const DY* dy, DX* dx, const Team& t, int d, float* scratch) {
  float v[N], w[N], g[N], old[N], squares = 0.f, along = 0.f;
  for (int j = t.index * N; j < d; j += t.size * N) {
    load_run(x + j, v);
    load_run(dy + j, g);
    load_run(weight, weight_type, j, w);
#pragma unroll
    for (int i = 0; i < N; i++) {
      squares = fmaf(v[i], v[i], squares);
      along = fmaf(g[i] * w[i], v[i], along);
    }
  }
  const float r = 1.0f / sqrtf(team_sum(t, squares, scratch) / (float)d + epsilon);
  const float factor = -(team_sum(t, along, scratch) * r * r * r / (float)d);
  for (int j = t.index * N; j < d; j += t.size * N) {
    load_run(x + j, v);
    load_run(dy + j, g);
    load_run(weight, weight_type, j, w);
    load_run(dx + j, old);
#pragma unroll
    for (int i = 0; i < N; i++) old[i] += fmaf(v[i], factor, g[i] * w[i] * r);
    store_run(dx + j, old);
  }
}
}  // namespace norms

// Grid: ceil(rows / rows_of_block); rows_of_block is 1, or the number of warps of a block.
#define ELM_RMS_NORM(name, X, Y)                                                                                                                           \
  extern "C" __global__ __launch_bounds__(512) void name(const X* x, const void* weight, int weight_type, float epsilon, Y* y, int rows, int d, int rows_of_block) { \
    __shared__ float scratch[kWarp];                                                                                                                       \
    const norms::Team t = norms::team(rows_of_block);                                                                                                      \
    if (t.row >= (size_t)rows) return;                                                                                                                     \
    if (rows_in_runs<4>(d, x, y) && (uintptr_t)weight % 16 == 0)                                                                                           \
      norms::forward<4>(x + t.row * d, weight, weight_type, epsilon, y + t.row * d, t, d, scratch);                                                        \
    else                                                                                                                                                   \
      norms::forward<1>(x + t.row * d, weight, weight_type, epsilon, y + t.row * d, t, d, scratch);                                                        \
  }                                                                                                                                                        \
  ELM_KERNEL(name)

ELM_RMS_NORM(rms_norm_f32_f32, float, float)
ELM_RMS_NORM(rms_norm_f32_bf16, float, bf16)
ELM_RMS_NORM(rms_norm_bf16_f32, bf16, float)
ELM_RMS_NORM(rms_norm_bf16_bf16, bf16, bf16)

// Types in the order x, dy, dx. Grid as above.
#define ELM_RMS_NORM_BACKWARD(name, X, DY, DX)                                                                                                             \
  extern "C" __global__ __launch_bounds__(512) void name(const X* x, const void* weight, int weight_type, float epsilon, const DY* dy, DX* dx, int rows, int d, int rows_of_block) { \
    __shared__ float scratch[kWarp];                                                                                                                       \
    const norms::Team t = norms::team(rows_of_block);                                                                                                      \
    if (t.row >= (size_t)rows) return;                                                                                                                     \
    if (rows_in_runs<4>(d, x, dy) && aligned_for<4>(dx) && (uintptr_t)weight % 16 == 0)                                                                    \
      norms::backward<4>(x + t.row * d, weight, weight_type, epsilon, dy + t.row * d, dx + t.row * d, t, d, scratch);                                      \
    else                                                                                                                                                   \
      norms::backward<1>(x + t.row * d, weight, weight_type, epsilon, dy + t.row * d, dx + t.row * d, t, d, scratch);                                      \
  }                                                                                                                                                        \
  ELM_KERNEL(name)

ELM_RMS_NORM_BACKWARD(rms_norm_backward_f32_f32_f32, float, float, float)
ELM_RMS_NORM_BACKWARD(rms_norm_backward_f32_f32_bf16, float, float, bf16)
ELM_RMS_NORM_BACKWARD(rms_norm_backward_f32_bf16_f32, float, bf16, float)
ELM_RMS_NORM_BACKWARD(rms_norm_backward_f32_bf16_bf16, float, bf16, bf16)
ELM_RMS_NORM_BACKWARD(rms_norm_backward_bf16_f32_f32, bf16, float, float)
ELM_RMS_NORM_BACKWARD(rms_norm_backward_bf16_f32_bf16, bf16, float, bf16)
ELM_RMS_NORM_BACKWARD(rms_norm_backward_bf16_bf16_f32, bf16, bf16, float)
ELM_RMS_NORM_BACKWARD(rms_norm_backward_bf16_bf16_bf16, bf16, bf16, bf16)
