// x[i, j] *= scales[i], F32: gradients for a unit slope become those of a loss. A row with scale 0 becomes 0, whatever it held. Limit: memory, each element read and written once.
#include "runs.h"

namespace scaling {
template <int N>
ELM_DEV void scale_row(float scale, float* x, int columns) {
  const int stride = gridDim.y * blockDim.x * N;
  for (int j = (blockIdx.y * blockDim.x + threadIdx.x) * N; j < columns; j += stride) {
    float v[N] = {};
    if (scale != 0.f) {
      load_run(x + j, v);
#pragma unroll
      for (int i = 0; i < N; i++) v[i] *= scale;
    }
    store_run(x + j, v);
  }
}
}  // namespace scaling

// Grid: rows x any number of shares of the columns.
extern "C" __global__ __launch_bounds__(256) void scale_rows_f32(const float* scales, float* x, int columns) {
  float* row = x + (size_t)blockIdx.x * columns;
  if (rows_in_runs<8>(columns, x)) scaling::scale_row<8>(scales[blockIdx.x], row, columns);
  else scaling::scale_row<1>(scales[blockIdx.x], row, columns);
}
ELM_KERNEL(scale_rows_f32)
