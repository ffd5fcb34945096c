// Memory of the device, pinned memory, pools, copies and fills.
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "recorder.h"

using namespace elm::driver;

namespace elm::driver {

namespace {

constexpr size_t kAlignment = 256;
constexpr unsigned char kNaN = 0xff;
/// What the driver hands out at least.
size_t charged(size_t bytes) { return (bytes + 511) / 512 * 512; }

}  // namespace

std::pair<const uintptr_t, Allocation>* Driver::find(uintptr_t address, size_t bytes) {
  auto found = memory.upper_bound(address);
  if (found == memory.begin())
    return nullptr;
  --found;
  const Allocation& allocation = found->second;
  return address - found->first <= allocation.bytes && bytes <= allocation.bytes - (address - found->first) && (!allocation.leaving || performing) ? &*found : nullptr;
}

CUresult Driver::allocate(size_t bytes, bool pinned, bool from_pool, uintptr_t& address) {
  if (bytes == 0)
    return InvalidValue;
  // What the pool holds back is the pool's to use first.
  const size_t idle = from_pool ? pool_reserved - pool_used : 0, wanted = charged(bytes);
  if (!pinned && (wanted > total() || used + (pool_reserved - pool_used) + wanted > total() + idle))
    return OutOfMemory;
  void* memory_of_host = nullptr;
  if (posix_memalign(&memory_of_host, kAlignment, bytes) != 0)
    return OutOfMemory;
  memset(memory_of_host, kNaN, bytes);
  address = reinterpret_cast<uintptr_t>(memory_of_host);
  memory[address] = {bytes, allocations++, pinned, from_pool};
  if (!pinned)
    used += wanted;
  if (from_pool) {
    pool_used += wanted;
    pool_reserved = std::max(pool_reserved, pool_used);
    pool_high = std::max(pool_high, pool_used);
  }
  Recorder::instance().allocated(memory[address]);
  return Success;
}

void Driver::release(uintptr_t address) {
  const Allocation allocation = memory.at(address);
  Recorder::instance().freed(allocation);
  if (!allocation.pinned)
    used -= charged(allocation.bytes);
  if (allocation.from_pool)
    pool_used -= charged(allocation.bytes);
  memory.erase(address);
  free(reinterpret_cast<void*>(address));
}

}  // namespace elm::driver

ELM_DRIVER_API cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  ELM_CALL();
  *total_bytes = driver->total();
  *free_bytes = driver->total() - driver->used - (driver->pool_reserved - driver->pool_used);
  return Success;
}

ELM_DRIVER_API cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  ELM_CALL();
  if (driver->forbidden_by_capture())
    return CaptureUnsupported;
  uintptr_t made;
  const CUresult status = driver->allocate(bytes, false, false, made);
  if (status == Success)
    *address = made;
  return status;
}

ELM_DRIVER_API cuMemFree_v2(CUdeviceptr address) {
  ELM_CALL();
  if (address == 0)
    return Success;
  if (driver->forbidden_by_capture())
    return CaptureUnsupported;
  const auto found = driver->memory.find(address);
  if (found == driver->memory.end() || found->second.pinned || found->second.leaving)
    return InvalidValue;
  const CUresult status = driver->finish();  // it waits for the work that may use the memory
  driver->release(address);
  return status;
}

ELM_DRIVER_API cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream_st* stream) {
  ELM_CALL();
  if (stream && !driver->streams.has(stream))
    return InvalidHandle;
  if (driver->any_capture()) {  // a graph's own memory is not among what the stand-in knows
    driver->invalidate_captures();
    return CaptureUnsupported;
  }
  uintptr_t made;
  const CUresult status = driver->allocate(bytes, false, true, made);
  if (status == Success)
    *address = made;
  return status;
}

