// Operations on rows and elements: copies, gathers, norms, rotary embedding, SwiGLU, pooling.
#include <cstring>

#include "context.h"

using namespace elm;

namespace {

/// Nanoseconds that streaming this many bytes takes on one thread, roughly.
double stream_cost(int64_t bytes) { return static_cast<double>(bytes) * 0.05; }

/// Elements of a chunk of an elementwise operation.
constexpr int64_t chunk = 4096;

template <class Body>
void by_chunks(elm_context& context, int64_t elements, double nanoseconds_each, Body&& body) {
    context.parallel_by_cost((elements + chunk - 1) / chunk, nanoseconds_each * chunk, [&](int64_t begin, int64_t end, int) {
        const int64_t first = begin * chunk;
        const int64_t last = end * chunk < elements ? end * chunk : elements;
        body(first, last - first);
    });
}

RmsNormArgs norm_args(elm_tensor x, elm_tensor weight, float epsilon) {
    RmsNormArgs args{};
    args.x = f32(x);
    args.weight = raw(weight);
    args.weight_type = weight.type;
    args.epsilon = epsilon;
    args.d = x.columns;
    return args;
}

}  // namespace

extern "C" {

elm_status elm_zero(elm_context*, elm_tensor x) noexcept {
    if (count(x) > 0)
        std::memset(x.data, 0, static_cast<size_t>(count(x) * size_of(x.type)));
    return ELM_OK;
}

elm_status elm_copy(elm_context* context, elm_tensor source, elm_tensor destination) noexcept {
    return guarded([&] {
        const int size = size_of(source.type);
        by_chunks(*context, count(source), 0.4, [&](int64_t first, int64_t n) {
            context->kernels.widen(raw(source) + first * size, source.type == ELM_I32 ? ELM_F32 : source.type, f32(destination) + first, n);
        });
    });
}

elm_status elm_add(elm_context* context, elm_tensor x, elm_tensor y) noexcept {
    return guarded([&] {
        by_chunks(*context, count(x), 0.4, [&](int64_t first, int64_t n) { context->kernels.add(f32(x) + first, f32(y) + first, n); });
    });
}

elm_status elm_scale_rows(elm_context* context, elm_tensor scales, elm_tensor x) noexcept {
    return guarded([&] {
        const int64_t d = x.columns;
        context->parallel_by_cost(x.rows, stream_cost(d * 8), [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; i++)
                if (const float scale = f32(scales)[i]; scale != 0.0f)
                    context->kernels.scale(scale, f32(x) + i * d, d);
                else  // whatever the row holds
                    std::memset(f32(x) + i * d, 0, static_cast<size_t>(d) * 4);
        });
    });
}

elm_status elm_gather_rows(elm_context* context, elm_tensor source, elm_tensor indices, elm_tensor destination) noexcept {
    return guarded([&] {
        const int64_t m = count(indices), d = source.columns;
        for (int64_t i = 0; i < m; i++)
            if (i32(indices)[i] >= source.rows)
                check_indices("row index", i32(indices), m, INT32_MIN, source.rows);
        const int64_t row_bytes = d * size_of(source.type);
        context->parallel_by_cost(m, stream_cost(row_bytes + d * 4), [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; i++)
                if (const int64_t row = i32(indices)[i]; row >= 0)
                    context->kernels.widen(raw(source) + row * row_bytes, source.type, f32(destination) + i * d, d);
        });
    });
}

elm_status elm_scatter_rows(elm_context* context, elm_tensor source, elm_tensor indices, elm_tensor destination) noexcept {
    return guarded([&] {
        const int64_t m = count(indices), d = source.columns;
        // A row with an index below 0 goes nowhere (the value of a sequence that is over).
        check_indices("row index", i32(indices), m, INT32_MIN, destination.rows);
        context->parallel_by_cost(m, stream_cost(d * 8), [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; i++)
                if (i32(indices)[i] >= 0)
                    std::memcpy(f32(destination) + i32(indices)[i] * d, f32(source) + i * d, static_cast<size_t>(d) * 4);
        });
    });
}

elm_status elm_scatter_add_rows(elm_context* context, elm_tensor source, elm_tensor indices, elm_tensor destination) noexcept {
    return guarded([&] {
        const int64_t m = count(indices), d = source.columns;
        check_indices("row index", i32(indices), m, 0, destination.rows);
        // Rows may meet in one destination, so the threads share the columns instead.
        const int64_t slices = (d + 63) / 64;
        context->parallel_by_cost(slices, stream_cost(m * 64 * 12), [&](int64_t begin, int64_t end, int) {
            const int64_t first = begin * 64, last = end * 64 < d ? end * 64 : d;
            for (int64_t i = 0; i < m; i++)
                context->kernels.add(f32(source) + i * d + first, f32(destination) + i32(indices)[i] * d + first, last - first);
        });
    });
}

