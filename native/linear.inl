// Dense products with weights as stored. Forward: every output is a sum of 16 lanes that run along k. Here they lie side by side in
// accumulators; pairs.inl does the same for few rows of bf16, and panel.inl takes the lanes one after another where rows are many. Backward:
// lanes run along k, which are outputs there; the sum over n rises within blocks of 512, whose sums are added in rising order (a vocabulary
// is too long for one chain in single precision). No tile, block or batch shape changes the order of any sum.

namespace elm::ELM_PATH {

/// Most rows of a block: a multiple of every path's tile; and columns of one.
constexpr int block_rows = 240;
constexpr int block_columns = 64;
/// From this many rows on a 16-bit weight tile is widened once and reused.
constexpr int widen_rows = 12;
/// Floats of a widened tile.
constexpr int forward_tile = 96 * 1024;
constexpr int max_tile_columns = 64;
/// Length of one chain of the backward sum, and rows of a widened tile.
constexpr int backward_block = 512;
constexpr int backward_tile_columns = 16 * 4;

/// R rows of x times C rows of the weight. Ahead: ask for the next C rows of the weight meanwhile.
template <class W, int R, int C, bool Ahead = false>
static ELM_INLINE void dot_tile(const float* x, int64_t x_stride, const uint8_t* w, int64_t w_stride, int k, Lanes (&total)[R][C]) {
    const int whole = k & ~15, rest = k & 15;
    ELM_UNROLL
    for (int i = 0; i < parts; i++) {
        const uint8_t* xi = bytes(x) + i * part_width * 4;
        const uint8_t* wi = w + i * part_width * W::size;
        Part acc[R][C];
        ELM_UNROLL
        for (int r = 0; r < R; r++)
            ELM_UNROLL
            for (int c = 0; c < C; c++)
                acc[r][c] = part_set(0.0f);
        for (int j = 0; j < whole; j += lane_count) {
            if constexpr (Ahead)
                ELM_UNROLL
                for (int c = 0; c < C; c++)
                    prefetch(wi + (C + c) * w_stride + static_cast<int64_t>(j) * W::size);
            // The smaller side stays in registers, the other passes through one.
            if constexpr (R <= C) {
                Part a[R];
                ELM_UNROLL
                for (int r = 0; r < R; r++)
                    a[r] = part_load(xi + (r * x_stride + j) * 4);
                ELM_UNROLL
                for (int c = 0; c < C; c++) {
                    const Part b = W::part(wi + c * w_stride + static_cast<int64_t>(j) * W::size);
                    ELM_UNROLL
                    for (int r = 0; r < R; r++)
                        acc[r][c] = part_fma(a[r], b, acc[r][c]);
                }
            } else {
                Part b[C];
                ELM_UNROLL
                for (int c = 0; c < C; c++)
                    b[c] = W::part(wi + c * w_stride + static_cast<int64_t>(j) * W::size);
                ELM_UNROLL
                for (int r = 0; r < R; r++) {
                    const Part a = part_load(xi + (r * x_stride + j) * 4);
                    ELM_UNROLL
                    for (int c = 0; c < C; c++)
                        acc[r][c] = part_fma(a, b[c], acc[r][c]);
                }
            }
        }
        if (rest != 0) {
            const int n = part_of(rest, i);
            Part b[C];
            ELM_UNROLL
            for (int c = 0; c < C; c++)
                b[c] = W::part_n(wi + c * w_stride + static_cast<int64_t>(whole) * W::size, n);
            ELM_UNROLL
            for (int r = 0; r < R; r++) {
                const Part a = part_load_n(xi + (r * x_stride + whole) * 4, n);
                ELM_UNROLL
                for (int c = 0; c < C; c++)
                    acc[r][c] = part_fma(a, b[c], acc[r][c]);
            }
        }
        ELM_UNROLL
        for (int r = 0; r < R; r++)
            ELM_UNROLL
            for (int c = 0; c < C; c++)
                total[r][c].p[i] = acc[r][c];
    }
}

/// A tile of y: product, + bias, + y. C is 1 or a multiple of 4.
template <class W, int R, int C, bool Ahead = false>
static ELM_INLINE void linear_tile(const LinearArgs& a, const float* x, const uint8_t* w, int64_t w_stride, const float* bias, float* y) {
    Lanes total[R][C];
    dot_tile<W, R, C, Ahead>(x, a.x_stride, w, w_stride, a.k, total);
    ELM_UNROLL
    for (int r = 0; r < R; r++) {
        float* out = y + r * a.y_stride;
        if constexpr (C == 1) {
            float value = sum(total[r][0]) + bias[0];
            if (a.accumulate)
                value = value + out[0];
            out[0] = value;
        } else {
            ELM_UNROLL
            for (int c = 0; c < C; c += 4) {
                Quad value = quad_add(sum4(total[r][c], total[r][c + 1], total[r][c + 2], total[r][c + 3]), quad_load(bias + c));
                if (a.accumulate)
                    value = quad_add(value, quad_load(out + c));
                quad_store(out + c, value);
            }
        }
    }
}

/// R in 1..dot_rows rows times C columns.
template <class W, int C, bool Ahead = false>
static void linear_rows(int rows, const LinearArgs& a, const float* x, const uint8_t* w, int64_t w_stride, const float* bias, float* y) {
    switch (rows) {
    case 1: linear_tile<W, 1, C, Ahead>(a, x, w, w_stride, bias, y); break;
    case 2: if constexpr (dot_rows >= 2) linear_tile<W, 2, C, Ahead>(a, x, w, w_stride, bias, y); break;
    case 3: if constexpr (dot_rows >= 3) linear_tile<W, 3, C, Ahead>(a, x, w, w_stride, bias, y); break;
    case 4: if constexpr (dot_rows >= 4) linear_tile<W, 4, C, Ahead>(a, x, w, w_stride, bias, y); break;
    case 5: if constexpr (dot_rows >= 5) linear_tile<W, 5, C, Ahead>(a, x, w, w_stride, bias, y); break;
    default: if constexpr (dot_rows >= 6) linear_tile<W, 6, C, Ahead>(a, x, w, w_stride, bias, y); break;
    }
}

/// Few rows: weight columns outside, so that each weight comes from memory once.
template <class W>
static void linear_direct(const LinearArgs& a, int m0, int m1, const uint8_t* w, int64_t w_stride, const float* bias, float* y,
    int columns) {
    const int rows = m1 - m0;
    const int tiles = (rows + dot_rows - 1) / dot_rows;
    const int tile = (rows + tiles - 1) / tiles;
    const bool ahead = a.n * w_stride > cached_weight;
    int c = 0;
    for (; rows == 1 && c + 8 <= columns; c += 8) {
        if (ahead)
            linear_tile<W, 1, 8, true>(a, a.x + m0 * a.x_stride, w + c * w_stride, w_stride, bias + c, y + c);
        else
            linear_tile<W, 1, 8>(a, a.x + m0 * a.x_stride, w + c * w_stride, w_stride, bias + c, y + c);
    }
    for (; c < columns;) {
        const int step = columns - c >= 4 ? 4 : 1;
        for (int r = 0; r < rows; r += tile) {
            const int count = rows - r < tile ? rows - r : tile;
            const float* x = a.x + (m0 + r) * a.x_stride;
            if (step == 4 && r == 0 && ahead)
                linear_rows<W, 4, true>(count, a, x, w + c * w_stride, w_stride, bias + c, y + c);
            else if (step == 4)
                linear_rows<W, 4>(count, a, x, w + c * w_stride, w_stride, bias + c, y + r * a.y_stride + c);
            else
                linear_rows<W, 1>(count, a, x, w + c * w_stride, w_stride, bias + c, y + r * a.y_stride + c);
        }
        c += step;
    }
}

/// Many rows against a float tile: rows outside, so that the rows of x stay in the first cache and the tile in the second.
static void linear_tiled(const LinearArgs& a, int m0, int m1, const uint8_t* w, int64_t w_stride, const float* bias, float* y,
    int columns) {
    for (int r = 0; m0 + r < m1; r += dot_rows) {
        const int count = m1 - m0 - r < dot_rows ? m1 - m0 - r : dot_rows;
        const float* x = a.x + (m0 + r) * a.x_stride;
        float* out = y + r * a.y_stride;
        int c = 0;
        for (; c + 4 <= columns; c += 4)
            linear_rows<F32, 4>(count, a, x, w + c * w_stride, w_stride, bias + c, out + c);
        for (; c < columns; c++)
            linear_rows<F32, 1>(count, a, x, w + c * w_stride, w_stride, bias + c, out + c);
    }
}

static int linear_tile_columns(int k) {
    const int padded = (k + 15) & ~15;
    const int columns = forward_tile / (padded > 0 ? padded : 1) & ~3;
    return columns < 4 ? 4 : columns > max_tile_columns ? max_tile_columns : columns;
}

/// Whether a product goes through panels: where the rows pay for packing, and the chains are long enough to pay for adding them up.
static ELM_INLINE bool by_panels(int rows, int k) { return panel_rows > 0 && rows >= 2 * widen_rows && k > 256; }

static int64_t linear_scratch(int rows, int k) {
    // The last block may have fewer rows and go the other way.
    const int64_t tile = max_tile_columns + static_cast<int64_t>(linear_tile_columns(k)) * ((k + 15) & ~15);
    const int64_t packed = by_panels(rows, k) ? panel_scratch(rows, k) : pair_scratch(widen_rows, k);
    return packed > tile ? packed : tile;
}

/// Blocks of at most block_rows rows, all alike; panels take as many columns at once as leave enough blocks for the threads, since the rows
/// are packed anew for each block.
static LinearBlock linear_block(int m, int n, int k, int threads) {
    const int row_blocks = (m + block_rows - 1) / block_rows;
    const int rows = by_panels(m, k) ? ((m + row_blocks - 1) / row_blocks + group_height - 1) / group_height * group_height : block_rows;
    const int height = (m + rows - 1) / rows;
    if (by_panels(m, k)) {
        const bool long_work = static_cast<double>(m) * n * k > 3e7 * threads;
        const int wanted = threads == 1 ? 1 : (threads * (long_work ? 6 : 2) + height - 1) / height;
        const int columns = ((n + wanted - 1) / wanted + panel_width - 1) / panel_width * panel_width;
        return {rows, columns};
    }
    // Few rows: the more columns in a block, the longer a thread reads in one stream, and the less it lays out x anew.
    const bool few = pair_form && m < widen_rows;
    int columns = few ? 20 * pair_chunk : block_columns;
    const int least = few ? pair_chunk : 16, share = few ? 6 : 2;
    while (columns > least && static_cast<int64_t>(height) * ((n + columns - 1) / columns) < share * threads)
        columns = columns / 2 < least ? least : columns / 2 / least * least;
    return {rows, columns};
}

static void linear(const LinearArgs& a, int m0, int m1, int n0, int n1, float* scratch) {
    if (by_panels(m1 - m0, a.k)) {
        linear_panels(a, m0, m1, n0, n1, scratch);
        return;
    }
    if constexpr (pair_form)
        if (m1 - m0 < widen_rows && a.weight_type == 1) {
            linear_pairs<Part>(a, m0, m1, n0, n1, scratch);
            return;
        }
    const int size = a.weight_type == 0 ? 4 : 2;
    const int64_t w_stride = static_cast<int64_t>(a.k) * size;
    const int tile_columns = linear_tile_columns(a.k);
    const int64_t padded = (a.k + 15) & ~15;
    float* bias = scratch;
    float* tile = scratch + max_tile_columns;
    for (int n = n0; n < n1; n += tile_columns) {
        const int columns = n1 - n < tile_columns ? n1 - n : tile_columns;
        const uint8_t* w = a.weight + n * w_stride;
        float* y = a.y + m0 * a.y_stride + n;
        if (a.bias != nullptr)
            widen(a.bias + static_cast<int64_t>(n) * (a.bias_type == 0 ? 4 : 2), a.bias_type, bias, columns);
        else
            std::memset(bias, 0, sizeof(float) * static_cast<size_t>(columns));
        if (m1 - m0 < widen_rows) {
            if (a.weight_type == 0)
                linear_direct<F32>(a, m0, m1, w, w_stride, bias, y, columns);
            else if (a.weight_type == 1)
                linear_direct<BF16>(a, m0, m1, w, w_stride, bias, y, columns);
            else
                linear_direct<F16>(a, m0, m1, w, w_stride, bias, y, columns);
        } else if (a.weight_type == 0) {
            linear_tiled(a, m0, m1, w, w_stride, bias, y, columns);
        } else {
            for (int c = 0; c < columns; c++)
                widen(w + c * w_stride, a.weight_type, tile + c * padded, a.k);
            linear_tiled(a, m0, m1, bytes(tile), padded * 4, bias, y, columns);
        }
    }
}

static int64_t linear_backward_scratch() { return static_cast<int64_t>(backward_block) * backward_tile_columns; }

/// Few rows: the weight as it lies.
template <class W>
static void linear_backward_direct(const LinearBackwardArgs& a, int m0, int m1, int k0, int k1) {
    const int64_t w_stride = static_cast<int64_t>(a.k) * W::size;
    for (int n = 0; n == 0 || n < a.n; n += backward_block) {
        const int count = a.n - n < backward_block ? a.n - n : backward_block;
        axpy<W>({a.dy + m0 * a.dy_stride + n, a.dy_stride, 1, a.weight + n * w_stride + static_cast<int64_t>(k0) * W::size, w_stride, count,
                 a.dx + m0 * a.dx_stride + k0, a.dx_stride},
                m1 - m0, k1 - k0, a.accumulate || n > 0 ? Start::add : Start::zero);
    }
}

static void linear_backward(const LinearBackwardArgs& a, int m0, int m1, int k0, int k1, float* scratch) {
    if (m1 - m0 < widen_rows || a.n == 0) {
        if (a.weight_type == 0)
            linear_backward_direct<F32>(a, m0, m1, k0, k1);
        else if (a.weight_type == 1)
            linear_backward_direct<BF16>(a, m0, m1, k0, k1);
        else
            linear_backward_direct<F16>(a, m0, m1, k0, k1);
        return;
    }
    const int size = a.weight_type == 0 ? 4 : 2;
    const int64_t w_stride = static_cast<int64_t>(a.k) * size;
    for (int k = k0; k < k1; k += backward_tile_columns) {
        const int columns = k1 - k < backward_tile_columns ? k1 - k : backward_tile_columns;
        for (int n = 0; n < a.n; n += backward_block) {
            const int count = a.n - n < backward_block ? a.n - n : backward_block;
            for (int i = 0; i < count; i++)
                widen(a.weight + (n + i) * w_stride + static_cast<int64_t>(k) * size, a.weight_type, scratch + i * backward_tile_columns,
                    columns);
            axpy<F32>({a.dy + m0 * a.dy_stride + n, a.dy_stride, 1, bytes(scratch), backward_tile_columns * 4, count,
                       a.dx + m0 * a.dx_stride + k, a.dx_stride},
                      m1 - m0, columns, a.accumulate || n > 0 ? Start::add : Start::zero);
        }
    }
}

}  // namespace elm::ELM_PATH
