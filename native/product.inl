// The one matrix product: y[m, outputs] = sum over terms of x[m, term] * weight[term, output]. Lanes run along the outputs. A sum is made of
// chains of 128 multiply-adds in rising order, each from zero, and the chains are added in rising order; then come the bias and what y holds.
// No tile, block, packing or batch shape changes that order.

namespace elm::ELM_PATH {

struct Product {
    const float* x;
    int64_t x_stride;       // floats
    const float* arranged;  // the rows once more as arrange_rows lays them out, or null
    int rows, terms;        // of x
    const uint8_t* bias;    // or null
    int bias_type;
    float* y;
    int64_t y_stride;  // floats
    bool accumulate;
};

/// Most rows of a block of work.
constexpr int most_rows = 240;
static_assert(most_rows % tile_rows == 0);
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
    int columns;       // of y that exist here
    bool first, last;  // chain of the sum

    /// The same from a panel on.
    Sink from(int panel) const {
        const int at = panel * panel_rows;
        return {sums + at, bias + at, y + at, y_stride, accumulate, columns - at, first, last};
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
            if (n >= panel_rows)
                store(y, sink.accumulate ? add(value, load(y)) : value);
            else
                store(y, sink.accumulate ? add(value, load(y, n)) : value, n);
        }
}

/// Terms of a tile that are written out one after the other, whole pairs of words: less is slower wherever a neighbour takes half of a core's
/// instructions, more is slower for words.
constexpr int unrolled_terms = 4;

/// What a tile asks memory for meanwhile: of each panel a line with each unrolled_terms, or always the same line.
struct Ahead {
    const uint8_t* panels[2];
    int step;  // bytes for unrolled_terms: 64 or 0
};

/// R rows times P tiles. x: row r at r * row_step (or 1 where Arranged), term t at t (or t * tile_rows). Never inlined: among other code its
/// sums do not all find a register.
template <class Tile, int R, int P, bool Arranged>
static ELM_NOINLINE void product_tile(const float* x, int64_t row_step, const uint8_t* const* tiles, int terms, const Sink& sink, int row,
                         const uint8_t* const* ahead, int ahead_step) {
    Lanes chain[R][P];
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int p = 0; p < P; p++)
            chain[r][p] = zero();
    const uint8_t* w[P];
    const uint8_t* next[P];
    ELM_UNROLL
    for (int p = 0; p < P; p++) {
        w[p] = tiles[p];
        next[p] = ahead[p];
    }
    const auto take_terms = [&]<int Count>(int t) ELM_INLINE_LAMBDA {
        if constexpr (!Arranged)
            ELM_UNROLL
            for (int p = 0; p < P; p++) {
                prefetch(next[p]);
                next[p] += ahead_step;
            }
        ELM_UNROLL
        for (int i = 0; i < Count; i++) {
            const auto x_at = [&](int r) ELM_INLINE_LAMBDA { return part_set(Arranged ? x[(t + i) * tile_rows + r] : x[r * row_step + t + i]); };
            const auto w_at = [&](int p, int j) ELM_INLINE_LAMBDA { return Tile::part(w[p] + t * Tile::term_size, i, j); };
            keep_order();
            // What there is less of waits in registers.
            if constexpr (R < P * parts) {
                Part a[R];
                ELM_UNROLL
                for (int r = 0; r < R; r++)
                    a[r] = x_at(r);
                ELM_UNROLL
                for (int p = 0; p < P; p++)
                    ELM_UNROLL
                    for (int j = 0; j < parts; j++) {
                        const Part b = w_at(p, j);
                        ELM_UNROLL
                        for (int r = 0; r < R; r++)
                            part_chain(a[r], b, chain[r][p].p[j]);
                    }
            } else {
                Part b[P][parts];
                ELM_UNROLL
                for (int p = 0; p < P; p++)
                    ELM_UNROLL
                    for (int j = 0; j < parts; j++)
                        b[p][j] = w_at(p, j);
                ELM_UNROLL
                for (int r = 0; r < R; r++) {
                    const Part a = x_at(r);
                    ELM_UNROLL
                    for (int p = 0; p < P; p++)
                        ELM_UNROLL
                        for (int j = 0; j < parts; j++)
                            part_chain(a, b[p][j], chain[r][p].p[j]);
                }
            }
        }
    };
    int t = 0;
    for (; t + unrolled_terms <= terms; t += unrolled_terms)
        take_terms.template operator()<unrolled_terms>(t);
    for (; t + 2 <= terms; t += 2)
        take_terms.template operator()<2>(t);
    if (t < terms)
        take_terms.template operator()<1>(t);
    take_chain<R, P>(chain, sink, row);
}

