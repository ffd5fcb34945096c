// Runs every operation of libelm_cpu on tensors that end right before a page that must not be touched, on every path and with one and three
// threads, in ragged shapes: an access beyond a tensor kills the program. The results must have the same bits every time, and those of products
// the same bits for a weight as stored and packed.
//   cmake -S . -B out/cmake -DELM_CHECKS=ON && cmake --build out/cmake && out/cmake/bounds_check
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "../../native/elm_cpu.h"
#include "../../native/packing.h"

namespace {

void require(bool holds, const char* what) {
    if (holds)
        return;
    std::fprintf(stderr, "bounds_check: %s (%s)\n", what, elm_last_error());
    std::exit(1);
}

/// Memory whose end lies at a forbidden page; freed with the arena, or by release.
class Arena {
public:
    ~Arena() { release(); }
    void release() {
        for (const auto& [start, bytes] : blocks_)
            munmap(start, bytes);
        blocks_.clear();
    }
    void* take(size_t bytes) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), whole = (bytes + page - 1) / page * page + page;
        char* start = static_cast<char*>(mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        require(start != MAP_FAILED, "no memory");
        require(mprotect(start + whole - page, page, PROT_NONE) == 0, "no guard page");
        blocks_.emplace_back(start, whole);
        return start + whole - page - bytes;
    }
    /// The same bytes in such memory.
    template <class T>
    T* copy(const T* source, size_t count) {
        T* taken = static_cast<T*>(take(count * sizeof(T)));
        if (count > 0)
            std::memcpy(taken, source, count * sizeof(T));
        return taken;
    }

private:
    std::vector<std::pair<void*, size_t>> blocks_;
};

/// Weights to check products with: uniform values; about normal ones; bf16 whose blocks have more high bytes than a table here and there; bf16 of
/// any exponent, too many for tables.
enum class Kind { f32, f16, bf16, spread, any };

int type_of(Kind kind) { return kind == Kind::f32 ? ELM_F32 : kind == Kind::f16 ? ELM_F16 : ELM_BF16; }

class Run {
public:
    Run(const char* path, int threads) { require(elm_create(threads, path, &context_) == ELM_OK, "no context"); }
    ~Run() { elm_destroy(context_); }

