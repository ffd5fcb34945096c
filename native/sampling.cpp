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

constexpr auto falling = [](uint64_t a, uint64_t b) { return a > b; };

/// The rank of the k-th largest of the logits; ranks is room for 2 k of them.
uint64_t kth_rank(const float* logits, int64_t count, int64_t k, uint64_t* ranks) {
    int64_t held = 0;
    float least = -HUGE_VALF;
    for (int64_t v = 0; v < count; v++) {
        if (logits[v] < least)
            continue;
        ranks[held++] = rank(logits[v], v);
        if (held == 2 * k) {
            std::nth_element(ranks, ranks + (k - 1), ranks + held, falling);
            held = k;
            least = logits[token_of(ranks[k - 1])];
        }
    }
    std::nth_element(ranks, ranks + (k - 1), ranks + held, falling);
    return ranks[k - 1];
}

/// Sums are double, in rising id: within blocks of this many ids, and then over the blocks.
constexpr int64_t mass_block = 256;

/// The mass of the candidates, and of each block of ids. Four blocks advance together, which hides the latency of their chains.
template <class Mass>
double total_mass(int64_t count, double* blocks, Mass&& mass) {
    const int64_t full = count / mass_block;
    int64_t b = 0;
    for (; b + 4 <= full; b += 4) {
        double sums[4] = {};
        const int64_t first = b * mass_block;
        for (int64_t i = 0; i < mass_block; i++)
            for (int64_t c = 0; c < 4; c++)
                sums[c] += mass(first + c * mass_block + i);
        std::copy(sums, sums + 4, blocks + b);
    }
    for (; b * mass_block < count; b++) {
        blocks[b] = 0.0;
        for (int64_t v = b * mass_block; v < std::min(count, (b + 1) * mass_block); v++)
            blocks[b] += mass(v);
    }
    double total = 0.0;
    for (int64_t i = 0; i < b; i++)
        total += blocks[i];
    return total;
}

/// Memory of a draw: probabilities, ranks and the masses of blocks.
struct DrawScratch {
    float* e;
    uint64_t* ranks;
    double* blocks;

    static int64_t padded(int64_t count) { return (count + 15) & ~int64_t{15}; }
    static int64_t floats(int64_t count) { return padded(count) * 3 + 2 * (count / mass_block + 1); }

    DrawScratch(float* scratch, int64_t count)
        : e(scratch), ranks(reinterpret_cast<uint64_t*>(scratch + padded(count))), blocks(reinterpret_cast<double*>(scratch + 3 * padded(count))) {}
};

/// The least rank that top-k and then top-p keep; 0 where they keep all. e holds the unnormalised probabilities, 1 for the largest. The mass
/// that top-p asks for is a fraction of what top-k left.
uint64_t threshold(const elm_sampling_row& row, const float* logits, int64_t count, const DrawScratch& scratch) {
    const float* e = scratch.e;
    uint64_t* ranks = scratch.ranks;
    uint64_t least = 0;
    if (row.top_k > 0 && row.top_k < count) {
        if (2 * int64_t{row.top_k} <= count) {
            least = kth_rank(logits, count, row.top_k, ranks);
        } else {
            for (int64_t v = 0; v < count; v++)
                ranks[v] = rank(logits[v], v);
            std::nth_element(ranks, ranks + (row.top_k - 1), ranks + count, falling);
            least = ranks[row.top_k - 1];
        }
    }
    if (!(row.top_p < 1.0f))
        return least;
    const double total = least == 0 ? total_mass(count, scratch.blocks, [&](int64_t v) { return static_cast<double>(e[v]); })
                                    : total_mass(count, scratch.blocks, [&](int64_t v) { return rank(logits[v], v) >= least ? static_cast<double>(e[v]) : 0.0; });
    const double wanted = static_cast<double>(row.top_p) * total;
    // The mass usually lies in few tokens: look at the likely ones first, and at all only where they do not reach it.
    for (const float cut : {1e-3f, 1e-5f, 0.0f}) {
        int64_t held = 0;
        for (int64_t v = 0; v < count; v++)
            if (e[v] >= cut && rank(logits[v], v) >= least)
                ranks[held++] = rank(logits[v], v);
        std::sort(ranks, ranks + held, falling);
        double mass = 0.0;
        for (int64_t i = 0; i < held; i++) {
            mass += e[token_of(ranks[i])];
            if (mass >= wanted)
                return ranks[i];
        }
    }
    return least;
}

