// Rows moved to and from the places that indices name: the embedding look-up, hidden states kept in their places, gradients of a shared soft prompt. Limit: memory, each moved row read
// and written once. An index at or past the end of its tensor moves nothing; so does one below 0.
#include "runs.h"

namespace gathering {
template <int N, class From, class To>
ELM_DEV void move_row(const From* from, To* to, int columns) {
  const int stride = gridDim.y * blockDim.x * N;
  for (int j = (blockIdx.y * blockDim.x + threadIdx.x) * N; j < columns; j += stride) move_run<N>(from + j, to + j);
}

template <class From, class To>
ELM_DEV void gather(const From* source, const int* indices, To* destination, int rows, int columns) {
  const int row = indices[blockIdx.x];
  if (row < 0 || row >= rows) return;
  const From* from = source + (size_t)row * columns;
  To* to = destination + (size_t)blockIdx.x * columns;
  if (rows_in_runs<8>(columns, source, destination)) move_row<8>(from, to, columns);
  else move_row<1>(from, to, columns);
}

template <class T>
ELM_DEV void scatter(const T* source, const int* indices, T* destination, int rows, int columns) {
  const int row = indices[blockIdx.x];
  if (row < 0 || row >= rows) return;
  const T* from = source + (size_t)blockIdx.x * columns;
  T* to = destination + (size_t)row * columns;
  if (rows_in_runs<8>(columns, source, destination)) move_row<8>(from, to, columns);
  else move_row<1>(from, to, columns);
}

constexpr int kAddThreads = 256;  // also the indices that a block looks at in one go
constexpr int kAhead = 4;         // rows whose loads are under way together

// One destination row and one run of columns a thread; the rows that go there are found in rising order, kAddThreads indices at a time, and added in that order.
template <int N>
ELM_DEV void scatter_add_share(const float* source, const int* indices, float* destination, int count, int columns, int share) {
  __shared__ int matches[kAddThreads];
  __shared__ unsigned found[kAddThreads / 32];
  const int row = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int column = (share * kAddThreads + (int)threadIdx.x) * N;
  float* to = destination + (size_t)row * columns + column;
  float sum[N] = {};
  bool touched = false;
  for (int first = 0; first < count; first += kAddThreads) {
    const int i = first + (int)threadIdx.x;
    const bool here = i < count && indices[i] == row;
    const unsigned holders = __ballot_sync(0xffffffffu, here);
    if (lane == 0) found[warp] = holders;
    __syncthreads();
    int before = 0, all = 0;
    for (int w = 0; w < kAddThreads / 32; w++) {
      const int n = __popc(found[w]);
      before += w < warp ? n : 0;
      all += n;
    }
    if (here) matches[before + __popc(holders & ((1u << lane) - 1u))] = i;
    __syncthreads();
    if (all > 0 && column < columns) {
      if (!touched) load_run(to, sum);
      touched = true;
      for (int m = 0; m < all; m += kAhead) {
        float x[kAhead][N];
#pragma unroll
        for (int a = 0; a < kAhead; a++)
          if (m + a < all) load_run(source + (size_t)matches[m + a] * columns + column, x[a]);
#pragma unroll
        for (int a = 0; a < kAhead; a++)
          if (m + a < all)
            for (int j = 0; j < N; j++) sum[j] += x[a][j];
      }
    }
  }
  if (touched) store_run(to, sum);
}
template <int N>
ELM_DEV void scatter_add(const float* source, const int* indices, float* destination, int count, int columns) {
  for (int share = blockIdx.y; share * kAddThreads * N < columns; share += gridDim.y) scatter_add_share<N>(source, indices, destination, count, columns, share);
}
}  // namespace gathering

// destination[i] = source[indices[i]]. Grid: rows of the destination x any number of shares of the columns.
#define ELM_GATHER(name, From, To)                                                                                                       \
  extern "C" __global__ __launch_bounds__(256) void name(const From* source, const int* indices, To* destination, int rows, int columns) { \
    gathering::gather(source, indices, destination, rows, columns);                                                                      \
  }                                                                                                                                      \
  ELM_KERNEL(name)

ELM_GATHER(gather_rows_f32_f32, float, float)
ELM_GATHER(gather_rows_bf16_f32, bf16, float)
ELM_GATHER(gather_rows_f16_f32, f16, float)
ELM_GATHER(gather_rows_f32_bf16, float, bf16)
ELM_GATHER(gather_rows_bf16_bf16, bf16, bf16)
ELM_GATHER(gather_rows_f16_bf16, f16, bf16)

// destination[indices[i]] = source[i], indices distinct; rows are those of the destination. Grid: rows of the source x any number of shares of the columns.
#define ELM_SCATTER(name, T)                                                                                                         \
  extern "C" __global__ __launch_bounds__(256) void name(const T* source, const int* indices, T* destination, int rows, int columns) { \
    gathering::scatter(source, indices, destination, rows, columns);                                                                 \
  }                                                                                                                                  \
  ELM_KERNEL(name)

ELM_SCATTER(scatter_rows_f32, float)
ELM_SCATTER(scatter_rows_bf16, bf16)

// destination[indices[i]] += source[i] for i in [0, count), repeats added in rising i. Grid: rows of the destination x any number of
// shares of 1024 columns (256 where rows are not aligned to 16 bytes).
extern "C" __global__ __launch_bounds__(gathering::kAddThreads) void scatter_add_rows_f32(const float* source, const int* indices, float* destination, int count, int columns) {
  if (rows_in_runs<4>(columns, source, destination)) gathering::scatter_add<4>(source, indices, destination, count, columns);
  else gathering::scatter_add<1>(source, indices, destination, count, columns);
}
ELM_KERNEL(scatter_add_rows_f32)
