// Running kernels on the emulation, from the side of the host: what the stand-in for the driver and the checks in tests/kernels call.
#pragma once
#include <stdint.h>

#include <string>

#include "language.h"

namespace elm::emulation {

/// Which of a block's threads goes on when one has to wait. A right kernel gives the same bits in each.
enum class Order {
  Ascending,
  /// The last thread and the last block first.
  Descending,
  Random,
  /// One warp goes as far as it can before the others move.
  RunAhead,
};

struct Settings {
  /// ELM_EMULATION_ORDER (ascending, descending, random, run-ahead), ELM_EMULATION_SEED: of Random and RunAhead.
  Order order;
  uint64_t seed;
  /// Threads of the system that blocks run on: ELM_EMULATION_WORKERS, else one per processor. 1 where shared memory is static.
  int workers;
};
/// Read from the environment at the first call; may be changed between launches.
Settings& settings();

struct Outcome {
  /// Empty after success, else what the kernel did wrong, and where.
  std::string error;
  /// How often one thread handed over to another: what a launch costs, apart from its arithmetic.
  uint64_t switches = 0;
};
/// Threads of a block, and dynamic shared memory of a block in bytes, at most (sm_80 has 163 KiB, sm_90 227 KiB).
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kMaxSharedBytes = 227 * 1024;

/// Runs a kernel to its end. One launch at a time; others wait. Grid and block sizes are positive and within the limits of the driver.
Outcome run(const Kernel& kernel, dim3 grid, dim3 block, size_t shared_bytes, void** arguments);

}  // namespace elm::emulation
