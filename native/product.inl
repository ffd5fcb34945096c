// The one matrix product: y[m, outputs] = sum over terms of x[m, term] * weight[term, output]. Lanes run along the outputs. A sum is made of
// chains of 128 multiply-adds in rising order, each from zero, and the chains are added in rising order; then come the bias and what y holds.
// No tile, block, packing or batch shape changes that order.

namespace elm::ELM_PATH {

struct Product {
    const float* x;
    int64_t x_stride;  // floats
    int terms;
    const uint8_t* bias;  // or null
    int bias_type;
    float* y;
    int64_t y_stride;  // floats
    bool accumulate;
};

/// Most rows of a block of work.
constexpr int most_rows = 240;
/// From this many rows on the rows are laid out in groups of tile_rows, so that they come in one stream.
constexpr int grouped_rows = 4 * tile_rows;
/// Most panels that are done side by side.
constexpr int side_panels = 4;
constexpr int side_columns = side_panels * panel_rows;

/// Where the chains of a tile go. Rows count from the block's first.
struct Sink {
    float* sums;  // [rows, side_columns]: the chains so far
    const float* bias;
    float* y;
    int64_t y_stride;
    bool accumulate;
    int columns;  // of y that exist here
    bool first, last;  // chain of the sum

    /// The same from a panel on.
    Sink from(int panel) const {
        return {sums + panel * panel_rows, bias + panel * panel_rows, y + panel * panel_rows, y_stride, accumulate, columns - panel * panel_rows, first,
                last};
    }
};

/// One chain more for R rows and P panels.
template <int R, int P>
static ELM_INLINE void take_chain(const Lanes (&chain)[R][P], const Sink& sink, int row) {
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int p = 0; p < P; p++) {
            float* sums = sink.sums + (row + r) * side_columns + p * panel_rows;
            Lanes value = chain[r][p];
            if (!sink.first)
                value = add(load(sums), value);
            if (!sink.last) {
                store(sums, value);
                continue;
            }
            value = add(value, load(sink.bias + p * panel_rows));
            float* y = sink.y + (row + r) * sink.y_stride + p * panel_rows;
            const int n = sink.columns - p * panel_rows;
            if (n >= panel_rows) {
                store(y, sink.accumulate ? add(value, load(y)) : value);
            } else {
                store(y, sink.accumulate ? add(value, load(y, n)) : value, n);
            }
        }
}

/// R rows times P tiles. x: row r at r * row_step (or 1 where Grouped), term t at t (or t * tile_rows).
template <int R, int P, bool Grouped>
static void product_tile(const float* x, int64_t row_step, const float* const tiles[P], int terms, const Sink& sink, int row) {
    Lanes chain[R][P];
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int p = 0; p < P; p++)
            chain[r][p] = zero();
    const float* w[P];
    ELM_UNROLL
    for (int p = 0; p < P; p++)
        w[p] = tiles[p];
    for (int t = 0; t < terms; t++) {
        Lanes b[P];
        ELM_UNROLL
        for (int p = 0; p < P; p++)
            b[p] = load(w[p] + t * panel_rows);
        ELM_UNROLL
        for (int r = 0; r < R; r++) {
            const Lanes a = set(Grouped ? x[t * tile_rows + r] : x[r * row_step + t]);
            ELM_UNROLL
            for (int p = 0; p < P; p++)
                chain[r][p] = fma(a, b[p], chain[r][p]);
        }
    }
    take_chain<R, P>(chain, sink, row);
}

/// R rows times one or two tiles.
template <int R, bool Grouped>
static ELM_INLINE void product_rows(const float* x, int64_t row_step, const float* const tiles[2], int panels, int terms, const Sink& sink, int row) {
    if constexpr (R <= wide_tile_rows)
        if (panels == 2) {
            product_tile<R, 2, Grouped>(x, row_step, tiles, terms, sink, row);
            return;
        }
    if constexpr (R <= tile_rows)
        for (int p = 0; p < panels; p++)
            product_tile<R, 1, Grouped>(x, row_step, tiles + p, terms, sink.from(p), row);
}

template <bool Grouped>
static void product_rows(int rows, const float* x, int64_t row_step, const float* const tiles[2], int panels, int terms, const Sink& sink, int row) {
    switch (rows) {
    case 1: product_rows<1, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 2: product_rows<2, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 3: product_rows<3, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 4: product_rows<4, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 5: product_rows<5, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 6: product_rows<6, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 7: product_rows<7, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 8: product_rows<8, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 9: product_rows<9, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 10: product_rows<10, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    case 11: product_rows<11, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    default: product_rows<12, Grouped>(x, row_step, tiles, panels, terms, sink, row); break;
    }
}

static ELM_INLINE int block_count(int terms) { return terms > block_terms ? (terms + block_terms - 1) / block_terms : 1; }

static ELM_INLINE int group_count(int rows) { return (rows + tile_rows - 1) / tile_rows; }

