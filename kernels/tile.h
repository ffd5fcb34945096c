// Products of matrix tiles on the tensor cores: what linear.cu and head.cu share.
//
// A block computes one tile of C [rows, columns] = A B with A [rows, depth] row-major and B either stored as [columns, depth] (C = A B^T, a layer's forward pass) or as [depth, columns]
// (C = A B, its backward pass to the input from the same stored weight). Tiles of A and B come through a ring of cp.async stages in dynamic shared memory, 16-byte chunks swizzled so that
// neither the copies nor ldmatrix meet a bank conflict; every warp multiplies its part with mma m16n8k16 (BF16 in, F32 sums). One barrier a stage.
#pragma once
#include "reduce.h"
#include "tensor_core.h"

// The shape of a block's tile: Rows x Columns of C, Depth of the reduction a stage; warps side by side over it. Sizes of the host side (CudaBackend.Dense.cs) follow these.
template <int Rows, int Columns, int Depth, int Stages, int WarpRows, int WarpColumns> struct Tile {
  static constexpr int rows = Rows, columns = Columns, depth = Depth, stages = Stages, warp_columns = WarpColumns;
  static constexpr int warps = WarpRows * WarpColumns, threads = warps * kWarp;
  static constexpr int rows_of_warp = Rows / WarpRows, columns_of_warp = Columns / WarpColumns;
  static constexpr int fragments_down = rows_of_warp / 16, fragments_across = columns_of_warp / 8;
  static constexpr int a_bytes = Rows * Depth * 2, stage_bytes = (Rows + Columns) * Depth * 2;
  static_assert(columns_of_warp == 32, "the swizzle of a transposed B and the epilogue take 32 columns a warp");
  // Sums of one thread; element q of fragment (i, j) lies in row 16 i + lane / 4 + 8 (q / 2), column 8 j + 2 (lane % 4) + q % 2 of the warp's part.
  using Sums = float[fragments_down][fragments_across][4];
};
using LargeTile = Tile<128, 128, 32, 4, 2, 4>;       // 256 threads, 64 KiB: two blocks a multiprocessor
using SmallTile = Tile<64, 64, 64, 3, 2, 2>;         // 128 threads, 48 KiB: for products with few tiles

// Byte of a 16-byte chunk in a tile whose rows hold Chunks of them: the eight chunks that one ldmatrix reads from eight rows lie in eight different groups of banks.
template <int Chunks> ELM_DEV unsigned chunk_at(int row, int chunk) {
  const int mixed = Chunks == 4 ? chunk ^ (row >> 1 & 3) : chunk ^ (row & 7);
  return (unsigned)(row * Chunks + mixed) * 16;
}

// Eight BF16 elements from p, of which the first `count` exist; the others are 0. Any alignment.
ELM_DEV uint4 gather_chunk(const bf16* p, int count) {
  uint32_t word[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint32_t low = 2 * i < count ? p[2 * i] : 0, high = 2 * i + 1 < count ? p[2 * i + 1] : 0;
    word[i] = low | high << 16;
  }
  return uint4{word[0], word[1], word[2], word[3]};
}

// Starts the copy of TileRows x TileColumns elements at (row0, column0) of a row-major [rows, columns] matrix into a swizzled tile; what lies outside becomes 0. Aligned: the matrix
// starts at a multiple of 16 bytes and so does each row (stride a multiple of 8), copied by cp.async; else plain loads of single elements, done on return.
template <int TileRows, int TileColumns, int Threads, bool Aligned>
ELM_DEV void load_tile(unsigned char* tile, const bf16* __restrict__ source, size_t stride, int row0, int rows, int column0, int columns) {
  constexpr int chunks = TileColumns / 8, rows_a_pass = Threads / chunks;
  static_assert(rows_a_pass % 8 == 0 && TileRows % rows_a_pass == 0, "a pass leaves the swizzle of a thread as it is");
  const int r = threadIdx.x / chunks, c = threadIdx.x % chunks, column = column0 + c * 8, left = columns - column;
  const unsigned at = chunk_at<chunks>(r, c);
#pragma unroll
  for (int pass = 0; pass < TileRows / rows_a_pass; pass++) {
    const int row = row0 + r + pass * rows_a_pass;
    const int count = row >= rows || left <= 0 ? 0 : left < 8 ? left : 8;
    const bf16* from = count ? source + row * stride + column : source;
    unsigned char* to = tile + at + pass * rows_a_pass * chunks * 16;
    if constexpr (Aligned) cp_async16(smem_addr(to), from, count * 2);
    else *(uint4*)to = gather_chunk(from, count);
  }
}

