// Rotary embedding in the half-split layout: the pair (j, j + half) of each head turned by the angle of the row's position, or back by it. The table has half cosines, then half sines,
// a position. Limit: memory, queries read and written once; with the store, keys and values read once and written once to the cache. A row whose position lies outside the table is not
// written and stores nothing; a row whose slot lies outside the store stores nothing.
#include "runs.h"

namespace turning {
// Turns N pairs: y = x (cosine, sine). y may be x.
template <int N>
ELM_DEV void turn(const bf16* x, bf16* y, const float* cosines, int half, bool inverse) {
  float first[N], second[N], cosine[N], sine[N];
  load_run(x, first);
  load_run(x + half, second);
  load_run(cosines, cosine);
  load_run(cosines + half, sine);
#pragma unroll
  for (int i = 0; i < N; i++) {
    const float s = inverse ? -sine[i] : sine[i], a = first[i], b = second[i];
    first[i] = fmaf(a, cosine[i], -(b * s));
    second[i] = fmaf(b, cosine[i], a * s);
  }
  store_run(y, first);
  store_run(y + half, second);
}

// All heads of a row, the block's threads side by side over runs of N pairs; `from` counts the runs that other parts of the row took before, so that no thread is the first of every part.
template <int N>
ELM_DEV void turn_heads(const bf16* x, bf16* y, const float* cosines, int heads, int half, bool inverse, int from) {
  const int runs = half / N, all = heads * runs;
  for (int i = ((int)threadIdx.x + (int)blockDim.x - from % (int)blockDim.x) % (int)blockDim.x; i < all; i += blockDim.x) {
    const int head = i / runs, j = (i - head * runs) * N, at = head * 2 * half + j;
    turn<N>(x + at, y + at, cosines + j, half, inverse);
  }
}

template <int N>
ELM_DEV void turn_and_store(bf16* q, const bf16* k, const bf16* v, const float* cosines, int query_heads, int key_heads, int half, bf16* key_to, bf16* value_to) {
  turn_heads<N>(q, q, cosines, query_heads, half, false, 0);
  if (key_to == nullptr) return;
  const int runs = half / N;
  turn_heads<N>(k, key_to, cosines, key_heads, half, false, query_heads * runs);
  const int from = (query_heads + key_heads) * runs, all = key_heads * 2 * runs;
  for (int i = ((int)threadIdx.x + (int)blockDim.x - from % (int)blockDim.x) % (int)blockDim.x; i < all; i += blockDim.x) move_run<N>(v + i * N, value_to + i * N);
}
}  // namespace turning

// x and y are [rows, heads * 2 half]. Grid: rows.
extern "C" __global__ __launch_bounds__(256) void rotary_bf16(const bf16* x, const int* positions, const float* table, int table_rows, int heads, int half, int inverse, bf16* y) {
  const int position = positions[blockIdx.x];
  const size_t row = (size_t)blockIdx.x * heads * 2 * half;
  if (position < 0 || position >= table_rows) return;
  const float* cosines = table + (size_t)position * 2 * half;
  if (rows_in_runs<8>(half, x, y) && aligned_for<4>(table)) turning::turn_heads<8>(x + row, y + row, cosines, heads, half, inverse != 0, 0);
  else turning::turn_heads<1>(x + row, y + row, cosines, heads, half, inverse != 0, 0);
}
ELM_KERNEL(rotary_bf16)

// q [rows, query_heads * 2 half] is turned in place; keys[slots[i]] = row i of k turned, values[slots[i]] = row i of v. Grid: rows.
extern "C" __global__ __launch_bounds__(256) void rotary_store_bf16(bf16* q, const bf16* k, const bf16* v, const int* positions, const float* table, int table_rows, int query_heads,
                                                                   int key_heads, int half, const int* slots, int slot_count, bf16* keys, bf16* values) {
  const int position = positions[blockIdx.x], slot = slots[blockIdx.x];
  if (position < 0 || position >= table_rows) return;
  const size_t key_width = (size_t)key_heads * 2 * half, row = (size_t)blockIdx.x * key_width;
  const float* cosines = table + (size_t)position * 2 * half;
  const bool stored = slot >= 0 && slot < slot_count;
  bf16* query = q + (size_t)blockIdx.x * query_heads * 2 * half;
  bf16* key_to = stored ? keys + slot * key_width : nullptr;
  bf16* value_to = stored ? values + slot * key_width : nullptr;
  if (rows_in_runs<8>(half, q, k, v, keys, values) && aligned_for<4>(table))
    turning::turn_and_store<8>(query, k + row, v + row, cosines, query_heads, key_heads, half, key_to, value_to);
  else
    turning::turn_and_store<1>(query, k + row, v + row, cosines, query_heads, key_heads, half, key_to, value_to);
}
ELM_KERNEL(rotary_store_bf16)