    elm_tensor floats(int rows, int columns, int type = ELM_F32, float scale = 1) {
        const size_t count = static_cast<size_t>(rows) * static_cast<size_t>(columns);
        elm_tensor t{arena_.take(count * (type == ELM_F32 ? 4 : 2)), type, rows, columns};
        for (size_t i = 0; i < count; i++) {
            const float value = uniform() * scale;
            // half: a small magnitude of either sign is enough
            const uint16_t narrow = type == ELM_BF16 ? upper_half(value) : static_cast<uint16_t>(seed_ >> 16 & 0xbbffu);
            if (type == ELM_F32)
                std::memcpy(static_cast<char*>(t.data) + 4 * i, &value, 4);
            else
                std::memcpy(static_cast<char*>(t.data) + 2 * i, &narrow, 2);
        }
        return t;
    }
    elm_tensor ints(int rows, int columns, const std::vector<int32_t>& values) {
        return {arena_.copy(values.data(), values.size()), ELM_I32, rows, columns};
    }
    void keep(const elm_tensor& t) {
        const auto* bytes = static_cast<const unsigned char*>(t.data);
        for (size_t i = 0; i < static_cast<size_t>(t.rows) * t.columns * 4; i++)
            hash_ = (hash_ ^ bytes[i]) * 1099511628211ull;
    }
    void all() {
        for (const int type : {ELM_F32, ELM_BF16, ELM_F16})
            for (const int d : {1, 7, 24, 33, 100})
                rows(type, d);
        const int batches[] = {4, 5, 6, 7, 8, 9, 13, 24, 31, 100, 250};
        size_t next = 0;
        for (const Kind kind : {Kind::f32, Kind::f16, Kind::bf16, Kind::spread, Kind::any}) {
            for (const int n : {1, 15, 16, 17, 33})
                for (const int k : {1, 2, 127, 128, 129, 255, 270, 1000}) {
                    for (const int m : {1, 2, 3})
                        dense(kind, m, n, k);
                    while (batches[next % std::size(batches)] * n * k > 700000)
                        next++;
                    dense(kind, batches[next++ % std::size(batches)], n, k);
                }
            // Panels side by side, and weights large enough to be shared by threads.
            for (const auto& [n, k] : {std::pair{70, 83}, {70, 270}, {270, 307}, {811, 129}})
                for (const int m : {1, 2, 3})
                    dense(kind, m, n, k);
            dense(kind, 8, 270, 307);
            dense(kind, 50, 140, 130);
            dense(kind, 3, 17, 0);
            dense(kind, 0, 17, 5);
            forms(kind);
        }
        for (const int head_size : {2, 24, 32, 90})
            attention(head_size);
        vectors();
    }
    uint64_t hash() const { return hash_; }

private:
    void rows(int type, int d) {
        const elm_tensor none{}, x = floats(9, d), weight = floats(1, d, type), y = floats(9, d), z = floats(9, d), dy = floats(9, d);
        require(elm_rms_norm(context_, x, weight, 1e-5f, y) == ELM_OK, "rms_norm");
        require(elm_rms_norm_backward(context_, x, weight, 1e-5f, y, z) == ELM_OK, "rms_norm_backward");
        keep(z);
        require(elm_copy(context_, floats(9, d, type), y) == ELM_OK, "copy");
        require(elm_gather_rows(context_, floats(3, d, type), ints(1, 9, {2, 0, 1, -1, 2, 2, 0, 0, 2}), y) == ELM_OK, "gather_rows");
        require(elm_scatter_add_rows(context_, x, ints(1, 9, {8, 8, 0, 1, 2, 3, 4, 5, 6}), y) == ELM_OK, "scatter_add_rows");
        require(elm_scatter_rows(context_, x, ints(1, 9, {8, 7, 6, 5, 4, 3, 2, 1, 0}), z) == ELM_OK, "scatter_rows");
        require(elm_add(context_, z, y) == ELM_OK, "add");
        const elm_tensor scales = floats(1, 9);
        static_cast<float*>(scales.data)[4] = 0;
        require(elm_scale_rows(context_, scales, y) == ELM_OK, "scale_rows");
        require(elm_swiglu(context_, y, z, z) == ELM_OK, "swiglu");
        require(elm_swiglu_backward(context_, x, y, z, dy, z) == ELM_OK, "swiglu_backward");
        keep(z);
        if (d % 2 == 0)
            require(elm_rotary(context_, z, ints(1, 9, {0, 1, 2, 0, 1, 2, 0, 1, 2}), floats(3, d), d, 0, none, z) == ELM_OK, "rotary");
        const elm_tensor pooled = floats(2, d);
        require(elm_pool_heads(context_, z, ints(2, 2, {0, 9, 8, 1}), d, pooled) == ELM_OK, "pool_heads");
        keep(pooled);
    }
    /// In [-1, 1).
    float uniform() {
        seed_ = seed_ * 1664525u + 1013904223u;
        return static_cast<float>(seed_ >> 8) / 8388608.0f - 1.0f;
    }
    static uint16_t upper_half(float value) {
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        return static_cast<uint16_t>(bits >> 16);
    }
    elm_tensor weights(Kind kind, int rows, int columns) {
        elm_tensor t = floats(rows, columns, type_of(kind));
        for (int row = 0; row < rows && kind >= Kind::bf16; row++)
            for (int column = 0; column < columns; column++) {
                const uint16_t value = kind == Kind::bf16     ? upper_half((uniform() + uniform() + uniform() + uniform()) * 0.04f)
                                       : kind == Kind::spread ? spread_value(row, column)
                                                              : any_value();
                std::memcpy(static_cast<char*>(t.data) + 2 * (static_cast<ptrdiff_t>(row) * columns + column), &value, 2);
            }
        return t;
    }
    /// Finite, of any exponent.
    uint16_t any_value() {
        uniform();
        const uint16_t bits = static_cast<uint16_t>(seed_ >> 16);
        return (bits & 0x7f80u) == 0x7f80u ? static_cast<uint16_t>(bits ^ 0x4000u) : bits;
    }
    /// One of 14 high bytes; but up to five values of every second block have others, of which a table can take two.
    uint16_t spread_value(int row, int column) {
        uniform();
        const uint32_t sign = seed_ >> 31, low = seed_ >> 16 & 0xffu;
        const int place = column % elm::block_terms * elm::panel_rows + row % elm::panel_rows;
        if ((row / elm::panel_rows + column / elm::block_terms) % 2 == 0 && place % 409 == 100) {
            constexpr uint32_t others[] = {0x00, 0x81, 0x14, 0xa8, 0x50};
            return static_cast<uint16_t>(others[place / 409] << 8 | low);
        }
        return static_cast<uint16_t>(sign << 15 | (56 + (seed_ >> 24) % 7) << 8 | low);
    }

