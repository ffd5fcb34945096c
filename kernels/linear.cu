// The product of a linear layer and its gradient to the input, for more than a few rows; both read the weight as stored, W [n, k].
//   forward:  y = x W^T + bias        x [m, k], y [m, n]
//   backward: dx = dy W               dy [m, n], dx [m, k]
// BF16 inputs, F32 sums, F32 or BF16 outputs that are overwritten or added to. Limit: 2 m n k FLOPs of the tensor cores (mma.sync), for few rows the bytes of W.
// Written once for C [rows, columns] = A B over a reduction of `depth`: forward has columns n and depth k, backward columns k and depth n.
#include "tile.h"

namespace {
// What follows the product: the bias.
struct Finish {
  const void* bias;
  int bias_type, columns;
  template <int N> struct OfColumns {
    float bias[N];
    __device__ void operator()(int, float (&v)[N]) const {
#pragma unroll
      for (int e = 0; e < N; e++) v[e] += bias[e];
    }
  };
  template <int N> __device__ OfColumns<N> of_columns(int column) const {
    OfColumns<N> of;
#pragma unroll
    for (int e = 0; e < N; e++) of.bias[e] = column + e < columns ? load_typed(bias, bias_type, column + e) : 0.f;
    return of;
  }
};
}  // namespace

// Grid: (tiles, splits). Several splits of `split_depth` each write F32 partial products [splits][rows, columns] to y, for linear_sum; then bias and accumulate are left out.
template <class Tile, bool Transposed, bool Aligned>
ELM_DEV void linear(const bf16* a, int a_stride, const bf16* b, int b_stride, const Finish& finish, void* y, int y_type, int accumulate, int rows, int columns, int depth, int split_depth) {
  unsigned char* shared = (unsigned char*)ELM_DYN_SMEM();
  int down, across;
  tile_of_block(blockIdx.x, (rows + Tile::rows - 1) / Tile::rows, (columns + Tile::columns - 1) / Tile::columns, down, across);
  const int row0 = down * Tile::rows, column0 = across * Tile::columns, first = blockIdx.y * split_depth;
  const int last = depth - first < split_depth ? depth : first + split_depth;
  typename Tile::Sums sums;
  multiply_tile<Tile, Transposed, Aligned>(a, a_stride, row0, rows, b, b_stride, column0, columns, first, last, sums, shared);
  if (y_type == 1) store_tile<Tile>(sums, (float*)y + (size_t)blockIdx.y * rows * columns, columns, row0, rows, column0, columns, accumulate, shared, finish);
  else store_tile<Tile>(sums, (bf16*)y, columns, row0, rows, column0, columns, accumulate, shared, finish);
}

#define LINEAR(name, Tile, blocks, transposed, aligned)                                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(Tile::threads, blocks)                                                                                                                   \
      name(const bf16* a, int a_stride, const bf16* b, int b_stride, const void* bias, int bias_type, void* y, int y_type, int accumulate, int rows, int columns, int depth,            \
           int split_depth) {                                                                                                                                                           \
    linear<Tile, transposed, aligned>(a, a_stride, b, b_stride, Finish{bias, bias_type, columns}, y, y_type, accumulate, rows, columns, depth, split_depth);                            \
  }                                                                                                                                                                                     \
  ELM_KERNEL(name)

LINEAR(linear_large, LargeTile, 2, false, true)
LINEAR(linear_small, SmallTile, 3, false, true)
LINEAR(linear_unaligned, SmallTile, 3, false, false)
LINEAR(linear_backward_large, LargeTile, 2, true, true)
LINEAR(linear_backward_small, SmallTile, 3, true, true)
LINEAR(linear_backward_unaligned, SmallTile, 3, true, false)

// y = (or +=) bias + the sum of `splits` partial products, in rising order. Any grid; threads stride over the elements.
extern "C" __global__ void __launch_bounds__(256) linear_sum(const float* __restrict__ partials, int splits, const void* bias, int bias_type, void* y, int y_type, int accumulate, int rows, int columns) {
  const size_t count = (size_t)rows * columns, stride = (size_t)gridDim.x * blockDim.x;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
    float v = 0.f;
    for (int s = 0; s < splits; s++) v += partials[s * count + i];
    v += load_typed(bias, bias_type, i % columns);
    store_typed(y, y_type, i, accumulate ? load_typed(y, y_type, i) + v : v);
  }
}
ELM_KERNEL(linear_sum)
