// Drawing tokens from rows of logits.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "context.h"
#include "portable.h"

namespace elm {

namespace {

/// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t output[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t a = uint64_t{0xD2511F53} * c0, b = uint64_t{0xCD9E8D57} * c2;
        const uint32_t n0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
        c1 = static_cast<uint32_t>(b);
        c3 = static_cast<uint32_t>(a);
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    output[0] = c0;
    output[1] = c1;
    output[2] = c2;
    output[3] = c3;
}

/// A uniform number in [0, 1) of 53 bits: the upper 27 bits of the first word above the upper 26 bits of the second.
double uniform(const elm_sampling_row& row) {
    const uint32_t counter[4] = {row.problem, row.step, row.rollout, row.position};
    const uint32_t key[2] = {row.seed_low, row.seed_high};
    uint32_t words[4];
    philox(counter, key, words);
    const uint64_t bits = (static_cast<uint64_t>(words[0] >> 5) << 26) | (words[1] >> 6);
    return static_cast<double>(bits) * 0x1p-53;
}

/// Orders candidates: the larger logit first, then the smaller id. No two tokens have the same rank.
uint64_t rank(float logit, int64_t token) {
    const float value = logit + 0.0f;  // -0 and 0 tie
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
    return (static_cast<uint64_t>(bits) << 32) | (0xFFFFFFFFu - static_cast<uint32_t>(token));
}

int64_t token_of(uint64_t rank) { return 0xFFFFFFFFu - static_cast<uint32_t>(rank); }

/// The least rank that top-k and then top-p keep. e holds the unnormalised probabilities; ranks is room for `count` of them.
uint64_t threshold(const elm_sampling_row& row, const float* logits, const float* e, int64_t count, uint64_t* ranks) {
    int64_t kept = row.top_k > 0 && row.top_k < count ? row.top_k : count;
    const bool by_mass = row.top_p < 1.0f;
    if (kept == count && !by_mass)
        return 0;
    for (int64_t v = 0; v < count; v++)
        ranks[v] = rank(logits[v], v);
    const auto falling = [](uint64_t a, uint64_t b) { return a > b; };
    if (kept < count)
        std::nth_element(ranks, ranks + (kept - 1), ranks + count, falling);
    if (!by_mass)
        return ranks[kept - 1];
    // The mass of what top-k left, added up in rising id whatever the selection did to the order.
    const uint64_t least = kept < count ? ranks[kept - 1] : 0;
    double total = 0.0;
    for (int64_t v = 0; v < count; v++)
        if (rank(logits[v], v) >= least)
            total += e[v];
    const double wanted = static_cast<double>(row.top_p) * total;
    double mass = 0.0;
    // Sort no more than is needed: the mass usually lies in few tokens.
    int64_t sorted = 0;
    for (int64_t block = 64; sorted < kept; block *= 4) {
        const int64_t end = std::min(kept, sorted + block);
        std::partial_sort(ranks + sorted, ranks + end, ranks + kept, falling);
        for (; sorted < end; sorted++) {
            mass += e[token_of(ranks[sorted])];
            if (mass >= wanted)
                return ranks[sorted];
        }
    }
    return ranks[kept - 1];
}

int64_t greedy(const float* logits, int64_t count) {
    int64_t best = 0;
    for (int64_t v = 1; v < count; v++)
        if (logits[v] > logits[best])
            best = v;
    return best;
}

/// The token whose interval of the cumulative candidate mass holds u: the sums are double, in rising id.
int64_t draw(const elm_sampling_row& row, const float* logits, const float* e, int64_t count, uint64_t* ranks) {
    const uint64_t least = threshold(row, logits, e, count, ranks);
    const auto candidate = [&](int64_t v) { return e[v] > 0.0f && e[v] >= row.min_p && (least == 0 || rank(logits[v], v) >= least); };
    double total = 0.0;
    for (int64_t v = 0; v < count; v++)
        if (candidate(v))
            total += e[v];
    const double wanted = uniform(row) * total;
    double mass = 0.0;
    int64_t last = 0;
    for (int64_t v = 0; v < count; v++)
        if (candidate(v)) {
            mass += e[v];
            last = v;
            if (mass > wanted)
                break;
        }
    return last;
}

}  // namespace

}  // namespace elm

using namespace elm;

extern "C" {

void elm_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t output[4]) noexcept { philox(counter, key, output); }

elm_status elm_sample(elm_context* context, elm_tensor logits, elm_tensor rows, elm_tensor tokens, elm_tensor log_probs) noexcept {
    return guarded([&] {
        const int64_t vocabulary = logits.columns;
        const int64_t padded = (vocabulary + 15) & ~int64_t{15};
        // for each thread: probabilities, then 8-byte ranks
        context->reserve(3 * padded);
        const elm_sampling_row* row_settings = static_cast<const elm_sampling_row*>(rows.data);
        context->parallel_by_cost(logits.rows, static_cast<double>(vocabulary) * 2.0, [&](int64_t begin, int64_t end, int thread) {
            float* e = context->scratch(thread);
            uint64_t* ranks = reinterpret_cast<uint64_t*>(e + padded);
            for (int64_t i = begin; i < end; i++) {
                const elm_sampling_row& row = row_settings[i];
                const float* z = f32(logits) + i * vocabulary;
                const float factor = row.temperature > 0.0f ? 1.0f / row.temperature : 1.0f;
                const RowSoftmax softmax = context->kernels.softmax_row(z, vocabulary, factor, e);
                if (vocabulary == 0 || !(softmax.sum == softmax.sum)) {
                    i32(tokens)[i] = -1;
                    f32(log_probs)[i] = NAN;
                    continue;
                }
                const int64_t token = row.temperature > 0.0f ? draw(row, z, e, vocabulary, ranks) : greedy(z, vocabulary);
                i32(tokens)[i] = static_cast<int32_t>(token);
                f32(log_probs)[i] = z[token] * factor - softmax.largest - log_f32(softmax.sum);
            }
        });
    });
}

}  // extern "C"
