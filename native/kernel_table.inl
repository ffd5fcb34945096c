// The table of a path: the last part of each kernels_*.cpp.

#include "lanes.inl"

#include "elementwise.inl"

#include "rows.inl"

#include "axpy.inl"

#include "weight_tiles.inl"

#include "product.inl"

#include "linear.inl"

#include "head.inl"

#include "attention.inl"

#include "attention_backward.inl"

namespace elm::ELM_PATH {

static constexpr Kernels table = {
    path_value,
    fma_all,
    exp_all,
    widen,
    add_all,
    scale_all,
    rms_norm,
    rms_norm_backward,
    product_block,
    product_scratch,
    arranged_size,
    group_height,
    arrange_rows,
    linear,
    linear_backward,
    rotary,
    attention_rows,
    attention,
    attention_backward,
    attention_scratch,
    attention_backward_scratch,
    swiglu,
    swiglu_backward,
    softmax_row,
    entropy_row,
    softmax_gradient_row,
    pool_heads,
    cosine,
    sum_squares,
    adamw,
};

}  // namespace elm::ELM_PATH
