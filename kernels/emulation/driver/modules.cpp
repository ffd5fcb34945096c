// Modules, functions and launches. The code of a kernel is the program's own, by name; an image only decides which kernels there are.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <string_view>

#include "driver.h"
#include "recorder.h"

using namespace elm::driver;
using elm::emulation::Kernel;
using elm::emulation::Parameter;

namespace {

/// The number after a word of PTX, times ten for "8.0"; -1 where there is none.
int number_after(std::string_view text, std::string_view word, int scale) {
  const size_t at = text.find(word);
  if (at == std::string_view::npos)
    return -1;
  return static_cast<int>(strtod(std::string(text.substr(at + word.size(), 16)).c_str(), nullptr) * scale + 0.5);
}

/// The kernels that a PTX text defines.
std::map<std::string, Entry, std::less<>> entries_of(std::string_view text) {
  std::map<std::string, Entry, std::less<>> entries;
  constexpr std::string_view kEntry = ".entry ";
  for (size_t at = text.find(kEntry); at != std::string_view::npos;) {
    const size_t begin = at + kEntry.size(), end = text.find_first_of("( \n", begin);
    at = text.find(kEntry, begin);
    const size_t body = std::min(text.find('{', begin), text.size());
    Entry entry;
    const std::string_view head = text.substr(begin, body - begin);
    constexpr std::string_view kMaxThreads = ".maxntid ";
    if (const size_t limit = head.find(kMaxThreads); limit != std::string_view::npos) {
      unsigned x = 1, y = 1, z = 1;
      sscanf(std::string(head.substr(limit + kMaxThreads.size(), 64)).c_str(), "%u , %u , %u", &x, &y, &z);
      entry.max_threads = x * y * z;
    }
    entries.emplace(text.substr(begin, end - begin), entry);
  }
  return entries;
}

/// Where the caller wants the compiler's complaints: options 5 (buffer) and 6 (its bytes, and then the bytes used).
class ErrorLog {
 public:
  ErrorLog(unsigned count, const int* options, void** values) {
    for (unsigned i = 0; i < count; i++) {
      if (options[i] == 5)
        buffer_ = static_cast<char*>(values[i]);
      if (options[i] == 6)
        bytes_ = &values[i];
    }
    write("");
  }
  void write(const char* text) const {
    if (!buffer_ || !bytes_)
      return;
    const size_t room = reinterpret_cast<size_t>(*bytes_), used = std::min(strlen(text), room ? room - 1 : 0);
    if (room) {
      memcpy(buffer_, text, used);
      buffer_[used] = 0;
    }
    if (*text)
      *bytes_ = reinterpret_cast<void*>(used);
  }

 private:
  char* buffer_ = nullptr;
  void** bytes_ = nullptr;
};

CUresult load_ptx(Driver& driver, std::string_view text, const ErrorLog& log, Module& module) {
  const int version = number_after(text, ".version", 10), target = number_after(text, ".target sm_", 1);
  if (version < 0) {
    log.write("ptxas fatal : Missing .version directive at start of file");
    return InvalidPtx;
  }
  constexpr int kNewestVersion = 90;
  if (version > kNewestVersion) {
    log.write("ptxas fatal : Unsupported .version; current version is '9.0'");
    return UnsupportedPtxVersion;
  }
  if (target > driver.capability()) {
    log.write("ptxas fatal : SM version specified by .target is higher than default SM version assumed");
    return InvalidPtx;
  }
  module.entries = entries_of(text);
  return Success;
}

}  // namespace

ELM_DRIVER_API cuModuleLoadDataEx(Module** module, const void* image, unsigned option_count, int* options, void** values) {
  ELM_CALL();
  if (!image)
    return InvalidValue;
  if (driver->forbidden_by_capture())
    return CaptureUnsupported;
  const ErrorLog log(option_count, options, values);
  const auto* bytes = static_cast<const unsigned char*>(image);
  auto made = std::make_unique<Module>();
  constexpr unsigned char kElf[] = {0x7f, 'E', 'L', 'F'}, kFatbin[] = {0x50, 0xed, 0x55, 0xba};
  if (memcmp(bytes, kElf, 4) != 0 && memcmp(bytes, kFatbin, 4) != 0) {
    const std::string_view text = static_cast<const char*>(image);
    const bool printable = std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t' || (c >= ' ' && c <= '~'); });
    if (text.find(".version") == std::string_view::npos || !printable)
      return InvalidImage;
    if (const CUresult status = load_ptx(*driver, text, log, *made))
      return status;
  }
  *module = driver->modules.add(std::move(made));
  return Success;
}

