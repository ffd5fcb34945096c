// Linear layers, and the vocabulary head: log-probabilities and their gradient in chunks of rows.
#include <cmath>
#include <cstring>

#include "context.h"
#include "portable.h"

namespace elm {

namespace {

/// Products with less work than this stay on the calling thread.
constexpr double shared_work = 5e5;
/// But for weights of so many bytes, which take as long to come from memory.
constexpr double shared_bytes = 150e3;
/// Rows of a block: a multiple of every path's tile.
constexpr int block_rows = 240;
constexpr int block_columns = 64;

int blocks(int64_t size, int64_t block) { return static_cast<int>((size + block - 1) / block); }

/// Columns of a block such that all threads have work.
int columns_for(int threads, int row_blocks, int columns) {
    int width = block_columns;
    while (width > 16 && static_cast<int64_t>(row_blocks) * blocks(columns, width) < 2 * threads)
        width /= 2;
    return width;
}

}  // namespace

void run_linear(elm_context& context, const LinearArgs& args, int m) {
    if (m == 0 || args.n == 0)
        return;
    const Kernels& kernels = context.kernels;
    const int threads = context.pool.threads();
    const double elements = static_cast<double>(args.n) * args.k;
    const bool shared = threads > 1 && (m * elements >= shared_work || elements * (args.weight_type == ELM_F32 ? 4 : 2) >= shared_bytes);
    const LinearBlock block = kernels.linear_block(m, args.n, args.k, shared ? threads : 1);
    context.reserve(kernels.linear_scratch(block.rows, args.k));
    const int column_blocks = blocks(args.n, block.columns);
    const int64_t items = static_cast<int64_t>(blocks(m, block.rows)) * column_blocks;
    context.parallel(items, shared ? 1 : items, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t item = begin; item < end; item++) {
            const int m0 = static_cast<int>(item / column_blocks) * block.rows;
            const int n0 = static_cast<int>(item % column_blocks) * block.columns;
            kernels.linear(args, m0, m - m0 < block.rows ? m : m0 + block.rows, n0,
                           args.n - n0 < block.columns ? args.n : n0 + block.columns, context.scratch(thread));
        }
    });
}

void run_linear_backward(elm_context& context, const LinearBackwardArgs& args, int m) {
    if (m == 0 || args.k == 0)
        return;
    const Kernels& kernels = context.kernels;
    context.reserve(kernels.linear_backward_scratch());
    const int threads = context.pool.threads();
    const double work = static_cast<double>(m) * args.n * args.k;
    if (threads == 1 || work < shared_work) {
        kernels.linear_backward(args, 0, m, 0, args.k, context.scratch(0));
        return;
    }
    const int row_blocks = blocks(m, block_rows);
    const int width = columns_for(threads, row_blocks, args.k);
    const int column_blocks = blocks(args.k, width);
    context.parallel(static_cast<int64_t>(row_blocks) * column_blocks, 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t item = begin; item < end; item++) {
            const int m0 = static_cast<int>(item / column_blocks) * block_rows, k0 = static_cast<int>(item % column_blocks) * width;
            kernels.linear_backward(args, m0, m - m0 < block_rows ? m : m0 + block_rows, k0, args.k - k0 < width ? args.k : k0 + width,
                                    context.scratch(thread));
        }
    });
}

namespace {

/// Rows of a chunk of the head: few megabytes of logits for a small vocabulary, never under 96 rows, so that a large weight is not
/// read from memory too often.
int head_rows(int vocabulary, int m) {
    const int64_t fitting = (int64_t{1} << 20) / (vocabulary > 0 ? vocabulary : 1);
    const int64_t rows = fitting < 96 ? 96 : fitting > 1024 ? 1024 : fitting;
    return static_cast<int>(rows < m ? rows : m);
}

LinearArgs head_args(const float* hidden, const elm_tensor& weight, float* logits) {
    LinearArgs args{};
    args.x = hidden;
    args.x_stride = weight.columns;
    args.weight = raw(weight);
    args.weight_type = weight.type;
    args.y = logits;
    args.y_stride = weight.rows;
    args.n = weight.rows;
    args.k = weight.columns;
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
        LinearArgs args = head_args(f32(x), weight, f32(y));
        args.bias = raw(bias);
        args.bias_type = bias.type;
        args.accumulate = accumulate != 0;
        run_linear(*context, args, x.rows);
    });
}

elm_status elm_linear_backward(elm_context* context, elm_tensor dy, elm_tensor weight, elm_tensor dx, int32_t accumulate) noexcept {
    return guarded([&] {
        const LinearBackwardArgs args{f32(dy), weight.rows, raw(weight), weight.type, f32(dx), weight.columns, weight.rows,
            weight.columns, accumulate != 0};
        run_linear_backward(*context, args, dy.rows);
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
            run_linear(*context, head_args(f32(hidden) + first * d, weight, logits), rows);
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
            run_linear(*context, head_args(rows_in, weight, logits), rows);
            context->parallel_by_cost(rows, static_cast<double>(vocabulary) * 1.2, [&](int64_t begin, int64_t end, int) {
                for (int64_t i = begin; i < end; i++) {
                    float* row = logits + i * vocabulary;
                    const int64_t at = live[first + i];
                    const RowSoftmax softmax = context->kernels.softmax_row(row, vocabulary, factor, nullptr);
                    context->kernels.softmax_gradient_row(row, vocabulary, factor, softmax, i32(targets)[at], f32(dlog_probs)[at] * factor);
                }
            });
            const LinearBackwardArgs args{logits, vocabulary, raw(weight), weight.type, rows_out, d, weight.rows, weight.columns, false};
            run_linear_backward(*context, args, rows);
            for (int i = 0; i < rows; i++)
                std::memcpy(f32(dhidden) + live[first + i] * d, rows_out + i * d, static_cast<size_t>(d) * 4);
        }
    });
}

}  // extern "C"