ELM_DRIVER_API cuMemFreeAsync(CUdeviceptr address, CUstream_st* stream) {
  ELM_CALL();
  if (stream && !driver->streams.has(stream))
    return InvalidHandle;
  const auto found = driver->memory.find(address);
  if (found == driver->memory.end() || found->second.pinned || found->second.leaving)
    return InvalidValue;
  if (driver->any_capture()) {
    driver->invalidate_captures();
    return CaptureUnsupported;
  }
  found->second.leaving = true;
  return driver->submit(stream, [address] {
    Driver::instance().release(address);
    return Success;
  });
}

namespace {

/// The device's one pool, as a handle.
void* const kPool = reinterpret_cast<void*>(0xe1f1000);

bool wide(int attribute) { return attribute >= 4 && attribute <= 8; }

}  // namespace

ELM_DRIVER_API cuDeviceGetDefaultMemPool(void** pool, int device) {
  ELM_CALL(Call::Initialized);
  if (device < 0 || device >= driver->device_count())
    return InvalidDevice;
  *pool = kPool;
  return Success;
}

ELM_DRIVER_API cuDeviceGetMemPool(void** pool, int device) { return cuDeviceGetDefaultMemPool(pool, device); }

ELM_DRIVER_API cuMemPoolSetAttribute(void* pool, int attribute, void* value) {
  ELM_CALL();
  if (pool != kPool)
    return InvalidHandle;
  if (attribute < 1 || attribute > 8)
    return InvalidValue;
  if (attribute == 4)
    memcpy(&driver->pool_threshold, value, sizeof(uint64_t));
  if (attribute == 6 || attribute == 8)
    driver->pool_high = driver->pool_used;
  return Success;
}

ELM_DRIVER_API cuMemPoolGetAttribute(void* pool, int attribute, void* value) {
  ELM_CALL();
  if (pool != kPool)
    return InvalidHandle;
  if (attribute < 1 || attribute > 8)
    return InvalidValue;
  if (!wide(attribute)) {
    const int reuse = 1;
    memcpy(value, &reuse, sizeof reuse);
    return Success;
  }
  const uint64_t values[] = {driver->pool_threshold, driver->pool_reserved, driver->pool_reserved, driver->pool_used, driver->pool_high};
  memcpy(value, &values[attribute - 4], sizeof(uint64_t));
  return Success;
}

ELM_DRIVER_API cuMemPoolTrimTo(void* pool, size_t bytes_to_keep) {
  ELM_CALL();
  if (pool != kPool)
    return InvalidHandle;
  driver->pool_reserved = std::min(driver->pool_reserved, std::max(driver->pool_used, bytes_to_keep));
  return Success;
}

ELM_DRIVER_API cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) {
  ELM_CALL();
  if (flags > 7)
    return InvalidValue;
  if (driver->forbidden_by_capture())
    return CaptureUnsupported;
  uintptr_t made;
  const CUresult status = driver->allocate(bytes, true, false, made);
  if (status == Success)
    *memory = reinterpret_cast<void*>(made);
  return status;
}

ELM_DRIVER_API cuMemFreeHost(void* memory) {
  ELM_CALL();
  if (driver->forbidden_by_capture())
    return CaptureUnsupported;
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory);
  const auto found = driver->memory.find(address);
  if (found == driver->memory.end() || !found->second.pinned)
    return InvalidValue;
  const CUresult status = driver->finish();
  driver->release(address);
  return status;
}

namespace {

bool on_device(Driver& driver, CUdeviceptr address, size_t bytes) {
  const auto* found = driver.find(address, bytes);
  return found && !found->second.pinned;
}

bool is_pinned(Driver& driver, const void* memory, size_t bytes) {
  const auto* found = driver.find(reinterpret_cast<uintptr_t>(memory), bytes);
  return found && found->second.pinned;
}

CUresult upload(CUdeviceptr target, const void* source, size_t bytes) {
  if (!on_device(Driver::instance(), target, bytes))
    return IllegalAddress;
  memcpy(reinterpret_cast<void*>(target), source, bytes);
  Recorder::instance().wrote(target, bytes);
  return Success;
}

CUresult download(void* target, CUdeviceptr source, size_t bytes) {
  if (!on_device(Driver::instance(), source, bytes))
    return IllegalAddress;
  memcpy(target, reinterpret_cast<const void*>(source), bytes);
  Recorder::instance().read(source, bytes);
  return Success;
}

/// Copies that wait for the device use the legacy stream.
CUresult begin_synchronous(Driver& driver) {
  if (driver.any_capture()) {
    driver.invalidate_captures();
    return CaptureImplicit;
  }
  return driver.finish();
}

}  // namespace