int64_t greedy(const float* logits, int64_t count) {
    int64_t best = 0;
    for (int64_t v = 1; v < count; v++)
        if (logits[v] > logits[best])
            best = v;
    return best;
}

/// The token whose interval of the cumulative candidate mass holds `uniform` times the whole.
template <class Mass>
int64_t pick(double uniform, int64_t count, double* blocks, Mass&& mass) {
    const double wanted = uniform * total_mass(count, blocks, mass);
    // Rounding may leave the whole mass at or under the wanted one: then the last candidate is drawn.
    int64_t block = 0;
    double before = 0.0, sum = 0.0;
    for (int64_t b = 0; b * mass_block < count; b++) {
        if (blocks[b] == 0.0)
            continue;
        block = b;
        before = sum;
        sum += blocks[b];
        if (sum > wanted)
            break;
    }
    int64_t token = 0;
    double within = 0.0;
    for (int64_t v = block * mass_block; v < std::min(count, (block + 1) * mass_block); v++) {
        const double m = mass(v);
        if (m == 0.0)
            continue;
        token = v;
        within += m;
        if (before + within > wanted)
            break;
    }
    return token;
}

int64_t draw(const elm_sampling_row& row, const float* logits, int64_t count, const DrawScratch& scratch) {
    const uint64_t least = threshold(row, logits, count, scratch);
    const float* e = scratch.e;
    const float min_p = row.min_p;
    if (least == 0)
        return pick(uniform(row), count, scratch.blocks, [&](int64_t v) { return e[v] >= min_p ? static_cast<double>(e[v]) : 0.0; });
    return pick(uniform(row), count, scratch.blocks,
                [&](int64_t v) { return e[v] >= min_p && rank(logits[v], v) >= least ? static_cast<double>(e[v]) : 0.0; });
}

}  // namespace

}  // namespace elm

using namespace elm;

extern "C" {

void elm_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t output[4]) noexcept { philox(counter, key, output); }

elm_status elm_sample(elm_context* context, elm_tensor logits, elm_tensor rows, elm_tensor tokens, elm_tensor log_probs) noexcept {
    return guarded([&] {
        const int64_t vocabulary = logits.columns;
        context->reserve(DrawScratch::floats(vocabulary));
        const elm_sampling_row* row_settings = static_cast<const elm_sampling_row*>(rows.data);
        context->parallel_by_cost(logits.rows, static_cast<double>(vocabulary) * 2.0, [&](int64_t begin, int64_t end, int thread) {
            const DrawScratch scratch(context->scratch(thread), vocabulary);
            for (int64_t i = begin; i < end; i++) {
                const elm_sampling_row& row = row_settings[i];
                const float* z = f32(logits) + i * vocabulary;
                const float factor = row.temperature > 0.0f ? 1.0f / row.temperature : 1.0f;
                const RowSoftmax softmax = context->kernels.softmax_row(z, vocabulary, factor, scratch.e);
                if (vocabulary == 0 || !(softmax.sum == softmax.sum)) {
                    i32(tokens)[i] = -1;
                    f32(log_probs)[i] = NAN;
                    continue;
                }
                const int64_t token = row.temperature > 0.0f ? draw(row, z, vocabulary, scratch) : greedy(z, vocabulary);
                i32(tokens)[i] = static_cast<int32_t>(token);
                f32(log_probs)[i] = z[token] * factor - softmax.largest - log_f32(softmax.sum);
            }
        });
    });
}

}  // extern "C"
