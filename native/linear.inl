// Linear layers and their gradient: the product of product.inl over the tiles of weight_tiles.inl; and for few rows a form that never stores a
// widened weight.

namespace elm::ELM_PATH {

/// Bytes that are asked for ahead of each of so many streams.
constexpr int stream_ahead(int panels) { return panels == 1 ? 2048 : 1024; }
/// Pairs of terms that are written out one after the other.
constexpr int unrolled_pairs = 2;

/// A chain of R rows times P panels of a block, straight from the packed weight. x: row r at r * x_stride. Never inlined, as product_tile.
template <class Packed, int R, int P>
static ELM_NOINLINE void streamed_block(const Weight& w, int panel, int block, const float* x, int64_t x_stride, const Sink& sink) {
    const int terms = block_length(w.columns, block);
    const int64_t stride = w.stride;
    constexpr int size = pair_size(Packed::form);
    const uint8_t* from = packed_block(w, panel, block);
    typename Packed::Table tables[P];
    Lanes chain[R][P];
    ELM_UNROLL
    for (int p = 0; p < P; p++) {
        tables[p] = Packed::table(w, block_number(w, panel + p, block));
        ELM_UNROLL
        for (int r = 0; r < R; r++)
            chain[r][p] = zero();
    }
    // Pairs of so many terms, 2 or, where it is the last, 1. A single row's inputs serve all panels from their registers.
    const auto take_pairs = [&]<int Pairs, int Terms>(int t) ELM_INLINE_LAMBDA {
        ELM_UNROLL
        for (int p = 0; p < P; p++)
            ELM_UNROLL
            for (int line = 0; line < Pairs * size; line += 64)
                prefetch(from + p * stride + stream_ahead(P) + line);
        ELM_UNROLL
        for (int i = 0; i < Pairs; i++) {
            Part only[2];
            if constexpr (R == 1)
                ELM_UNROLL
                for (int half = 0; half < Terms; half++)
                    only[half] = part_set(x[t + 2 * i + half]);
            ELM_UNROLL
            for (int p = 0; p < P; p++) {
                Lanes b[2];
                keep_order();
                Packed::load(from + p * stride + i * size, tables[p], b[0], b[1]);
                ELM_UNROLL
                for (int half = 0; half < Terms; half++)
                    ELM_UNROLL
                    for (int r = 0; r < R; r++) {
                        const Part a = R == 1 ? only[half] : part_set(x[r * x_stride + t + 2 * i + half]);
                        ELM_UNROLL
                        for (int j = 0; j < parts; j++)
                            part_chain(a, b[half].p[j], chain[r][p].p[j]);
                    }
            }
        }
        from += Pairs * size;
    };
    int t = 0;
    for (; t + 2 * unrolled_pairs <= terms; t += 2 * unrolled_pairs)
        take_pairs.template operator()<unrolled_pairs, 2>(t);
    for (; t + 2 <= terms; t += 2)
        take_pairs.template operator()<1, 2>(t);
    if (t < terms)
        take_pairs.template operator()<1, 1>(t);
    take_chain<R, P>(chain, sink, 0);
}

/// R rows and the columns [n0, n1), some panels at a time; panels with exceptions in a block go by way of a tile.
template <class Packed, int R>
static void linear_streamed(const LinearArgs& a, int m0, int n0, int n1, float* scratch) {
    constexpr int P = streamed_panels(R);
    const Weight& w = a.weight;
    const Product product{a.x, a.x_stride, nullptr, a.rows, w.columns, a.bias, a.bias_type, a.y, a.y_stride, a.accumulate};
    float* sums = scratch + tile_size;
    float* bias = sums + R * side_columns;
    const int blocks = block_count(w.columns);
    for (int column = n0; column < n1; column += P * panel_rows) {
        const int columns = n1 - column < P * panel_rows ? n1 - column : P * panel_rows, panel = column / panel_rows;
        load_bias(product, column, columns, bias);
        for (int block = 0; block < blocks; block++) {
            const Sink sink{sums, bias, a.y + m0 * a.y_stride + column, a.y_stride, a.accumulate, columns, block == 0, block == blocks - 1};
            const float* x = a.x + m0 * a.x_stride + static_cast<int64_t>(block) * block_terms;
            bool plain = columns > (P - 1) * panel_rows;
            for (int p = 0; p < P && plain; p++)
                plain = !has_exceptions(w, block_number(w, panel + p, block));
            if (plain) {
                streamed_block<Packed, R, P>(w, panel, block, x, a.x_stride, sink);
                continue;
            }
            for (int p = 0; p * panel_rows < columns; p++)
                if (has_exceptions(w, block_number(w, panel + p, block))) {
                    const uint8_t* tile = forward_tile(w, panel + p, block, scratch);
                    product_tile<FloatTile, R, 1, false>(x, a.x_stride, &tile, block_length(w.columns, block), sink.from(p), 0, &tile, 0);
                } else {
                    streamed_block<Packed, R, 1>(w, panel + p, block, x, a.x_stride, sink.from(p));
                }
        }
    }
}

template <class Packed>
static void linear_few(const LinearArgs& a, int m0, int m1, int n0, int n1, float* scratch) {
    const auto rows = [&]<int R>() {
        if constexpr (R <= streamed_rows)
            linear_streamed<Packed, R>(a, m0, n0, n1, scratch);
    };
    switch (m1 - m0) {
    case 1: rows.template operator()<1>(); break;
    case 2: rows.template operator()<2>(); break;
    case 3: rows.template operator()<3>(); break;
    default: rows.template operator()<4>(); break;
    }
}

static void linear(const LinearArgs& a, int m0, int m1, int n0, int n1, float* scratch) {
    const Weight& w = a.weight;
    if (w.packed && w.columns > 0 && m1 - m0 <= streamed_rows) {
        switch (w.form) {
        case Form::f32: linear_few<PackedF32>(a, m0, m1, n0, n1, scratch); break;
        case Form::f16: linear_few<PackedF16>(a, m0, m1, n0, n1, scratch); break;
        case Form::bf16: linear_few<PackedBF16>(a, m0, m1, n0, n1, scratch); break;
        default: linear_few<PackedBF12>(a, m0, m1, n0, n1, scratch); break;
        }
        return;
    }
    const Product all{a.x, a.x_stride, a.arranged, a.rows, w.columns, a.bias, a.bias_type, a.y, a.y_stride, a.accumulate};
    const auto weight_at = [&](int panel, int block) -> Stretch {
        if (!w.packed)
            return {};
        ask_for_table(w, panel, block);
        return {packed_block(w, panel, block), 0, 1, block_terms / 2 * pair_size(w.form) / 64};
    };
    if (word_tile_rows > 0 && w.form == Form::bf12 && w.columns > 0 && a.rows < few_rows)
        product<WordTile>(all, m0, m1, n0, n1, scratch,
                          [&](int panel, int block, float* out) { return word_tile(w, panel, block, reinterpret_cast<uint8_t*>(out)); }, weight_at);
    else
        product<FloatTile>(all, m0, m1, n0, n1, scratch, [&](int panel, int block, float* out) { return forward_tile(w, panel, block, out); },
                           weight_at);
}

static void linear_backward(const LinearBackwardArgs& a, int m0, int m1, int k0, int k1, float* scratch) {
    const Weight& w = a.weight;
    const auto weight_at = [&](int panel, int block) -> Stretch {
        if (!w.packed)
            return {};
        const int row_panel = block * (block_terms / panel_rows), column = panel * panel_rows;
        const int runs = (block_length(w.rows, block) + panel_rows - 1) / panel_rows;
        for (int i = 0; i < runs; i++)
            ask_for_table(w, row_panel + i, column / block_terms);
        const int size = pair_size(w.form);
        const uint8_t* first = packed_block(w, row_panel, column / block_terms) + column % block_terms / 2 * size;
        return {first, w.stride, runs, panel_rows / 2 * size / 64 + 1};
    };
    product<FloatTile>({a.dy, a.dy_stride, a.arranged, a.rows, w.rows, nullptr, 0, a.dx, a.dx_stride, a.accumulate}, m0, m1, k0, k1, scratch,
                       [&](int panel, int block, float* out) { return backward_tile(w, panel, block, out); }, weight_at);
}

}  // namespace elm::ELM_PATH
