// Packs weights, once for many products; weight.h has the layout.
#include "packing.h"

#include <algorithm>
#include <cstring>

#include "context.h"

namespace elm {

namespace {

/// Bytes read ahead of a product's last block.
constexpr int64_t slack = 64;
/// A bf16 weight with more exceptions than one in so many elements keeps its 16 bits.
constexpr int64_t elements_per_exception = 256;

/// The elements of one block in pair order, zeros where there is no row or column. Returns the number of pairs.
template <class T>
int gather_block(const Weight& stored, int panel, int block, T (*pairs)[2 * panel_rows]) {
    const int begin = block * block_terms, end = std::min(stored.columns, begin + block_terms);
    const int count = (end - begin + 1) / 2;
    std::memset(pairs, 0, sizeof(T) * 2 * panel_rows * static_cast<size_t>(count));
    for (int n = 0; n < panel_rows && panel * panel_rows + n < stored.rows; n++) {
        const uint8_t* row = stored.data + (static_cast<int64_t>(panel) * panel_rows + n) * stored.stride;
        T values[block_terms];
        std::memcpy(values, row + static_cast<int64_t>(begin) * static_cast<int64_t>(sizeof(T)), sizeof(T) * static_cast<size_t>(end - begin));
        for (int k = 0; k < end - begin; k++)
            // Words of bf16 pair the columns; of the other types one column follows the other.
            pairs[k / 2][stored.form == Form::bf16 ? 2 * n + k % 2 : k % 2 * panel_rows + n] = values[k];
    }
    return count;
}

/// Chooses a block's table, the most frequent high bytes where there are too many; returns how many elements it leaves out.
int choose_table(const uint16_t (*pairs)[2 * panel_rows], int count, uint8_t table[table_entries]) {
    int frequency[256] = {};
    for (int pair = 0; pair < count; pair++)
        for (const uint16_t value : pairs[pair])
            frequency[value >> 8]++;
    uint8_t found[256];
    int size = 0;
    for (int high = 0; high < 256; high++)
        if (frequency[high] != 0)
            found[size++] = static_cast<uint8_t>(high);
    if (size > table_entries)
        std::stable_sort(found, found + size, [&](uint8_t a, uint8_t b) { return frequency[a] > frequency[b]; });
    int left_out = 0;
    for (int entry = table_entries; entry < size; entry++)
        left_out += frequency[found[entry]];
    for (int entry = 0; entry < table_entries; entry++)
        table[entry] = found[entry < size ? entry : 0];
    return left_out;
}

void write_bf12(const uint16_t (*pairs)[2 * panel_rows], int count, const uint8_t table[table_entries], uint8_t* out, uint32_t* exceptions) {
    uint8_t code_of[256];
    std::memset(code_of, table_entries, sizeof code_of);
    for (int entry = table_entries - 1; entry >= 0; entry--)
        code_of[table[entry]] = static_cast<uint8_t>(entry);
    for (int pair = 0; pair < count; pair++, out += pair_size(Form::bf12)) {
        uint8_t codes[2 * panel_rows], low[2 * panel_rows];
        for (int i = 0; i < 2 * panel_rows; i++) {
            codes[pair_place(i)] = code_of[pairs[pair][i] >> 8];
            low[pair_place(i)] = static_cast<uint8_t>(pairs[pair][i]);
        }
        for (int column = 0; column < 2; column++)
            for (int n = 0; n < panel_rows; n++) {
                uint8_t& code = codes[pair_place(2 * n + column)];
                if (code == table_entries) {
                    code = 0;
                    *exceptions++ = static_cast<uint32_t>((2 * pair + column) * panel_rows + n) | static_cast<uint32_t>(pairs[pair][2 * n + column] >> 8) << 16;
                }
            }
        for (int j = 0; j < panel_rows; j++)
            out[j] = static_cast<uint8_t>(codes[j] | codes[panel_rows + j] << 4);
        std::memcpy(out + panel_rows, low, sizeof low);
    }
}

/// body(panel) for every panel, on all threads.
template <class Body>
void each_panel(elm_context& context, int panels, Body&& body) {
    context.parallel(panels, std::max(1, panels / (8 * context.pool.threads())), [&](int64_t begin, int64_t end, int) {
        for (int64_t panel = begin; panel < end; panel++)
            body(static_cast<int>(panel));
    });
}

template <class T>
void pack_plain(elm_context& context, const Weight& stored, elm_matrix& matrix, int panels) {
    const int blocks = stored.blocks();
    each_panel(context, panels, [&](int panel) {
        uint8_t* out = matrix.data.get() + panel * matrix.view.stride;
        for (int block = 0; block < blocks; block++) {
            T pairs[block_terms / 2][2 * panel_rows];
            const size_t bytes = sizeof pairs[0] * static_cast<size_t>(gather_block(stored, panel, block, pairs));
            std::memcpy(out, pairs, bytes);
            out += bytes;
        }
    });
}

/// Chooses the tables; false where too many elements would be exceptions.
bool find_tables(elm_context& context, const Weight& stored, elm_matrix& matrix, int panels) {
    const int blocks = stored.blocks();
    const size_t all = static_cast<size_t>(panels) * static_cast<size_t>(blocks);
    matrix.tables.resize(all * table_entries);
    matrix.first.assign(all + 1, 0);
    each_panel(context, panels, [&](int panel) {
        for (int block = 0; block < blocks; block++) {
            uint16_t pairs[block_terms / 2][2 * panel_rows];
            const int count = gather_block(stored, panel, block, pairs);
            const size_t number = static_cast<size_t>(panel) * static_cast<size_t>(blocks) + static_cast<size_t>(block);
            matrix.first[number + 1] = static_cast<uint32_t>(choose_table(pairs, count, matrix.tables.data() + number * table_entries));
        }
    });
    int64_t exceptions = 0;
    for (const uint32_t count : matrix.first)
        exceptions += count;
    if (exceptions * elements_per_exception > static_cast<int64_t>(stored.rows) * stored.columns)
        return false;
    for (size_t i = 0; i < all; i++)
        matrix.first[i + 1] += matrix.first[i];
    matrix.exceptions.resize(static_cast<size_t>(exceptions));
    return true;
}

void pack_bf12(elm_context& context, const Weight& stored, elm_matrix& matrix, int panels) {
    const int blocks = stored.blocks();
    each_panel(context, panels, [&](int panel) {
        uint8_t* out = matrix.data.get() + panel * matrix.view.stride;
        for (int block = 0; block < blocks; block++) {
            uint16_t pairs[block_terms / 2][2 * panel_rows];
            const int count = gather_block(stored, panel, block, pairs);
            const size_t number = static_cast<size_t>(panel) * static_cast<size_t>(blocks) + static_cast<size_t>(block);
            write_bf12(pairs, count, matrix.tables.data() + number * table_entries, out, matrix.exceptions.data() + matrix.first[number]);
            out += count * pair_size(Form::bf12);
        }
    });
}

void pack(elm_context& context, const Weight& stored, elm_matrix& matrix) {
    const int panels = (stored.rows + panel_rows - 1) / panel_rows;
    Weight& view = matrix.view;
    view = stored;
    view.packed = true;
    if (stored.form == Form::bf16 && find_tables(context, stored, matrix, panels)) {
        view.form = Form::bf12;
    } else {
        matrix.tables = {};
        matrix.first = {};
    }
    view.stride = static_cast<int64_t>((stored.columns + 1) / 2) * pair_size(view.form);
    const int64_t bytes = panels * view.stride + slack;
    matrix.data.reset(static_cast<uint8_t*>(::operator new(static_cast<size_t>(bytes), std::align_val_t{64})));
    std::memset(matrix.data.get() + bytes - slack, 0, static_cast<size_t>(slack));
    view.data = matrix.data.get();
    view.tables = matrix.tables.data();
    view.first = matrix.first.data();
    view.exceptions = matrix.exceptions.data();
    matrix.bytes = bytes + static_cast<int64_t>(matrix.tables.size() + (matrix.first.size() + matrix.exceptions.size()) * sizeof(uint32_t));
    if (view.form == Form::bf12)
        pack_bf12(context, stored, matrix, panels);
    else if (view.form == Form::f32)
        pack_plain<uint32_t>(context, stored, matrix, panels);
    else
        pack_plain<uint16_t>(context, stored, matrix, panels);
}

}  // namespace

Weight weight_of(const elm_tensor& tensor) {
    if (tensor.type == ELM_MATRIX)
        return static_cast<const elm_matrix*>(tensor.data)->view;
    Weight weight{};
    weight.data = raw(tensor);
    weight.form = static_cast<Form>(tensor.type);
    weight.rows = tensor.rows;
    weight.columns = tensor.columns;
    weight.stride = static_cast<int64_t>(tensor.columns) * size_of(tensor.type);
    return weight;
}

}  // namespace elm

using namespace elm;

extern "C" {

elm_status elm_pack(elm_context* context, elm_tensor weight, elm_matrix** matrix) noexcept {
    return guarded([&] {
        auto packed = std::make_unique<elm_matrix>();
        pack(*context, weight_of(weight), *packed);
        *matrix = packed.release();
    });
}

void elm_free_matrix(elm_matrix* matrix) noexcept { delete matrix; }

int64_t elm_matrix_bytes(const elm_matrix* matrix) noexcept { return matrix->bytes; }

}  // extern "C"
