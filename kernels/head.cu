// Log-probabilities of target tokens under softmax(hidden W^T / temperature), and what their gradient needs; the [rows, vocabulary] matrix of logits lies only in registers, tile by tile.
// Limit: the FLOPs of the product, 2 rows vocabulary d; with the gradient three times that: the logits once more, as only their statistics were kept, and dlogits W through linear_backward_* of linear.cu.
//   hidden [rows, d], W [vocabulary, d] BF16; targets I32 [rows]; everything else F32, dlogits BF16.
// A target outside [0, vocabulary) is compared, never followed: its log-probability is NaN, and its gradient has the part of the probabilities alone.
#include "tile.h"

// Of a set of scaled logits z: the largest, the sum of exp(z - largest), and of (z - largest) exp(z - largest); and the target's z where it is in the set, else 0.
// The empty set has largest -infinity and sum 0.
struct __align__(16) SoftmaxPart { float largest, sum, moment, target; };

// Unites two sets; the order of the arguments is kept in the order of the sums.
ELM_DEV void unite(SoftmaxPart& s, const SoftmaxPart& other) {
  s.target += other.target;
  if (other.sum == 0.f) return;
  if (s.sum == 0.f) {
    s.largest = other.largest, s.sum = other.sum, s.moment = other.moment;
    return;
  }
  const float largest = fmaxf(s.largest, other.largest), mine = s.largest - largest, its = other.largest - largest;
  const float a = exp2_approx(mine * kLog2E), b = exp2_approx(its * kLog2E);
  s.moment = a * (s.moment + mine * s.sum) + b * (other.moment + its * other.sum);
  s.sum = a * s.sum + b * other.sum;
  s.largest = largest;
}

// Grid: a block for each tile of [rows, vocabulary]. partials [column tiles][rows] gets the statistics of each row within each tile.
template <class Tile, bool Aligned>
ELM_DEV void head_statistics(const bf16* hidden, const bf16* w, const int* targets, float inverse_temperature, SoftmaxPart* partials, int rows, int vocabulary, int d) {
  unsigned char* shared = (unsigned char*)ELM_DYN_SMEM();
  int down, across;
  tile_of_block(blockIdx.x, (rows + Tile::rows - 1) / Tile::rows, (vocabulary + Tile::columns - 1) / Tile::columns, down, across);
  const int row0 = down * Tile::rows, column0 = across * Tile::columns;
  typename Tile::Sums sums;
  multiply_tile<Tile, false, Aligned>(hidden, d, row0, rows, w, d, column0, vocabulary, 0, d, sums, shared);

  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warp_column = warp % Tile::warp_columns;
  const int tile_row = warp / Tile::warp_columns * Tile::rows_of_warp + lane / 4, column = column0 + warp_column * Tile::columns_of_warp + lane % 4 * 2;
  SoftmaxPart* of_warps = (SoftmaxPart*)shared;               // [Tile::rows][Tile::warp_columns]
#pragma unroll
  for (int i = 0; i < Tile::fragments_down; i++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = tile_row + i * 16 + h * 8;
      const int target = row0 + row < rows ? targets[row0 + row] : -1;
      SoftmaxPart s{-infinity(), 0.f, 0.f, 0.f};
#pragma unroll
      for (int j = 0; j < Tile::fragments_across; j++)
#pragma unroll
        for (int q = 0; q < 2; q++) {
          const int v = column + j * 8 + q;
          const float z = sums[i][j][2 * h + q] * inverse_temperature;
          if (v < vocabulary) s.largest = fmaxf(s.largest, z);
          if (v == target) s.target = z;
        }
      s.largest = fmaxf(s.largest, __shfl_xor_sync(kAllLanes, s.largest, 1));
      s.largest = fmaxf(s.largest, __shfl_xor_sync(kAllLanes, s.largest, 2));
#pragma unroll
      for (int j = 0; j < Tile::fragments_across; j++)
#pragma unroll
        for (int q = 0; q < 2; q++)
          if (column + j * 8 + q < vocabulary) {
            const float below = sums[i][j][2 * h + q] * inverse_temperature - s.largest, e = exp2_approx(below * kLog2E);
            s.sum += e;
            s.moment += below * e;
          }
#pragma unroll
      for (int mask = 1; mask < 4; mask *= 2) {
        s.sum += __shfl_xor_sync(kAllLanes, s.sum, mask);
        s.moment += __shfl_xor_sync(kAllLanes, s.moment, mask);
        s.target += __shfl_xor_sync(kAllLanes, s.target, mask);
      }
      if (lane % 4 == 0) of_warps[row * Tile::warp_columns + warp_column] = s;
    }
  __syncthreads();
  for (int row = threadIdx.x; row < Tile::rows; row += Tile::threads) {
    if (row0 + row >= rows) continue;
    SoftmaxPart s = of_warps[row * Tile::warp_columns];
    for (int c = 1; c < Tile::warp_columns; c++) unite(s, of_warps[row * Tile::warp_columns + c]);
    partials[(size_t)across * rows + row0 + row] = s;
  }
}

