// y[r] = mean over the rows [start, start + count) of range r and over all heads: memories' keys and queries. Limit: memory, each row of a range read once; one block a range, so few
// long ranges are bound by what one multiprocessor can read (about 10 us for 700 rows of 512). A range that does not lie within the rows leaves its y as it is.
#include "runs.h"

namespace pooling {
constexpr int kThreads = 512;

// Threads stand side by side over one vector of head_size elements, in runs of N, and in groups over the vectors; the groups are added up in rising order.
template <int N>
ELM_DEV void pool(const bf16* x, size_t vectors, int head_size, float* y, float* partial) {
  const int runs = head_size / N;
  for (int base = 0; base < runs; base += kThreads) {
    const int width = min(runs - base, kThreads), groups = kThreads / width;
    const int group = (int)threadIdx.x / width, run = (int)threadIdx.x % width;
    if (group < groups) {
      float sum[N] = {}, v[N];
      const bf16* from = x + (size_t)(base + run) * N;
#pragma unroll 4
      for (size_t i = group; i < vectors; i += groups) {
        load_run(from + i * head_size, v);
#pragma unroll
        for (int j = 0; j < N; j++) sum[j] += v[j];
      }
#pragma unroll
      for (int j = 0; j < N; j++) partial[(group * width + run) * N + j] = sum[j];
    }
    __syncthreads();
    for (int j = threadIdx.x; j < width * N; j += kThreads) {
      float total = 0.f;
      for (int g = 0; g < groups; g++) total += partial[g * width * N + j];
      y[(size_t)base * N + j] = vectors > 0 ? total / (float)vectors : 0.f;
    }
    __syncthreads();
  }
}
}  // namespace pooling

// x [rows, heads * head_size], ranges [n, 2], y [n, head_size]. Grid: n blocks of 512 threads.
extern "C" __global__ __launch_bounds__(pooling::kThreads) void pool_heads_bf16(const bf16* x, const int* ranges, int rows, int heads, int head_size, float* y) {
  __shared__ float partial[pooling::kThreads * 8];
  const int start = ranges[2 * blockIdx.x], count = ranges[2 * blockIdx.x + 1];
  if (start < 0 || count < 0 || (int64_t)start + count > rows) return;
  const bf16* first = x + (size_t)start * heads * head_size;
  float* to = y + (size_t)blockIdx.x * head_size;
  if (rows_in_runs<8>(head_size, x)) pooling::pool<8>(first, (size_t)count * heads, head_size, to, partial);
  else pooling::pool<1>(first, (size_t)count * heads, head_size, to, partial);
}
ELM_KERNEL(pool_heads_bf16)