/// Floats of a group of rows in one block.
constexpr int group_size = block_terms * tile_rows;

/// out[(block * groups + group) * group_size + term * tile_rows + row]; places without a row or term are left as they are.
static void group_rows_of(const float* x, int64_t x_stride, int rows, int terms, float* out) {
    for (int block = 0; block < block_count(terms); block++)
        for (int row = 0; row < rows; row += tile_rows, out += group_size) {
            const int height = rows - row < tile_rows ? rows - row : tile_rows, length = block_length(terms, block);
            const float* from = x + row * x_stride + static_cast<int64_t>(block) * block_terms;
            for (int r = 0; r < height; r++)
                for (int t = 0; t < length; t++)
                    out[t * tile_rows + r] = from[r * x_stride + t];
        }
}

static int64_t product_scratch(int rows, int terms) {
    const int64_t grouped = rows >= grouped_rows ? static_cast<int64_t>(block_count(terms)) * group_count(rows) * group_size : 0;
    return 2 * tile_size + static_cast<int64_t>(rows) * side_columns + side_columns + grouped;
}

static ProductBlock product_block(int m, int columns, int terms, int threads) {
    const int height = (m + most_rows - 1) / most_rows;
    const int rows = m <= most_rows ? m : ((m + height - 1) / height + tile_rows - 1) / tile_rows * tile_rows;
    if (threads == 1)
        return {rows, columns};
    // Long work falls into more blocks, since threads do not run equally fast; but the rows are laid out anew for each block.
    const bool many = rows >= grouped_rows, long_work = static_cast<double>(m) * columns * terms > 3e7 * threads;
    const int wanted = (threads * (!many || long_work ? 6 : 2) + height - 1) / height;
    const int width = ((columns + wanted - 1) / wanted + 2 * panel_rows - 1) / (2 * panel_rows) * (2 * panel_rows);
    return {rows, width};
}

static void load_bias(const Product& a, int column, int count, float* bias) {
    std::memset(bias, 0, sizeof(float) * side_columns);
    if (a.bias != nullptr)
        widen(a.bias + static_cast<int64_t>(column) * (a.bias_type == 0 ? 4 : 2), a.bias_type, bias, count);
}

/// Rows [m0, m1) and columns [c0, c1). tile_of(panel, block, out) gives a tile; ahead(panel, block) where its weights lie, or null.
template <class TileOf, class Ahead>
static ELM_INLINE void product(const Product& a, int m0, int m1, int c0, int c1, float* scratch, TileOf&& tile_of, Ahead&& ahead) {
    const int rows = m1 - m0, blocks = block_count(a.terms), groups = group_count(rows);
    const bool grouped = rows >= grouped_rows;
    float* sums = scratch + 2 * tile_size;
    float* bias = sums + static_cast<int64_t>(rows) * side_columns;
    float* x = bias + side_columns;
    if (grouped)
        group_rows_of(a.x + m0 * a.x_stride, a.x_stride, rows, a.terms, x);
    for (int column = c0; column < c1; column += 2 * panel_rows) {
        const int columns = c1 - column < 2 * panel_rows ? c1 - column : 2 * panel_rows;
        const int panel = column / panel_rows, panels = columns > panel_rows ? 2 : 1;
        load_bias(a, column, columns, bias);
        for (int block = 0; block < blocks; block++) {
            const int terms = block_length(a.terms, block);
            const float* tiles[2];
            for (int p = 0; p < panels; p++)
                tiles[p] = tile_of(panel + p, block, scratch + p * tile_size);
            const Sink sink{sums, bias, a.y + m0 * a.y_stride + column, a.y_stride, a.accumulate, columns, block == 0, block == blocks - 1};
            // The next tiles' weights come nearer meanwhile, some lines with each group of rows.
            const bool turn = block == blocks - 1;
            const uint8_t* next[2];
            for (int p = 0; p < 2; p++) {
                const int at = panel + p + (turn ? 2 : 0);
                next[p] = at * panel_rows < c1 ? ahead(at, turn ? 0 : block + 1) : nullptr;
            }
            const int lines = 3 * block_terms / 8 * tile_rows / rows + 1;
            for (int row = 0, height; row < rows; row += height) {
                for (int p = 0; p < 2; p++)
                    if (next[p] != nullptr) {
                        for (int i = 0; i < lines; i++)
                            prefetch(next[p] + i * 64);
                        next[p] += lines * 64;
                    }
                if (grouped) {
                    height = rows - row < tile_rows ? rows - row : tile_rows;
                    product_rows<true>(height, x + (static_cast<int64_t>(block) * groups + row / tile_rows) * group_size, 0, tiles, panels, terms, sink, row);
                } else {
                    height = tile_height(rows - row);
                    product_rows<false>(height, a.x + (m0 + row) * a.x_stride + static_cast<int64_t>(block) * block_terms, a.x_stride, tiles, panels, terms,
                                        sink, row);
                }
            }
        }
    }
}

}  // namespace elm::ELM_PATH
