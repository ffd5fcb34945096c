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

/// R rows, V vectors wide; `last` columns of the last vector exist.
template <int R, int V>
static ELM_INLINE void axpy_tile(const float* a, int64_t a_row, int64_t a_step, const float* w, int64_t w_stride, int count, Start start,
                                 float* out, int64_t out_row, int last) {
    Lanes acc[R][V];
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int v = 0; v < V; v++)
            acc[r][v] = zero();
    if (start == Start::resume)
        ELM_UNROLL
        for (int r = 0; r < R; r++)
            ELM_UNROLL
            for (int v = 0; v < V; v++)
                acc[r][v] = load(out + r * out_row + v * lane_count, v == V - 1 ? last : lane_count);
    if (last == lane_count) {
        for (int n = 0; n < count; n++, a += a_step, w += w_stride) {
            Lanes b[V];
            ELM_UNROLL
            for (int v = 0; v < V; v++)
                b[v] = load(w + v * lane_count);
            ELM_UNROLL
            for (int r = 0; r < R; r++) {
                const Lanes s = set(a[r * a_row]);
                ELM_UNROLL
                for (int v = 0; v < V; v++)
                    acc[r][v] = fma(s, b[v], acc[r][v]);
            }
        }
    } else {
        for (int n = 0; n < count; n++, a += a_step, w += w_stride) {
            Lanes b[V];
            ELM_UNROLL
            for (int v = 0; v < V; v++)
                b[v] = v == V - 1 ? load(w + v * lane_count, last) : load(w + v * lane_count);
            ELM_UNROLL
            for (int r = 0; r < R; r++) {
                const Lanes s = set(a[r * a_row]);
                ELM_UNROLL
                for (int v = 0; v < V; v++)
                    acc[r][v] = fma(s, b[v], acc[r][v]);
            }
        }
    }
    ELM_UNROLL
    for (int r = 0; r < R; r++)
        ELM_UNROLL
        for (int v = 0; v < V; v++) {
            float* to = out + r * out_row + v * lane_count;
            const int n = v == V - 1 ? last : lane_count;
            store(to, acc[r][v], n);
        }
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
            if constexpr (V <= tile_columns<R>)
                axpy_tile<R, V>(a, t.a_row, t.a_step, w, t.w_stride, t.count, start, out + k, t.out_row, last);
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