    /// The weight packed, each part of it right before a forbidden page; for release_packed.
    elm_tensor packed(const elm_tensor& weight) {
        elm_matrix* matrix = nullptr;
        require(elm_pack(context_, weight, &matrix) == ELM_OK, "pack");
        elm::Weight& view = matrix->view;
        const int panels = (weight.rows + elm::panel_rows - 1) / elm::panel_rows;
        view.data = arena_.copy(view.data, static_cast<size_t>(panels * view.stride));
        if (view.form == elm::Form::bf12) {
            view.tables = arena_.copy(matrix->tables.data(), matrix->tables.size());
            view.first = arena_.copy(matrix->first.data(), matrix->first.size());
            view.exceptions = arena_.copy(matrix->exceptions.data(), matrix->exceptions.size());
        }
        return {matrix, ELM_MATRIX, weight.rows, weight.columns};
    }
    static const elm_matrix* matrix_of(const elm_tensor& packed) { return static_cast<const elm_matrix*>(packed.data); }
    static void release_packed(const elm_tensor& packed) { elm_free_matrix(static_cast<elm_matrix*>(packed.data)); }

    /// What products write: y and dx hold something before.
    struct Outputs {
        elm_tensor y, dx, log_probs, entropy, gradient;
    };
    Outputs outputs(int m, int n, int k) { return {floats(m, n), floats(m, k), floats(1, m), floats(1, m), floats(m, k)}; }
    Outputs copy_of(const Outputs& o) { return {copy_of(o.y), copy_of(o.dx), copy_of(o.log_probs), copy_of(o.entropy), copy_of(o.gradient)}; }
    elm_tensor copy_of(const elm_tensor& t) {
        return {arena_.copy(static_cast<const char*>(t.data), bytes_of(t)), t.type, t.rows, t.columns};
    }
    static size_t bytes_of(const elm_tensor& t) { return static_cast<size_t>(t.rows) * static_cast<size_t>(t.columns) * 4; }

