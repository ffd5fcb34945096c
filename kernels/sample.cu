// One token drawn from each row of logits, one launch for all rows, a block a row. The candidates are those that top-k, then top-p, then min-p leave of softmax(logits / temperature);
// one is drawn by inverse transform in rising token id.
//
// Probabilities are relative to the largest: e = exp((z - largest) / temperature), float. Whatever must be added up over candidates is added as an integer, e in units of 2^-44: such
// sums are exact and need no order, so a draw depends on its row alone, never on threads, and atomics in shared memory may build histograms. (2^20 tokens fit 64 bits.)
//
// Limit: what one multiprocessor reads, about 60 to 90 GB/s of 16-byte loads with 64 KB under way. 64 x 152,064 logits (39 MB, in the second-level cache after the first pass) take two
// passes without filters, largest and sum together and then the masses; top-p or top-k alone add three, for three digits of the threshold; both together seven. Atomics are few: a first
// try of a selection looks at tokens with e of 2^-17 and more only.
#include "philox.h"
#include "reduce.h"

namespace sampling {
typedef unsigned long long Mass;

constexpr float kMassUnits = 0x1p44f;
constexpr float kLikely = 0x1p-17f;
constexpr int kRuns = 32;    // parts that a range of tokens is cut into
constexpr int kGrain = 128;  // tokens of the smallest part: four a lane
constexpr int kBins = 2048;  // of a digit of 11 bits

// SamplingRow of the host.
struct Settings {
  float temperature;
  int top_k;
  float top_p, min_p;
  uint32_t seed_low, seed_high, problem, step, rollout, position;
};

struct Shared {
  unsigned low[kBins], high[kBins];  // a histogram of masses, in halves
  Mass runs[kRuns];
  float scratch[kWarp];
};

// A row of logits, and how e comes from them.
struct Row {
  const float* z;
  int count;
  bool in_fours;  // aligned to 16 bytes
  float largest, scale;
  __device__ __forceinline__ float e(float z) const { return exp2_approx((z - largest) * scale); }
};

ELM_DEV Mass mass(float e) { return (Mass)(e * kMassUnits); }

// The candidates so far: all tokens above a key, and those of that key up to an id.
struct Cut {
  uint32_t key;
  int last;
  __device__ __forceinline__ bool keeps(float z, int token) const {
    const uint32_t k = key_of(z);
    return k > key || (k == key && token <= last);
  }
};
constexpr int kEveryToken = 0x7fffffff;

ELM_DEV Mass warp_sum_mass(Mass x) {
  for (int m = kWarp / 2; m; m >>= 1) x += __shfl_xor_sync(kAllLanes, x, m);
  return x;
}

// f(logit, token) for the tokens [begin, end), shared by the lanes of a warp; begin is a multiple of 4.
template <class F>
ELM_DEV void visit(const Row& row, int begin, int end, F&& f) {
  const int lane = threadIdx.x % kWarp;
  if (row.in_fours) {
    constexpr int ahead = 4, step = kWarp * 4;
    int i = begin + lane * 4;
    for (; i + (ahead - 1) * step < end; i += ahead * step) {
      float4 v[ahead];
#pragma unroll
      for (int a = 0; a < ahead; a++) v[a] = *(const float4*)(row.z + i + a * step);
#pragma unroll
      for (int a = 0; a < ahead; a++) {
        f(v[a].x, i + a * step);
        f(v[a].y, i + a * step + 1);
        f(v[a].z, i + a * step + 2);
        f(v[a].w, i + a * step + 3);
      }
    }
    for (; i < end; i += step) {
      const float4 v = *(const float4*)(row.z + i);
      f(v.x, i);
      f(v.y, i + 1);
      f(v.z, i + 2);
      f(v.w, i + 3);
    }
  } else {
    for (int i = begin + lane; i < end; i += kWarp) f(row.z[i], i);
  }
}

ELM_DEV int run_length(int count) { return (count + kRuns * kGrain - 1) / (kRuns * kGrain) * kGrain; }

// The same for the whole row, shared by the block.
template <class F>
ELM_DEV void visit_all(const Row& row, F&& f) {
  const int length = run_length(row.count);
  for (int r = threadIdx.x / kWarp; r < kRuns; r += blockDim.x / kWarp) {
    const int begin = r * length;
    if (begin < row.count) visit(row, begin, min(begin + length, row.count), f);
  }
}

// The weight of all tokens in [begin, end); that of each of its runs goes to shared memory.
template <class Weight>
ELM_DEV Mass weigh(const Row& row, int begin, int end, Shared& shared, Weight&& weight) {
  const int length = run_length(end - begin);
  __syncthreads();
  for (int r = threadIdx.x / kWarp; r < kRuns; r += blockDim.x / kWarp) {
    const int first = begin + r * length;
    Mass sum = 0;
    if (first < end) visit(row, first, min(first + length, end), [&](float z, int token) { sum += weight(z, token); });
    sum = warp_sum_mass(sum);
    if (threadIdx.x % kWarp == 0) shared.runs[r] = sum;
  }
  __syncthreads();
  Mass total = 0;
  for (int r = 0; r < kRuns; r++) total += shared.runs[r];
  return total;
}

// The token at which the weight of [0, token] first exceeds `wanted`, which is less than the whole. Follows `weigh` of the whole row.
template <class Weight>
ELM_DEV int locate(const Row& row, Mass wanted, Shared& shared, Weight&& weight) {
  int begin = 0, end = row.count;
  for (;;) {
    const int length = run_length(end - begin);
    int r = 0;
    for (; r < kRuns - 1 && shared.runs[r] <= wanted; r++) wanted -= shared.runs[r];
    begin += r * length;
    end = min(end, begin + length);
    if (end - begin <= kGrain) break;
    weigh(row, begin, end, shared, weight);
  }
  // Every warp does the same with the last tokens, four a lane.
  const int lane = threadIdx.x % kWarp, first = begin + lane * 4;
  Mass own[4], upto = 0;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    own[i] = first + i < end ? weight(row.z[first + i], first + i) : 0;
    upto += own[i];
  }
  const Mass sum = upto;
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const Mass below = __shfl_sync(kAllLanes, upto, lane >= distance ? lane - distance : lane);
    if (lane >= distance) upto += below;
  }
  const unsigned over = __ballot_sync(kAllLanes, upto > wanted);
  Mass before = upto - sum;
  int token = first;
