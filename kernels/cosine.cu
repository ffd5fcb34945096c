// The k keys nearest to each query by the mean over terms of cosines, over a resident key matrix. One launch scores, a warp 32 keys, and each block keeps the k best of the keys that
// it met; one more merges the blocks' lists, a block a query.
// Limit: memory, each key read once a query (10^6 keys of 128: 512 MB, 0.17 ms at 3 TB/s); blocks of the queries of one share of the keys run side by side, so that several queries
// meet the share in the second-level cache. Of the lists only k a block, some thousand entries in all.
#include "reduce.h"
#include "runs.h"

namespace nearest {
constexpr int kThreads = 256;
constexpr int kTile = kThreads;  // keys whose scores are looked at together, 32 a warp
constexpr int kAbreast = 4;      // keys whose loads a warp has under way together

// Scores in one order with their places: the larger score first, then the smaller index. 0 is no key.
typedef unsigned long long Rank;
ELM_DEV Rank rank_of(float score, int index) { return (Rank)key_of(score) << 32 | (uint32_t)~index; }
ELM_DEV int index_of(Rank rank) { return (int)~(uint32_t)rank; }
ELM_DEV float score_of(Rank rank) { return from_key((uint32_t)(rank >> 32)); }

ELM_DEV double root(double x) {
  // Of a float's value: one Newton step from the float root is right to 2^-46.
  const double r = (double)sqrtf((float)x);
  return r > 0.0 ? 0.5 * (r + x / r) : r;
}

// From the product and the squared lengths; 0 for a length under 1e-12 or not finite.
ELM_DEV double cosine(float product, float squared_a, float squared_b) {
  const double a = root(squared_a), b = root(squared_b);
  return a >= 1e-12 && a < 1e30 && b >= 1e-12 && b < 1e30 ? (double)product / (a * b) : 0.0;
}

// Each lane returns the score of its key of [0, keys), at most 32; one warp. The lanes of four keys' sums end in one, which keeps its own key's: so each cosine is computed once.
template <int N>
ELM_DEV float score(const float* query, const float* key, int keys, int columns, int terms) {
  const int lane = threadIdx.x % kWarp, width = columns / terms;
  double total = 0.0;
  for (int term = 0; term < terms; term++) {
    const int begin = term * width, end = begin + width;
    float own = 0.f, mine = 0.f, length = 0.f;
    for (int j = begin + lane * N; j < end; j += kWarp * N) {
      float q[N];
      load_run(query + j, q);
#pragma unroll
      for (int n = 0; n < N; n++) own = fmaf(q[n], q[n], own);
    }
    own = warp_sum(own);
    for (int first = 0; first < keys; first += kAbreast) {
      float product[kAbreast] = {}, squares[kAbreast] = {};
      for (int j = begin + lane * N; j < end; j += kWarp * N) {
        float q[N], x[kAbreast][N];
#pragma unroll
        for (int i = 0; i < kAbreast; i++) load_run(key + (size_t)min(first + i, keys - 1) * columns + j, x[i]);
        load_run(query + j, q);
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
          for (int i = 0; i < kAbreast; i++) {
            product[i] = fmaf(q[n], x[i][n], product[i]);
            squares[i] = fmaf(x[i][n], x[i][n], squares[i]);
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kAbreast; i++) {
        const float p = warp_sum(product[i]), s = warp_sum(squares[i]);
        mine = lane == first + i ? p : mine;
        length = lane == first + i ? s : length;
      }
    }
    total += cosine(mine, own, length);
  }
  return (float)(total / terms);
}

// An empty list of `kept` ranks in dynamic shared memory, and behind it the room that merge needs; `any` is its flag. merge's first barrier comes before anybody reads them.
ELM_DEV Rank* empty_list(int kept, int* any) {
  Rank* list = (Rank*)ELM_DYN_SMEM();
  for (int i = threadIdx.x; i < 2 * kept; i += kThreads) list[i] = 0;
  if (threadIdx.x == 0) *any = 0;
  return list;
}

// Puts those of the tile's ranks that belong there into the list of the `kept` largest, in falling order; the room behind it, as large, holds zeros before and after. All ranks but 0
// differ. A thread for each of the tile. Begins with a barrier and ends without: the tile may be written again; of the list, thread t may read what lies t, t + kThreads, ... places
// from its beginning.
ELM_DEV void merge(Rank* list, const Rank* tile, int kept, int* any) {
  Rank* next = list + kept;
  __syncthreads();
  const Rank mine = tile[threadIdx.x];
  const bool enters = mine > list[kept - 1];
  if (enters) atomicOr(any, 1);
  __syncthreads();
  const bool some = *any != 0;
  __syncthreads();
  if (threadIdx.x == 0) *any = 0;
  if (!some) return;
  for (int i = threadIdx.x; i < kept; i += kThreads) {
    const Rank held = list[i];
    int place = i;
    for (int t = 0; t < kTile && place < kept; t++) place += tile[t] > held ? 1 : 0;
    if (place < kept && held != 0) next[place] = held;
  }
  if (enters) {
    int place = 0;
    for (int i = 0; i < kept && list[i] > mine; i++) place++;
    for (int t = 0; t < kTile && place < kept; t++) place += tile[t] > mine ? 1 : 0;
    if (place < kept) next[place] = mine;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kept; i += kThreads) {
    list[i] = next[i];
    next[i] = 0;
  }
}

template <int N>
ELM_DEV void search(const float* query, const float* keys, int limit, int columns, int terms, int kept, Rank* list, Rank* tile, int* any) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int64_t first = (int64_t)blockIdx.y * kTile; first < limit; first += (int64_t)gridDim.y * kTile) {
    const int key = (int)first + warp * kWarp, here = min(limit - key, kWarp);
    const float s = here > 0 ? score<N>(query, keys + (size_t)key * columns, here, columns, terms) : 0.f;
    tile[threadIdx.x] = lane < here ? rank_of(s, key + lane) : 0;
    merge(list, tile, kept, any);
  }
}
}  // namespace nearest

