// One row of logits: softmax statistics, entropy, gradient. Sampling and training share them, so that their log-probabilities have the
// same bits.

namespace elm::ELM_PATH {

static RowSoftmax softmax_row(const float* logits, int64_t count, float factor, float* e) {
    Lanes top = set(-HUGE_VALF);
    const Lanes f = set(factor);
    const int64_t whole = count & ~int64_t{15};
    const int rest = static_cast<int>(count & 15);
    for (int64_t i = 0; i < whole; i += lane_count)
        top = max(top, mul(load(logits + i), f));
    float padded[lane_count];
    if (rest != 0) {
        store(padded, set(-HUGE_VALF));
        for (int i = 0; i < rest; i++)
            padded[i] = logits[whole + i];
        top = max(top, mul(load(padded), f));
    }
    const float greatest = largest(top);
    const Lanes shift = set(greatest);
    Lanes total = zero();
    for (int64_t i = 0; i < whole; i += lane_count) {
        const Lanes value = exp(sub(mul(load(logits + i), f), shift));
        if (e != nullptr)
            store(e + i, value);
        total = add(total, value);
    }
    if (rest != 0) {
        const Lanes value = exp(sub(mul(load(padded), f), shift));
        if (e != nullptr)
            store(e + whole, value, rest);
        total = add(total, value);
    }
    return {greatest, sum(total)};
}

/// -sum p log p = log(sum) - sum(e d) / sum with d the scaled logit less the largest, and e = exp(d).
static float entropy_row(const float* logits, int64_t count, float factor, RowSoftmax row) {
    const Lanes f = set(factor), shift = set(row.largest), least = set(-1000.0f);
    Lanes total = zero();
    for (int64_t i = 0; i < count; i += lane_count) {
        const int n = count - i < lane_count ? static_cast<int>(count - i) : lane_count;
        const Lanes d = max(least, sub(mul(load(logits + i, n), f), shift));
        Lanes value = mul(exp(d), d);
        if (n < lane_count) {
            float kept[lane_count];
            store(kept, value);
            value = load(kept, n);
        }
        total = add(total, value);
    }
    return log_f32(row.sum) - sum(total) / row.sum;
}

static void softmax_gradient_row(float* logits, int64_t count, float factor, RowSoftmax row, int64_t target, float g) {
    const Lanes f = set(factor), shift = set(row.largest), scaled = set(-g / row.sum);
    for (int64_t i = 0; i < count; i += lane_count) {
        const int n = count - i < lane_count ? static_cast<int>(count - i) : lane_count;
        store(logits + i, mul(exp(sub(mul(load(logits + i, n), f), shift)), scaled), n);
    }
    logits[target] = logits[target] + g;
}

}  // namespace elm::ELM_PATH
