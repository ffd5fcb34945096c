// Products of many rows: lanes run along the outputs, so that nothing is left to add up across a register. The 16 lanes of a sum are taken
// one after another instead of side by side: lane i is the chain over k = i, i + 16, i + 32, ...; the 16 chains of a tile then meet in
// the tree of sum(). Every output has the bits of the dot form in linear.inl.

namespace elm::ELM_PATH {

constexpr int panel_width = lane_count * panel_vectors;
/// Elements of k of a weight row that are widened or padded before they go into a panel.
constexpr int staged_width = 64;

/// Where chain i lies among the 16: chains that meet in the tree of sum() lie behind each other.
constexpr int chain_places[lane_count] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};

/// Terms of a chain.
static ELM_INLINE int chain_terms(int k) { return (k + lane_count - 1) / lane_count; }
/// Floats between the chains of a panel: an odd number of cache lines, so that they do not meet in one set.
static ELM_INLINE int64_t panel_chain(int terms) { return static_cast<int64_t>(terms | 1) * panel_width; }

/// Rows of x that go through a panel together.
constexpr int group_height = panel_rows > 0 ? panel_rows : 1;
static_assert(group_height <= part_width);

/// Floats from chain to chain of a group of rows; the pad takes the lanes that a store of a whole part writes too much.
static ELM_INLINE int64_t group_chain(int terms) { return static_cast<int64_t>(terms) * group_height + part_width; }

/// out[place of chain i * group_chain + j * group_height + r] = x[r, 16 j + i]: up to group_height rows of x as their 16 chains, zeros
/// behind their ends. Rows that do not exist repeat the last one.
static void pack_group(const float* x, int64_t x_stride, int rows, int k, float* out) {
    const int terms = chain_terms(k), whole = k / lane_count;
    const int64_t chain = group_chain(terms);
    const float* from[part_width];
    for (int i = 0; i < part_width; i++)
        from[i] = x + (i < rows ? i : rows - 1) * x_stride;
    for (int j = 0; j < whole; j++)
        for (int i = 0; i < lane_count; i += 4) {
            Part columns[4];
            part_transpose4(from, static_cast<int64_t>(j) * lane_count + i, columns);
            ELM_UNROLL
            for (int c = 0; c < 4; c++)
                part_store(out + chain_places[i + c] * chain + j * group_height, columns[c]);
        }
    if (whole < terms)
        for (int i = 0; i < lane_count; i++)
            for (int r = 0; r < group_height; r++) {
                const int at = whole * lane_count + i;
                out[chain_places[i] * chain + whole * group_height + r] = at < k ? from[r][at] : 0.0f;
            }
}

/// Terms [j, j + count) of one vector of a panel from rows of floats.
static ELM_INLINE void pack_floats(const float* const rows[lane_count], int j, int count, int64_t chain, float* out) {
    for (int t = 0; t < count; t++)
        for (int i = 0; i < lane_count; i += 4)
            for (int part = 0; part < parts; part++) {
                Part columns[4];
                part_transpose4(rows + part * part_width, t * lane_count + i, columns);
                float* to = out + static_cast<int64_t>(j + t) * panel_width + part * part_width;
                ELM_UNROLL
                for (int c = 0; c < 4; c++)
                    part_store(to + chain_places[i + c] * chain, columns[c]);
            }
}

/// The same from rows of bf16, which are transposed in pairs.
static ELM_INLINE void pack_pairs(const float* const rows[lane_count], int j, int count, int64_t chain, float* out) {
    for (int t = 0; t < count; t++)
        for (int i = 0; i < lane_count / 2; i += 4)
            for (int part = 0; part < parts; part++) {
                Part columns[4];
                part_transpose4(rows + part * part_width, t * lane_count / 2 + i, columns);
                float* to = out + static_cast<int64_t>(j + t) * panel_width + part * part_width;
                ELM_UNROLL
                for (int c = 0; c < 4; c++) {
                    part_store(to + chain_places[2 * (i + c)] * chain, part_low_bf16(columns[c]));
                    part_store(to + chain_places[2 * (i + c) + 1] * chain, part_high_bf16(columns[c]));
                }
            }
}

/// out[place of chain i * chain + j * panel_width + n] = w[n, 16 j + i] for the first `columns` rows of w; places behind them repeat the
/// last one.
static void pack_panel(const uint8_t* w, int type, int64_t w_stride, int columns, int k, float* out) {
    const int terms = chain_terms(k), whole = k / lane_count;
    const int64_t chain = panel_chain(terms);
    for (int vector = 0; vector < panel_width; vector += lane_count) {
        const uint8_t* rows[lane_count];
        for (int i = 0; i < lane_count; i++)
            rows[i] = w + (vector + i < columns ? vector + i : columns - 1) * w_stride;
        const float* floats[lane_count];
        float staged[lane_count][staged_width];
        int j = 0;
        if (type != 2) {
            const int chunk = type == 0 ? 1 : 2;
            for (; j + chunk <= whole; j += chunk) {
                for (int i = 0; i < lane_count; i++)
                    floats[i] = reinterpret_cast<const float*>(rows[i] + static_cast<int64_t>(j) * lane_count * (type == 0 ? 4 : 2));
                if (type == 0)
                    pack_floats(floats, j, chunk, chain, out + vector);
                else
                    pack_pairs(floats, j, chunk, chain, out + vector);
            }
        }
        for (; j < terms; j += staged_width / lane_count) {
            const int count = k - j * lane_count < staged_width ? k - j * lane_count : staged_width;
            for (int i = 0; i < lane_count; i++) {
                widen(rows[i] + static_cast<int64_t>(j) * lane_count * (type == 0 ? 4 : 2), type, staged[i], count);
                for (int rest = count; (rest & 15) != 0; rest++)
                    staged[i][rest] = 0.0f;
                floats[i] = staged[i];
            }
            pack_floats(floats, j, chain_terms(count), chain, out + vector);
        }
    }
}