ELM_DRIVER_API cuModuleLoadData(Module** module, const void* image) { return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr); }

ELM_DRIVER_API cuModuleUnload(Module* module) {
  ELM_CALL();
  if (!driver->modules.has(module))
    return InvalidHandle;
  const CUresult status = driver->finish();
  std::vector<Function*> gone;
  for (const auto& [handle, function] : driver->functions)
    if (function->module == module)
      gone.push_back(handle);
  for (Function* function : gone)
    driver->functions.remove(function);
  driver->modules.remove(module);
  return status;
}

ELM_DRIVER_API cuModuleGetFunction(Function** function, Module* module, const char* name) {
  ELM_CALL();
  if (!driver->modules.has(module))
    return InvalidHandle;
  const Kernel* kernel = elm::emulation::find_kernel(name);
  const auto entry = module->entries.find(std::string_view(name));
  if (!module->entries.empty() && entry == module->entries.end())
    return NotFound;
  if (!kernel) {
    if (entry != module->entries.end())
      fprintf(stderr, "emulation: the image has a kernel %s, but no ELM_KERNEL(%s) stands after its definition\n", name, name);
    return NotFound;
  }
  for (const auto& [handle, known] : driver->functions)
    if (known->module == module && known->kernel == kernel) {
      *function = handle;
      return Success;
    }
  auto made = std::make_unique<Function>();
  made->kernel = kernel;
  made->module = module;
  if (entry != module->entries.end())
    made->entry = entry->second;
  *function = driver->functions.add(std::move(made));
  return Success;
}

ELM_DRIVER_API cuFuncGetAttribute(int* value, int attribute, Function* function) {
  ELM_CALL();
  if (!driver->functions.has(function))
    return InvalidHandle;
  switch (attribute) {
    case 0: *value = static_cast<int>(function->entry.max_threads); return Success;
    case 4: *value = 64; return Success;                        // registers of a thread
    case 5: *value = 80; return Success;                        // PTX version
    case 6: *value = driver->capability(); return Success;
    case 8: *value = function->max_shared; return Success;      // dynamic shared memory at most
    case 9: *value = -1; return Success;                        // preferred share of shared memory
    case 1: case 2: case 3: case 7: *value = 0; return Success;  // static shared, constant, local memory; cache mode
    default: return InvalidValue;
  }
}

ELM_DRIVER_API cuFuncSetAttribute(Function* function, int attribute, int value) {
  ELM_CALL();
  if (!driver->functions.has(function))
    return InvalidHandle;
  if (attribute == 9)
    return value >= -1 && value <= 100 ? Success : InvalidValue;
  if (attribute != 8 || value < 0 || value > driver->max_shared())
    return InvalidValue;
  function->max_shared = value;
  return Success;
}

ELM_DRIVER_API cuFuncGetParamInfo(Function* function, size_t index, size_t* offset, size_t* bytes) {
  ELM_CALL();
  if (!driver->functions.has(function))
    return InvalidHandle;
  if (index >= static_cast<size_t>(function->kernel->parameter_count))
    return InvalidValue;
  size_t at = 0;
  for (size_t i = 0;; i++) {
    const size_t own = function->kernel->parameters[i].bytes, alignment = own % 8 == 0 ? 8 : own % 4 == 0 ? 4 : own % 2 == 0 ? 2 : 1;
    at = (at + alignment - 1) / alignment * alignment;
    if (i == index) {
      *offset = at;
      if (bytes)
        *bytes = own;
      return Success;
    }
    at += own;
  }
}

