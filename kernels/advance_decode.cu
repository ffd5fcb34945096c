// One step of a decode loop: the drawn tokens go into the history and every sequence that goes on moves to its next position; the contract is DecodeState's of the host. A few words a
// sequence: bound by the latency of one launch.
#include "device.h"

// One block; its threads stride over the m sequences. The history has `steps` rows of `width` places; nothing is recorded for a step outside it.
extern "C" __global__ __launch_bounds__(256) void advance_decode(int m, int* tokens, int* positions, int* slots, int* queries, int* sampling, int* left, const int* stops_at_end,
                                                                const int* end_tokens, int end_count, int* step, int* history_tokens, float* history_log_probs, int steps, int width,
                                                                const int* drawn_tokens, const float* drawn_log_probs) {
  constexpr int kSamplingWords = 10, kSamplingPosition = 9;
  constexpr int kNothing = -2;
  const int now = *step;
  const bool recorded = now >= 0 && now < steps;
  for (int i = threadIdx.x; i < m; i += blockDim.x) {
    const int remaining = left[i];
    const int token = remaining == 0 ? kNothing : drawn_tokens[i];
    if (recorded) {
      history_tokens[(size_t)now * width + i] = token;
      history_log_probs[(size_t)now * width + i] = remaining == 0 ? 0.f : drawn_log_probs[i];
    }
    if (remaining == 0) continue;
    bool over = token < 0 || remaining == 1;
    if (stops_at_end[i] == 1)
      for (int e = 0; e < end_count; e++) over = over || token == end_tokens[e];
    if (over) {
      left[i] = 0;
      slots[i] = -1;
    } else {
      left[i] = remaining - 1;
      tokens[i] = token;
      positions[i]++;
      slots[i]++;
      queries[2 * i + 1]++;
      sampling[kSamplingWords * i + kSamplingPosition]++;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) *step = now + 1;
}
ELM_KERNEL(advance_decode)
