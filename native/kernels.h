// The kernels of one instruction set as a table of functions. They work on ranges and know neither threads nor the C ABI.
#pragma once

#include <cstdint>

#include "weight.h"

namespace elm {

enum class Path : int { scalar = 0, avx2 = 1, avx512 = 2 };

/// y[m, n] = x[m, k] W[n, k]^T + bias (+ y).
struct LinearArgs {
    const float* x;
    int64_t x_stride;       // floats
    const float* arranged;  // the rows of x as arrange_rows lays them out, or null
    int rows;               // of x
    Weight weight;
    const uint8_t* bias;  // or null
    int bias_type;
    float* y;
    int64_t y_stride;  // floats
    bool accumulate;
};

/// dx[m, k] = dy[m, n] W[n, k] (+ dx).
struct LinearBackwardArgs {
    const float* dy;
    int64_t dy_stride;
    const float* arranged;  // likewise
    int rows;
    Weight weight;
    float* dx;
    int64_t dx_stride;
    bool accumulate;
};

/// The part of a product that one thread computes at a time.
struct ProductBlock {
    int rows, columns;
};

struct RmsNormArgs {
    const float* x;
    const uint8_t* weight;
    int weight_type;
    float epsilon;
    float* y;         // forward
    const float* dy;  // backward
    float* dx;
    int d;
};

struct RotaryArgs {
    const float* x;
    const int32_t* positions;
    const float* table;
    const int32_t* slots;  // or null
    float* y;
    int heads, head_size;
    bool inverse;
};

struct AttentionArgs {
    const int32_t* segments;
    const int32_t* queries;
    const int32_t* trees;
    int query_heads, key_heads, head_size;
    int max_context;
    int max_depth;  // segments on the longest way to a root
    int64_t rows;   // query rows
    int block_rows; // query rows of a work item of the forward pass
    float scale;
    const float *q, *k, *v;
    float* y;
    float* log_sum_exp;  // or null in the forward pass
    const float* dy;
    float *dq, *dk, *dv;
};

/// Softmax of one row of logits times a factor: its largest scaled logit, and the sum of exp(scaled logit - largest).
struct RowSoftmax {
    float largest;
    float sum;
};

struct AdamWArgs {
    float* theta;
    const float* grad;
    float *m, *v;
    float clip;                    // factor on the gradient
    float shrink;                  // 1 - lr * decay
    float learning_rate, epsilon;
    float beta1, beta2, rest1, rest2;    // rest = 1 - beta
    float correction1, correction2;      // 1 - beta^step
};

struct Kernels {
    Path path;
    void (*fma)(const float* a, const float* b, const float* c, float* y, int64_t count);
    void (*exp)(const float* x, float* y, int64_t count);
    void (*widen)(const uint8_t* source, int type, float* destination, int64_t count);
    void (*add)(const float* x, float* y, int64_t count);
    /// x *= factor.
    void (*scale)(float factor, float* x, int64_t count);
    void (*rms_norm)(const RmsNormArgs&, int64_t row_begin, int64_t row_end);
    void (*rms_norm_backward)(const RmsNormArgs&, int64_t row_begin, int64_t row_end);
    /// How a product of m rows and so many columns, with sums of so many terms, is best cut for a number of threads.
    ProductBlock (*product_block)(int m, int columns, int terms, int threads);
    /// Floats of scratch for a block of so many rows.
    int64_t (*product_scratch)(int rows);
    /// Floats of the rows of a product laid out in groups; 0 where they are better left as they lie.
    int64_t (*arranged_size)(int rows, int terms);
    /// Rows of a group.
    int (*group_height)();
    /// Lays out the groups [begin, end).
    void (*arrange_rows)(const float* x, int64_t x_stride, int rows, int terms, int begin, int end, float* out);
    /// Rows [m0, m1) and columns [n0, n1) of y, no larger than such a block; n0 is a multiple of 16.
    void (*linear)(const LinearArgs&, int m0, int m1, int n0, int n1, float* scratch);
    /// Rows [m0, m1) and columns [k0, k1) of dx, likewise.
    void (*linear_backward)(const LinearBackwardArgs&, int m0, int m1, int k0, int k1, float* scratch);
    void (*rotary)(const RotaryArgs&, int64_t row_begin, int64_t row_end);
    /// Query rows that one work item should take.
    int (*attention_rows)(const AttentionArgs&);
    /// Items (block of args.block_rows query rows) * key_heads + key head; scratch of attention_scratch floats.
    void (*attention)(const AttentionArgs&, int64_t item_begin, int64_t item_end, float* scratch);
    /// Items tree * key_heads + key head.
    void (*attention_backward)(const AttentionArgs&, int64_t item_begin, int64_t item_end, float* scratch);
    int64_t (*attention_scratch)(const AttentionArgs&);
    int64_t (*attention_backward_scratch)(const AttentionArgs&);
    void (*swiglu)(const float* gate, const float* up, float* y, int64_t count);
    void (*swiglu_backward)(const float* gate, const float* up, const float* dy, float* dgate, float* dup, int64_t count);
    /// Softmax of a row; stores exp(scaled logit - largest) where e is not null (room for count rounded up to 16).
    RowSoftmax (*softmax_row)(const float* logits, int64_t count, float factor, float* e);
    float (*entropy_row)(const float* logits, int64_t count, float factor, RowSoftmax);
    /// logits[v] becomes g * ([v = target] - p_v).
    void (*softmax_gradient_row)(float* logits, int64_t count, float factor, RowSoftmax, int64_t target, float g);
    /// y = mean of rows x heads vectors of head_size.
    void (*pool_heads)(const float* x, int64_t rows, int64_t heads, int head_size, float* y);
    /// scores[i] = mean over terms of cos(query term, term of key i); query_squares: sum_squares of each term of the query.
    void (*cosine)(const float* query, const float* query_squares, const float* keys, int64_t count, int terms, int width, float* scores);
    float (*sum_squares)(const float* x, int64_t count);
    void (*adamw)(const AdamWArgs&, int64_t begin, int64_t end);
};

const Kernels& scalar_kernels();
#ifdef ELM_X86
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#endif

}  // namespace elm
