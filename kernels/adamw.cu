// The gradient's norm, and AdamW's update in PyTorch's order with the norm clipped. Limit: memory, 4 bytes a parameter for the norm and 28 for the update.
#include "reduce.h"
#include "runs.h"

namespace optimizer {
template <int N>
ELM_DEV float squares(const float* x, size_t runs) {
  const size_t stride = (size_t)gridDim.x * blockDim.x;
  float sum = 0.f, v[N];
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < runs; i += stride) {
    load_run(x + i * N, v);
#pragma unroll
    for (int j = 0; j < N; j++) sum = fmaf(v[j], v[j], sum);
  }
  return sum;
}
}  // namespace optimizer

// partial[b] = sum of the squares that block b met. The grid depends on the count alone, so a gradient's norm has the same bits each time.
extern "C" __global__ __launch_bounds__(256) void adamw_squares(const float* grad, size_t count, float* partial) {
  __shared__ float scratch[kWarp];
  const size_t runs = aligned_for<4>(grad) ? count / 4 : 0;
  float sum = optimizer::squares<4>(grad, runs) + optimizer::squares<1>(grad + 4 * runs, count - 4 * runs);
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
ELM_KERNEL(adamw_squares)

// norm = sqrt(sum of the partial sums), added in double: each of 256 threads its own, then in rising thread. One block.
extern "C" __global__ __launch_bounds__(256) void adamw_norm(const float* partial, int count, float* norm) {
  __shared__ double sums[256];
  double sum = 0.0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += (double)partial[i];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int i = 1; i < (int)blockDim.x; i++) sum += sums[i];
  // One Newton step takes the float root to double; the rounding at the end is then right but for rare ties.
  const double root = (double)sqrtf((float)sum);
  *norm = root > 0.0 && root < 1e300 ? (float)(0.5 * (root + sum / root)) : (float)root;
}
ELM_KERNEL(adamw_norm)

// theta, m and v in place, from the gradient times min(1, max_norm / (norm + 1e-6)). rest = 1 - beta, shrink = 1 - learning rate * decay, correction = 1 - beta^step.
// Grid: any number of blocks; each thread strides over the parameters.
extern "C" __global__ __launch_bounds__(256) void adamw_update(float* theta, const float* grad, float* m, float* v, size_t count, const float* norm, float max_norm, float learning_rate,
                                                              float epsilon, float shrink, float beta1, float rest1, float correction1, float beta2, float rest2, float correction2) {
  const size_t stride = (size_t)gridDim.x * blockDim.x;
  const float ratio = max_norm / (*norm + 1e-6f), clip = ratio < 1.0f ? ratio : 1.0f;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
    const float g = grad[i] * clip;
    const float first = fmaf(beta1, m[i], rest1 * g), second = fmaf(beta2, v[i], rest2 * (g * g));
    const float root = sqrtf(second / correction2) + epsilon;
    theta[i] = theta[i] * shrink - learning_rate * (first / correction1) / root;
    m[i] = first;
    v[i] = second;
  }
}
ELM_KERNEL(adamw_update)