elm_status elm_rms_norm(elm_context* context, elm_tensor x, elm_tensor weight, float epsilon, elm_tensor y) noexcept {
    return guarded([&] {
        RmsNormArgs args = norm_args(x, weight, epsilon);
        args.y = f32(y);
        context->parallel_by_cost(x.rows, stream_cost(x.columns * 12) + 10, [&](int64_t begin, int64_t end, int) {
            context->kernels.rms_norm(args, begin, end);
        });
    });
}

elm_status elm_rms_norm_backward(elm_context* context, elm_tensor x, elm_tensor weight, float epsilon, elm_tensor dy,
    elm_tensor dx) noexcept {
    return guarded([&] {
        RmsNormArgs args = norm_args(x, weight, epsilon);
        args.dy = f32(dy);
        args.dx = f32(dx);
        context->parallel_by_cost(x.rows, stream_cost(x.columns * 24) + 15, [&](int64_t begin, int64_t end, int) {
            context->kernels.rms_norm_backward(args, begin, end);
        });
    });
}

elm_status elm_rotary(elm_context* context, elm_tensor x, elm_tensor positions, elm_tensor table, int32_t head_size, int32_t inverse,
                      elm_tensor slots, elm_tensor y) noexcept {
    return guarded([&] {
        check_indices("position", i32(positions), x.rows, 0, table.rows);
        if (slots.data != nullptr)
            check_indices("slot", i32(slots), x.rows, INT32_MIN, y.rows);
        RotaryArgs args{};
        args.x = f32(x);
        args.positions = i32(positions);
        args.table = f32(table);
        args.slots = i32(slots);
        args.y = f32(y);
        args.heads = x.columns / head_size;
        args.head_size = head_size;
        args.inverse = inverse != 0;
        context->parallel_by_cost(x.rows, stream_cost(x.columns * 12) + 10, [&](int64_t begin, int64_t end, int) {
            if (args.slots == nullptr)
                context->kernels.rotary(args, begin, end);
            else
                for (int64_t i = begin; i < end; i++)
                    if (args.slots[i] >= 0)  // others store nothing
                        context->kernels.rotary(args, i, i + 1);
        });
    });
}

elm_status elm_swiglu(elm_context* context, elm_tensor gate, elm_tensor up, elm_tensor y) noexcept {
    return guarded([&] {
        by_chunks(*context, count(y), 1.0, [&](int64_t first, int64_t n) {
            context->kernels.swiglu(f32(gate) + first, f32(up) + first, f32(y) + first, n);
        });
    });
}

elm_status elm_swiglu_backward(elm_context* context, elm_tensor gate, elm_tensor up, elm_tensor dy, elm_tensor dgate,
    elm_tensor dup) noexcept {
    return guarded([&] {
        by_chunks(*context, count(dy), 1.5, [&](int64_t first, int64_t n) {
            context->kernels.swiglu_backward(f32(gate) + first, f32(up) + first, f32(dy) + first, f32(dgate) + first, f32(dup) + first, n);
        });
    });
}

elm_status elm_pool_heads(elm_context* context, elm_tensor x, elm_tensor ranges, int32_t head_size, elm_tensor y) noexcept {
    return guarded([&] {
        const int32_t* range = i32(ranges);
        for (int64_t i = 0; i < ranges.rows; i++)
            if (range[2 * i] < 0 || range[2 * i + 1] < 0 || static_cast<int64_t>(range[2 * i]) + range[2 * i + 1] > x.rows)
                throw Failure{ELM_INVALID_ARGUMENT,
                              "range " + std::to_string(i) + " starts at row " + std::to_string(range[2 * i]) + " with " +
                                  std::to_string(range[2 * i + 1]) + " rows, outside the " + std::to_string(x.rows) + " rows"};
        const int64_t heads = x.columns / head_size;
        const double mean_rows = ranges.rows > 0 ? static_cast<double>(x.rows) / ranges.rows : 0;
        context->parallel_by_cost(ranges.rows, mean_rows * stream_cost(x.columns * 4) + 10, [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; i++)
                context->kernels.pool_heads(f32(x) + static_cast<int64_t>(range[2 * i]) * x.columns, range[2 * i + 1], heads, head_size,
                                            f32(y) + i * head_size);
        });
    });
}

}  // extern "C"
