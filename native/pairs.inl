// Few rows times bf16 weights where a register holds eight floats: 16 weights are read as eight pairs, whose low halves are the elements
// with even k and whose high halves are those with odd k. A shift or a mask widens them, so x is laid out alike: first its even elements,
// then its odd ones. The 16 lanes of a sum are 8 even and 8 odd ones, with the bits of the dot form in linear.inl.

namespace elm::ELM_PATH {

/// Bytes of a weight from which on it is assumed to come from memory.
constexpr int64_t cached_weight = 512 * 1024;
/// Whether the path has this form.
constexpr bool pair_form = parts == 2;

/// Columns that all rows are done with before the next ones: a multiple of every tile's.
constexpr int pair_chunk = 12;

/// 16-element blocks of a row, the last one filled up.
static ELM_INLINE int pair_blocks(int k) { return (k + lane_count - 1) / lane_count; }

/// Floats of rows laid out for pairs.
static ELM_INLINE int64_t pair_scratch(int rows, int k) { return static_cast<int64_t>(rows) * pair_blocks(k) * lane_count; }

/// out: the even elements of a row, then from 8 * pair_blocks(k) on the odd ones; zeros behind its end.
template <class P>
static void split_pairs(const float* x, int k, float* out) {
    const int whole = k / lane_count, half = pair_blocks(k) * part_width;
    for (int j = 0; j < whole; j++) {
        P even, odd;
        part_split(part_load(bytes(x + j * lane_count)), part_load(bytes(x + j * lane_count + part_width)), even, odd);
        part_store(out + j * part_width, even);
        part_store(out + half + j * part_width, odd);
    }
    if ((k & 15) != 0)
        for (int i = 0; i < part_width; i++) {
            const int at = whole * lane_count + 2 * i;
            out[whole * part_width + i] = at < k ? x[at] : 0.0f;
            out[half + whole * part_width + i] = at + 1 < k ? x[at + 1] : 0.0f;
        }
}

/// 16 weights, or the first n and then zeros.
static ELM_INLINE Part load_pairs(const uint8_t* w) { return part_load(w); }
static ELM_INLINE Part load_pairs(const uint8_t* w, int n) {
    float padded[part_width] = {};
    std::memcpy(padded, w, static_cast<size_t>(n) * 2);
    return part_load(bytes(padded));
}

/// One half of R x C accumulators: odd = 0 or 1.
template <class P, int R, int C, int odd, bool Ahead>
static ELM_INLINE void pair_half(const float* x, int64_t x_stride, const uint8_t* w, int64_t w_stride, int k, P (&acc)[R][C]) {
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int c = 0; c < C; c++)
            acc[r][c] = part_set(0.0f);
    const int whole = k / lane_count;
    const auto step = [&](int j, auto load) ELM_INLINE_LAMBDA {
        if constexpr (R <= C) {
            P a[R];
            ELM_UNROLL
            for (int r = 0; r < R; r++)
                a[r] = part_load(bytes(x + r * x_stride + j * part_width));
            ELM_UNROLL
            for (int c = 0; c < C; c++) {
                const P pairs = load(c);
                const P b = odd != 0 ? part_high_bf16(pairs) : part_low_bf16(pairs);
                ELM_UNROLL
                for (int r = 0; r < R; r++)
                    acc[r][c] = part_fma(a[r], b, acc[r][c]);
            }
        } else {
            P b[C];
            ELM_UNROLL
            for (int c = 0; c < C; c++) {
                const P pairs = load(c);
                b[c] = odd != 0 ? part_high_bf16(pairs) : part_low_bf16(pairs);
            }
            ELM_UNROLL
            for (int r = 0; r < R; r++) {
                const P a = part_load(bytes(x + r * x_stride + j * part_width));
                ELM_UNROLL
                for (int c = 0; c < C; c++)
                    acc[r][c] = part_fma(a, b[c], acc[r][c]);
            }
        }
    };
    for (int j = 0; j < whole; j++) {
        const uint8_t* at = w + static_cast<int64_t>(j) * lane_count * 2;
        if constexpr (Ahead)
            ELM_UNROLL
            for (int c = 0; c < C; c++)
                prefetch(at + (C + c) * w_stride);
        step(j, [&](int c) ELM_INLINE_LAMBDA { return load_pairs(at + c * w_stride); });
    }
    if ((k & 15) != 0) {
        const uint8_t* at = w + static_cast<int64_t>(whole) * lane_count * 2;
        step(whole, [&](int c) ELM_INLINE_LAMBDA { return load_pairs(at + c * w_stride, k & 15); });
    }
}

/// R rows times C columns: product, + bias, + y.
template <class P, int R, int C, bool Ahead>
static void pair_tile(const LinearArgs& a, const float* x, const uint8_t* w, const float* bias, float* y) {
    const int64_t half = static_cast<int64_t>(pair_blocks(a.k)) * part_width, w_stride = static_cast<int64_t>(a.k) * 2;
    P even[R][C], odd[R][C];
    pair_half<P, R, C, 0, Ahead>(x, 2 * half, w, w_stride, a.k, even);
    pair_half<P, R, C, 1, false>(x + half, 2 * half, w, w_stride, a.k, odd);
    float sums[R * C + 3];
    ELM_UNROLL
    for (int i = 0; i < R * C; i += 4) {
        const auto at = [&](P(&from)[R][C], int j) ELM_INLINE_LAMBDA { return j < R * C ? from[j / C][j % C] : from[R - 1][C - 1]; };
        quad_store(sums + i, pair_sum4(at(even, i), at(odd, i), at(even, i + 1), at(odd, i + 1), at(even, i + 2), at(odd, i + 2),
                                       at(even, i + 3), at(odd, i + 3)));
    }
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int c = 0; c < C; c++) {
            float value = sums[r * C + c] + bias[c];
            if (a.accumulate)
                value = value + y[r * a.y_stride + c];
            y[r * a.y_stride + c] = value;
        }
}

