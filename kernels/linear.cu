// The product of a linear layer and its gradient to the input, for more than a few rows; both read the weight as stored, W [n, k].
//   forward:  y = x W^T + bias        x [m, k], y [m, n]
//   backward: dx = dy W               dy [m, n], dx [m, k]
// BF16 inputs, F32 sums, F32 or BF16 outputs that are overwritten or added to. Limit: 2 m n k FLOPs of the tensor cores (mma.sync), for few rows the bytes of W.
// Written once for C [rows, columns] = A B over a reduction of `depth`: forward has columns n and depth k, backward columns k and depth n.
#include "tile.h"

namespace {
// N consecutive columns of a bias, 0 past the last column and where there is none (type 0; 1 is F32, 2 is BF16).
template <int N> struct Bias {
  float values[N];
  __device__ Bias(const void* bias, int type, int column, int columns) {
#pragma unroll
    for (int e = 0; e < N; e++)
      values[e] = type == 0 || column + e >= columns ? 0.f : type == 1 ? ((const float*)bias)[column + e] : from_bf16(((const bf16*)bias)[column + e]);
  }
};

// What follows the product: the bias; and a row with weight 0 is 0, whatever the product.
struct Finish {
  const void* bias;
  int bias_type, columns;
  const float* weights;
  template <int N> struct OfColumns {
    Bias<N> bias;
    const float* weights;
    __device__ void operator()(int row, float (&v)[N]) const {
      const bool counts = !weights || weights[row] != 0.f;
#pragma unroll
      for (int e = 0; e < N; e++) v[e] = counts ? v[e] + bias.values[e] : 0.f;
    }
  };
  template <int N> __device__ OfColumns<N> of_columns(int column) const { return {{bias, bias_type, column, columns}, weights}; }
};
}  // namespace

// Grid: (tiles, splits). Several splits of `split_depth` each write F32 partial products [splits][rows, columns] to y, for linear_sum; then bias and accumulate are left out.
// weights [rows], where given: rows with weight 0 become 0 (or stay as they are); a tile of nothing else costs nothing.
template <class Tile, bool Transposed, bool Aligned>
ELM_DEV void linear(const bf16* a, int a_stride, const bf16* b, int b_stride, const Finish& finish, void* y, int y_type, int accumulate, int rows, int columns, int depth, int split_depth) {
  unsigned char* shared = (unsigned char*)ELM_DYN_SMEM();
  int down, across;
  tile_of_block(blockIdx.x, (rows + Tile::rows - 1) / Tile::rows, (columns + Tile::columns - 1) / Tile::columns, down, across);
  const int row0 = down * Tile::rows, column0 = across * Tile::columns, first = blockIdx.y * split_depth;
  int last = depth - first < split_depth ? depth : first + split_depth;
  if (finish.weights && !any_weight(finish.weights, row0, Tile::rows, rows, shared)) last = first;
  typename Tile::Sums sums;
  multiply_tile<Tile, Transposed, Aligned>(a, a_stride, row0, rows, b, b_stride, column0, columns, first, last, sums, shared);
  if (y_type == 1) store_tile<Tile>(sums, (float*)y + (size_t)blockIdx.y * rows * columns, columns, row0, rows, column0, columns, accumulate, shared, finish);
  else store_tile<Tile>(sums, (bf16*)y, columns, row0, rows, column0, columns, accumulate, shared, finish);
}

#define LINEAR(name, Tile, blocks, transposed, aligned)                                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(Tile::threads, blocks)                                                                                                                   \
      name(const bf16* a, int a_stride, const bf16* b, int b_stride, const void* bias, int bias_type, void* y, int y_type, int accumulate, int rows, int columns, int depth,            \
           int split_depth, const float* weights) {                                                                                                                                     \
    linear<Tile, transposed, aligned>(a, a_stride, b, b_stride, Finish{bias, bias_type, columns, weights}, y, y_type, accumulate, rows, columns, depth, split_depth);                     \
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
    v += Bias<1>(bias, bias_type, (int)(i % columns), columns).values[0];
    if (y_type == 1) store((float*)y + i, accumulate ? load((float*)y + i) + v : v);
    else store((bf16*)y + i, accumulate ? load((bf16*)y + i) + v : v);
  }
}
ELM_KERNEL(linear_sum)
