// Attention over segments: checks the plan, whose indices lead into memory, and shares the work.
#include "context.h"

namespace elm {

namespace {

std::string segment_text(int64_t index) { return "segment " + std::to_string(index); }

std::string query_text(int64_t row, int64_t rows) { return "query row " + std::to_string(row) + " sees " + std::to_string(rows) + " rows"; }

/// Checks segments and queries; returns the depth of the deepest segment. `context_rows` is room for one number for each segment: the rows
/// of all its ancestors.
int check_plan(elm_context& context, const elm_attention_plan& plan, int64_t query_rows, int64_t store_rows, int64_t& total_context) {
    const int32_t* segments = i32(plan.segments);
    const int64_t segment_count = plan.segments.rows;
    // before[2 s]: rows of the ancestors of s; before[2 s + 1]: its depth
    int32_t* before = reinterpret_cast<int32_t*>(context.shared_scratch[2].floats(2 * segment_count + 1));
    int deepest = 1;
    for (int64_t s = 0; s < segment_count; s++) {
        const int64_t first = segments[3 * s], rows = segments[3 * s + 1];
        const int32_t parent = segments[3 * s + 2];
        if (first < 0 || rows < 0 || first + rows > store_rows)
            throw Failure{ELM_INVALID_ARGUMENT, segment_text(s) + " lies outside the " + std::to_string(store_rows) + " rows of the store"};
        if (parent < -1 || parent >= s)
            throw Failure{ELM_INVALID_ARGUMENT,
                          segment_text(s) + " has parent " + std::to_string(parent) + ", which does not come before it"};
        before[2 * s] = parent < 0 ? 0 : before[2 * parent] + segments[3 * parent + 1];
        before[2 * s + 1] = parent < 0 ? 1 : before[2 * parent + 1] + 1;
        if (before[2 * s + 1] > deepest)
            deepest = before[2 * s + 1];
    }
    total_context = 0;
    const int32_t* queries = i32(plan.queries);
    for (int64_t i = 0; i < query_rows; i++) {
        const int32_t segment = queries[2 * i], visible = queries[2 * i + 1];
        if (segment < 0 || segment >= segment_count || visible < 0 || visible > segments[3 * segment + 1])
            throw Failure{ELM_INVALID_ARGUMENT, query_text(i, visible) + " of " + segment_text(segment) +
                                                    ", which has not that many or does not exist"};
        const int64_t rows = static_cast<int64_t>(before[2 * segment]) + visible;
        if (rows > plan.max_context)
            throw Failure{ELM_INVALID_ARGUMENT, query_text(i, rows) + ", more than the plan's " + std::to_string(plan.max_context)};
        total_context += rows;
    }
    return deepest;
}

/// Checks that the trees tile the query rows and that every query sees rows of its own tree only.
void check_trees(const elm_attention_plan& plan, int64_t query_rows) {
    const int32_t* trees = i32(plan.trees);
    const int32_t* segments = i32(plan.segments);
    const int32_t* queries = i32(plan.queries);
    int64_t next = 0;
    for (int64_t t = 0; t < plan.trees.rows; t++) {
        const int64_t first = trees[2 * t], rows = trees[2 * t + 1];
        if (first != next || rows < 0 || first + rows > query_rows)
            throw Failure{ELM_INVALID_ARGUMENT,
                          "tree " + std::to_string(t) + " does not start where the one before it ends, or ends outside the query rows"};
        next = first + rows;
        for (int64_t i = first; i < next; i++)
            for (int32_t s = queries[2 * i]; s >= 0; s = segments[3 * s + 2])
                if (const int64_t start = segments[3 * s], count = segments[3 * s + 1]; count > 0 && (start < first || start + count > next))
                    throw Failure{ELM_INVALID_ARGUMENT, "query row " + std::to_string(i) + " sees " + segment_text(s) +
                                                            ", which lies outside its tree " + std::to_string(t)};
    }
    if (next != query_rows)
        throw Failure{ELM_INVALID_ARGUMENT,
                      "the trees cover " + std::to_string(next) + " of " + std::to_string(query_rows) + " query rows"};
}

AttentionArgs attention_args(const elm_attention_plan& plan, int depth, elm_tensor q, elm_tensor k, elm_tensor v) {
    AttentionArgs args{};
    args.segments = i32(plan.segments);
    args.queries = i32(plan.queries);
    args.trees = i32(plan.trees);
    args.query_heads = plan.query_heads;
    args.key_heads = plan.key_heads;
    args.head_size = plan.head_size;
    args.max_context = plan.max_context;
    args.max_depth = depth;
    args.scale = plan.scale;
    args.q = f32(q);
    args.k = f32(k);
    args.v = f32(v);
    return args;
}

}  // namespace

}  // namespace elm

using namespace elm;

extern "C" {

elm_status elm_attention(elm_context* context, const elm_attention_plan* plan, elm_tensor q, elm_tensor k, elm_tensor v, elm_tensor y,
                         elm_tensor log_sum_exp) noexcept {
    return guarded([&] {
        if (q.rows == 0)
            return;
        int64_t total_context = 0;
        const int depth = check_plan(*context, *plan, q.rows, k.rows, total_context);
        AttentionArgs args = attention_args(*plan, depth, q, k, v);
        args.y = f32(y);
        args.log_sum_exp = f32(log_sum_exp);
        args.rows = q.rows;
        args.block_rows = context->kernels.attention_rows(args);
        const auto items = [&] { return (args.rows + args.block_rows - 1) / args.block_rows * plan->key_heads; };
        while (args.block_rows > 1 && items() < 2 * context->pool.threads())
            args.block_rows /= 2;
        context->reserve(context->kernels.attention_scratch(args));
        const double cost = static_cast<double>(total_context) * plan->query_heads * (plan->head_size * 0.03 + 0.5) + 50.0 * q.rows;
        context->parallel_by_cost(items(), cost / static_cast<double>(items()), [&](int64_t begin, int64_t end, int thread) {
            context->kernels.attention(args, begin, end, context->scratch(thread));
        });
    });
}

elm_status elm_attention_backward(elm_context* context, const elm_attention_plan* plan, elm_tensor q, elm_tensor k, elm_tensor v,
                                  elm_tensor y, elm_tensor log_sum_exp, elm_tensor dy, elm_tensor dq, elm_tensor dk,
                                  elm_tensor dv) noexcept {
    return guarded([&] {
        if (q.rows == 0)
            return;
        int64_t total_context = 0;
        const int depth = check_plan(*context, *plan, q.rows, k.rows, total_context);
        check_trees(*plan, q.rows);
        AttentionArgs args = attention_args(*plan, depth, q, k, v);
        args.y = f32(y);
        args.log_sum_exp = f32(log_sum_exp);
        args.dy = f32(dy);
        args.dq = f32(dq);
        args.dk = f32(dk);
        args.dv = f32(dv);
        context->reserve(context->kernels.attention_backward_scratch(args));
        const int64_t items = static_cast<int64_t>(plan->trees.rows) * plan->key_heads;
        const double cost = static_cast<double>(total_context) * plan->query_heads * plan->head_size * 0.1;
        context->parallel(items, cost < 12000.0 ? items : 1, [&](int64_t begin, int64_t end, int thread) {
            context->kernels.attention_backward(args, begin, end, context->scratch(thread));
        });
    });
}

}  // extern "C"
