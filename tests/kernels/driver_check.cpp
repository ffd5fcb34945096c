// The rules of the driver that the stand-in keeps: handles, memory, launches, captures, images. Run with ELM_EMULATION_MEMORY=1048576 and ELM_EMULATION_CAPABILITY=80.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

extern "C" {
int cuInit(unsigned);
int cuDeviceGetAttribute(int*, int, int);
int cuDevicePrimaryCtxRetain(void**, int);
int cuDevicePrimaryCtxRelease_v2(int);
int cuCtxSetCurrent(void*);
int cuCtxGetCurrent(void**);
int cuGetErrorName(int, const char**);
int cuMemGetInfo_v2(size_t*, size_t*);
int cuMemAlloc_v2(unsigned long long*, size_t);
int cuMemFree_v2(unsigned long long);
int cuMemAllocAsync(unsigned long long*, size_t, void*);
int cuMemFreeAsync(unsigned long long, void*);
int cuMemHostAlloc(void**, size_t, unsigned);
int cuMemFreeHost(void*);
int cuMemcpyHtoDAsync_v2(unsigned long long, const void*, size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, unsigned long long, size_t, void*);
int cuMemcpyHtoD_v2(unsigned long long, const void*, size_t);
int cuMemsetD32Async(unsigned long long, unsigned, size_t, void*);
int cuStreamCreate(void**, unsigned);
int cuStreamDestroy_v2(void*);
int cuStreamSynchronize(void*);
int cuStreamBeginCapture_v2(void*, int);
int cuStreamEndCapture(void*, void**);
int cuGraphInstantiateWithFlags(void**, void*, unsigned long long);
int cuGraphLaunch(void*, void*);
int cuGraphDestroy(void*);
int cuGraphExecDestroy(void*);
int cuEventCreate(void**, unsigned);
int cuEventRecord(void*, void*);
int cuEventSynchronize(void*);
int cuEventElapsedTime(float*, void*, void*);
int cuModuleLoadDataEx(void**, const void*, unsigned, int*, void**);
int cuModuleUnload(void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuFuncSetAttribute(void*, int, int);
int cuFuncGetParamInfo(void*, size_t, size_t*, size_t*);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
}

namespace {

int failures = 0;

void expect(int code, int found, const char* what) {
  if (code == found)
    return;
  fprintf(stderr, "driver_check: %s: %d instead of %d\n", what, found, code);
  failures++;
}

void* stream;
constexpr const char* kImage = ".version 8.0\n.target sm_80\n.visible .entry add_f32(\n)\n.maxntid 256, 1, 1\n{ ret; }\n";

void* function() {
  void *module, *found;
  expect(0, cuModuleLoadDataEx(&module, kImage, 0, nullptr, nullptr), "load");
  expect(0, cuModuleGetFunction(&found, module, "add_f32"), "get add_f32");
  expect(500, cuModuleGetFunction(&module, module, "no_such_kernel"), "get a kernel that is not there");
  return found;
}

int add(void* function, unsigned long long x, unsigned long long y, size_t count, unsigned grid = 1, unsigned block = 32, unsigned shared_bytes = 0) {
  void* arguments[] = {&x, &y, &count};
  return cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared_bytes, stream, arguments, nullptr);
}

void check_images() {
  void* module;
  char log[200] = "?";
  int options[] = {5, 6};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  expect(200, cuModuleLoadDataEx(&module, "stand-in", 2, options, values), "an image of no kind");
  expect(222, cuModuleLoadDataEx(&module, ".version 9.9\n.target sm_80\n", 2, options, values), "PTX of the future");
  expect(218, cuModuleLoadDataEx(&module, ".version 8.0\n.target sm_90\n", 2, options, values), "PTX for a later device");
  expect(1, strstr(log, ".target") != nullptr, "the compiler's log");
  expect(0, cuModuleLoadDataEx(&module, "\x7f" "ELF", 0, nullptr, nullptr), "a cubin");
  expect(0, cuModuleUnload(module), "unload");
  expect(400, cuModuleUnload(module), "unload again");
}

void check_memory() {
  unsigned long long x, y;
  size_t free_before, free_after, total;
  expect(0, cuMemGetInfo_v2(&free_before, &total), "info");
  expect(1048576, static_cast<int>(total), "total");
  expect(2, cuMemAlloc_v2(&x, total + 1), "more than there is");
  expect(1, cuMemAlloc_v2(&x, 0), "nothing");
  expect(0, cuMemAlloc_v2(&x, total / 2), "half");
  expect(2, cuMemAlloc_v2(&y, total / 2 + 512), "more than is left");
  std::vector<char> host(1000);
  expect(1, cuMemcpyHtoDAsync_v2(x + total / 2 - 999, host.data(), 1000, stream), "a copy beyond the end");
  expect(0, cuMemFree_v2(x), "free");
  expect(1, cuMemFree_v2(x), "free again");
  expect(1, cuMemcpyHtoDAsync_v2(x, host.data(), 1000, stream), "a copy to freed memory");
  expect(0, cuMemAllocAsync(&x, 1000, stream), "alloc async");
  expect(0, cuMemFreeAsync(x, stream), "free async");
  expect(1, cuMemcpyHtoDAsync_v2(x, host.data(), 10, stream), "a copy to memory that is leaving");
  expect(0, cuStreamSynchronize(stream), "synchronize");
  expect(0, cuMemGetInfo_v2(&free_after, &total), "info");
  expect(1, free_after == free_before, "all is free again");
}

void check_lateness() {
  unsigned long long x;
  void* pinned;
  expect(0, cuMemAlloc_v2(&x, 256), "alloc");
  expect(0, cuMemHostAlloc(&pinned, 256, 0), "pinned");
  auto* words = static_cast<unsigned*>(pinned);
  expect(0, cuMemsetD32Async(x, 77, 64, stream), "fill");
  words[0] = 0;
  expect(0, cuMemcpyDtoHAsync_v2(pinned, x, 256, stream), "download");
  expect(0, static_cast<int>(words[0]), "pinned memory before the stream is waited for");
  expect(0, cuStreamSynchronize(stream), "synchronize");
  expect(77, static_cast<int>(words[0]), "pinned memory after");
  void *start, *end;
  float milliseconds;
  expect(0, cuEventCreate(&start, 0) | cuEventCreate(&end, 0), "events");
  expect(400, cuEventElapsedTime(&milliseconds, start, end), "time of events that were not recorded");
  expect(0, cuEventRecord(start, stream) | cuEventRecord(end, stream), "record");
  expect(600, cuEventElapsedTime(&milliseconds, start, end), "time of events that have not come");
  expect(0, cuEventSynchronize(end), "wait for an event");
  expect(0, cuEventElapsedTime(&milliseconds, start, end), "time");
  expect(0, cuMemFreeHost(pinned) | cuMemFree_v2(x), "free");
}

void check_launches(void* add_f32) {
  unsigned long long x, y;
  expect(0, cuMemAlloc_v2(&x, 400) | cuMemAlloc_v2(&y, 400), "alloc");
  expect(0, cuMemsetD32Async(x, 0x3f800000, 100, stream) | cuMemsetD32Async(y, 0x40000000, 100, stream), "fill");
  expect(0, add(add_f32, x, y, 100), "launch");
  std::vector<float> sums(100);
  expect(0, cuMemcpyDtoHAsync_v2(sums.data(), y, 400, stream), "download");
  for (const float sum : sums)
    expect(1, sum == 3.f, "a sum");
  size_t offset, bytes;
  expect(0, cuFuncGetParamInfo(add_f32, 2, &offset, &bytes), "parameter 2");
  expect(16, static_cast<int>(offset), "its offset");
  expect(1, cuFuncGetParamInfo(add_f32, 3, &offset, &bytes), "parameter 3");
  expect(1, add(add_f32, x, y, 100, 0), "no blocks");
  expect(1, add(add_f32, x, y, 100, 1, 2048), "too many threads");
  expect(701, add(add_f32, x, y, 100, 1, 512), "more threads than the kernel is bounded to");
  expect(1, add(add_f32, x, y, 100, 1, 32, 49 * 1024), "more shared memory than was asked for");
  expect(1, cuFuncSetAttribute(add_f32, 8, 164 * 1024), "more shared memory than there is");
  expect(0, cuFuncSetAttribute(add_f32, 8, 163 * 1024), "as much as there is");
  expect(0, add(add_f32, x, y, 100, 1, 32, 163 * 1024), "launch with it");
  expect(400, add(&offset, x, y, 100), "a function that is none");
  expect(700, add(add_f32, x, 0xdead0000, 100), "a pointer to nowhere");
  expect(0, add(add_f32, x, 0, 0), "an absent tensor");
  expect(0, cuMemFree_v2(x), "free");
  expect(700, add(add_f32, x, y, 100), "a pointer to freed memory");
  expect(0, cuMemFree_v2(y), "free");
}

void check_captures(void* add_f32) {
  unsigned long long x, y, other;
  void *graph, *executable;
  expect(0, cuMemAlloc_v2(&x, 400) | cuMemAlloc_v2(&y, 400), "alloc");
  expect(0, cuMemsetD32Async(x, 0x3f800000, 100, stream) | cuMemsetD32Async(y, 0, 100, stream), "fill");
  expect(401, cuStreamEndCapture(stream, &graph), "the end of no capture");
  expect(0, cuStreamBeginCapture_v2(stream, 1), "capture");
  expect(0, add(add_f32, x, y, 100), "captured launch");
  expect(0, cuStreamEndCapture(stream, &graph), "end");
  expect(0, cuGraphInstantiateWithFlags(&executable, graph, 0), "instantiate");
  expect(0, cuGraphDestroy(graph), "destroy the graph");
  expect(0, cuGraphLaunch(executable, stream) | cuGraphLaunch(executable, stream), "launch twice");
  float first = 0;
  expect(0, cuMemcpyDtoHAsync_v2(&first, y, 4, stream), "download");
  expect(2, static_cast<int>(first), "a sum of two launches");

  const struct {
    int code;
    const char* what;
  } kForbidden[] = {{900, "waiting"}, {900, "allocating"}, {906, "a copy that waits"}, {900, "a copy from pageable memory"}};
  for (int i = 0; i < 4; i++) {
    expect(0, cuStreamBeginCapture_v2(stream, 1), "capture");
    const int found = i == 0 ? cuStreamSynchronize(stream) : i == 1 ? cuMemAlloc_v2(&other, 100) : i == 2 ? cuMemcpyHtoD_v2(x, &first, 4) : cuMemcpyHtoDAsync_v2(x, &first, 4, stream);
    expect(kForbidden[i].code, found, kForbidden[i].what);
    expect(901, add(add_f32, x, y, 100), "a launch after the capture was lost");
    expect(901, cuStreamEndCapture(stream, &graph), "its end");
  }

  expect(0, cuMemFree_v2(y), "free");
  expect(0, cuGraphLaunch(executable, stream), "a graph whose memory is gone");
  expect(700, cuStreamSynchronize(stream), "is found out when it runs");
  expect(700, cuStreamSynchronize(stream), "and again: the context is broken");
}

}  // namespace