// sums = the tile of A B at (row0, column0), summed over [first, last) of the reduction; first is a multiple of the tile's depth. Transposed: B is stored [depth, columns], else
// [columns, depth]. All threads of the block take part; on return the shared memory (stages x stage_bytes) is free for other use.
template <class Tile, bool Transposed, bool Aligned>
ELM_DEV void multiply_tile(const bf16* __restrict__ a, size_t a_stride, int row0, int rows, const bf16* __restrict__ b, size_t b_stride, int column0, int columns, int first, int last,
                           typename Tile::Sums& sums, unsigned char* shared) {
  constexpr int depth = Tile::depth, stages = Tile::stages;
#pragma unroll
  for (int i = 0; i < Tile::fragments_down; i++)
#pragma unroll
    for (int j = 0; j < Tile::fragments_across; j++)
#pragma unroll
      for (int q = 0; q < 4; q++) sums[i][j][q] = 0.f;
  const int steps = last > first ? (last - first + depth - 1) / depth : 0;
  auto start = [&](int step) {
    if (step < steps) {
      unsigned char* tile = shared + step % stages * Tile::stage_bytes;
      const int k = first + step * depth;
      load_tile<Tile::rows, depth, Tile::threads, Aligned>(tile, a, a_stride, row0, rows, k, last);
      if constexpr (Transposed) load_tile<depth, Tile::columns, Tile::threads, Aligned>(tile + Tile::a_bytes, b, b_stride, k, last, column0, columns);
      else load_tile<Tile::columns, depth, Tile::threads, Aligned>(tile + Tile::a_bytes, b, b_stride, column0, columns, k, last);
    }
    cp_async_commit();
  };
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int warp_row = warp / Tile::warp_columns * Tile::rows_of_warp, warp_column = warp % Tile::warp_columns * Tile::columns_of_warp;
  // Where this lane's row of the first ldmatrix lies; the further ones are a constant away, or a bit of the chunk's number flipped.
  const unsigned a_at = chunk_at<depth / 8>(warp_row + lane % 16, lane / 16);
  const unsigned b_at = Tile::a_bytes + (Transposed ? chunk_at<Tile::columns / 8>(lane % 16, warp_column / 8 + lane / 16)
                                                    : chunk_at<depth / 8>(warp_column + lane % 8 + lane / 16 * 8, lane / 8 % 2));
  for (int step = 0; step < stages - 1; step++) start(step);
  for (int step = 0; step < steps; step++) {
    cp_async_wait<stages - 2>();
    __syncthreads();                                  // stage `step` is there for all, and nobody reads the stage that is filled next any more
    start(step + stages - 1);
    const smem_t tile = smem_addr(shared + step % stages * Tile::stage_bytes);
#pragma unroll
    for (int kk = 0; kk < depth / 16; kk++) {
      uint32_t af[Tile::fragments_down][4], bf[Tile::fragments_across / 2][4];
#pragma unroll
      for (int i = 0; i < Tile::fragments_down; i++) ldmatrix_x4(af[i], tile + (a_at ^ kk * 32) + i * 16 * depth * 2);
#pragma unroll
      for (int j = 0; j < Tile::fragments_across / 2; j++)
        if constexpr (Transposed) ldmatrix_x4_trans(bf[j], tile + (b_at ^ j * 32) + kk * 16 * Tile::columns * 2);
        else ldmatrix_x4(bf[j], tile + (b_at ^ kk * 32) + j * 16 * depth * 2);
#pragma unroll
      for (int i = 0; i < Tile::fragments_down; i++)
#pragma unroll
        for (int j = 0; j < Tile::fragments_across; j++) mma_bf16_16816(sums[i][j], af[i], bf[j / 2][j % 2 * 2], bf[j / 2][j % 2 * 2 + 1]);
    }
  }
  cp_async_wait<0>();
  __syncthreads();
}

// An element of a vector or matrix whose type the host passes: 0 absent (reads as 0), 1 F32, 2 BF16.
ELM_DEV float load_typed(const void* p, int type, size_t i) { return type == 0 ? 0.f : type == 1 ? load((const float*)p + i) : load((const bf16*)p + i); }
ELM_DEV void store_typed(void* p, int type, size_t i, float x) {
  if (type == 1) store((float*)p + i, x);
  else store((bf16*)p + i, x);
}

