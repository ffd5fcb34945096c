// ELM_CUDA_RECORD=FILE: the stand-in writes what the program does with the device (recording.h); a % in the name becomes the number of the process.
//
// A launch is written as such when it is new (kernel, grid, block, numbers among its arguments) and cheap, and else as the bytes that it changed: a recording stays short enough for
// sanitizers, and what follows finds its input all the same. ELM_CUDA_RECORD_COST: what a launch may cost, in threads and hand-overs between them (default 120,000); all launches of one
// kernel may cost four times that.
#pragma once
#include <stdint.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "driver.h"
#include "recording.h"

namespace elm::driver {

class Recorder {
 public:
  static Recorder& instance();

  void allocated(const Allocation& allocation);
  void freed(const Allocation& allocation);
  void wrote(uintptr_t address, size_t bytes);
  void copied(uintptr_t target, uintptr_t source, size_t bytes);
  void read(uintptr_t address, size_t bytes);
  /// Right before and after a launch.
  void launching(const emulation::Kernel& kernel, void** arguments);
  void launched(const emulation::Kernel& kernel, dim3 grid, dim3 block, size_t shared_bytes, void** arguments, uint64_t switches);

 private:
  Recorder();
  recording::Place place(uintptr_t address);
  void write_launch(const emulation::Kernel& kernel, dim3 grid, dim3 block, size_t shared_bytes, void** arguments);
  void write_changes();

  std::unique_ptr<recording::Writer> writer_;
  uint64_t max_cost_ = 0;
  std::set<std::string> seen_;
  std::map<const emulation::Kernel*, uint64_t> spent_;
  /// What the launch may write to, as it was before.
  std::map<uintptr_t, std::vector<unsigned char>> before_;
};

}  // namespace elm::driver