/// One row times four columns, one column behind the other: the weights come in one stream, which memory likes best.
template <class P>
static void pair_stream(const LinearArgs& a, const float* x, const uint8_t* w, const float* bias, float* y) {
    const int half = pair_blocks(a.k) * part_width, whole = a.k / lane_count;
    const int64_t w_stride = static_cast<int64_t>(a.k) * 2;
    P even[4], odd[4];
    ELM_UNROLL
    for (int c = 0; c < 4; c++) {
        P e = part_set(0.0f), o = part_set(0.0f);
        const uint8_t* at = w + c * w_stride;
        for (int j = 0; j < whole; j++, at += 2 * lane_count) {
            const P pairs = load_pairs(at);
            e = part_fma(part_load(bytes(x + j * part_width)), part_low_bf16(pairs), e);
            o = part_fma(part_load(bytes(x + half + j * part_width)), part_high_bf16(pairs), o);
        }
        if ((a.k & 15) != 0) {
            const P pairs = load_pairs(at, a.k & 15);
            e = part_fma(part_load(bytes(x + whole * part_width)), part_low_bf16(pairs), e);
            o = part_fma(part_load(bytes(x + half + whole * part_width)), part_high_bf16(pairs), o);
        }
        even[c] = e;
        odd[c] = o;
    }
    Quad value = quad_add(pair_sum4(even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]), quad_load(bias));
    if (a.accumulate)
        value = quad_add(value, quad_load(y));
    quad_store(y, value);
}

/// Columns from n on, C at a time as long as they last, for R rows.
template <class P, int R, int C>
static int pair_columns(const LinearArgs& a, const float* x, int n, int n1, bool ahead, const float* bias, float* y) {
    const int64_t w_stride = static_cast<int64_t>(a.k) * 2;
    for (; n + C <= n1; n += C, bias += C, y += C)
        if (ahead)
            pair_tile<P, R, C, true>(a, x, a.weight + n * w_stride, bias, y);
        else
            pair_tile<P, R, C, false>(a, x, a.weight + n * w_stride, bias, y);
    return n;
}

/// Rows [m0, m1) and columns [n0, n1) of y; scratch of pair_scratch floats and bias for a row.
template <class P>
static void linear_pairs(const LinearArgs& a, int m0, int m1, int n0, int n1, float* scratch) {
    const int rows = m1 - m0;
    const int64_t w_stride = static_cast<int64_t>(a.k) * 2, x_stride = static_cast<int64_t>(pair_blocks(a.k)) * lane_count;
    const bool ahead = a.n * w_stride > cached_weight / 4;
    for (int r = 0; r < rows; r++)
        split_pairs<P>(a.x + (m0 + r) * a.x_stride, a.k, scratch + r * x_stride);
    for (int n = n0; n < n1; n += pair_chunk) {
        const int end = n1 - n < pair_chunk ? n1 : n + pair_chunk;
        float bias[pair_chunk] = {};
        if (a.bias != nullptr)
            widen(a.bias + static_cast<int64_t>(n) * (a.bias_type == 0 ? 4 : 2), a.bias_type, bias, end - n);
        for (int r = 0; r < rows;) {
            const float* x = scratch + r * x_stride;
            float* y = a.y + (m0 + r) * a.y_stride;
            int at = n;
            // Rows in tiles of at most four, as even as they come.
            const int tiles = (rows - r + 3) / 4, count = (rows - r + tiles - 1) / tiles;
            const bool first = ahead && r == 0;
            if (count == 1 && ahead)
                for (; at + 4 <= end; at += 4)
                    pair_stream<P>(a, x, a.weight + at * w_stride, bias + at - n, y + at);
            switch (count) {
            case 1: at = pair_columns<P, 1, 4>(a, x, at, end, false, bias + at - n, y + at); break;
            case 2: at = pair_columns<P, 2, 4>(a, x, at, end, first, bias + at - n, y + at); break;
            case 3: at = pair_columns<P, 3, 4>(a, x, at, end, first, bias + at - n, y + at); break;
            default: at = pair_columns<P, 4, 3>(a, x, at, end, first, bias + at - n, y + at); break;
            }
            switch (count) {
            case 1: pair_columns<P, 1, 1>(a, x, at, end, false, bias + at - n, y + at); break;
            case 2: pair_columns<P, 2, 1>(a, x, at, end, false, bias + at - n, y + at); break;
            case 3: pair_columns<P, 3, 1>(a, x, at, end, false, bias + at - n, y + at); break;
            default: pair_columns<P, 4, 1>(a, x, at, end, false, bias + at - n, y + at); break;
            }
            r += count;
        }
    }
}

}  // namespace elm::ELM_PATH