ELM_DRIVER_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int threads, size_t shared_bytes) {
  ELM_CALL();
  if (!driver->functions.has(function))
    return InvalidHandle;
  if (threads < 1 || threads > 1024)
    return InvalidValue;
  const size_t shared_of_processor = static_cast<size_t>(driver->max_shared()) + 1024;
  *blocks = static_cast<int>(std::min({size_t{32}, size_t{2048} / (static_cast<size_t>(threads + 31) / 32 * 32), shared_of_processor / (shared_bytes + 1024)}));
  return Success;
}

namespace {

/// A launch with its own copy of the arguments.
struct Launch {
  const Kernel* kernel;
  dim3 grid, block;
  unsigned shared_bytes;
  std::vector<uint64_t> storage;
  /// Where each argument begins in the storage.
  std::vector<size_t> offsets;

  Launch(const Kernel* kernel, dim3 grid, dim3 block, unsigned shared_bytes, void** arguments) : kernel(kernel), grid(grid), block(block), shared_bytes(shared_bytes) {
    for (int i = 0; i < kernel->parameter_count; i++) {
      const size_t bytes = kernel->parameters[i].bytes;
      offsets.push_back(storage.size());
      storage.resize(storage.size() + (bytes + 15) / 16 * 2);
      memcpy(&storage[offsets.back()], arguments[i], bytes);
    }
  }

  /// An argument that points to no memory of the device; -1 where all do. Null is for absent tensors.
  int stray() const {
    for (int i = 0; i < kernel->parameter_count; i++)
      if (kernel->parameters[i].pointer && storage[offsets[static_cast<size_t>(i)]] && !Driver::instance().find(storage[offsets[static_cast<size_t>(i)]], 0))
        return i;
    return -1;
  }

  CUresult complain_of(int argument) const {
    fprintf(stderr, "emulation: %s: argument %d is 0x%llx, which is no memory of the device\n", kernel->name, argument,
            static_cast<unsigned long long>(storage[offsets[static_cast<size_t>(argument)]]));
    return IllegalAddress;
  }

  CUresult perform() const {
    if (const int argument = stray(); argument >= 0)
      return complain_of(argument);
    std::vector<uint64_t> own = storage;
    std::vector<void*> arguments;
    for (const size_t offset : offsets)
      arguments.push_back(&own[offset]);
    Recorder& recorder = Recorder::instance();
    recorder.launching(*kernel, arguments.data());
    const elm::emulation::Outcome outcome = elm::emulation::run(*kernel, grid, block, shared_bytes, arguments.data());
    if (!outcome.error.empty()) {
      fprintf(stderr, "emulation: %s: %s\n", kernel->name, outcome.error.c_str());
      return LaunchFailed;
    }
    recorder.launched(*kernel, grid, block, shared_bytes, arguments.data(), outcome.switches);
    return Success;
  }
};

}  // namespace

ELM_DRIVER_API cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                              CUstream_st* stream, void** arguments, void** extra) {
  ELM_CALL();
  if (!driver->functions.has(function))
    return InvalidHandle;
  constexpr unsigned kMaxGridX = 2147483647, kMaxGrid = 65535, kMaxBlock = 1024, kMaxBlockZ = 64;
  if (grid_x == 0 || grid_y == 0 || grid_z == 0 || grid_x > kMaxGridX || grid_y > kMaxGrid || grid_z > kMaxGrid)
    return InvalidValue;
  if (block_x == 0 || block_y == 0 || block_z == 0 || block_x > kMaxBlock || block_y > kMaxBlock || block_z > kMaxBlockZ || block_x * block_y * block_z > kMaxBlock)
    return InvalidValue;
  if (static_cast<int>(shared_bytes) > function->max_shared)
    return InvalidValue;
  if (block_x * block_y * block_z > function->entry.max_threads)
    return LaunchOutOfResources;
  if (extra)
    return NotSupported;
  if (!arguments && function->kernel->parameter_count)
    return InvalidValue;
  for (int i = 0; i < function->kernel->parameter_count; i++)
    if (!arguments[i])
      return InvalidValue;
  const Launch launch(function->kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, arguments);
  // The driver finds this out while the kernel runs; the caller is still there to be named.
  if (const int argument = launch.stray(); argument >= 0)
    return launch.complain_of(argument);
  return driver->submit(stream, [launch] { return launch.perform(); });
}
