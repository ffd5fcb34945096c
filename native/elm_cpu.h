/* The C ABI of libelm_cpu, the CPU compute core of ElmNative.
 *
 * Matrices are row-major and contiguous. Every call returns a status; the sentence that belongs to a failure is elm_last_error() of the
 * same thread. Nothing is thrown across this border. A context serves one caller at a time. Shapes and types are checked by the caller;
 * what the callee checks is the content of index tensors, since a wrong index would touch foreign memory.
 *
 * Numbers: every sum has one fixed order (products: chains of 128 multiply-adds; the rest: 16 lanes and one tree), with explicit fused
 * multiply-adds. So its bits depend neither on the instruction set (scalar, avx2, avx512), nor on the number of threads, nor on the other
 * rows of a batch, nor on whether a weight was packed. */
#ifndef ELM_CPU_H
#define ELM_CPU_H

#include <stdint.h>

#ifdef _WIN32
#define ELM_API __declspec(dllexport)
#else
#define ELM_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
#define ELM_NOEXCEPT noexcept
extern "C" {
#else
#define ELM_NOEXCEPT
#endif

/* Raised with every change of this header that an older caller would not survive. */
#define ELM_ABI_VERSION 3

typedef int32_t elm_status;
enum {
    ELM_OK = 0,
    ELM_INVALID_ARGUMENT = 1, /* an index or a plan that points outside its tensor */
    ELM_OUT_OF_MEMORY = 2,
    ELM_UNSUPPORTED = 3, /* a path that this processor lacks, or an unknown name */
    ELM_INTERNAL = 4
};

/* ELM_MATRIX: data is an elm_matrix; for the weights of products alone. */
enum { ELM_F32 = 0, ELM_BF16 = 1, ELM_F16 = 2, ELM_I32 = 3, ELM_MATRIX = 4 };

/* A row-major matrix. data = NULL is the absent tensor; float weights may lie at any address. */
typedef struct {
    void* data;
    int32_t type;
    int32_t rows;
    int32_t columns;
} elm_tensor;

/* Who attends to what; see AttentionPlan.cs. */
typedef struct {
    elm_tensor segments; /* I32 [segments, 3]: first row, rows, parent or -1 */
    elm_tensor queries;  /* I32 [m, 2]: segment, visible rows of it */
    elm_tensor trees;    /* I32 [trees, 2]: first query row, query rows; absent for decode */
    int32_t max_context; /* most rows that a query sees */
    int32_t query_heads;
    int32_t key_heads;
    int32_t head_size;
    float scale;
} elm_attention_plan;

/* One of several linear layers of the same rows: y = x W^T + bias. */
typedef struct {
    elm_tensor weight, bias, y;
} elm_projection;

/* How one row of logits is sampled; see SamplingRow.cs. */
typedef struct {
    float temperature;
    int32_t top_k;
    float top_p;
    float min_p;
    uint32_t seed_low, seed_high;
    uint32_t problem, step, rollout, position;
} elm_sampling_row;

/* The rates of one AdamW step; step counts from 1. */
typedef struct {
    float learning_rate, beta1, beta2, epsilon, weight_decay, max_grad_norm;
    int32_t step;
} elm_adamw_settings;

typedef struct elm_context elm_context;
/* A weight laid out for products. */
typedef struct elm_matrix elm_matrix;

ELM_API int32_t elm_abi_version(void) ELM_NOEXCEPT;

/* The sentence of this thread's last failure; valid until its next call. */
ELM_API const char* elm_last_error(void) ELM_NOEXCEPT;

/* Paths that this machine can run: bit 0 scalar, bit 1 avx2, bit 2 avx512. */
ELM_API int32_t elm_supported_paths(void) ELM_NOEXCEPT;

/* Number of processors that this process may use. */
ELM_API int32_t elm_processors(void) ELM_NOEXCEPT;

/* Makes a context with its thread pool. threads: 0 = all processors. path: "scalar", "avx2", "avx512", or NULL/"" for what the environment
 * variable ELM_CPU names, else the best. */
ELM_API elm_status elm_create(int32_t threads, const char* path, elm_context** context) ELM_NOEXCEPT;
ELM_API void elm_destroy(elm_context* context) ELM_NOEXCEPT;
ELM_API int32_t elm_threads(const elm_context* context) ELM_NOEXCEPT;
/* 0 scalar, 1 avx2, 2 avx512 */
ELM_API int32_t elm_path(const elm_context* context) ELM_NOEXCEPT;

/* Lays a float matrix out for products: they give the same bits, and read a bf16 weight in three quarters of its bytes. The weight itself is not
 * needed any longer. */
ELM_API elm_status elm_pack(elm_context*, elm_tensor weight, elm_matrix** matrix) ELM_NOEXCEPT;
ELM_API void elm_free_matrix(elm_matrix* matrix) ELM_NOEXCEPT;
ELM_API int64_t elm_matrix_bytes(const elm_matrix* matrix) ELM_NOEXCEPT;

/* The operations of IBackend.cs, in its order and with its contracts. */
ELM_API elm_status elm_zero(elm_context*, elm_tensor x) ELM_NOEXCEPT;
ELM_API elm_status elm_copy(elm_context*, elm_tensor source, elm_tensor destination) ELM_NOEXCEPT;
ELM_API elm_status elm_add(elm_context*, elm_tensor x, elm_tensor y) ELM_NOEXCEPT;
ELM_API elm_status elm_scale_rows(elm_context*, elm_tensor scales, elm_tensor x) ELM_NOEXCEPT;
ELM_API elm_status elm_gather_rows(elm_context*, elm_tensor source, elm_tensor indices, elm_tensor destination) ELM_NOEXCEPT;
ELM_API elm_status elm_scatter_rows(elm_context*, elm_tensor source, elm_tensor indices, elm_tensor destination) ELM_NOEXCEPT;
ELM_API elm_status elm_scatter_add_rows(elm_context*, elm_tensor source, elm_tensor indices, elm_tensor destination) ELM_NOEXCEPT;
ELM_API elm_status elm_rms_norm(elm_context*, elm_tensor x, elm_tensor weight, float epsilon, elm_tensor y) ELM_NOEXCEPT;
ELM_API elm_status elm_rms_norm_backward(elm_context*, elm_tensor x, elm_tensor weight, float epsilon, elm_tensor dy,
                                         elm_tensor dx) ELM_NOEXCEPT;
ELM_API elm_status elm_linear(elm_context*, elm_tensor x, elm_tensor weight, elm_tensor bias, elm_tensor y,
                              int32_t accumulate) ELM_NOEXCEPT;
/* At most 8, with the bits of as many calls of elm_linear. */
ELM_API elm_status elm_project(elm_context*, elm_tensor x, const elm_projection* projections, int32_t count) ELM_NOEXCEPT;
ELM_API elm_status elm_linear_backward(elm_context*, elm_tensor dy, elm_tensor weight, elm_tensor dx, int32_t accumulate) ELM_NOEXCEPT;
ELM_API elm_status elm_rotary(elm_context*, elm_tensor x, elm_tensor positions, elm_tensor table, int32_t head_size, int32_t inverse,
                              elm_tensor slots, elm_tensor y) ELM_NOEXCEPT;
ELM_API elm_status elm_attention(elm_context*, const elm_attention_plan* plan, elm_tensor q, elm_tensor k, elm_tensor v, elm_tensor y,
                                 elm_tensor log_sum_exp) ELM_NOEXCEPT;
ELM_API elm_status elm_attention_backward(elm_context*, const elm_attention_plan* plan, elm_tensor q, elm_tensor k, elm_tensor v,
                                          elm_tensor y, elm_tensor log_sum_exp, elm_tensor dy, elm_tensor dq, elm_tensor dk,
                                          elm_tensor dv) ELM_NOEXCEPT;
ELM_API elm_status elm_swiglu(elm_context*, elm_tensor gate, elm_tensor up, elm_tensor y) ELM_NOEXCEPT;
ELM_API elm_status elm_swiglu_backward(elm_context*, elm_tensor gate, elm_tensor up, elm_tensor dy, elm_tensor dgate,
                                       elm_tensor dup) ELM_NOEXCEPT;
ELM_API elm_status elm_log_probs(elm_context*, elm_tensor hidden, elm_tensor weight, elm_tensor targets, float temperature,
                                 elm_tensor log_probs, elm_tensor entropy, elm_tensor gradient) ELM_NOEXCEPT;
ELM_API elm_status elm_sample(elm_context*, elm_tensor logits, elm_tensor rows, elm_tensor tokens, elm_tensor log_probs) ELM_NOEXCEPT;
ELM_API elm_status elm_pool_heads(elm_context*, elm_tensor x, elm_tensor ranges, int32_t head_size, elm_tensor y) ELM_NOEXCEPT;
ELM_API elm_status elm_cosine_top_k(elm_context*, elm_tensor queries, elm_tensor keys, elm_tensor limits, int32_t terms, elm_tensor indices,
                                    elm_tensor scores) ELM_NOEXCEPT;
ELM_API elm_status elm_adamw(elm_context*, elm_tensor theta, elm_tensor grad, elm_tensor m, elm_tensor v,
                             const elm_adamw_settings* settings, elm_tensor grad_norm) ELM_NOEXCEPT;

/* For the tests: the building blocks that are not operations. */
ELM_API void elm_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t output[4]) ELM_NOEXCEPT;
/* y[i] = exp(x[i]) as the kernels compute it. */
ELM_API void elm_exp(const elm_context*, const float* x, float* y, int64_t count) ELM_NOEXCEPT;
/* y[i] = log(x[i]) as the kernels compute it, for x > 0. */
ELM_API void elm_log(const float* x, float* y, int64_t count) ELM_NOEXCEPT;
/* y[i] = a[i] * b[i] + c[i] rounded once, with the path's multiply-add. */
ELM_API void elm_fma(const elm_context*, const float* a, const float* b, const float* c, float* y, int64_t count) ELM_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