    void dense(Kind kind, int m, int n, int k) {
        // The values of any exponent are up to 2^128: factors that keep the sums finite.
        const float scale = kind == Kind::any ? 9.3132257e-10f : 1.0f;
        const elm_tensor weight = weights(kind, n, k), packed_weight = packed(weight), bias = floats(1, n, type_of(kind)),
            x = floats(m, k, ELM_F32, scale), dy = floats(m, n, ELM_F32, scale),
            targets = ints(1, m, std::vector<int32_t>(static_cast<size_t>(m), n - 1));
        const int accumulate = (m + n) % 2;
        const Outputs plain = outputs(m, n, k), packed = copy_of(plain);
        for (const auto& [w, out] : {std::pair{weight, plain}, {packed_weight, packed}}) {
            require(elm_linear(context_, x, w, bias, out.y, accumulate) == ELM_OK, "linear");
            require(elm_linear_backward(context_, dy, w, out.dx, accumulate) == ELM_OK, "linear_backward");
            if (m * n * k < 150000) {  // the head is two products more
                require(elm_log_probs(context_, x, w, targets, 0.9f, out.log_probs, out.entropy, out.gradient) == ELM_OK, "log_probs");
            }
            if (accumulate == 0) {
                const elm_tensor once = floats(m, n), again = floats(m, n);
                const elm_projection both[2] = {{w, bias, once}, {w, bias, again}};
                require(elm_project(context_, x, both, 2) == ELM_OK, "project");
                same(out.y, once, "the first of two projections");
                same(out.y, again, "the second of two projections");
            }
            for (const elm_tensor& t : {out.y, out.dx, out.log_probs, out.entropy, out.gradient})
                keep(t);
        }
        same(plain.y, packed.y, "linear of a packed weight");
        same(plain.dx, packed.dx, "linear_backward of a packed weight");
        same(plain.log_probs, packed.log_probs, "log_probs of a packed weight");
        same(plain.entropy, packed.entropy, "entropy of a packed weight");
        same(plain.gradient, packed.gradient, "the gradient of log_probs of a packed weight");
        release_packed(packed_weight);
        if (m > 0)
            sample(plain.y);
        arena_.release();
    }
    void same(const elm_tensor& a, const elm_tensor& b, const char* what) {
        require(std::memcmp(a.data, b.data, bytes_of(a)) == 0, (std::string(what) + " gives other bits").c_str());
    }
    /// Which form a weight takes shows in its bytes: 12 bits and tables, or as stored.
    void forms(Kind kind) {
        const int n = 64, k = 1024;
        const elm_tensor weight = weights(kind, n, k), packed_weight = packed(weight);
        const int64_t bytes = elm_matrix_bytes(matrix_of(packed_weight)), stored = int64_t{n} * k * (kind == Kind::f32 ? 4 : 2);
        const bool narrow = kind == Kind::bf16 || kind == Kind::spread;
        require(narrow ? bytes * 100 < stored * 76 : bytes >= stored && bytes < stored + 4096, "a packed weight has an unexpected size");
        require(kind != Kind::spread || !matrix_of(packed_weight)->exceptions.empty(), "no exceptions, so they were not checked");
        release_packed(packed_weight);
        arena_.release();
    }
    void sample(const elm_tensor& logits) {
        const int m = logits.rows;
        const elm_tensor tokens = ints(1, m, std::vector<int32_t>(static_cast<size_t>(m))), log_probs = floats(1, m);
        std::vector<int32_t> settings;
        for (uint32_t i = 0; i < static_cast<uint32_t>(m); i++) {
            const elm_sampling_row row{1.0f, static_cast<int32_t>(i % 3 * 30), i % 2 == 0 ? 1.0f : 0.9f, 0.01f, 1, 2, 3, 4, 5, i};
            int32_t words[10];
            std::memcpy(words, &row, sizeof words);
            settings.insert(settings.end(), words, words + 10);
        }
        require(elm_sample(context_, logits, ints(m, 10, settings), tokens, log_probs) == ELM_OK, "sample");
        keep(tokens);
        keep(log_probs);
    }
    void attention(int head_size) {
        const int m = 90, heads = 4, key_heads = 2;
        elm_attention_plan plan{ints(3, 3, {0, 50, -1, 50, 33, 0, 83, 7, 0}), {}, ints(1, 2, {0, m}), 83, heads, key_heads, head_size,
            0.3f};
        std::vector<int32_t> queries;
        for (int i = 0; i < m; i++)
            queries.insert(queries.end(), {i < 50 ? 0 : i < 83 ? 1 : 2, i < 50 ? i + 1 : i < 83 ? i - 49 : i - 82});
        plan.queries = ints(m, 2, queries);
        const int width = heads * head_size, key_width = key_heads * head_size;
        const elm_tensor q = floats(m, width), k = floats(m, key_width), v = floats(m, key_width), y = floats(m, width),
            log_sum = floats(m, heads);
        const elm_tensor dq = floats(m, width), dk = floats(m, key_width), dv = floats(m, key_width);
        require(elm_attention(context_, &plan, q, k, v, y, log_sum) == ELM_OK, "attention");
        require(elm_attention_backward(context_, &plan, q, k, v, y, log_sum, floats(m, width), dq, dk, dv) == ELM_OK, "attention_backward");
        for (const elm_tensor& t : {y, log_sum, dq, dk, dv})
            keep(t);
    }
    void vectors() {
        const elm_tensor indices = ints(2, 3, std::vector<int32_t>(6)), scores = floats(2, 3);
        require(elm_cosine_top_k(context_, floats(2, 22), floats(70, 22), ints(1, 2, {70, 65}), 2, indices, scores) == ELM_OK,
            "cosine_top_k");
        keep(indices);
        keep(scores);
        const elm_tensor theta = floats(1, 4999), norm = floats(1, 1), first = floats(1, 4999), second = floats(1, 4999);
        require(elm_zero(context_, second) == ELM_OK, "zero");
        const elm_adamw_settings settings{1e-3f, 0.9f, 0.999f, 1e-8f, 0.1f, 1.0f, 1};
        require(elm_adamw(context_, theta, floats(1, 4999), first, second, &settings, norm) == ELM_OK, "adamw");
        keep(theta);
        keep(norm);
    }

    elm_context* context_ = nullptr;
    Arena arena_;
    uint32_t seed_ = 1;
    uint64_t hash_ = 14695981039346656037ull;
};

}  // namespace

int main() {
    uint64_t wanted = 0;
    const char* paths[] = {"scalar", "avx2", "avx512"};
    for (int path = 0; path < 3; path++)
        for (const int threads : {1, 3}) {
            if ((elm_supported_paths() >> path & 1) == 0) {
                std::printf("%s: not on this machine\n", paths[path]);
                continue;
            }
            Run run(paths[path], threads);
            run.all();
            if (wanted == 0)
                wanted = run.hash();
            require(run.hash() == wanted, (std::string(paths[path]) + " gives other bits").c_str());
            std::printf("%s, %d threads: bits %016llx\n", paths[path], threads, static_cast<unsigned long long>(run.hash()));
        }
    return 0;
}