// lists[query][place][share] = the best of the keys that share (blockIdx.y) met, in falling order, 0 behind the last. A limit outside [0, n] shows no key. Shared memory: 16 bytes for
// each of kept. Grid: queries x shares.
extern "C" __global__ __launch_bounds__(nearest::kThreads, 4) void cosine_search(const float* queries, const float* keys, const int* limits, int n, int columns, int terms, int kept,
                                                                             unsigned long long* lists) {
  using namespace nearest;
  __shared__ Rank tile[kTile];
  __shared__ int any;
  Rank* list = empty_list(kept, &any);
  const float* query = queries + (size_t)blockIdx.x * columns;
  const int shown = limits[blockIdx.x], limit = shown >= 0 && shown <= n ? shown : 0;
  if (rows_in_runs<4>(columns / terms, queries, keys)) search<4>(query, keys, limit, columns, terms, kept, list, tile, &any);
  else search<1>(query, keys, limit, columns, terms, kept, list, tile, &any);
  Rank* to = lists + (size_t)blockIdx.x * kept * gridDim.y + blockIdx.y;
  for (int i = threadIdx.x; i < kept; i += kThreads) to[(size_t)i * gridDim.y] = list[i];
}
ELM_KERNEL(cosine_search)

// indices and scores [queries, k] from the lists of `shares` blocks; -1 and 0 for places without a key. Shared memory as above. Grid: queries.
extern "C" __global__ __launch_bounds__(nearest::kThreads) void cosine_merge(const unsigned long long* lists, int shares, int kept, int k, int* indices, float* scores) {
  using namespace nearest;
  __shared__ Rank tile[kTile];
  __shared__ int any;
  Rank* list = empty_list(kept, &any);
  const Rank* from = lists + (size_t)blockIdx.x * kept * shares;
  const int all = kept * shares;
  for (int first = 0; first < all; first += kTile) {
    tile[threadIdx.x] = first + (int)threadIdx.x < all ? from[first + threadIdx.x] : 0;
    merge(list, tile, kept, &any);
  }
  for (int i = threadIdx.x; i < k; i += kThreads) {
    const Rank rank = i < kept ? list[i] : 0;
    indices[(size_t)blockIdx.x * k + i] = rank != 0 ? index_of(rank) : -1;
    scores[(size_t)blockIdx.x * k + i] = rank != 0 ? score_of(rank) : 0.f;
  }
}
ELM_KERNEL(cosine_merge)
