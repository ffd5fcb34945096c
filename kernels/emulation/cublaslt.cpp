// A stand-in for libcublasLt: the calls that the project binds, for float and bfloat16 with float accumulation, on the streams of the stand-in for libcuda. Matrices are column-major
// unless their layout says otherwise; D = alpha op(A) op(B) + beta C (+ bias of D's rows).
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "driver/driver.h"
#include "driver/recorder.h"

namespace {

using elm::driver::Driver;

enum Status { Success = 0, NotInitialized = 1, InvalidValue = 7, ExecutionFailed = 13, NotSupported = 15 };
enum Type { Float = 0, BFloat16 = 14 };

struct MatmulDesc {
  int compute, scale, transpose_a = 0, transpose_b = 0, epilogue = 1, bias_type = -1;
  const void* bias = nullptr;
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t leading;
  int order = 0, batch = 1;
  int64_t stride = 0;
};
struct Preference {
  uint64_t workspace = 0;
};
struct Algorithm {
  uint64_t data[8];
};
struct HeuristicResult {
  Algorithm algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(HeuristicResult) == 96);

constexpr uint64_t kAlgorithm = 0x656d756c;
constexpr int kEpilogueDefault = 1, kEpilogueBias = 4;
/// The handle of every context.
void* const kHandle = reinterpret_cast<void*>(0xe1f2000);

float to_float(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

uint16_t to_bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

size_t size_of(int type) { return type == Float ? 4 : 2; }

float get(const void* matrix, int type, int64_t at) { return type == Float ? static_cast<const float*>(matrix)[at] : to_float(static_cast<const uint16_t*>(matrix)[at]); }

int64_t place(const Layout& layout, uint64_t row, uint64_t column) {
  return layout.order ? static_cast<int64_t>(row) * layout.leading + static_cast<int64_t>(column) : static_cast<int64_t>(column) * layout.leading + static_cast<int64_t>(row);
}

/// Bytes from the first to behind the last element of all matrices.
size_t extent(const Layout& layout) {
  if (layout.rows == 0 || layout.columns == 0)
    return 0;
  return static_cast<size_t>((layout.batch - 1) * layout.stride + place(layout, layout.rows - 1, layout.columns - 1) + 1) * size_of(layout.type);
}

struct Product {
  MatmulDesc desc;
  Layout a, b, c, d;
  const void *a_data, *b_data, *c_data;
  void* d_data;
  float alpha, beta;

  uint64_t inner() const { return desc.transpose_a ? a.rows : a.columns; }

  bool fits() const {
    for (const Layout* layout : {&a, &b, &c, &d})
      if ((layout->type != Float && layout->type != BFloat16) || layout->batch != d.batch || layout->leading < static_cast<int64_t>(layout->order ? layout->columns : layout->rows))
        return false;
    return (desc.transpose_a ? a.columns : a.rows) == d.rows && (desc.transpose_b ? b.rows : b.columns) == d.columns && (desc.transpose_b ? b.columns : b.rows) == inner() &&
           c.rows == d.rows && c.columns == d.columns;
  }

  bool in_memory() const {
    Driver& driver = Driver::instance();
    const auto holds = [&](const void* data, size_t bytes) { return driver.find(reinterpret_cast<uintptr_t>(data), bytes) != nullptr; };
    return holds(a_data, extent(a)) && holds(b_data, extent(b)) && holds(d_data, extent(d)) && (beta == 0 || holds(c_data, extent(c))) &&
           (!(desc.epilogue & kEpilogueBias) || holds(desc.bias, d.rows * size_of(bias_type())));
  }

  int bias_type() const { return desc.bias_type >= 0 ? desc.bias_type : d.type; }

  CUresult perform() const {
    if (!in_memory())
      return elm::driver::IllegalAddress;
    const uint64_t m = d.rows, n = d.columns, k = inner();
    // Rows of op(A) and columns of op(B), each contiguous in k.
    std::vector<float> left(m * k), right(n * k);
    for (int i = 0; i < d.batch; i++) {
      for (uint64_t row = 0; row < m; row++)
        for (uint64_t at = 0; at < k; at++)
          left[row * k + at] = get(a_data, a.type, i * a.stride + (desc.transpose_a ? place(a, at, row) : place(a, row, at)));
      for (uint64_t column = 0; column < n; column++)
        for (uint64_t at = 0; at < k; at++)
          right[column * k + at] = get(b_data, b.type, i * b.stride + (desc.transpose_b ? place(b, column, at) : place(b, at, column)));
      for (uint64_t column = 0; column < n; column++)
        for (uint64_t row = 0; row < m; row++) {
          constexpr uint64_t kLanes = 8;
          float partial[kLanes] = {};
          const float *x = &left[row * k], *y = &right[column * k];
          uint64_t at = 0;
          for (; at + kLanes <= k; at += kLanes)
            for (uint64_t lane = 0; lane < kLanes; lane++)
              partial[lane] += x[at + lane] * y[at + lane];
          for (; at < k; at++)
            partial[0] += x[at] * y[at];
          float sum = ((partial[0] + partial[4]) + (partial[1] + partial[5])) + ((partial[2] + partial[6]) + (partial[3] + partial[7]));
          sum *= alpha;
          if (beta != 0)
            sum += beta * get(c_data, c.type, i * c.stride + place(c, row, column));
          if (desc.epilogue & kEpilogueBias)
            sum += get(desc.bias, bias_type(), static_cast<int64_t>(row));
          const int64_t target = i * d.stride + place(d, row, column);
          if (d.type == Float)
            static_cast<float*>(d_data)[target] = sum;
          else
            static_cast<uint16_t*>(d_data)[target] = to_bfloat16(sum);
        }
    }
    elm::driver::Recorder::instance().wrote(reinterpret_cast<uintptr_t>(d_data), extent(d));
    return elm::driver::Success;
  }
};

template <class T> int set(T& member, const void* value, size_t bytes) {
  if (bytes != sizeof member)
    return InvalidValue;
  memcpy(&member, value, bytes);
  return Success;
}

}  // namespace

#define ELM_BLAS_API extern "C" __attribute__((visibility("default")))

ELM_BLAS_API int cublasLtCreate(void** handle) {
  elm::driver::Call driver;
  if (driver.status())
    return NotInitialized;
  *handle = kHandle;
  return Success;
}

ELM_BLAS_API int cublasLtDestroy(void* handle) { return handle == kHandle ? Success : InvalidValue; }

ELM_BLAS_API size_t cublasLtGetVersion() { return 130000; }

ELM_BLAS_API int cublasLtMatmulDescCreate(MatmulDesc** desc, int compute, int scale) {
  constexpr int kCompute32F = 68;
  if (compute != kCompute32F || scale != Float)
    return NotSupported;
  *desc = new MatmulDesc{compute, scale};
  return Success;
}

ELM_BLAS_API int cublasLtMatmulDescDestroy(MatmulDesc* desc) {
  delete desc;
  return Success;
}

ELM_BLAS_API int cublasLtMatmulDescSetAttribute(MatmulDesc* desc, int attribute, const void* value, size_t bytes) {
  switch (attribute) {
    case 3: return set(desc->transpose_a, value, bytes);
    case 4: return set(desc->transpose_b, value, bytes);
    case 7: {
      int epilogue;
      if (set(epilogue, value, bytes) != Success)
        return InvalidValue;
      if (epilogue != kEpilogueDefault && epilogue != kEpilogueBias)
        return NotSupported;
      desc->epilogue = epilogue;
      return Success;
    }
    case 8: return set(desc->bias, value, bytes);
    case 26: return set(desc->bias_type, value, bytes);
    default: return NotSupported;
  }
}

ELM_BLAS_API int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  *layout = new Layout{type, rows, columns, leading};
  return Success;
}

