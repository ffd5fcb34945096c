// Linear layers, and the vocabulary head: log-probabilities and their gradient in chunks of rows.
#include <cmath>

#include "context.h"
#include "packing.h"
#include "portable.h"

namespace elm {

namespace {

/// Products with less work than this stay on the calling thread.
constexpr double shared_work = 5e5;
/// But for weights of so many bytes, which take as long to come from memory.
constexpr double shared_bytes = 150e3;
constexpr int most_projections = 8;

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

}  // namespace

void run_linear(elm_context& context, LinearArgs* layers, int count) {
    const Kernels& kernels = context.kernels;
    const LinearArgs& first = layers[0];
    const int m = first.rows, terms = first.weight.columns;
    int outputs = 0;
    double bytes = 0;
    for (int i = 0; i < count; i++) {
        outputs += layers[i].weight.rows;
        bytes += static_cast<double>(layers[i].weight.rows) * terms * element_size(layers[i].weight.form);
    }
    if (m == 0 || outputs == 0)
        return;
    const bool shared = is_shared(context, m, outputs, terms, bytes);
    const float* arranged = arrange_rows(context, first.x, first.x_stride, m, terms, shared);
    const ProductBlock block = kernels.product_block(m, outputs, terms, shared ? context.pool.threads() : 1);
    context.reserve(kernels.product_scratch(block.rows));
    // Items run through the row blocks of the first layer's first columns, of its next columns, and so on through the layers.
    const int row_blocks = blocks(m, block.rows);
    int64_t ends[most_projections], items = 0;
    for (int i = 0; i < count; i++) {
        layers[i].arranged = arranged;
        ends[i] = items += static_cast<int64_t>(blocks(layers[i].weight.rows, block.columns)) * row_blocks;
    }
    context.parallel(items, shared ? 1 : items, [&](int64_t begin, int64_t end, int thread) {
        int layer = 0;
        for (int64_t item = begin; item < end; item++) {
            while (item >= ends[layer])
                layer++;
            const int64_t own = item - (layer > 0 ? ends[layer - 1] : 0);
            const int n = layers[layer].weight.rows;
            const int m0 = static_cast<int>(own % row_blocks) * block.rows, n0 = static_cast<int>(own / row_blocks) * block.columns;
            kernels.linear(layers[layer], m0, m - m0 < block.rows ? m : m0 + block.rows, n0, n - n0 < block.columns ? n : n0 + block.columns,
                           context.scratch(thread));
        }
    });
}

void run_linear_backward(elm_context& context, LinearBackwardArgs args) {
    const Weight& w = args.weight;
    const Kernels& kernels = context.kernels;
    const int m = args.rows, k = w.columns;
    if (m == 0 || k == 0)
        return;
    const bool shared = is_shared(context, m, k, w.rows, 0);
    args.arranged = arrange_rows(context, args.dy, args.dy_stride, m, w.rows, shared);
    const ProductBlock block = kernels.product_block(m, k, w.rows, shared ? context.pool.threads() : 1);
    context.reserve(kernels.product_scratch(block.rows));
    const int row_blocks = blocks(m, block.rows);
    const int64_t items = static_cast<int64_t>(blocks(k, block.columns)) * row_blocks;
    context.parallel(items, shared ? 1 : items, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t item = begin; item < end; item++) {
            const int m0 = static_cast<int>(item % row_blocks) * block.rows, k0 = static_cast<int>(item / row_blocks) * block.columns;
            kernels.linear_backward(args, m0, m - m0 < block.rows ? m : m0 + block.rows, k0, k - k0 < block.columns ? k : k0 + block.columns,
                                    context.scratch(thread));
        }
    });
}

namespace {

/// Rows of a chunk of the head: few megabytes of logits for a small vocabulary, and for a large one as many rows as a product takes at once,
/// so that a large weight is seldom read from memory and unpacked. The chunks are of like size.
int head_rows(int vocabulary, int m) {
    const int64_t fitting = (int64_t{1} << 20) / (vocabulary > 0 ? vocabulary : 1);
    const int64_t most = fitting < 240 ? 240 : fitting > 1024 ? 1024 : fitting;
    const int64_t chunks = (m + most - 1) / most;
    return chunks == 0 ? 0 : static_cast<int>((m + chunks - 1) / chunks);
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
        run_linear(*context, &args, 1);
    });
}

elm_status elm_project(elm_context* context, elm_tensor x, const elm_projection* projections, int32_t count) noexcept {
    return guarded([&] {
        if (count > most_projections)
            throw Failure{ELM_INVALID_ARGUMENT, "more than 8 projections at once; split them"};
        LinearArgs layers[most_projections];
        for (int i = 0; i < count; i++) {
            layers[i] = head_args(f32(x), x.rows, projections[i].weight, f32(projections[i].y));
            layers[i].bias = raw(projections[i].bias);
            layers[i].bias_type = projections[i].bias.type;
        }
        if (count > 0)
            run_linear(*context, layers, count);
    });
}

elm_status elm_linear_backward(elm_context* context, elm_tensor dy, elm_tensor weight, elm_tensor dx, int32_t accumulate) noexcept {
    return guarded([&] {
        run_linear_backward(*context, {f32(dy), weight.rows, nullptr, dy.rows, weight_of(weight), f32(dx), weight.columns, accumulate != 0});
    });
}

elm_status elm_log_probs(elm_context* context, elm_tensor hidden, elm_tensor weight, elm_tensor targets, float temperature,
                         elm_tensor log_probs, elm_tensor entropy, elm_tensor gradient) noexcept {
    return guarded([&] {
        const int m = hidden.rows;
        const int64_t d = hidden.columns, vocabulary = weight.rows;
        check_indices("target", i32(targets), m, 0, vocabulary);
        const int step = head_rows(weight.rows, m);
        float* logits = context->shared_scratch[0].floats(step * vocabulary);
        const float factor = 1.0f / temperature;
        const bool differentiates = gradient.data != nullptr;
        for (int first = 0; first < m; first += step) {
            const int rows = m - first < step ? m - first : step;
            LinearArgs head = head_args(f32(hidden) + first * d, rows, weight, logits);
            run_linear(*context, &head, 1);
            context->parallel_by_cost(rows, static_cast<double>(vocabulary) * (differentiates ? 1.2 : 0.7), [&](int64_t begin, int64_t end, int) {
                for (int64_t i = begin; i < end; i++) {
                    float* row = logits + i * vocabulary;
                    const int32_t target = i32(targets)[first + i];
                    const RowSoftmax softmax = context->kernels.softmax_row(row, vocabulary, factor, nullptr);
                    f32(log_probs)[first + i] = row[target] * factor - softmax.largest - log_f32(softmax.sum);
                    if (entropy.data != nullptr)
                        f32(entropy)[first + i] = context->kernels.entropy_row(row, vocabulary, factor, softmax);
                    if (differentiates)  // last, as it takes the logits' place
                        context->kernels.softmax_gradient_row(row, vocabulary, factor, softmax, target, factor);
                }
            });
            if (differentiates)
                run_linear_backward(*context, {logits, vocabulary, nullptr, rows, weight_of(weight), f32(gradient) + first * d, d, false});
        }
    });
}

}  // extern "C"
