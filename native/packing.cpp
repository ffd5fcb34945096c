// Packs weights, once for many products; weight.h has the layout.
#include "packing.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "context.h"

namespace elm {

namespace {

/// Bytes read ahead of a product's last block.
constexpr int64_t slack = 64;
/// A bf16 weight with more exceptions than one in so many elements keeps its 16 bits.
constexpr int64_t elements_per_exception = 256;

/// A block's pairs of columns: 16 of the first and 16 of the second, or for bf16 16 words of both.
template <class T>
using Pair = T[2 * panel_rows];

/// The elements of one block in pair order, zeros where there is no row or column. Returns the number of pairs.
template <class T>
int gather_block(const Weight& stored, int panel, int block, Pair<T>* pairs) {
    const int begin = block * block_terms, length = std::min(stored.columns - begin, block_terms), count = (length + 1) / 2;
    const int rows = std::min(stored.rows - panel * panel_rows, panel_rows);
    if (rows < panel_rows || length % 2 != 0)
        std::memset(pairs, 0, sizeof(Pair<T>) * static_cast<size_t>(count));
    for (int n = 0; n < rows; n++) {
        const int64_t at = static_cast<int64_t>(panel) * panel_rows + n;
        const uint8_t* row = stored.data + at * stored.stride + static_cast<int64_t>(begin) * static_cast<int64_t>(sizeof(T));
        if (stored.form == Form::bf16) {
            for (int pair = 0; pair < length / 2; pair++)
                std::memcpy(&pairs[pair][2 * n], row + pair * 4, 4);
            if (length % 2 != 0)
                std::memcpy(&pairs[count - 1][2 * n], row + (length - 1) * 2, 2);
        } else {
            for (int k = 0; k < length; k++)
                std::memcpy(&pairs[k / 2][k % 2 * panel_rows + n], row + static_cast<size_t>(k) * sizeof(T), sizeof(T));
        }
    }
    return count;
}

/// Chooses a block's table, the most frequent high bytes where there are too many. code_of becomes the table's inverse, 16 for what it lacks;
/// returns whether it lacks any.
bool choose_table(const Pair<uint16_t>* pairs, int count, uint8_t table[table_entries], uint8_t code_of[256]) {
    bool seen[256] = {};
    for (int pair = 0; pair < count; pair++)
        for (const uint16_t value : pairs[pair])
            seen[value >> 8] = true;
    uint8_t found[256];
    int size = 0;
    for (int high = 0; high < 256; high++)
        if (seen[high])
            found[size++] = static_cast<uint8_t>(high);
    if (size > table_entries) {
        int frequency[256] = {};
        for (int pair = 0; pair < count; pair++)
            for (const uint16_t value : pairs[pair])
                frequency[value >> 8]++;
        std::stable_sort(found, found + size, [&](uint8_t a, uint8_t b) { return frequency[a] > frequency[b]; });
    }
    std::memset(code_of, table_entries, 256);
    for (int entry = 0; entry < table_entries; entry++) {
        table[entry] = found[entry < size ? entry : 0];
        if (entry < size)
            code_of[found[entry]] = static_cast<uint8_t>(entry);
    }
    return size > table_entries;
}

/// Writes a block as bf12; what its table lacks goes behind `exceptions`.
void write_bf12(const Pair<uint16_t>* pairs, int count, uint8_t table[table_entries], uint8_t* out, std::vector<uint32_t>& exceptions) {
    uint8_t code_of[256];
    const bool complete = !choose_table(pairs, count, table, code_of);
    for (int pair = 0; pair < count; pair++, out += pair_size(Form::bf12)) {
        uint8_t codes[2 * panel_rows];
        for (int i = 0; i < 2 * panel_rows; i++) {
            codes[pair_place(i)] = code_of[pairs[pair][i] >> 8];
            out[panel_rows + pair_place(i)] = static_cast<uint8_t>(pairs[pair][i]);
        }
        if (!complete)
            for (int column = 0; column < 2; column++)
                for (int n = 0; n < panel_rows; n++) {
                    uint8_t& code = codes[pair_place(2 * n + column)];
                    if (code == table_entries) {
                        code = 0;
                        exceptions.push_back(static_cast<uint32_t>((2 * pair + column) * panel_rows + n) |
                                             static_cast<uint32_t>(pairs[pair][2 * n + column] >> 8) << 16);
                    }
                }
        for (int j = 0; j < panel_rows; j++)
            out[j] = static_cast<uint8_t>(codes[j] | codes[panel_rows + j] << 4);
    }
}

/// body(panel) for every panel, on all threads. What it throws is out of memory.
template <class Body>
void each_panel(elm_context& context, int panels, Body&& body) {
    std::atomic<bool> failed = false;
    context.parallel(panels, std::max(1, panels / (8 * context.pool.threads())), [&](int64_t begin, int64_t end, int) {
        try {
            for (int64_t panel = begin; panel < end; panel++)
                body(static_cast<int>(panel));
        } catch (const std::bad_alloc&) {
            failed = true;
        }
    });
    if (failed)
        throw std::bad_alloc();
}

/// Room for a form of the weight, with its last bytes set.
void make_room(elm_matrix& matrix, Form form, int panels) {
    Weight& view = matrix.view;
    view.form = form;
    view.stride = static_cast<int64_t>((view.columns + 1) / 2) * pair_size(form);
    matrix.bytes = panels * view.stride + slack;
    matrix.data = PackedBytes(matrix.bytes);
    std::memset(matrix.data.get() + matrix.bytes - slack, 0, static_cast<size_t>(slack));
    view.data = matrix.data.get();
}

template <class T>
void pack_plain(elm_context& context, const Weight& stored, elm_matrix& matrix, int panels) {
    make_room(matrix, stored.form, panels);
    each_panel(context, panels, [&](int panel) {
        uint8_t* out = matrix.data.get() + panel * matrix.view.stride;
        for (int block = 0; block < stored.blocks(); block++) {
            Pair<T> pairs[block_terms / 2];
            const size_t bytes = sizeof(Pair<T>) * static_cast<size_t>(gather_block(stored, panel, block, pairs));
            std::memcpy(out, pairs, bytes);
            out += bytes;
        }
    });
}

/// False, with the matrix undone, where too many elements are exceptions.
bool pack_bf12(elm_context& context, const Weight& stored, elm_matrix& matrix, int panels) {
    make_room(matrix, Form::bf12, panels);
    const size_t blocks = static_cast<size_t>(stored.blocks());
    matrix.tables.resize(static_cast<size_t>(panels) * blocks * table_entries);
    matrix.first.assign(static_cast<size_t>(panels) * blocks + 1, 0);
    std::vector<std::vector<uint32_t>> exceptions(static_cast<size_t>(panels));
    each_panel(context, panels, [&](int panel) {
        uint8_t* out = matrix.data.get() + panel * matrix.view.stride;
        std::vector<uint32_t>& own = exceptions[static_cast<size_t>(panel)];
        for (size_t block = 0; block < blocks; block++) {
            Pair<uint16_t> pairs[block_terms / 2];
            const int count = gather_block(stored, panel, static_cast<int>(block), pairs);
            const size_t number = static_cast<size_t>(panel) * blocks + block, before = own.size();
            write_bf12(pairs, count, matrix.tables.data() + number * table_entries, out, own);
            matrix.first[number + 1] = static_cast<uint32_t>(own.size() - before);
            out += count * pair_size(Form::bf12);
        }
    });
    int64_t total = 0;
    for (const std::vector<uint32_t>& own : exceptions)
        total += static_cast<int64_t>(own.size());
    if (total * elements_per_exception > static_cast<int64_t>(stored.rows) * stored.columns) {
        matrix.tables = {};
        matrix.first = {};
        return false;
    }
    for (size_t i = 1; i < matrix.first.size(); i++)
        matrix.first[i] += matrix.first[i - 1];
    matrix.exceptions.reserve(static_cast<size_t>(total));
    for (const std::vector<uint32_t>& own : exceptions)
        matrix.exceptions.insert(matrix.exceptions.end(), own.begin(), own.end());
    matrix.view.tables = matrix.tables.data();
    matrix.view.first = matrix.first.data();
    matrix.view.exceptions = matrix.exceptions.data();
    matrix.bytes += static_cast<int64_t>(matrix.tables.size() + (matrix.first.size() + matrix.exceptions.size()) * sizeof(uint32_t));
    return true;
}

void pack(elm_context& context, const Weight& stored, elm_matrix& matrix) {
    const int panels = (stored.rows + panel_rows - 1) / panel_rows;
    matrix.view = stored;
    matrix.view.packed = true;
    if (stored.form == Form::f32)
        pack_plain<uint32_t>(context, stored, matrix, panels);
    else if (stored.form == Form::f16 || !pack_bf12(context, stored, matrix, panels))
        pack_plain<uint16_t>(context, stored, matrix, panels);
}

}  // namespace

PackedBytes::PackedBytes(int64_t size) {
    constexpr int64_t large_page = 2 << 20;
    const bool large = size >= 2 * large_page;
    alignment_ = std::align_val_t{static_cast<size_t>(large ? large_page : 64)};
    const int64_t whole = large ? (size + large_page - 1) / large_page * large_page : size;
    data_ = static_cast<uint8_t*>(::operator new(static_cast<size_t>(whole), alignment_));
#ifdef __linux__
    // Advice: where it is refused, the pages are small.
    if (large)
        (void)madvise(data_, static_cast<size_t>(whole), MADV_HUGEPAGE);
#endif
}

PackedBytes::~PackedBytes() {
    if (data_ != nullptr)
        ::operator delete(data_, alignment_);
}

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
        try {
            auto packed = std::make_unique<elm_matrix>();
            pack(*context, weight_of(weight), *packed);
            *matrix = packed.release();
        } catch (const std::bad_alloc&) {
            throw Failure{ELM_OUT_OF_MEMORY, "there is no memory to lay out a weight of " + std::to_string(weight.rows) + " x " +
                                                 std::to_string(weight.columns) + " for products; use a smaller model"};
        }
    });
}

void elm_free_matrix(elm_matrix* matrix) noexcept { delete matrix; }

int64_t elm_matrix_bytes(const elm_matrix* matrix) noexcept { return matrix->bytes; }

}  // extern "C"