// 16 bytes of F32 or of BF16 as floats, and back.
ELM_DEV void load_wide(const float* p, float (&v)[4]) {
  const float4 four = *(const float4*)p;
  v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
}
ELM_DEV void load_wide(const bf16* p, float (&v)[8]) {
  const uint4 pairs = *(const uint4*)p;
  const uint32_t word[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
#pragma unroll
  for (int e = 0; e < 8; e++) v[e] = from_bf16((bf16)(word[e / 2] >> e % 2 * 16));
}
ELM_DEV void store_wide(float* p, const float (&v)[4]) { *(float4*)p = float4{v[0], v[1], v[2], v[3]}; }
ELM_DEV void store_wide(bf16* p, const float (&v)[8]) {
  *(uint4*)p = uint4{pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7])};
}

// Writes the tile's sums to y [rows, columns] (F32 or BF16, rows stride apart), overwriting it or adding to it. finish.of_columns<N>(column) gives a function that first changes the N sums
// v[0..N) from that column on of a row: f(row, v); those past the last column are not written. The sums pass through shared memory, a slab for each warp, so that lanes write 16 bytes side by
// side where y allows it.
template <class Tile, class T, class Finish>
ELM_DEV void store_tile(const typename Tile::Sums& sums, T* y, size_t stride, int row0, int rows, int column0, int columns, bool accumulate, unsigned char* shared, const Finish& finish) {
  constexpr int wide = 16 / sizeof(T), pitch = 40, lanes_a_row = 32 / wide, rows_a_pass = kWarp / lanes_a_row, passes = 16 / rows_a_pass;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  float* slab = (float*)shared + warp * 16 * pitch;
  const int r = lane / lanes_a_row, c = lane % lanes_a_row * wide, column = column0 + warp % Tile::warp_columns * 32 + c;
  const bool vectors = columns % wide == 0 && stride % wide == 0 && (size_t)y % 16 == 0;
  const auto change = finish.template of_columns<wide>(column);
  auto read_slab = [&](int pass, float (&v)[wide]) {
#pragma unroll
    for (int e = 0; e < wide; e += 4) {
      const float4 four = *(const float4*)(slab + (r + pass * rows_a_pass) * pitch + c + e);
      v[e] = four.x, v[e + 1] = four.y, v[e + 2] = four.z, v[e + 3] = four.w;
    }
  };
#pragma unroll
  for (int i = 0; i < Tile::fragments_down; i++) {
    const int first = row0 + warp / Tile::warp_columns * Tile::rows_of_warp + i * 16 + r;
    T* to = y + first * stride + column;
    float old[passes][wide] = {};                     // read before anything is written, so that the reads wait together
    if (vectors && accumulate) {
#pragma unroll
      for (int pass = 0; pass < passes; pass++)
        if (first + pass * rows_a_pass < rows && column < columns) load_wide(to + pass * rows_a_pass * stride, old[pass]);
    }
    __syncwarp();
#pragma unroll
    for (int j = 0; j < Tile::fragments_across; j++)
#pragma unroll
      for (int h = 0; h < 2; h++) *(float2*)(slab + (lane / 4 + 8 * h) * pitch + j * 8 + lane % 4 * 2) = float2{sums[i][j][2 * h], sums[i][j][2 * h + 1]};
    __syncwarp();
    if (column >= columns) continue;
    float v[wide];
    if (vectors) {
#pragma unroll
      for (int pass = 0; pass < passes; pass++) {
        if (first + pass * rows_a_pass >= rows) continue;
        read_slab(pass, v);
        change(first + pass * rows_a_pass, v);
#pragma unroll
        for (int e = 0; e < wide; e++) v[e] += old[pass][e];
        store_wide(to + pass * rows_a_pass * stride, v);
      }
    } else {
#pragma unroll 1
      for (int pass = 0; pass < passes; pass++) {
        if (first + pass * rows_a_pass >= rows) break;
        read_slab(pass, v);
        change(first + pass * rows_a_pass, v);
        T* at = to + pass * rows_a_pass * stride;
#pragma unroll
        for (int e = 0; e < wide; e++)
          if (column + e < columns) store(at + e, accumulate ? v[e] + load(at + e) : v[e]);
      }
    }
  }
}

// Which tile the block with this number computes: column tiles in turn under groups of 8 row tiles, so that blocks that run side by side read the same rows of A and of B from the L2 cache.
ELM_DEV void tile_of_block(int block, int tiles_down, int tiles_across, int& down, int& across) {
  constexpr int group_rows = 8;
  const int group = block / (group_rows * tiles_across), first = group * group_rows, within = block - group * group_rows * tiles_across;
  const int height = tiles_down - first < group_rows ? tiles_down - first : group_rows;
  down = first + within % height;
  across = within / height;
}
