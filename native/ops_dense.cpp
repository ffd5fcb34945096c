// Linear layers, and the vocabulary head: log-probabilities and their gradient in chunks of rows.
#include <cmath>
#include <cstring>

#include "context.h"
#include "packing.h"
#include "portable.h"

namespace elm {

namespace {

/// Products with less work than this stay on the calling thread.
constexpr double shared_work = 5e5;
/// But for weights of so many bytes, which take as long to come from memory.
constexpr double shared_bytes = 150e3;

int blocks(int64_t size, int64_t block) { return static_cast<int>((size + block - 1) / block); }

/// Whether a product is worth more than one thread.
bool is_shared(const elm_context& context, int m, int columns, int terms, double weight_bytes) {
    return context.pool.threads() > 1 && (static_cast<double>(m) * columns * terms >= shared_work || weight_bytes >= shared_bytes);
}

/// Lays the rows of a product out in groups where that pays; else returns null.
const float* arrange_rows(elm_context& context, const float* x, int64_t x_stride, int m, int terms, bool shared) {
    const int64_t size = context.kernels.arranged_size(m, terms);
    if (size == 0)
        return nullptr;
    float* arranged = context.arranged.floats(size);
    const int64_t groups = blocks(m, context.kernels.group_height()), share = 8 * context.pool.threads();
    context.parallel(groups, shared ? (groups + share - 1) / share : groups, [&](int64_t begin, int64_t end, int) {
        context.kernels.arrange_rows(x, x_stride, m, terms, static_cast<int>(begin), static_cast<int>(end), arranged);
    });
    return arranged;
}

/// Cuts a product of m rows, so many columns and terms into blocks for the threads: body(m0, m1, c0, c1, scratch).
template <class Body>
void each_block(elm_context& context, int m, int columns, int terms, bool shared, Body&& body) {
    const ProductBlock block = context.kernels.product_block(m, columns, terms, shared ? context.pool.threads() : 1);
    context.reserve(context.kernels.product_scratch(block.rows));
    const int column_blocks = blocks(columns, block.columns);
    const int64_t items = static_cast<int64_t>(blocks(m, block.rows)) * column_blocks;
    context.parallel(items, shared ? 1 : items, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t item = begin; item < end; item++) {
            const int m0 = static_cast<int>(item / column_blocks) * block.rows, c0 = static_cast<int>(item % column_blocks) * block.columns;
            body(m0, m - m0 < block.rows ? m : m0 + block.rows, c0, columns - c0 < block.columns ? columns : c0 + block.columns,
                 context.scratch(thread));
        }
    });
}

}  // namespace

void run_linear(elm_context& context, LinearArgs args) {
    const Weight& w = args.weight;
    if (args.rows == 0 || w.rows == 0)
        return;
    const bool shared = is_shared(context, args.rows, w.rows, w.columns, static_cast<double>(w.rows) * w.columns * element_size(w.form));
    args.arranged = arrange_rows(context, args.x, args.x_stride, args.rows, w.columns, shared);
    each_block(context, args.rows, w.rows, w.columns, shared,
               [&](int m0, int m1, int n0, int n1, float* scratch) { context.kernels.linear(args, m0, m1, n0, n1, scratch); });
}

void run_linear_backward(elm_context& context, LinearBackwardArgs args) {
    const Weight& w = args.weight;
    if (args.rows == 0 || w.columns == 0)
        return;
    const bool shared = is_shared(context, args.rows, w.columns, w.rows, 0);
    args.arranged = arrange_rows(context, args.dy, args.dy_stride, args.rows, w.rows, shared);
    each_block(context, args.rows, w.columns, w.rows, shared,
               [&](int m0, int m1, int k0, int k1, float* scratch) { context.kernels.linear_backward(args, m0, m1, k0, k1, scratch); });
}

namespace {

/// Rows of a chunk of the head: few megabytes of logits for a small vocabulary, never under 96 rows, so that a large weight is not
/// read from memory too often.
int head_rows(int vocabulary, int m) {
    const int64_t fitting = (int64_t{1} << 20) / (vocabulary > 0 ? vocabulary : 1);
    const int64_t rows = fitting < 96 ? 96 : fitting > 1024 ? 1024 : fitting;
    return static_cast<int>(rows < m ? rows : m);
}

LinearArgs head_args(const float* hidden, int rows, const elm_tensor& weight, float* logits) {
    LinearArgs args{};
    args.rows = rows;
    args.x = hidden;
    args.x_stride = weight.columns;
    args.weight = weight_of(weight);
    args.y = logits;
    args.y_stride = weight.rows;
    return args;
}

/// The rows that a gradient reaches.
int live_rows(const float* gradients, int m, int32_t* live) {
    int count = 0;
    for (int i = 0; i < m; i++)
        if (gradients[i] != 0.0f)
            live[count++] = i;
    return count;
}

}  // namespace

}  // namespace elm

