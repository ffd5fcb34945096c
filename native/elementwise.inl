// Elementwise kernels: widening, sums, SwiGLU, rotary embedding, AdamW.

namespace elm::ELM_PATH {

static void fma_all(const float* a, const float* b, const float* c, float* y, int64_t count) {
    for (int64_t i = 0; i < count; i += lane_count) {
        const int n = count - i < lane_count ? static_cast<int>(count - i) : lane_count;
        store(y + i, fma(load(a + i, n), load(b + i, n), load(c + i, n)), n);
    }
}

static void exp_all(const float* x, float* y, int64_t count) {
    for (int64_t i = 0; i < count; i += lane_count) {
        const int n = count - i < lane_count ? static_cast<int>(count - i) : lane_count;
        store(y + i, exp(load(x + i, n)), n);
    }
}

template <class T>
static void widen_as(const uint8_t* source, float* destination, int64_t count) {
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count)
        store(destination + i, load_as<T>(source + i * T::size));
    if (i < count)
        store(destination + i, load_as<T>(source + i * T::size, static_cast<int>(count - i)), static_cast<int>(count - i));
}

static void widen(const uint8_t* source, int type, float* destination, int64_t count) {
    if (type == 0)
        std::memcpy(destination, source, static_cast<size_t>(count) * 4);
    else if (type == 1)
        widen_as<BF16>(source, destination, count);
    else
        widen_as<F16>(source, destination, count);
}

static void add_all(const float* x, float* y, int64_t count) {
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count)
        store(y + i, add(load(y + i), load(x + i)));
    if (i < count) {
        const int n = static_cast<int>(count - i);
        store(y + i, add(load(y + i, n), load(x + i, n)), n);
    }
}

static void scale_all(float factor, float* x, int64_t count) {
    const Lanes f = set(factor);
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count)
        store(x + i, mul(load(x + i), f));
    if (i < count) {
        const int n = static_cast<int>(count - i);
        store(x + i, mul(load(x + i, n), f), n);
    }
}

/// 1 / (1 + exp(-x))
static ELM_INLINE Lanes sigmoid(Lanes x) { return div(set(1.0f), add(set(1.0f), exp(negate(x)))); }

static ELM_INLINE Lanes silu(Lanes x) { return div(x, add(set(1.0f), exp(negate(x)))); }

static void swiglu(const float* gate, const float* up, float* y, int64_t count) {
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count)
        store(y + i, mul(silu(load(gate + i)), load(up + i)));
    if (i < count) {
        const int n = static_cast<int>(count - i);
        store(y + i, mul(silu(load(gate + i, n)), load(up + i, n)), n);
    }
}

/// d(silu)/d(gate) = s (1 + gate (1 - s)) with s the sigmoid.
static ELM_INLINE void swiglu_gradient(Lanes gate, Lanes up, Lanes dy, Lanes& dgate, Lanes& dup) {
    const Lanes s = sigmoid(gate);
    const Lanes slope = mul(s, fma(gate, sub(set(1.0f), s), set(1.0f)));
    dup = mul(dy, mul(gate, s));
    dgate = mul(mul(dy, up), slope);
}

static void swiglu_backward(const float* gate, const float* up, const float* dy, float* dgate, float* dup, int64_t count) {
    Lanes g, u;
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count) {
        swiglu_gradient(load(gate + i), load(up + i), load(dy + i), g, u);
        store(dgate + i, g);
        store(dup + i, u);
    }
    if (i < count) {
        const int n = static_cast<int>(count - i);
        swiglu_gradient(load(gate + i, n), load(up + i, n), load(dy + i, n), g, u);
        store(dgate + i, g, n);
        store(dup + i, u, n);
    }
}

/// (first, second) times the rotation (cosine, sine).
static ELM_INLINE void rotate(Lanes& first, Lanes& second, Lanes cosine, Lanes sine) {
    const Lanes x = first;
    first = fma(x, cosine, negate(mul(second, sine)));
    second = fma(second, cosine, mul(x, sine));
}

static void rotary(const RotaryArgs& a, int64_t row_begin, int64_t row_end) {
    const int half = a.head_size / 2;
    const int64_t width = static_cast<int64_t>(a.heads) * a.head_size;
    for (int64_t row = row_begin; row < row_end; row++) {
        const float* cosines = a.table + static_cast<int64_t>(a.positions[row]) * a.head_size;
        const float* x = a.x + row * width;
        float* y = a.y + (a.slots != nullptr ? a.slots[row] : row) * width;
        for (int j = 0; j < half; j += lane_count) {
            const int n = half - j < lane_count ? half - j : lane_count;
            const Lanes cosine = load(cosines + j, n);
            const Lanes table_sine = load(cosines + half + j, n);
            const Lanes sine = a.inverse ? negate(table_sine) : table_sine;
            for (int head = 0; head < a.heads; head++) {
                const int64_t at = static_cast<int64_t>(head) * a.head_size + j;
                Lanes first = load(x + at, n);
                Lanes second = load(x + at + half, n);
                rotate(first, second, cosine, sine);
                store(y + at, first, n);
                store(y + at + half, second, n);
            }
        }
    }
}

static void adamw(const AdamWArgs& a, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += lane_count) {
        const int n = end - i < lane_count ? static_cast<int>(end - i) : lane_count;
        const Lanes g = mul(load(a.grad + i, n), set(a.clip));
        const Lanes m = fma(set(a.beta1), load(a.m + i, n), mul(set(a.rest1), g));
        const Lanes v = fma(set(a.beta2), load(a.v + i, n), mul(set(a.rest2), mul(g, g)));
        const Lanes root = add(sqrt(div(v, set(a.correction2))), set(a.epsilon));
        const Lanes change = div(mul(set(a.learning_rate), div(m, set(a.correction1))), root);
        store(a.theta + i, sub(mul(load(a.theta + i, n), set(a.shrink)), change), n);
        store(a.m + i, m, n);
        store(a.v + i, v, n);
    }
}

}  // namespace elm::ELM_PATH
