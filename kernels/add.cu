// y += x, elementwise, both F32.
#include "device.h"

// Grid: any number of blocks; each thread strides over the elements.
extern "C" __global__ void add_f32(const float* __restrict__ x, float* __restrict__ y, size_t count) {
  const size_t stride = (size_t)gridDim.x * blockDim.x;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) y[i] += x[i];
}

ELM_KERNEL(add_f32)