#pragma unroll
  for (int i = 0; i < 3; i++) {
    before += own[i];
    token += before <= wanted && token == first + i ? 1 : 0;
  }
  return __shfl_sync(kAllLanes, token, __ffs((int)over) - 1);
}

ELM_DEV void add_to_bin(Shared& shared, int bin, Mass x) {
  const unsigned low = (unsigned)x, old = atomicAdd(&shared.low[bin], low);
  const unsigned high = (unsigned)(x >> 32) + (old + low < old ? 1u : 0u);
  if (high != 0) atomicAdd(&shared.high[bin], high);
}

// Narrows the cut to the first tokens, by falling logit and rising id, whose weights together reach `wanted` (above 0). A weight is that of its logit or 0, and 0 for what the cut does not
// keep. False, and nothing changes, where all weights do not reach it.
template <class Weight>
ELM_DEV bool select(const Row& row, Mass wanted, Shared& shared, Cut& cut, Weight&& weight) {
  uint32_t prefix = 0, mask = 0;
  Mass held = 0;  // by the tokens of the last bin
  for (int level = 0; level < 3; level++) {
    const int shift = level == 0 ? 21 : level == 1 ? 10 : 0, bins = level == 2 ? kBins / 2 : kBins;
    __syncthreads();
    for (int b = threadIdx.x; b < bins; b += blockDim.x) shared.low[b] = shared.high[b] = 0;
    __syncthreads();
    visit_all(row, [&](float z, int token) {
      const uint32_t key = key_of(z);
      if ((key & mask) != prefix) return;
      const Mass w = weight(z, token);
      if (w != 0) add_to_bin(shared, (int)(key >> shift) & (bins - 1), w);
    });
    __syncthreads();
    const int share = bins / kRuns;
    for (int r = threadIdx.x / kWarp; r < kRuns; r += blockDim.x / kWarp) {
      Mass sum = 0;
      for (int b = r * share + threadIdx.x % kWarp; b < (r + 1) * share; b += kWarp) sum += (Mass)shared.high[b] << 32 | shared.low[b];
      sum = warp_sum_mass(sum);
      if (threadIdx.x % kWarp == 0) shared.runs[r] = sum;
    }
    __syncthreads();
    int r = kRuns - 1;
    for (; r >= 0 && shared.runs[r] < wanted; r--) wanted -= shared.runs[r];
    if (r < 0) return false;  // on the first level only
    int bin = (r + 1) * share - 1;
    for (;; bin--) {
      held = (Mass)shared.high[bin] << 32 | shared.low[bin];
      if (held >= wanted) break;
      wanted -= held;
    }
    prefix |= (uint32_t)bin << shift;
    mask |= (uint32_t)(bins - 1) << shift;
  }
  // What is left is one logit's tokens, all of one weight: as many of them as it takes. Token 0 stands for any that the cut keeps.
  int last = prefix == cut.key ? cut.last : kEveryToken;
  const Mass each = weight(from_key(prefix), 0), needed = (wanted + each - 1) / each;
  if (needed * each < held) {
    const auto tied = [&](float z, int token) -> Mass { return key_of(z) == prefix && weight(z, token) != 0 ? 1 : 0; };
    weigh(row, 0, row.count, shared, tied);
    last = locate(row, needed - 1, shared, tied);
  }
  cut = {prefix, last};
  return true;
}

