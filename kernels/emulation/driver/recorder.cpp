#include "recorder.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

namespace elm::driver {

using recording::Kind;

namespace {

/// Calls `visit(offset in the argument, address)` for each address in an argument.
template <class Visit> void for_each_address(const emulation::Parameter& parameter, const void* argument, Visit visit) {
  if (!parameter.pointer && !parameter.structure)
    return;
  for (size_t at = 0; at + sizeof(uintptr_t) <= parameter.bytes; at += sizeof(uintptr_t)) {
    uintptr_t address;
    memcpy(&address, static_cast<const unsigned char*>(argument) + at, sizeof address);
    if (address && Driver::instance().find(address, 0))
      visit(at, address);
  }
}

}  // namespace

Recorder& Recorder::instance() {
  static auto* recorder = new Recorder;
  return *recorder;
}

Recorder::Recorder() {
  const char* named = getenv("ELM_CUDA_RECORD");
  if (!named || !*named)
    return;
  std::string path = named;
  if (const size_t at = path.find('%'); at != std::string::npos)
    path.replace(at, 1, std::to_string(getpid()));
  writer_ = std::make_unique<recording::Writer>(path);
  if (!writer_->is_open()) {
    fprintf(stderr, "emulation: ELM_CUDA_RECORD: %s cannot be written\n", path.c_str());
    exit(1);
  }
  const char* cost = getenv("ELM_CUDA_RECORD_COST");
  max_cost_ = cost && *cost ? strtoull(cost, nullptr, 10) : 120000;
  atexit([] { instance().writer_.reset(); });
}

recording::Place Recorder::place(uintptr_t address) {
  const auto* found = Driver::instance().find(address, 0);
  return {found->second.number, address - found->first};
}

void Recorder::allocated(const Allocation& allocation) {
  if (!writer_)
    return;
  writer_->put(Kind::Allocate);
  writer_->put(allocation.number);
  writer_->put(static_cast<uint64_t>(allocation.bytes));
}

void Recorder::freed(const Allocation& allocation) {
  if (!writer_)
    return;
  writer_->put(Kind::Free);
  writer_->put(allocation.number);
}

void Recorder::wrote(uintptr_t address, size_t bytes) {
  if (!writer_ || bytes == 0)
    return;
  const auto* content = reinterpret_cast<const unsigned char*>(address);
  const bool uniform = std::all_of(content, content + bytes, [first = *content](unsigned char byte) { return byte == first; });
  writer_->put(uniform ? Kind::Fill : Kind::Write);
  writer_->put(place(address));
  if (uniform) {
    writer_->put(static_cast<uint64_t>(bytes));
    writer_->put(static_cast<uint64_t>(*content));
  } else
    writer_->put(content, bytes);
}

void Recorder::copied(uintptr_t target, uintptr_t source, size_t bytes) {
  if (!writer_ || bytes == 0)
    return;
  writer_->put(Kind::Copy);
  writer_->put(place(target));
  writer_->put(place(source));
  writer_->put(static_cast<uint64_t>(bytes));
}

void Recorder::read(uintptr_t address, size_t bytes) {
  if (!writer_ || bytes == 0)
    return;
  writer_->put(Kind::Read);
  writer_->put(place(address));
  writer_->put(reinterpret_cast<const void*>(address), bytes);
  writer_->flush();
}

void Recorder::launching(const emulation::Kernel& kernel, void** arguments) {
  if (!writer_)
    return;
  before_.clear();
  for (int i = 0; i < kernel.parameter_count; i++)
    for_each_address(kernel.parameters[i], arguments[i], [&](size_t, uintptr_t address) {
      const auto& [start, allocation] = *Driver::instance().find(address, 0);
      // What the host writes to pinned memory is in no event.
      if (allocation.pinned)
        wrote(start, allocation.bytes);
      if (kernel.parameters[i].writable || kernel.parameters[i].structure) {
        const auto* content = reinterpret_cast<const unsigned char*>(start);
        before_.try_emplace(start, content, content + allocation.bytes);
      }
    });
}

void Recorder::launched(const emulation::Kernel& kernel, dim3 grid, dim3 block, size_t shared_bytes, void** arguments, uint64_t switches) {
  if (!writer_)
    return;
  std::string signature = kernel.name;
  const auto add = [&](const void* bytes, size_t count) { signature.append(static_cast<const char*>(bytes), count); };
  add(&grid, sizeof grid);
  add(&block, sizeof block);
  for (int i = 0; i < kernel.parameter_count; i++)
    if (!kernel.parameters[i].pointer && !kernel.parameters[i].structure)
      add(arguments[i], kernel.parameters[i].bytes);
    else {
      uintptr_t word;
      memcpy(&word, arguments[i], sizeof word);
      const unsigned char kind = word == 0 ? 0 : word % 16 ? 1 : 2;
      add(&kind, 1);
    }
  const uint64_t cost = switches + static_cast<uint64_t>(grid.x) * grid.y * grid.z * block.x * block.y * block.z;
  constexpr uint64_t kLaunchesOfOneKernel = 4;
  uint64_t& spent = spent_[&kernel];
  if (cost <= max_cost_ && spent + cost <= kLaunchesOfOneKernel * max_cost_ && seen_.insert(signature).second) {
    spent += cost;
    write_launch(kernel, grid, block, shared_bytes, arguments);
  } else
    write_changes();
  before_.clear();
}

void Recorder::write_launch(const emulation::Kernel& kernel, dim3 grid, dim3 block, size_t shared_bytes, void** arguments) {
  writer_->put(Kind::Launch);
  writer_->put(kernel.name, strlen(kernel.name));
  for (const unsigned size : {grid.x, grid.y, grid.z, block.x, block.y, block.z})
    writer_->put(static_cast<uint64_t>(size));
  writer_->put(static_cast<uint64_t>(shared_bytes));
  writer_->put(static_cast<uint64_t>(kernel.parameter_count));
  for (int i = 0; i < kernel.parameter_count; i++) {
    writer_->put(arguments[i], kernel.parameters[i].bytes);
    std::vector<std::pair<size_t, uintptr_t>> addresses;
    for_each_address(kernel.parameters[i], arguments[i], [&](size_t at, uintptr_t address) { addresses.emplace_back(at, address); });
    writer_->put(static_cast<uint64_t>(addresses.size()));
    for (const auto& [at, address] : addresses) {
      writer_->put(static_cast<uint64_t>(at));
      writer_->put(place(address));
    }
  }
}

void Recorder::write_changes() {
  // Changes that lie closer together than this are written as one.
  constexpr size_t kGap = 64;
  for (const auto& [start, old] : before_) {
    const auto* now = reinterpret_cast<const unsigned char*>(start);
    for (size_t at = 0; at < old.size();) {
      if (at + kGap <= old.size() && memcmp(now + at, old.data() + at, kGap) == 0) {
        at += kGap;
        continue;
      }
      if (now[at] == old[at]) {
        at++;
        continue;
      }
      size_t end = at + 1;
      for (size_t same = 0, i = at + 1; i < old.size() && same < kGap; i++) {
        same = now[i] == old[i] ? same + 1 : 0;
        if (same == 0)
          end = i + 1;
      }
      wrote(start + at, end - at);
      at = end;
    }
  }
}

}  // namespace elm::driver
