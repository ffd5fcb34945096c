// The outer-product form of a matrix product: out[m, columns] = sum over n of a[m, n] * w[n, columns], lanes along the columns, rising n.
// It carries both products of attention.

namespace elm::ELM_PATH {

/// What the sum meets in `out`.
enum class Start {
    zero,    // out = sum
    resume,  // the chain of the sum goes on from out
};

struct Axpy {
    const float* a;
    int64_t a_row, a_step;  // floats from row to row, and from term to term
    const float* w;
    int64_t w_stride;  // floats from term to term
    int count;         // terms
    float* out;
    int64_t out_row;  // floats
};

/// One term more for R rows, V vectors wide, of which the last has `last` columns.
template <int R, int V, bool Whole>
static ELM_INLINE void axpy_term(const float* a, int64_t a_row, const float* w, int last, Lanes (&chain)[R][V]) {
    keep_order();
    Lanes b[V];
    ELM_UNROLL
    for (int v = 0; v < V; v++)
        b[v] = Whole || v < V - 1 ? load(w + v * lane_count) : load(w + v * lane_count, last);
    ELM_UNROLL
    for (int r = 0; r < R; r++) {
        const Part s = part_set(a[r * a_row]);
        ELM_UNROLL
        for (int v = 0; v < V; v++)
            ELM_UNROLL
            for (int j = 0; j < parts; j++)
                part_chain(s, b[v].p[j], chain[r][v].p[j]);
    }
}

/// R rows, V vectors wide; `last` columns of the last vector exist, all of them where Whole. Never inlined, as product_tile.
template <int R, int V, bool Whole>
static ELM_NOINLINE void axpy_tile(const Axpy& t, const float* a, const float* w, float* out, int last, Start start) {
    Lanes chain[R][V];
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int v = 0; v < V; v++)
            chain[r][v] = zero();
    if (start == Start::resume)
        ELM_UNROLL
        for (int r = 0; r < R; r++)
            ELM_UNROLL
            for (int v = 0; v < V; v++)
                chain[r][v] = Whole || v < V - 1 ? load(out + r * t.out_row + v * lane_count) : load(out + r * t.out_row + v * lane_count, last);
    const int64_t a_row = t.a_row, a_step = t.a_step, w_stride = t.w_stride;
    for (int n = t.count; n > 0; n--, a += a_step, w += w_stride)
        axpy_term<R, V, Whole>(a, a_row, w, last, chain);
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int v = 0; v < V; v++)
            if (Whole || v < V - 1)
                store(out + r * t.out_row + v * lane_count, chain[r][v]);
            else
                store(out + r * t.out_row + v * lane_count, chain[r][v], last);
}

/// Vectors of a tile of R rows: few rows take more where the path has registers for it, so that enough sums run side by side.
template <int R>
constexpr int tile_columns = axpy_vectors > 1 ? axpy_vectors : R == 1 ? 3 : R == 2 ? 2 : 1;

template <int R>
static void axpy_row_tile(const Axpy& t, int64_t row, int columns, Start start) {
    const float* a = t.a + row * t.a_row;
    float* out = t.out + row * t.out_row;
    for (int k = 0; k < columns; k += lane_count * tile_columns<R>) {
        const int rest = columns - k < lane_count * tile_columns<R> ? columns - k : lane_count * tile_columns<R>;
        const int vectors = (rest + lane_count - 1) / lane_count;
        const int last = rest - (vectors - 1) * lane_count;
        const float* w = t.w + k;
        const auto tile = [&]<int V>() {
            if constexpr (V <= tile_columns<R>) {
                if (last == lane_count)
                    axpy_tile<R, V, true>(t, a, w, out + k, last, start);
                else
                    axpy_tile<R, V, false>(t, a, w, out + k, last, start);
            }
        };
        switch (vectors) {
        case 1: tile.template operator()<1>(); break;
        case 2: tile.template operator()<2>(); break;
        case 3: tile.template operator()<3>(); break;
        default: tile.template operator()<4>(); break;
        }
    }
}

static void axpy(const Axpy& t, int64_t rows, int columns, Start start) {
    int64_t row = 0;
    for (; row + 2 * axpy_rows <= rows; row += axpy_rows)
        axpy_row_tile<axpy_rows>(t, row, columns, start);
    // The last rows in tiles as even as they come.
    while (row < rows) {
        const int64_t rest = rows - row, count = rest > axpy_rows ? (rest + 1) / 2 : rest;
        switch (count) {
        case 6: if constexpr (axpy_rows >= 6) axpy_row_tile<6>(t, row, columns, start); break;
        case 5: if constexpr (axpy_rows >= 5) axpy_row_tile<5>(t, row, columns, start); break;
        case 4: if constexpr (axpy_rows >= 4) axpy_row_tile<4>(t, row, columns, start); break;
        case 3: if constexpr (axpy_rows >= 3) axpy_row_tile<3>(t, row, columns, start); break;
        case 2: if constexpr (axpy_rows >= 2) axpy_row_tile<2>(t, row, columns, start); break;
        default: axpy_row_tile<1>(t, row, columns, start); break;
        }
        row += count;
    }
}

}  // namespace elm::ELM_PATH