int main() {
  void* context = nullptr;
  size_t ignored;
  expect(3, cuMemGetInfo_v2(&ignored, &ignored), "before cuInit");
  expect(0, cuInit(0), "cuInit");
  expect(201, cuMemGetInfo_v2(&ignored, &ignored), "without a context");
  expect(101, cuDevicePrimaryCtxRetain(&context, 1), "the second device");
  expect(0, cuDevicePrimaryCtxRetain(&context, 0) | cuCtxSetCurrent(context), "context");
  void* current;
  expect(0, cuCtxGetCurrent(&current), "current context");
  expect(1, current == context, "is the one that was set");
  int major;
  expect(0, cuDeviceGetAttribute(&major, 75, 0), "attribute");
  expect(8, major, "capability");
  const char* name;
  expect(0, cuGetErrorName(901, &name), "name");
  expect(1, std::string(name) == "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "name of 901");
  expect(1, cuGetErrorName(12345, &name), "name of nothing");
  expect(0, cuStreamCreate(&stream, 1), "stream");

  check_images();
  check_memory();
  check_lateness();
  void* add_f32 = function();
  check_launches(add_f32);
  check_captures(add_f32);

  expect(0, cuDevicePrimaryCtxRelease_v2(0), "release");
  expect(0, cuDevicePrimaryCtxRetain(&context, 0) | cuCtxSetCurrent(context), "a new context");
  expect(400, cuStreamSynchronize(stream), "a stream of the old context");
  if (failures == 0)
    printf("driver_check: the rules are kept\n");
  return failures != 0;
}
