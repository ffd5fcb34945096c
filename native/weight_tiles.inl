// Blocks of a weight in the shapes that a product takes. A tile of floats: tile[term * 16 + output], outputs being rows of the weight in the
// forward pass and columns in the backward pass; a tile of words: pairs of terms as weight.h has them for bf16. Outputs that do not exist are
// zeros, terms that do not exist are left as they are.

namespace elm::ELM_PATH {

/// Floats of a tile.
constexpr int tile_size = block_terms * panel_rows;

struct FloatTile {
    static constexpr int term_size = panel_rows * 4;
    static constexpr int rows = tile_rows, wide_rows = wide_tile_rows;
    static ELM_INLINE int height(int left) { return tile_height(left); }
    /// Part j of the outputs of the term i places behind an even one, which stands at p.
    static ELM_INLINE Part part(const uint8_t* p, int i, int j) { return part_load(p + (i * panel_rows + j * part_width) * 4); }
};

/// Half the size of a tile of floats and with less work to make, for products of few rows. The first word of a pair comes into the upper half of
/// its lane by reading two bytes before it: a tile begins two bytes behind the start of its memory at least.
struct WordTile {
    static constexpr int term_size = panel_rows * 2;
    static constexpr int rows = word_tile_rows, wide_rows = 0;
    static ELM_INLINE int height(int left) { return word_tile_height(left); }
    static ELM_INLINE Part part(const uint8_t* p, int i, int j) {
        const uint8_t* pair = p + i / 2 * (2 * term_size);
        return part_high_bf16(part_load(pair + j * part_width * 4 - (i % 2 == 0 ? 2 : 0)));
    }
};

/// How a packed pair of columns becomes floats.
struct PackedF32 {
    static constexpr Form form = Form::f32;
    struct Table {};
    static ELM_INLINE Table table(const Weight&, int64_t) { return {}; }
    static ELM_INLINE void load(const uint8_t* p, Table, Lanes& first, Lanes& second) {
        first = load_as<F32>(p);
        second = load_as<F32>(p + 64);
    }
};
struct PackedF16 {
    static constexpr Form form = Form::f16;
    struct Table {};
    static ELM_INLINE Table table(const Weight&, int64_t) { return {}; }
    static ELM_INLINE void load(const uint8_t* p, Table, Lanes& first, Lanes& second) {
        first = load_as<F16>(p);
        second = load_as<F16>(p + 32);
    }
};
struct PackedBF16 {
    static constexpr Form form = Form::bf16;
    struct Table {};
    static ELM_INLINE Table table(const Weight&, int64_t) { return {}; }
    static ELM_INLINE void load(const uint8_t* p, Table, Lanes& first, Lanes& second) { part_pair_bf16(p, first.p, second.p); }
};
struct PackedBF12 {
    static constexpr Form form = Form::bf12;
    using Table = HighBytes;
    static ELM_INLINE Table table(const Weight& w, int64_t block) { return high_bytes(w.tables + block * table_entries); }
    static ELM_INLINE void load(const uint8_t* p, Table table, Lanes& first, Lanes& second) { part_pair_bf12(p, table, first.p, second.p); }
};

static int block_length(int size, int block) { return size - block * block_terms < block_terms ? size - block * block_terms : block_terms; }

static ELM_INLINE int64_t block_number(const Weight& w, int panel, int block) { return static_cast<int64_t>(panel) * w.blocks() + block; }

static ELM_INLINE const uint8_t* packed_block(const Weight& w, int panel, int block) {
    return w.data + panel * w.stride + static_cast<int64_t>(block) * (block_terms / 2) * pair_size(w.form);
}

static ELM_INLINE bool has_exceptions(const Weight& w, int64_t number) { return w.form == Form::bf12 && w.first[number] != w.first[number + 1]; }

/// Asks memory for what a block of bf12 needs beside its pairs.
static ELM_INLINE void ask_for_table(const Weight& w, int panel, int block) {
    if (w.form != Form::bf12)
        return;
    const int64_t number = block_number(w, panel, block);
    prefetch(w.tables + number * table_entries);
    prefetch(w.first + number);
}

/// Gives a value the high byte of its exception.
static ELM_INLINE void restore_high_byte(float* value, uint32_t exception) {
    uint32_t bits;
    std::memcpy(&bits, value, sizeof bits);
    bits = (bits & 0x00ffffffu) | exception >> 16 << 24;
    std::memcpy(value, &bits, sizeof bits);
}

/// Puts the exceptions among columns [begin, begin + count) of a block right in out[(column - begin) * 16 + row].
static void restore_exceptions(const Weight& w, int64_t number, int begin, int count, float* out) {
    for (uint32_t i = w.first[number]; i < w.first[number + 1]; i++) {
        const int at = static_cast<int>(w.exceptions[i] & 0xffffu) - begin * panel_rows;
        if (at < 0 || at >= count * panel_rows)
            continue;
        restore_high_byte(out + at, w.exceptions[i]);
    }
}

/// The tile of words of y = x W^T for a weight packed as bf12. Returns out.
static const uint8_t* word_tile(const Weight& w, int panel, int block, uint8_t* out) {
    const int64_t number = block_number(w, panel, block);
    const HighBytes table = high_bytes(w.tables + number * table_entries);
    const uint8_t* p = packed_block(w, panel, block);
    const int pairs = (block_length(w.columns, block) + 1) / 2;
    ELM_UNROLL_SOME
    for (int pair = 0; pair < pairs; pair++)
        part_words_bf12(p + pair * pair_size(Form::bf12), table, out + pair * 2 * WordTile::term_size);
    for (uint32_t i = w.first[number]; i < w.first[number + 1]; i++) {
        const int at = static_cast<int>(w.exceptions[i] & 0xffffu), column = at / panel_rows, row = at % panel_rows;
        out[column / 2 * 2 * WordTile::term_size + row * 4 + column % 2 * 2 + 1] = static_cast<uint8_t>(w.exceptions[i] >> 16);
    }
    return out;
}

/// out[column * 16 + row] for the columns [2 begin, 2 (begin + pairs)) of a packed block.
template <class Packed>
static void widen_pairs(const Weight& w, int panel, int block, int begin, int pairs, float* out) {
    const int64_t number = block_number(w, panel, block);
    const auto table = Packed::table(w, number);
    constexpr int size = pair_size(Packed::form);
    const uint8_t* p = packed_block(w, panel, block) + begin * size;
    ELM_UNROLL_SOME
    for (int pair = 0; pair < pairs; pair++) {
        Lanes first, second;
        Packed::load(p + pair * size, table, first, second);
        store(out + pair * 2 * panel_rows, first);
        store(out + (pair * 2 + 1) * panel_rows, second);
    }
    if (has_exceptions(w, number))
        restore_exceptions(w, number, 2 * begin, 2 * pairs, out);
}

static void widen_packed(const Weight& w, int panel, int block, int begin, int pairs, float* out) {
    switch (w.form) {
    case Form::f32: widen_pairs<PackedF32>(w, panel, block, begin, pairs, out); break;
    case Form::f16: widen_pairs<PackedF16>(w, panel, block, begin, pairs, out); break;
    case Form::bf16: widen_pairs<PackedBF16>(w, panel, block, begin, pairs, out); break;
    default: widen_pairs<PackedBF12>(w, panel, block, begin, pairs, out); break;
    }
}

/// out[j * 16 + i] = rows[i][j] for 16 rows and j < columns; out has room for columns rounded up to 4, and the rows can be read so far.
static ELM_INLINE void transpose(const float* const rows[lane_count], int columns, float* out) {
    for (int j = 0; j < columns; j += 4)
        for (int part = 0; part < parts; part++) {
            Part turned[4];
            part_transpose4(rows + part * part_width, j, turned);
            ELM_UNROLL
            for (int c = 0; c < 4; c++)
                part_store(out + (j + c) * lane_count + part * part_width, turned[c]);
        }
}

/// The tile of y = x W^T: outputs are 16 rows of the weight, terms are the columns of a block. Returns out, or the weight itself where it lies so.
static const uint8_t* forward_tile(const Weight& w, int panel, int block, float* out) {
    const int terms = block_length(w.columns, block);
    if (w.packed) {
        if (w.form == Form::f32)
            return packed_block(w, panel, block);
        if (terms > 0)  // a weight without columns has no blocks
            widen_packed(w, panel, block, 0, (terms + 1) / 2, out);
        return bytes(out);
    }
    float widened[panel_rows][block_terms];
    const float* rows[panel_rows];
    for (int n = 0; n < panel_rows; n++) {
        const int row = panel * panel_rows + n;
        if (row < w.rows)
            widen(w.data + row * w.stride + static_cast<int64_t>(block) * block_terms * element_size(w.form), static_cast<int>(w.form),
                  widened[n], terms);
        std::memset(widened[n] + (row < w.rows ? terms : 0), 0, sizeof(float) * static_cast<size_t>(block_terms - (row < w.rows ? terms : 0)));
        rows[n] = widened[n];
    }
    transpose(rows, terms, out);
    return bytes(out);
}

/// out[row * 16 + column] for the 16 columns from pair `begin` of a block of bf12.
static void turned_pairs(const Weight& w, int panel, int block, int begin, float* out) {
    const int64_t number = block_number(w, panel, block);
    part_turned_bf12(packed_block(w, panel, block) + begin * pair_size(Form::bf12), high_bytes(w.tables + number * table_entries), out);
    for (uint32_t i = w.first[number]; i < w.first[number + 1]; i++) {
        const int at = static_cast<int>(w.exceptions[i] & 0xffffu), column = at / panel_rows - 2 * begin, row = at % panel_rows;
        if (column >= 0 && column < panel_rows)
            restore_high_byte(out + row * panel_rows + column, w.exceptions[i]);
    }
}

/// The tile of dx = dy W: outputs are 16 columns of the weight, terms are the rows of 8 panels.
static const uint8_t* backward_tile(const Weight& w, int panel, int block, float* out) {
    const int first_row = block * block_terms, terms = block_length(w.rows, block);
    const int first_column = panel * panel_rows, columns = w.columns - first_column < panel_rows ? w.columns - first_column : panel_rows;
    if (!w.packed) {
        for (int n = 0; n < terms; n++) {
            widen(w.data + (first_row + n) * w.stride + static_cast<int64_t>(first_column) * element_size(w.form), static_cast<int>(w.form),
                  out + n * panel_rows, columns);
            for (int k = columns; k < panel_rows; k++)
                out[n * panel_rows + k] = 0.0f;
        }
        return bytes(out);
    }
    float widened[panel_rows][panel_rows] = {};
    const float* rows[panel_rows];
    for (int k = 0; k < panel_rows; k++)
        rows[k] = widened[k];
    const int begin = first_column % block_terms / 2;
    for (int n = 0; n < terms; n += panel_rows) {
        if (w.form == Form::bf12 && columns == panel_rows) {
            turned_pairs(w, (first_row + n) / panel_rows, first_column / block_terms, begin, out + n * panel_rows);
            continue;
        }
        widen_packed(w, (first_row + n) / panel_rows, first_column / block_terms, begin, (columns + 1) / 2, widened[0]);
        transpose(rows, panel_rows, out + n * panel_rows);
    }
    return bytes(out);
}

}  // namespace elm::ELM_PATH