/// R rows times one or two tiles.
template <class Tile, int R, bool Arranged>
static ELM_INLINE void product_rows(const float* x, int64_t row_step, const uint8_t* const tiles[2], int panels, int terms,
                                    const Sink& sink, int row, const Ahead& ahead) {
    if constexpr (R <= Tile::wide_rows)
        if (panels == 2) {
            product_tile<Tile, R, 2, Arranged>(x, row_step, tiles, terms, sink, row, ahead.panels, ahead.step);
            return;
        }
    if constexpr (R <= Tile::rows)
        for (int p = 0; p < panels; p++)
            product_tile<Tile, R, 1, Arranged>(x, row_step, tiles + p, terms, sink.from(p), row, ahead.panels + p, ahead.step);
}

template <class Tile, bool Arranged>
static void product_rows(int rows, const float* x, int64_t row_step, const uint8_t* const tiles[2], int panels, int terms,
                         const Sink& sink, int row, const Ahead& ahead) {
    switch (rows) {
    case 1: product_rows<Tile, 1, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 2: product_rows<Tile, 2, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 3: product_rows<Tile, 3, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 4: product_rows<Tile, 4, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 5: product_rows<Tile, 5, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 6: product_rows<Tile, 6, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 7: product_rows<Tile, 7, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 8: product_rows<Tile, 8, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 9: product_rows<Tile, 9, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 10: product_rows<Tile, 10, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    case 11: product_rows<Tile, 11, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    default: product_rows<Tile, 12, Arranged>(x, row_step, tiles, panels, terms, sink, row, ahead); break;
    }
}

static ELM_INLINE int block_count(int terms) { return terms > block_terms ? (terms + block_terms - 1) / block_terms : 1; }

static ELM_INLINE int group_count(int rows) { return (rows + tile_rows - 1) / tile_rows; }

/// Floats of a group of rows in one block.
constexpr int group_size = block_terms * tile_rows;

/// Fewer rows than this are taken as they lie, and few terms are, too.
constexpr int few_rows = 4 * tile_rows;
constexpr int few_terms = 2 * block_terms;

/// Floats of the rows laid out in groups; 0 where they are better taken as they lie.
static int64_t arranged_size(int rows, int terms) {
    return tile_rows > 1 && rows >= few_rows && terms > few_terms ? static_cast<int64_t>(block_count(terms)) * group_count(rows) * group_size : 0;
}

/// Rows of a group.
static int group_height() { return tile_rows; }

/// out[(block * groups + group) * group_size + term * tile_rows + row], so that a tile reads its rows in one stream: the groups [begin, end) of
/// all. Places without a row repeat the last one, places without a term hold anything.
static void arrange_rows(const float* x, int64_t x_stride, int rows, int terms, int begin, int end, float* out) {
    static_assert(tile_rows <= part_width);
    const int groups = group_count(rows);
    for (int block = 0; block < block_count(terms); block++)
        for (int group = begin; group < end; group++) {
            const int row = group * tile_rows, height = rows - row < tile_rows ? rows - row : tile_rows, length = block_length(terms, block);
            const float* from[part_width];
            for (int r = 0; r < part_width; r++)
                from[r] = x + (row + (r < height ? r : height - 1)) * x_stride + static_cast<int64_t>(block) * block_terms;
            float* to = out + (static_cast<int64_t>(block) * groups + group) * group_size;
            int t = 0;
            for (; t + 4 <= length; t += 4) {
                Part turned[4];
                part_transpose4(from, t, turned);
                // A store overwrites what the one before wrote too much; the last one of a group must not.
                ELM_UNROLL
                for (int c = 0; c < 4; c++)
                    if (t + c < block_terms - 1)
                        part_store(to + (t + c) * tile_rows, turned[c]);
                    else
                        part_store_n(to + (t + c) * tile_rows, turned[c], tile_rows);
            }
            for (; t < length; t++)
                for (int r = 0; r < tile_rows; r++)
                    to[t * tile_rows + r] = from[r][t];
        }
}

/// Floats before the tiles in the scratch of a block, see WordTile.
constexpr int before_tiles = 16;

/// Floats of scratch for a block of so many rows.
static int64_t product_scratch(int rows) { return before_tiles + 2 * tile_size + (static_cast<int64_t>(rows) + 1) * side_columns; }