/// One more term of R x V chains; a: the terms of the rows, b: of the panel.
template <int R>
static ELM_INLINE void panel_term(const float* a, const float* b, Lanes (&acc)[R][panel_vectors]) {
    Lanes w[panel_vectors];
    ELM_UNROLL
    for (int v = 0; v < panel_vectors; v++)
        w[v] = load(b + v * lane_count);
    ELM_UNROLL
    for (int r = 0; r < R; r++) {
        const Lanes s = set(a[r]);
        ELM_UNROLL
        for (int v = 0; v < panel_vectors; v++)
            acc[r][v] = fma(s, w[v], acc[r][v]);
    }
}

/// A group of R rows times a panel: + bias, + y. `columns` of the panel exist.
template <int R>
static void panel_tile(const float* x, const float* panel, int terms, const float* bias, bool accumulate, float* y, int64_t y_stride,
                       int columns) {
    constexpr int V = panel_vectors;
    alignas(64) float waiting[4][R][V][lane_count];
    const int64_t chain = panel_chain(terms);
    Lanes acc[R][V];
    for (int t = 0; t < lane_count; t++) {
        const float* a = x + t * group_chain(terms);
        const float* b = panel + t * chain;
        ELM_UNROLL
        for (int r = 0; r < R; r++)
            ELM_UNROLL
            for (int v = 0; v < V; v++)
                acc[r][v] = zero();
        for (int j = 0; j < terms; j++, a += group_height, b += panel_width)
            panel_term<R>(a, b, acc);
        // Two sums of a level make one of the next: as many levels as t ends with ones.
        int level = 0;
        for (; (t >> level & 1) != 0; level++)
            ELM_UNROLL
            for (int r = 0; r < R; r++)
                ELM_UNROLL
                for (int v = 0; v < V; v++)
                    acc[r][v] = add(load(waiting[level][r][v]), acc[r][v]);
        if (level < 4)
            ELM_UNROLL
            for (int r = 0; r < R; r++)
                ELM_UNROLL
                for (int v = 0; v < V; v++)
                    store(waiting[level][r][v], acc[r][v]);
    }
    ELM_UNROLL
    for (int v = 0; v < V; v++) {
        const int n = columns - v * lane_count < lane_count ? columns - v * lane_count : lane_count;
        if (n <= 0)
            break;
        const Lanes added = load(bias + v * lane_count, n);
        ELM_UNROLL
        for (int r = 0; r < R; r++) {
            float* out = y + r * y_stride + v * lane_count;
            Lanes value = add(acc[r][v], added);
            if (accumulate)
                value = add(value, load(out, n));
            store(out, value, n);
        }
    }
}

static int64_t panel_scratch(int rows, int k) {
    const int terms = chain_terms(k);
    const int64_t groups = (rows + group_height - 1) / group_height;
    return (groups * group_chain(terms) + panel_chain(terms)) * lane_count + panel_width;
}

/// Rows [m0, m1) and columns [n0, n1) of y; scratch of panel_scratch floats.
static void linear_panels(const LinearArgs& a, int m0, int m1, int n0, int n1, float* scratch) {
    const int size = a.weight_type == 0 ? 4 : 2, terms = chain_terms(a.k), rows = m1 - m0;
    const int64_t w_stride = static_cast<int64_t>(a.k) * size, group = group_chain(terms) * lane_count;
    float* panel = scratch;
    float* bias = panel + panel_chain(terms) * lane_count;
    float* x = bias + panel_width;
    for (int r = 0; r < rows; r += group_height)
        pack_group(a.x + (m0 + r) * a.x_stride, a.x_stride, rows - r < group_height ? rows - r : group_height, a.k,
                   x + r / group_height * group);
    for (int n = n0; n < n1; n += panel_width) {
        const int columns = n1 - n < panel_width ? n1 - n : panel_width;
        pack_panel(a.weight + n * w_stride, a.weight_type, w_stride, columns, a.k, panel);
        if (a.bias != nullptr)
            widen(a.bias + static_cast<int64_t>(n) * (a.bias_type == 0 ? 4 : 2), a.bias_type, bias, columns);
        else
            std::memset(bias, 0, sizeof(float) * panel_width);
        float* y = a.y + m0 * a.y_stride + n;
        // The next panel's weights come nearer meanwhile, some lines with each group of rows.
        const uint8_t* next = a.weight + (n + panel_width) * w_stride;
        const int left = n1 - n - columns, next_columns = left < panel_width ? left : panel_width;
        const int64_t share = (next_columns * w_stride * group_height / rows + 63) & ~int64_t{63};
        for (int r = 0; r < rows; r += group_height, next += share) {
            for (int64_t i = 0; i < share; i += 64)
                prefetch(next + i);
            const auto tile = [&]<int R>() {
                if constexpr (R <= group_height)
                    panel_tile<R>(x + r / group_height * group, panel, terms, bias, a.accumulate, y + r * a.y_stride, a.y_stride, columns);
            };
            switch (rows - r) {
            case 1: tile.template operator()<1>(); break;
            case 2: tile.template operator()<2>(); break;
            case 3: tile.template operator()<3>(); break;
            case 4: tile.template operator()<4>(); break;
            case 5: tile.template operator()<5>(); break;
            default: tile.template operator()<6>(); break;
            }
        }
    }
}

}  // namespace elm::ELM_PATH