#define HEAD_STATISTICS(name, Tile, blocks, aligned)                                                                                                                       \
  extern "C" __global__ void __launch_bounds__(Tile::threads, blocks) name(const bf16* hidden, const bf16* w, const int* targets, float inverse_temperature,               \
                                                                           SoftmaxPart* partials, int rows, int vocabulary, int d) {                                       \
    head_statistics<Tile, aligned>(hidden, w, targets, inverse_temperature, partials, rows, vocabulary, d);                                                                \
  }                                                                                                                                                                        \
  ELM_KERNEL(name)

HEAD_STATISTICS(head_statistics_large, LargeTile, 2, true)
HEAD_STATISTICS(head_statistics_small, SmallTile, 3, true)
HEAD_STATISTICS(head_statistics_unaligned, SmallTile, 3, false)

// Unites the statistics of all column tiles: the target's log-probability, the entropy, the log-sum-exp of the scaled logits; each but the first output may be absent.
// 256 threads: 32 rows a block, eight threads for each row that take the tiles in turn.
extern "C" __global__ void __launch_bounds__(256) head_merge(const SoftmaxPart* __restrict__ partials, const int* __restrict__ targets, float* logprobs, float* entropy, float* log_sum,
                                                             int tiles, int rows, int vocabulary) {
  __shared__ SoftmaxPart parts[8][kWarp];
  const int lane = threadIdx.x % kWarp, slice = threadIdx.x / kWarp, row = blockIdx.x * kWarp + lane;
  SoftmaxPart s{-infinity(), 0.f, 0.f, 0.f};
  if (row < rows)
    for (int t = slice; t < tiles; t += 8) unite(s, partials[(size_t)t * rows + row]);
  parts[slice][lane] = s;
  __syncthreads();
  if (slice != 0 || row >= rows) return;
  for (int other = 1; other < 8; other++) unite(s, parts[other][lane]);
  const float log_of_sum = log2_approx(s.sum) * kLn2;
  if (log_sum) log_sum[row] = s.largest + log_of_sum;
  logprobs[row] = targets[row] >= 0 && targets[row] < vocabulary ? s.target - s.largest - log_of_sum : not_a_number();
  if (entropy) entropy[row] = log_of_sum - s.moment / s.sum;
}
ELM_KERNEL(head_merge)

namespace {
// dlogits = 1 / temperature ([v = target] - exp(z / temperature - log_sum)) from the logits z; columns count from the first vocabulary entry of the chunk.
struct Gradient {
  const int* targets;
  const float* log_sum;
  float inverse_temperature;
  int first;
  template <int N> struct OfColumns {
    const Gradient& gradient;
    int column;
    __device__ void operator()(int row, float (&v)[N]) const {
      const float log_of_sum = gradient.log_sum[row];
      const int target = gradient.targets[row] - gradient.first - column;
#pragma unroll
      for (int e = 0; e < N; e++)
        v[e] = gradient.inverse_temperature * ((e == target ? 1.f : 0.f) - exp2_approx((v[e] * gradient.inverse_temperature - log_of_sum) * kLog2E));
    }
  };
  template <int N> __device__ OfColumns<N> of_columns(int column) const { return {*this, column}; }
};
}  // namespace

// Grid: a block for each tile of [rows, columns], the part of the vocabulary from `first` on (w points to its first row). dlogits [rows, stride] BF16; columns from `columns` on stay untouched.
template <class Tile, bool Aligned>
ELM_DEV void head_gradient(const bf16* hidden, const bf16* w, const Gradient& gradient, bf16* dlogits, int stride, int rows, int columns, int d) {
  unsigned char* shared = (unsigned char*)ELM_DYN_SMEM();
  int down, across;
  tile_of_block(blockIdx.x, (rows + Tile::rows - 1) / Tile::rows, (columns + Tile::columns - 1) / Tile::columns, down, across);
  const int row0 = down * Tile::rows, column0 = across * Tile::columns;
  typename Tile::Sums sums;
  multiply_tile<Tile, false, Aligned>(hidden, d, row0, rows, w, d, column0, columns, 0, d, sums, shared);
  store_tile<Tile>(sums, dlogits, stride, row0, rows, column0, columns, false, shared, gradient);
}

#define HEAD_GRADIENT(name, Tile, blocks, aligned)                                                                                                                         \
  extern "C" __global__ void __launch_bounds__(Tile::threads, blocks) name(const bf16* hidden, const bf16* w, const int* targets, const float* log_sum,                    \
                                                                           float inverse_temperature, int first, bf16* dlogits, int stride, int rows,                      \
                                                                           int columns, int d) {                                                                           \
    head_gradient<Tile, aligned>(hidden, w, Gradient{targets, log_sum, inverse_temperature, first}, dlogits, stride, rows, columns, d);                                    \
  }                                                                                                                                                                        \
  ELM_KERNEL(name)

HEAD_GRADIENT(head_gradient_large, LargeTile, 2, true)
HEAD_GRADIENT(head_gradient_small, SmallTile, 3, true)
HEAD_GRADIENT(head_gradient_unaligned, SmallTile, 3, false)