// Natural logarithm of a float that is not less than 1, to the last bit but for rare ties: 2 atanh((m - 1) / (m + 1)) + exponent ln 2.
ELM_DEV float log_f32(float x) {
  const uint32_t bits = __float_as_uint(x);
  int exponent = (int)(bits >> 23) - 127;
  double mantissa = (double)__uint_as_float((bits & 0x007fffffu) | 0x3f800000u);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent++;
  }
  const double s = (mantissa - 1.0) / (mantissa + 1.0), square = s * s;
  double series = 1.0 / 19.0;
#pragma unroll
  for (int odd = 17; odd >= 1; odd -= 2) series = series * square + 1.0 / odd;
  return (float)(2.0 * s * series + exponent * 0.6931471805599453);
}

// The largest logit, and the sum of e; NaN where there is no finite one or a NaN.
ELM_DEV float softmax(Row& row, Shared& shared) {
  float largest = -infinity(), sum = 0.f;
  visit_all(row, [&](float z, int) {
    if (z > largest) {
      sum *= exp2_approx((largest - z) * row.scale);
      largest = z;
    }
    sum += exp2_approx((z - (largest == -infinity() ? 0.f : largest)) * row.scale);
  });
  row.largest = block_max(largest, shared.scratch);
  if (largest != -infinity()) sum *= row.e(largest);
  sum = block_sum(sum, shared.scratch);
  return row.largest == -infinity() ? not_a_number() : sum;
}

// A uniform number in [0, 1) of 53 bits: the upper 27 bits of the first word above the upper 26 bits of the second.
ELM_DEV double uniform(const Settings& s) {
  const Words words = philox(s.problem, s.step, s.rollout, s.position, s.seed_low, s.seed_high);
  return (double)((uint64_t)(words.w[0] >> 5) << 26 | words.w[1] >> 6) * 0x1p-53;
}