ELM_BLAS_API int cublasLtMatrixLayoutDestroy(Layout* layout) {
  delete layout;
  return Success;
}

ELM_BLAS_API int cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t bytes) {
  switch (attribute) {
    case 0: return set(layout->type, value, bytes);
    case 1: return set(layout->order, value, bytes);
    case 2: return set(layout->rows, value, bytes);
    case 3: return set(layout->columns, value, bytes);
    case 4: return set(layout->leading, value, bytes);
    case 5: return set(layout->batch, value, bytes);
    case 6: return set(layout->stride, value, bytes);
    default: return InvalidValue;
  }
}

ELM_BLAS_API int cublasLtMatmulPreferenceCreate(Preference** preference) {
  *preference = new Preference;
  return Success;
}

ELM_BLAS_API int cublasLtMatmulPreferenceDestroy(Preference* preference) {
  delete preference;
  return Success;
}

ELM_BLAS_API int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, size_t bytes) {
  if (attribute == 1)
    return set(preference->workspace, value, bytes);
  uint32_t alignment;
  return attribute >= 5 && attribute <= 8 ? set(alignment, value, bytes) : static_cast<int>(Success);
}

ELM_BLAS_API int cublasLtMatmulAlgoGetHeuristic(void* handle, MatmulDesc* desc, Layout* a, Layout* b, Layout* c, Layout* d, Preference* preference, int wanted, HeuristicResult* results,
                                                int* found) {
  *found = 0;
  if (handle != kHandle || !preference || wanted < 1)
    return InvalidValue;
  const Product product{*desc, *a, *b, *c, *d, nullptr, nullptr, nullptr, nullptr, 1, 0};
  // The library reads a bias's alignment off its address, so it wants one before it chooses.
  if (!product.fits() || (desc->epilogue == kEpilogueBias && !desc->bias))
    return NotSupported;
  *results = {};
  results->algorithm.data[0] = kAlgorithm;
  *found = 1;
  return Success;
}

ELM_BLAS_API int cublasLtMatmul(void* handle, MatmulDesc* desc, const float* alpha, const void* a, Layout* a_layout, const void* b, Layout* b_layout, const float* beta, const void* c,
                                Layout* c_layout, void* d, Layout* d_layout, const Algorithm* algorithm, void* workspace, size_t workspace_bytes, CUstream_st* stream) {
  elm::driver::Call driver;
  if (driver.status())
    return ExecutionFailed;
  const Product product{*desc, *a_layout, *b_layout, *c_layout, *d_layout, a, b, c, d, *alpha, *beta};
  if (handle != kHandle || !product.fits() || (algorithm && algorithm->data[0] != kAlgorithm))
    return InvalidValue;
  if (workspace_bytes && !driver->find(reinterpret_cast<uintptr_t>(workspace), workspace_bytes))
    return InvalidValue;
  if (!product.in_memory())
    return ExecutionFailed;
  return driver->submit(stream, [product] { return product.perform(); }) == elm::driver::Success ? Success : ExecutionFailed;
}