using namespace elm;

extern "C" {

elm_status elm_linear(elm_context* context, elm_tensor x, elm_tensor weight, elm_tensor bias, elm_tensor y, int32_t accumulate) noexcept {
    return guarded([&] {
        LinearArgs args = head_args(f32(x), x.rows, weight, f32(y));
        args.bias = raw(bias);
        args.bias_type = bias.type;
        args.accumulate = accumulate != 0;
        run_linear(*context, args);
    });
}

elm_status elm_linear_backward(elm_context* context, elm_tensor dy, elm_tensor weight, elm_tensor dx, int32_t accumulate) noexcept {
    return guarded([&] {
        run_linear_backward(*context, {f32(dy), weight.rows, nullptr, dy.rows, weight_of(weight), f32(dx), weight.columns, accumulate != 0});
    });
}

elm_status elm_log_probs(elm_context* context, elm_tensor hidden, elm_tensor weight, elm_tensor targets, float temperature,
                         elm_tensor log_probs, elm_tensor entropy) noexcept {
    return guarded([&] {
        const int m = hidden.rows;
        const int64_t d = hidden.columns, vocabulary = weight.rows;
        check_indices("target", i32(targets), m, 0, vocabulary);
        const int step = head_rows(weight.rows, m);
        float* logits = context->shared_scratch[0].floats(step * vocabulary);
        const float factor = 1.0f / temperature;
        for (int first = 0; first < m; first += step) {
            const int rows = m - first < step ? m - first : step;
            run_linear(*context, head_args(f32(hidden) + first * d, rows, weight, logits));
            context->parallel_by_cost(rows, static_cast<double>(vocabulary) * 0.7, [&](int64_t begin, int64_t end, int) {
                for (int64_t i = begin; i < end; i++) {
                    const float* row = logits + i * vocabulary;
                    const RowSoftmax softmax = context->kernels.softmax_row(row, vocabulary, factor, nullptr);
                    f32(log_probs)[first + i] = row[i32(targets)[first + i]] * factor - softmax.largest - log_f32(softmax.sum);
                    if (entropy.data != nullptr)
                        f32(entropy)[first + i] = context->kernels.entropy_row(row, vocabulary, factor, softmax);
                }
            });
        }
    });
}

elm_status elm_log_probs_backward(elm_context* context, elm_tensor hidden, elm_tensor weight, elm_tensor targets, float temperature,
                                  elm_tensor dlog_probs, elm_tensor dhidden) noexcept {
    return guarded([&] {
        const int m = hidden.rows;
        const int64_t d = hidden.columns, vocabulary = weight.rows;
        check_indices("target", i32(targets), m, 0, vocabulary);
        int32_t* live = reinterpret_cast<int32_t*>(context->shared_scratch[2].floats(m));
        const int live_count = live_rows(f32(dlog_probs), m, live);
        elm_zero(context, dhidden);
        const int step = head_rows(weight.rows, live_count);
        float* logits = context->shared_scratch[0].floats(step * vocabulary);
        float* rows_in = context->shared_scratch[1].floats(2 * step * d);
        float* rows_out = rows_in + step * d;
        const float factor = 1.0f / temperature;
        for (int first = 0; first < live_count; first += step) {
            const int rows = live_count - first < step ? live_count - first : step;
            for (int i = 0; i < rows; i++)
                std::memcpy(rows_in + i * d, f32(hidden) + live[first + i] * d, static_cast<size_t>(d) * 4);
            run_linear(*context, head_args(rows_in, rows, weight, logits));
            context->parallel_by_cost(rows, static_cast<double>(vocabulary) * 1.2, [&](int64_t begin, int64_t end, int) {
                for (int64_t i = begin; i < end; i++) {
                    float* row = logits + i * vocabulary;
                    const int64_t at = live[first + i];
                    const RowSoftmax softmax = context->kernels.softmax_row(row, vocabulary, factor, nullptr);
                    context->kernels.softmax_gradient_row(row, vocabulary, factor, softmax, i32(targets)[at], f32(dlog_probs)[at] * factor);
                }
            });
            run_linear_backward(*context, {logits, vocabulary, nullptr, rows, weight_of(weight), rows_out, d, false});
            for (int i = 0; i < rows; i++)
                std::memcpy(f32(dhidden) + live[first + i] * d, rows_out + i * d, static_cast<size_t>(d) * 4);
        }
    });
}

}  // extern "C"
