// Runs every operation of libelm_cpu on tensors that end right before a page that must not be touched, on every path and with one and three
// threads, in ragged shapes: an access beyond a tensor kills the program. The results must have the same bits every time.
//   cmake -S . -B out/cmake -DELM_CHECKS=ON && cmake --build out/cmake && out/cmake/bounds_check
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../native/elm_cpu.h"

namespace {

void require(bool holds, const char* what) {
    if (holds)
        return;
    std::fprintf(stderr, "bounds_check: %s (%s)\n", what, elm_last_error());
    std::exit(1);
}

/// Memory whose end lies at a forbidden page; freed with the arena.
class Arena {
public:
    ~Arena() {
        for (const auto& [start, bytes] : blocks_)
            munmap(start, bytes);
    }
    void* take(size_t bytes) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), whole = (bytes + page - 1) / page * page + page;
        char* start = static_cast<char*>(mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        require(start != MAP_FAILED, "no memory");
        require(mprotect(start + whole - page, page, PROT_NONE) == 0, "no guard page");
        blocks_.emplace_back(start, whole);
        return start + whole - page - bytes;
    }

private:
    std::vector<std::pair<void*, size_t>> blocks_;
};

class Run {
public:
    Run(const char* path, int threads) { require(elm_create(threads, path, &context_) == ELM_OK, "no context"); }
    ~Run() { elm_destroy(context_); }

    elm_tensor floats(int rows, int columns, int type = ELM_F32) {
        const size_t count = static_cast<size_t>(rows) * columns;
        elm_tensor t{arena_.take(count * (type == ELM_F32 ? 4 : 2)), type, rows, columns};
        for (size_t i = 0; i < count; i++) {
            seed_ = seed_ * 1664525u + 1013904223u;
            const float value = static_cast<float>(seed_ >> 8) / 8388608.0f - 1.0f;
            uint32_t bits;
            std::memcpy(&bits, &value, 4);
            // half: a small magnitude of either sign is enough
            const uint16_t narrow = type == ELM_BF16 ? static_cast<uint16_t>(bits >> 16) : static_cast<uint16_t>(seed_ >> 16 & 0xbbffu);
            if (type == ELM_F32)
                std::memcpy(static_cast<char*>(t.data) + 4 * i, &value, 4);
            else
                std::memcpy(static_cast<char*>(t.data) + 2 * i, &narrow, 2);
        }
        return t;
    }
    elm_tensor ints(int rows, int columns, const std::vector<int32_t>& values) {
        elm_tensor t{arena_.take(values.size() * 4), ELM_I32, rows, columns};
        std::memcpy(t.data, values.data(), values.size() * 4);
        return t;
    }
    void keep(const elm_tensor& t) {
        const auto* bytes = static_cast<const unsigned char*>(t.data);
        for (size_t i = 0; i < static_cast<size_t>(t.rows) * t.columns * 4; i++)
            hash_ = (hash_ ^ bytes[i]) * 1099511628211ull;
    }
    void all() {
        for (const int type : {ELM_F32, ELM_BF16, ELM_F16}) {
            for (const int d : {1, 7, 24, 33, 100})
                rows(type, d);
            for (const int m : {1, 2, 5, 13, 31})
                dense(type, m, 70, 37);
            // Long enough for every way of a product.
            for (const int m : {1, 3, 8, 31})
                dense(type, m, 270, 307);
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
        require(elm_swiglu(context_, y, z, z) == ELM_OK, "swiglu");
        require(elm_swiglu_backward(context_, x, y, z, dy, z) == ELM_OK, "swiglu_backward");
        keep(z);
        if (d % 2 == 0)
            require(elm_rotary(context_, z, ints(1, 9, {0, 1, 2, 0, 1, 2, 0, 1, 2}), floats(3, d), d, 0, none, z) == ELM_OK, "rotary");
        const elm_tensor pooled = floats(2, d);
        require(elm_pool_heads(context_, z, ints(2, 2, {0, 9, 8, 1}), d, pooled) == ELM_OK, "pool_heads");
        keep(pooled);
    }
    void dense(int type, int m, int n, int k) {
        const elm_tensor x = floats(m, k), weight = floats(n, k, type), y = floats(m, n), dx = floats(m, k), p = floats(1, m),
            entropy = floats(1, m);
        require(elm_linear(context_, x, weight, floats(1, n, type), y, 1) == ELM_OK, "linear");
        require(elm_linear_backward(context_, y, weight, dx, 1) == ELM_OK, "linear_backward");
        keep(y);
        keep(dx);
        const elm_tensor targets = ints(1, m, std::vector<int32_t>(static_cast<size_t>(m), n - 1));
        require(elm_log_probs(context_, x, weight, targets, 0.9f, p, entropy) == ELM_OK, "log_probs");
        require(elm_log_probs_backward(context_, x, weight, targets, 0.9f, p, dx) == ELM_OK, "log_probs_backward");
        keep(entropy);
        keep(dx);
        std::vector<int32_t> settings;
        for (uint32_t i = 0; i < static_cast<uint32_t>(m); i++) {
            const elm_sampling_row row{1.0f, static_cast<int32_t>(i % 3 * 30), i % 2 == 0 ? 1.0f : 0.9f, 0.01f, 1, 2, 3, 4, 5, i};
            int32_t words[10];
            std::memcpy(words, &row, sizeof words);
            settings.insert(settings.end(), words, words + 10);
        }
        require(elm_sample(context_, y, ints(m, 10, settings), targets, p) == ELM_OK, "sample");
        keep(targets);
        keep(p);
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