// The mass that top-p asks for, at least 1.
ELM_DEV Mass part_of(float p, double total) {
  const double part = (double)p * total;
  if (!(part > 1.0)) return 1;
  const Mass whole = (Mass)part;
  return whole + ((double)whole < part ? 1 : 0);
}

// What top-k and then top-p keep.
ELM_DEV Cut candidates(const Row& row, const Settings& s, float sum, Shared& shared) {
  Cut cut = {0, kEveryToken};
  const bool by_rank = s.top_k > 0 && s.top_k < row.count;
  if (by_rank)
    for (float least = kLikely;; least = 0.f)
      if (select(row, (Mass)s.top_k, shared, cut, [&](float z, int) -> Mass { return row.e(z) >= least ? 1 : 0; })) break;
  if (!(s.top_p < 1.0f)) return cut;
  if (by_rank) {
    const Cut kept = cut;
    const auto weight = [&](float z, int token) -> Mass { return kept.keeps(z, token) ? mass(row.e(z)) : 0; };
    const Mass total = weigh(row, 0, row.count, shared, weight);
    select(row, part_of(s.top_p, (double)total), shared, cut, weight);
    return cut;
  }
  for (float least = kLikely; !select(row, part_of(s.top_p, (double)sum * kMassUnits), shared, cut, [&](float z, int) -> Mass {
         const float e = row.e(z);
         return e >= least ? mass(e) : 0;
       }) && least > 0.f;
       least = 0.f) {}
  return cut;
}

template <class Weight>
ELM_DEV int draw(const Row& row, double u, Shared& shared, Weight&& weight) {
  const Mass total = weigh(row, 0, row.count, shared, weight);
  if (total == 0) return 0;  // min-p above 1
  const Mass wanted = (Mass)(u * (double)total);
  return locate(row, wanted < total ? wanted : total - 1, shared, weight);
}
}  // namespace sampling

// logits [gridDim.x, count], count below 2^20; a row of settings, a token and a log-probability for each. -1 and NaN for a row with a NaN or without any finite logit. The
// log-probability is that of the unfiltered softmax(logits / temperature), of temperature 1 where greedy. Grid: rows; whole warps.
extern "C" __global__ __launch_bounds__(1024) void sample_f32(const float* logits, int count, const sampling::Settings* rows, int* tokens, float* log_probs) {
  using namespace sampling;
  __shared__ Shared shared;
  const Settings s = rows[blockIdx.x];
  const bool greedy = !(s.temperature > 0.f);
  const float factor = greedy ? 1.0f : 1.0f / s.temperature;
  const float* z = logits + (size_t)blockIdx.x * count;
  Row row = {z, count, count % 4 == 0 && (uintptr_t)logits % 16 == 0, 0.f, factor * kLog2E};
  const float sum = softmax(row, shared);
  int token = -1;
  if (sum == sum) {
    if (greedy) {
      const auto largest = [&](float x, int) -> Mass { return x == row.largest ? 1 : 0; };
      weigh(row, 0, count, shared, largest);
      token = locate(row, 0, shared, largest);
    } else if ((s.top_k > 0 && s.top_k < count) || s.top_p < 1.0f) {
      const Cut cut = candidates(row, s, sum, shared);
      token = draw(row, uniform(s), shared, [&](float x, int id) -> Mass {
        const float e = row.e(x);
        return e >= s.min_p && cut.keeps(x, id) ? mass(e) : 0;
      });
    } else {
      token = draw(row, uniform(s), shared, [&](float x, int) -> Mass {
        const float e = row.e(x);
        return e >= s.min_p ? mass(e) : 0;
      });
    }
  }
  if (threadIdx.x == 0) {
    tokens[blockIdx.x] = token;
    log_probs[blockIdx.x] = token < 0 ? not_a_number() : (z[token] - row.largest) * factor - log_f32(sum);
  }
}
ELM_KERNEL(sample_f32)
