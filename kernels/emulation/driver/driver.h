// A stand-in for libcuda on the emulation: the subset of the driver API that the project binds, with the driver's rules and codes. Inner matter; the entry points are the extern "C"
// functions of this folder, with the driver's names and signatures.
//
// Work comes as late as it may: what is queued on a stream runs when somebody synchronises, all streams in one order. Kernels' misdeeds then show as the driver shows them (every later
// call fails with their code); what they were is written to standard error.
//
// Environment: ELM_EMULATION_MEMORY (bytes of the device, default 16 GiB), ELM_EMULATION_DEVICES (default 1), ELM_EMULATION_CAPABILITY (e.g. 80; default 90), ELM_EMULATION_DRIVER
// (version of the driver, default 13000 for CUDA 13.0), ELM_CUDA_RECORD (recorder.h), and those of the emulation (emulation.h).
#pragma once
#include <stdint.h>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../emulation.h"

typedef int CUresult;
typedef unsigned long long CUdeviceptr;
struct CUstream_st;
struct CUgraph_st;

namespace elm::driver {

enum Status : CUresult {
  Success = 0,
  InvalidValue = 1,
  OutOfMemory = 2,
  NotInitialized = 3,
  NoDevice = 100,
  InvalidDevice = 101,
  InvalidImage = 200,
  InvalidContext = 201,
  NoBinaryForGpu = 209,
  InvalidPtx = 218,
  UnsupportedPtxVersion = 222,
  InvalidHandle = 400,
  IllegalState = 401,
  NotFound = 500,
  NotReady = 600,
  IllegalAddress = 700,
  LaunchOutOfResources = 701,
  LaunchFailed = 719,
  NotSupported = 801,
  CaptureUnsupported = 900,
  CaptureInvalidated = 901,
  CaptureUnmatched = 903,
  CaptureImplicit = 906,
  CapturedEvent = 907,
  CaptureWrongThread = 908,
};

/// A piece of work on a stream.
using Work = std::function<CUresult()>;

/// Live objects of one kind. A handle that is not among them is refused, not followed.
template <class T> class Handles {
 public:
  T* add(std::unique_ptr<T> object) {
    T* handle = object.get();
    live_.emplace(handle, std::move(object));
    return handle;
  }
  bool has(const T* handle) const { return live_.count(const_cast<T*>(handle)) != 0; }
  bool remove(const T* handle) { return live_.erase(const_cast<T*>(handle)) != 0; }
  void clear() { live_.clear(); }
  auto begin() const { return live_.begin(); }
  auto end() const { return live_.end(); }

 private:
  std::map<T*, std::unique_ptr<T>> live_;
};

/// Memory of the device, or pinned memory of the host, which kernels reach as well.
struct Allocation {
  size_t bytes;
  /// Number in the recording.
  uint64_t number;
  bool pinned = false, from_pool = false;
  /// A queued cuMemFreeAsync will free it: nothing that comes later may use it any more; what was queued before still does.
  bool leaving = false;
};

enum class CaptureMode { Global, ThreadLocal, Relaxed };

struct Capture {
  CaptureMode mode;
  std::thread::id thread;
  std::vector<Work> work;
  bool invalid = false;
};

struct Event {
  /// When the work before it was done; empty while that is pending.
  std::optional<std::chrono::steady_clock::time_point> done;
  bool recorded = false, captured = false, timed = true;
  /// Counts recordings: an older one that is still queued must not set `done`.
  uint64_t recordings = 0;
};

/// What the text of a PTX image says about one of its kernels.
struct Entry {
  unsigned max_threads = emulation::kMaxThreads;
};

struct Module {
  /// Kernels of the image by name; empty when it names none (machine code): all are there.
  std::map<std::string, Entry, std::less<>> entries;
};

struct Function {
  const emulation::Kernel* kernel;
  Module* module;
  Entry entry;
  int max_shared = 48 * 1024;
};

/// Everything behind one lock.
struct Driver {
  std::recursive_mutex lock;
  bool initialized = false;
  int contexts = 0;
  /// The code of the first work that failed; every call gives it until the context goes.
  CUresult broken = Success;

  std::map<uintptr_t, Allocation> memory;
  size_t used = 0, pool_used = 0, pool_reserved = 0, pool_threshold = 0, pool_high = 0;
  uint64_t allocations = 0;

  Handles<CUstream_st> streams;
  Handles<CUgraph_st> graphs;
  Handles<Event> events;
  Handles<Module> modules;
  Handles<Function> functions;
  std::deque<Work> queue;
  /// Whether queued work runs now.
  bool performing = false;

  static Driver& instance();

  size_t total() const;
  int device_count() const;
  /// Compute capability times ten.
  int capability() const;
  /// Shared memory of a block at most, in bytes, as of the device's capability.
  int max_shared() const;

  /// The allocation that holds [address, address + bytes) whole, or null. A place at the end of one holds no bytes.
  std::pair<const uintptr_t, Allocation>* find(uintptr_t address, size_t bytes);
  /// Makes memory known; the device's is NaN in every float type.
  CUresult allocate(size_t bytes, bool pinned, bool from_pool, uintptr_t& address);
  void release(uintptr_t address);

  /// Whether an unsafe call is forbidden now because a stream captures; the capture is lost then.
  bool forbidden_by_capture();
  bool any_capture() const;
  void invalidate_captures();
  /// Queues work, or puts it into the capture of the stream.
  CUresult submit(CUstream_st* stream, Work work);
  /// Runs all that is queued.
  CUresult finish();
  /// The primary context is gone, and everything in it.
  void destroy_context();
};

/// Begins each call: the lock, and whether the call may go on.
class Call {
 public:
  enum Need { Nothing, Initialized, Context };
  explicit Call(Need need = Context);
  CUresult status() const { return status_; }
  Driver* operator->() { return &driver_; }
  Driver& operator*() { return driver_; }

 private:
  Driver& driver_;
  std::lock_guard<std::recursive_mutex> guard_;
  CUresult status_ = Success;
};

}  // namespace elm::driver

struct CUstream_st {
  bool blocking = true;
  std::unique_ptr<elm::driver::Capture> capture;
};

struct CUgraph_st {
  bool executable = false;
  std::shared_ptr<const std::vector<elm::driver::Work>> work;
};

#define ELM_DRIVER_API extern "C" __attribute__((visibility("default"))) CUresult
// Opens a call named `driver`, or returns the code that keeps it from going on.
#define ELM_CALL(...)                 \
  elm::driver::Call driver{__VA_ARGS__}; \
  if (driver.status() != elm::driver::Success) return driver.status()
