// Devices, contexts, errors.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "driver.h"
#include "recorder.h"

using namespace elm::driver;

namespace elm::driver {

namespace {

thread_local bool context_is_current = false;

/// The one context, as a handle.
void* const kContext = reinterpret_cast<void*>(0xe1f0000);

size_t number_from_environment(const char* name, size_t otherwise) {
  const char* text = getenv(name);
  return text && *text ? strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

Driver& Driver::instance() {
  static auto* driver = new Driver;
  return *driver;
}

size_t Driver::total() const { return number_from_environment("ELM_EMULATION_MEMORY", size_t{16} << 30); }
int Driver::device_count() const { return static_cast<int>(number_from_environment("ELM_EMULATION_DEVICES", 1)); }
int Driver::capability() const { return static_cast<int>(number_from_environment("ELM_EMULATION_CAPABILITY", 90)); }

int Driver::max_shared() const {
  const int capability = this->capability();
  const int kib = capability >= 90 ? 227 : capability == 80 || capability == 87 ? 163 : capability >= 80 ? 99 : 64;
  return kib * 1024;
}

void Driver::destroy_context() {
  queue.clear();
  streams.clear();
  graphs.clear();
  events.clear();
  functions.clear();
  modules.clear();
  while (!memory.empty())
    release(memory.begin()->first);
  pool_reserved = pool_high = 0;
  broken = Success;
}

Call::Call(Need need) : driver_(Driver::instance()), guard_(driver_.lock) {
  if (need >= Initialized && !driver_.initialized)
    status_ = NotInitialized;
  else if (need == Context)
    status_ = !context_is_current || driver_.contexts == 0 ? InvalidContext : driver_.broken;
}

}  // namespace elm::driver

ELM_DRIVER_API cuInit(unsigned flags) {
  ELM_CALL(Call::Nothing);
  if (flags != 0)
    return InvalidValue;
  if (driver->device_count() == 0)
    return NoDevice;
  driver->initialized = true;
  return Success;
}

ELM_DRIVER_API cuDriverGetVersion(int* version) {
  if (!version)
    return InvalidValue;
  *version = static_cast<int>(number_from_environment("ELM_EMULATION_DRIVER", 13000));
  return Success;
}

ELM_DRIVER_API cuDeviceGetCount(int* count) {
  ELM_CALL(Call::Initialized);
  *count = driver->device_count();
  return Success;
}

ELM_DRIVER_API cuDeviceGet(int* device, int ordinal) {
  ELM_CALL(Call::Initialized);
  if (ordinal < 0 || ordinal >= driver->device_count())
    return InvalidDevice;
  *device = ordinal;
  return Success;
}

ELM_DRIVER_API cuDeviceGetName(char* name, int length, int device) {
  ELM_CALL(Call::Initialized);
  if (device < 0 || device >= driver->device_count())
    return InvalidDevice;
  snprintf(name, static_cast<size_t>(length), "emulation on the CPU");
  return Success;
}

ELM_DRIVER_API cuDeviceTotalMem_v2(size_t* bytes, int device) {
  ELM_CALL(Call::Initialized);
  if (device < 0 || device >= driver->device_count())
    return InvalidDevice;
  *bytes = driver->total();
  return Success;
}

ELM_DRIVER_API cuDeviceGetAttribute(int* value, int attribute, int device) {
  ELM_CALL(Call::Initialized);
  if (device < 0 || device >= driver->device_count())
    return InvalidDevice;
  const int capability = driver->capability();
  switch (attribute) {
    case 1: *value = 1024; break;                          // threads of a block
    case 2: case 3: *value = 1024; break;                  // block x, y
    case 4: *value = 64; break;                            // block z
    case 5: *value = 2147483647; break;                    // grid x
    case 6: case 7: *value = 65535; break;                 // grid y, z
    case 8: *value = 48 * 1024; break;                     // shared memory of a block without asking
    case 9: *value = 64 * 1024; break;                     // constant memory
    case 10: *value = 32; break;                           // lanes of a warp
    case 12: case 82: *value = 65536; break;               // registers of a block, of a multiprocessor
    case 13: *value = 1000000; break;                      // clock, kHz
    case 14: *value = 512; break;                          // alignment of textures
    case 16: *value = 4; break;                            // multiprocessors
    case 36: *value = 1000000; break;                      // clock of the memory, kHz
    case 37: *value = 64; break;                           // width of the memory bus, bits
    case 38: *value = 4 << 20; break;                      // L2 cache
    case 39: *value = 2048; break;                         // threads of a multiprocessor
    case 40: *value = 1; break;                            // copy engines
    case 41: *value = 1; break;                            // unified addressing
    case 75: *value = capability / 10; break;
    case 76: *value = capability % 10; break;
    case 81: *value = driver->max_shared() + 1024; break;  // shared memory of a multiprocessor
    case 97: *value = driver->max_shared(); break;         // shared memory of a block at most
    case 106: *value = 32; break;                          // blocks of a multiprocessor
    case 111: *value = 1024; break;                        // shared memory that the driver takes of each block
    case 115: *value = 1; break;                           // memory pools
    default:
      if (attribute < 1 || attribute > 200)
        return InvalidValue;
      *value = 0;
  }
  return Success;
}

ELM_DRIVER_API cuDevicePrimaryCtxRetain(void** context, int device) {
  ELM_CALL(Call::Initialized);
  if (device < 0 || device >= driver->device_count())
    return InvalidDevice;
  driver->contexts++;
  *context = kContext;
  return Success;
}

ELM_DRIVER_API cuDevicePrimaryCtxRelease_v2(int device) {
  ELM_CALL(Call::Initialized);
  if (device < 0 || device >= driver->device_count())
    return InvalidDevice;
  if (driver->contexts == 0)
    return InvalidContext;
  if (--driver->contexts == 0)
    driver->destroy_context();
  return Success;
}

ELM_DRIVER_API cuCtxSetCurrent(void* context) {
  ELM_CALL(Call::Initialized);
  if (context && (context != kContext || driver->contexts == 0))
    return InvalidContext;
  context_is_current = context != nullptr;
  return Success;
}

ELM_DRIVER_API cuCtxGetCurrent(void** context) {
  ELM_CALL(Call::Initialized);
  *context = context_is_current ? kContext : nullptr;
  return Success;
}

ELM_DRIVER_API cuCtxPushCurrent_v2(void* context) { return cuCtxSetCurrent(context); }

ELM_DRIVER_API cuCtxPopCurrent_v2(void** context) {
  ELM_CALL(Call::Context);
  if (context)
    *context = kContext;
  context_is_current = false;
  return Success;
}

ELM_DRIVER_API cuCtxSynchronize() {
  ELM_CALL();
  if (driver->any_capture()) {
    driver->invalidate_captures();
    return CaptureUnsupported;
  }
  return driver->finish();
}

namespace {

struct Error {
  CUresult code;
  const char* name;
  const char* text;
};

constexpr Error kErrors[] = {
    {Success, "CUDA_SUCCESS", "no error"},
    {InvalidValue, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NotInitialized, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NoDevice, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {InvalidDevice, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {InvalidImage, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {InvalidContext, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NoBinaryForGpu, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {InvalidPtx, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {UnsupportedPtxVersion, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {InvalidHandle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {IllegalState, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {NotFound, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NotReady, "CUDA_ERROR_NOT_READY", "device not ready"},
    {IllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LaunchOutOfResources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {LaunchFailed, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {NotSupported, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CaptureUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {CaptureInvalidated, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {CaptureUnmatched, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {CaptureImplicit, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capturing blocking stream"},
    {CapturedEvent, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {CaptureWrongThread, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread"},
};

const Error* find_error(CUresult code) {
  const Error* found = std::find_if(std::begin(kErrors), std::end(kErrors), [code](const Error& error) { return error.code == code; });
  return found == std::end(kErrors) ? nullptr : found;
}

}  // namespace

ELM_DRIVER_API cuGetErrorName(CUresult code, const char** name) {
  const Error* error = find_error(code);
  *name = error ? error->name : nullptr;
  return error ? Success : InvalidValue;
}

ELM_DRIVER_API cuGetErrorString(CUresult code, const char** text) {
  const Error* error = find_error(code);
  *text = error ? error->text : nullptr;
  return error ? Success : InvalidValue;
}