ELM_DRIVER_API cuMemcpyHtoD_v2(CUdeviceptr target, const void* source, size_t bytes) {
  ELM_CALL();
  if (!source || !on_device(*driver, target, bytes))
    return InvalidValue;
  if (const CUresult status = begin_synchronous(*driver))
    return status;
  return upload(target, source, bytes);
}

ELM_DRIVER_API cuMemcpyDtoH_v2(void* target, CUdeviceptr source, size_t bytes) {
  ELM_CALL();
  if (!target || !on_device(*driver, source, bytes))
    return InvalidValue;
  if (const CUresult status = begin_synchronous(*driver))
    return status;
  return download(target, source, bytes);
}

ELM_DRIVER_API cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void* source, size_t bytes, CUstream_st* stream) {
  ELM_CALL();
  if (!source || !on_device(*driver, target, bytes))
    return InvalidValue;
  if (is_pinned(*driver, source, bytes))
    return driver->submit(stream, [=] { return upload(target, source, bytes); });
  if (driver->any_capture()) {  // the driver would have to wait for its own staging buffer
    driver->invalidate_captures();
    return CaptureUnsupported;
  }
  // Pageable memory is staged before the call returns.
  const auto* first = static_cast<const unsigned char*>(source);
  return driver->submit(stream, [target, staged = std::vector<unsigned char>(first, first + bytes)] { return upload(target, staged.data(), staged.size()); });
}

ELM_DRIVER_API cuMemcpyDtoHAsync_v2(void* target, CUdeviceptr source, size_t bytes, CUstream_st* stream) {
  ELM_CALL();
  if (!target || !on_device(*driver, source, bytes))
    return InvalidValue;
  const bool pinned = is_pinned(*driver, target, bytes);
  if (!pinned && driver->any_capture()) {
    driver->invalidate_captures();
    return CaptureUnsupported;
  }
  const CUresult status = driver->submit(stream, [=] { return download(target, source, bytes); });
  // A copy to pageable memory returns when it is done.
  return status == Success && !pinned ? driver->finish() : status;
}

ELM_DRIVER_API cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream_st* stream) {
  ELM_CALL();
  if (!on_device(*driver, target, bytes) || !on_device(*driver, source, bytes))
    return InvalidValue;
  return driver->submit(stream, [=]() -> CUresult {
    Driver& driver = Driver::instance();
    if (!on_device(driver, target, bytes) || !on_device(driver, source, bytes))
      return IllegalAddress;
    memmove(reinterpret_cast<void*>(target), reinterpret_cast<const void*>(source), bytes);
    Recorder::instance().copied(target, source, bytes);
    return Success;
  });
}

namespace {

CUresult fill(CUdeviceptr target, unsigned value, size_t width, size_t count, CUstream_st* stream) {
  ELM_CALL();
  if (target % width || !on_device(*driver, target, count * width))
    return InvalidValue;
  return driver->submit(stream, [=]() -> CUresult {
    if (!on_device(Driver::instance(), target, count * width))
      return IllegalAddress;
    for (size_t i = 0; i < count; i++)
      memcpy(reinterpret_cast<unsigned char*>(target) + i * width, &value, width);
    Recorder::instance().wrote(target, count * width);
    return Success;
  });
}

}  // namespace

ELM_DRIVER_API cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, CUstream_st* stream) { return fill(target, value, 1, count, stream); }

ELM_DRIVER_API cuMemsetD16Async(CUdeviceptr target, unsigned short value, size_t count, CUstream_st* stream) { return fill(target, value, 2, count, stream); }

ELM_DRIVER_API cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, CUstream_st* stream) { return fill(target, value, 4, count, stream); }
