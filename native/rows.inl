// Kernels that reduce a row: RMS norm, sums of squares, pooling, cosine.

namespace elm::ELM_PATH {

/// Sum of a[i] * b[i].
static ELM_INLINE Lanes dot_lanes(const float* a, const float* b, int64_t count) {
    Lanes total = zero();
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count)
        total = fma(load(a + i), load(b + i), total);
    if (i < count) {
        const int n = static_cast<int>(count - i);
        total = fma(load(a + i, n), load(b + i, n), total);
    }
    return total;
}

static float sum_squares(const float* x, int64_t count) { return sum(dot_lanes(x, x, count)); }

static ELM_INLINE float inverse_rms(const float* x, int d, float epsilon) {
    return 1.0f / sqrt_f32(sum_squares(x, d) / static_cast<float>(d) + epsilon);
}

template <class W>
static void rms_norm_as(const RmsNormArgs& a, int64_t row_begin, int64_t row_end) {
    const int whole = a.d & ~15, rest = a.d & 15;
    for (int64_t row = row_begin; row < row_end; row++) {
        const float* x = a.x + row * a.d;
        float* y = a.y + row * a.d;
        const Lanes factor = set(inverse_rms(x, a.d, a.epsilon));
        for (int i = 0; i < whole; i += lane_count)
            store(y + i, mul(mul(load(x + i), factor), load_as<W>(a.weight + i * W::size)));
        if (rest != 0)
            store(y + whole, mul(mul(load(x + whole, rest), factor), load_as<W>(a.weight + whole * W::size, rest)), rest);
    }
}

/// With r = 1 / rms and g = dy * weight: dx += r g - x r^3 / d * sum(g x).
template <class W>
static void rms_norm_backward_as(const RmsNormArgs& a, int64_t row_begin, int64_t row_end) {
    const int whole = a.d & ~15, rest = a.d & 15;
    for (int64_t row = row_begin; row < row_end; row++) {
        const float* x = a.x + row * a.d;
        const float* dy = a.dy + row * a.d;
        float* dx = a.dx + row * a.d;
        const float r = inverse_rms(x, a.d, a.epsilon);
        Lanes total = zero();
        for (int i = 0; i < whole; i += lane_count)
            total = fma(mul(load(dy + i), load_as<W>(a.weight + i * W::size)), load(x + i), total);
        if (rest != 0)
            total = fma(mul(load(dy + whole, rest), load_as<W>(a.weight + whole * W::size, rest)), load(x + whole, rest), total);
        const Lanes factor = set(r);
        const Lanes along = set(-(sum(total) * r * r * r / static_cast<float>(a.d)));
        for (int i = 0; i < whole; i += lane_count) {
            const Lanes g = mul(load(dy + i), load_as<W>(a.weight + i * W::size));
            store(dx + i, add(load(dx + i), fma(load(x + i), along, mul(g, factor))));
        }
        if (rest != 0) {
            const Lanes g = mul(load(dy + whole, rest), load_as<W>(a.weight + whole * W::size, rest));
            store(dx + whole, add(load(dx + whole, rest), fma(load(x + whole, rest), along, mul(g, factor))), rest);
        }
    }
}

static void rms_norm(const RmsNormArgs& a, int64_t row_begin, int64_t row_end) {
    if (a.weight_type == 0)
        rms_norm_as<F32>(a, row_begin, row_end);
    else if (a.weight_type == 1)
        rms_norm_as<BF16>(a, row_begin, row_end);
    else
        rms_norm_as<F16>(a, row_begin, row_end);
}

static void rms_norm_backward(const RmsNormArgs& a, int64_t row_begin, int64_t row_end) {
    if (a.weight_type == 0)
        rms_norm_backward_as<F32>(a, row_begin, row_end);
    else if (a.weight_type == 1)
        rms_norm_backward_as<BF16>(a, row_begin, row_end);
    else
        rms_norm_backward_as<F16>(a, row_begin, row_end);
}

static void pool_heads(const float* x, int64_t rows, int64_t heads, int head_size, float* y) {
    const int64_t vectors = rows * heads;
    const Lanes divisor = set(vectors > 0 ? static_cast<float>(vectors) : 1.0f);
    for (int j = 0; j < head_size; j += lane_count) {
        const int n = head_size - j < lane_count ? head_size - j : lane_count;
        Lanes total = zero();
        for (int64_t i = 0; i < vectors; i++)
            total = add(total, load(x + i * head_size + j, n));
        store(y + j, div(total, divisor), n);
    }
}

/// cos of two vectors from their dot product and squared lengths; 0 for a length under 1e-12 or one that is not finite.
static ELM_INLINE double cosine_of(float product, float squared_a, float squared_b) {
    const double a = sqrt_f64(squared_a), b = sqrt_f64(squared_b);
    if (!(a >= 1e-12 && a < 1e30 && b >= 1e-12 && b < 1e30))
        return 0.0;
    return product / (a * b);
}

/// The products of a query's term with a key's and of the key's term with itself, in one pass over the key.
static ELM_INLINE void dot_and_square(const float* query, const float* key, int width, float& product, float& square) {
    Lanes products = zero(), squares = zero();
    int i = 0;
    for (; i + lane_count <= width; i += lane_count) {
        const Lanes k = load(key + i);
        products = fma(load(query + i), k, products);
        squares = fma(k, k, squares);
    }
    if (i < width) {
        const Lanes k = load(key + i, width - i);
        products = fma(load(query + i, width - i), k, products);
        squares = fma(k, k, squares);
    }
    product = sum(products);
    square = sum(squares);
}

static void cosine(const float* query, const float* query_squares, const float* keys, int64_t count, int terms, int width, float* scores) {
    for (int64_t key = 0; key < count; key++) {
        double total = 0.0;
        for (int term = 0; term < terms; term++) {
            float product, square;
            dot_and_square(query + static_cast<int64_t>(term) * width, keys + (key * terms + term) * width, width, product, square);
            total += cosine_of(product, query_squares[term], square);
        }
        scores[key] = static_cast<float>(total / terms);
    }
}

}  // namespace elm::ELM_PATH