static ProductBlock product_block(int m, int columns, int terms, int threads) {
    const int height = (m + most_rows - 1) / most_rows;
    const int rows = m <= most_rows ? m : ((m + height - 1) / height + tile_rows - 1) / tile_rows * tile_rows;
    if (threads == 1)
        return {rows, columns};
    // Threads do not run equally fast: long work falls into more blocks.
    const bool long_work = static_cast<double>(m) * columns * terms > 1e7 * threads;
    const int wanted = (threads * (m < tile_rows || long_work ? 8 : 3) + height - 1) / height;
    const int step = panel_rows * (m <= streamed_rows && streamed_panels(m) > 2 ? streamed_panels(m) : 2);
    return {rows, ((columns + wanted - 1) / wanted + step - 1) / step * step};
}

static void load_bias(const Product& a, int column, int count, float* bias) {
    ELM_UNROLL
    for (int i = 0; i < side_columns; i += lane_count)
        store(bias + i, zero());
    if (a.bias != nullptr)
        widen(a.bias + static_cast<int64_t>(column) * (a.bias_type == 0 ? 4 : 2), a.bias_type, bias, count);
}

/// Where the packed weights of a tile lie: runs of lines of 64 bytes.
struct Stretch {
    const uint8_t* run;
    int64_t stride;  // bytes from run to run
    int runs, lines;
    int line = 0;

    int size() const { return runs * lines; }

    /// Asks for its next `count` lines.
    ELM_INLINE void ask(int count) {
        for (; count > 0 && runs > 0; count--) {
            prefetch(run + line * 64);
            if (++line == lines) {
                line = 0;
                run += stride;
                runs--;
            }
        }
    }
};

/// Rows [m0, m1), where m0 begins a group, and columns [c0, c1). tile_of(panel, block, out) gives a tile, weight_at(panel, block) its Stretch,
/// without runs where there is nothing to ask for.
template <class Tile, class TileOf, class WeightAt>
static ELM_INLINE void product(const Product& a, int m0, int m1, int c0, int c1, float* scratch, TileOf&& tile_of, WeightAt&& weight_at) {
    const int rows = m1 - m0, blocks = block_count(a.terms), groups = group_count(a.rows);
    float* room = scratch + before_tiles;
    float* sums = room + 2 * tile_size;
    float* bias = sums + static_cast<int64_t>(rows) * side_columns;
    for (int column = c0; column < c1; column += 2 * panel_rows) {
        const int columns = c1 - column < 2 * panel_rows ? c1 - column : 2 * panel_rows;
        const int panel = column / panel_rows, panels = columns > panel_rows ? 2 : 1;
        load_bias(a, column, columns, bias);
        for (int block = 0; block < blocks; block++) {
            const int terms = block_length(a.terms, block);
            const uint8_t* tiles[2];
            for (int p = 0; p < panels; p++)
                tiles[p] = tile_of(panel + p, block, room + p * tile_size);
            const Sink sink{sums, bias, a.y + m0 * a.y_stride + column, a.y_stride, a.accumulate, columns, block == 0, block == blocks - 1};
            // The next tiles' weights come nearer meanwhile: with each term where rows are few and the weights one run, else some lines with each
            // group.
            const bool turn = block == blocks - 1;
            Stretch weights[2] = {};
            Ahead next{{bytes(sums), bytes(sums)}, 0};
            int share = 0;
            for (int p = 0; p < 2; p++) {
                const int at = panel + p + (turn ? 2 : 0);
                if (at * panel_rows >= c1)
                    continue;
                weights[p] = weight_at(at, turn ? 0 : block + 1);
                share = weights[p].size() * tile_rows / rows + 1;
                if (a.arranged == nullptr && weights[p].runs == 1) {
                    next.panels[p] = weights[p].run;
                    next.step = 64;
                    weights[p].runs = 0;
                }
            }
            for (int row = 0, height; row < rows; row += height) {
                for (Stretch& stretch : weights)
                    stretch.ask(share);
                if (a.arranged != nullptr) {
                    height = rows - row < tile_rows ? rows - row : tile_rows;
                    const int64_t group = static_cast<int64_t>(block) * groups + (m0 + row) / tile_rows;
                    product_rows<Tile, true>(height, a.arranged + group * group_size, 0, tiles, panels, terms, sink, row, next);
                    continue;
                }
                height = Tile::height(rows - row);
                const float* x = a.x + (m0 + row) * a.x_stride + static_cast<int64_t>(block) * block_terms;
                product_rows<Tile, false>(height, x, a.x_stride, tiles, panels, terms, sink, row, next);
                for (const uint8_t*& at : next.panels)
                    at += block_terms / unrolled_terms * next.step;
                if (row > 0)
                    next.step = 0;
            }
        }
    }
}

}  // namespace elm::ELM_PATH
