// Nearest keys, and the optimizer's step.
#include <cmath>

#include "context.h"
#include "portable.h"

namespace elm {

namespace {

/// Keys that one work item compares.
constexpr int64_t key_block = 64;
/// Elements of one partial sum of the gradient's norm.
constexpr int64_t norm_block = 4096;

/// The best k of the scores, by falling score and rising index; unused places are -1 and 0.
void select(const float* scores, int64_t count, int k, int32_t* indices, float* best) {
    int held = 0;
    for (int64_t i = 0; i < count; i++) {
        if (held == k && !(k > 0 && scores[i] > best[k - 1]))
            continue;
        int at = held < k ? held++ : k - 1;
        for (; at > 0 && scores[i] > best[at - 1]; at--) {
            best[at] = best[at - 1];
            indices[at] = indices[at - 1];
        }
        best[at] = scores[i];
        indices[at] = static_cast<int32_t>(i);
    }
    for (; held < k; held++) {
        indices[held] = -1;
        best[held] = 0.0f;
    }
}

double power(double base, int exponent) {
    double result = 1.0;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if ((exponent & 1) != 0)
            result *= base;
    return result;
}

/// The 2-norm: float sums of fixed blocks, added up in double.
float norm(elm_context& context, const float* x, int64_t count) {
    const int64_t blocks = (count + norm_block - 1) / norm_block;
    float* partial = context.shared_scratch[0].floats(blocks);
    context.parallel_by_cost(blocks, norm_block * 0.1, [&](int64_t begin, int64_t end, int) {
        for (int64_t b = begin; b < end; b++)
            partial[b] = context.kernels.sum_squares(x + b * norm_block,
                count - b * norm_block < norm_block ? count - b * norm_block : norm_block);
    });
    double total = 0.0;
    for (int64_t b = 0; b < blocks; b++)
        total += partial[b];
    return static_cast<float>(sqrt_f64(total));
}

}  // namespace

}  // namespace elm

using namespace elm;

extern "C" {

elm_status elm_cosine_top_k(elm_context* context, elm_tensor queries, elm_tensor keys, elm_tensor limits, int32_t terms, elm_tensor indices,
                            elm_tensor scores) noexcept {
    return guarded([&] {
        const int64_t m = queries.rows, n = keys.rows, d = queries.columns;
        check_indices("limit", i32(limits), m, 0, n + 1);
        const int width = static_cast<int>(d / terms);
        float* all = context->shared_scratch[0].floats(m * n);
        float* squares = context->shared_scratch[1].floats(m * terms);
        for (int64_t i = 0; i < m * terms; i++)
            squares[i] = context->kernels.sum_squares(f32(queries) + i * width, width);
        const int64_t blocks = (n + key_block - 1) / key_block;
        // Queries inside, so that a block of keys comes from memory once.
        context->parallel_by_cost(m * blocks, static_cast<double>(d) * key_block * 0.15, [&](int64_t begin, int64_t end, int) {
            for (int64_t item = begin; item < end; item++) {
                const int64_t query = item % m, first = item / m * key_block, limit = i32(limits)[query];
                const int64_t last = first + key_block < limit ? first + key_block : limit;
                if (first < last)
                    context->kernels.cosine(f32(queries) + query * d, squares + query * terms, f32(keys) + first * d, last - first, terms,
                        width, all + query * n + first);
            }
        });
        const int k = indices.columns;
        for (int64_t query = 0; query < m; query++)
            select(all + query * n, i32(limits)[query], k, i32(indices) + query * k, f32(scores) + query * k);
    });
}

elm_status elm_adamw(elm_context* context, elm_tensor theta, elm_tensor grad, elm_tensor m, elm_tensor v,
                     const elm_adamw_settings* settings, elm_tensor grad_norm) noexcept {
    return guarded([&] {
        const elm_adamw_settings& s = *settings;
        const float length = norm(*context, f32(grad), count(grad));
        f32(grad_norm)[0] = length;
        const float ratio = s.max_grad_norm / (length + 1e-6f);
        AdamWArgs args{};
        args.theta = f32(theta);
        args.grad = f32(grad);
        args.m = f32(m);
        args.v = f32(v);
        args.clip = ratio < 1.0f ? ratio : 1.0f;
        args.shrink = static_cast<float>(1.0 - static_cast<double>(s.learning_rate) * s.weight_decay);
        args.learning_rate = s.learning_rate;
        args.epsilon = s.epsilon;
        args.beta1 = s.beta1;
        args.beta2 = s.beta2;
        args.rest1 = static_cast<float>(1.0 - s.beta1);
        args.rest2 = static_cast<float>(1.0 - s.beta2);
        args.correction1 = static_cast<float>(1.0 - power(s.beta1, s.step));
        args.correction2 = static_cast<float>(1.0 - power(s.beta2, s.step));
        const int64_t blocks = (count(theta) + norm_block - 1) / norm_block;
        context->parallel_by_cost(blocks, norm_block * 0.5, [&](int64_t begin, int64_t end, int) {
            const int64_t last = end * norm_block < count(theta) ? end * norm_block : count(theta);
            context->kernels.adamw(args, begin * norm_block, last);
        });
    });
}

}  // extern "C"
