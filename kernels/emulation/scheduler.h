// One block on one thread of the system: its threads' fibers, who waits for what, and who goes on. Inner matter of the emulation.
#pragma once
#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

#include "emulation.h"
#include "fiber.h"

namespace elm::emulation {

constexpr int kWarpLanes = 32;

/// A copy to shared memory that a thread has started and not yet waited for.
struct AsyncCopy {
  uint32_t target;
  const void* source;
  int bytes;
};

struct Thread {
  Fiber fiber;
  uint3 index{};
  int number = 0;
  /// Whether it waits at the block's barrier, and where it waits.
  bool at_barrier = false, finished = false;
  Where where;
  std::vector<AsyncCopy> copies;
  /// Ends of the committed groups in `copies`.
  std::vector<size_t> groups;
};

/// What a lane brings to a warp's operation and takes from it.
struct Slot {
  union {
    uint64_t bits;
    const void* row;
    struct {
      uint32_t a[4], b[2];
      float d[4];
    } product;
  };
  alignas(16) unsigned char result[16];
};

enum class Operation { None, Synchronize, Ballot, Shuffle, LoadMatrix, Multiply };

struct Warp {
  unsigned arrived = 0, mask = 0;
  Operation operation = Operation::None;
  Where where;
  /// Operations so far; slots alternate, as the last lane to come may start the next one before the others have read this one's.
  unsigned generation = 0;
  Slot slots[2][kWarpLanes];
};

class Block {
 public:
  Block();

  /// Prepares for the blocks of a launch, on the calling thread of the system.
  void begin(const Kernel& kernel, dim3 grid, dim3 block, size_t shared_bytes, void** arguments);
  /// Runs one block; false when it failed (`error`).
  bool run(uint3 index, uint64_t seed);
  /// The launch is over.
  void end();

  const std::string& error() const { return error_; }
  uint64_t switches() const { return switches_; }

  /// The block that runs on this thread of the system.
  static Block& current();
  Thread& running() { return *running_; }
  void synchronize(Where here);
  /// Brings the running lane to an operation of its warp: the place for what it brings. `meet` must follow.
  Slot& enter(unsigned mask, Operation operation, Where here);
  /// Waits until all lanes of the mask have come; `complete` runs once, by the last of them. What they brought, and what `complete` made of it.
  const Slot* meet(void (*complete)(Slot*) = nullptr);
  [[noreturn]] void fail(const char* text);

  unsigned char* shared() { return shared_; }
  size_t shared_bytes() const { return shared_bytes_; }

 private:
  static void entry();
  void finish();
  /// Hands over from the running thread to the next that can run; returns when it is chosen again. `last`: it never will be.
  void hand_over(Thread& self, bool last);
  Thread* next();
  void wake(Thread& thread) { queue_[queued_to_++ % kMaxThreads] = static_cast<uint16_t>(thread.number); }
  void set_error(std::string text);
  uint64_t random();

  const Kernel* kernel_ = nullptr;
  void** arguments_ = nullptr;
  Fiber outside_;
  std::unique_ptr<Thread[]> threads_;
  std::unique_ptr<Warp[]> warps_;
  int count_ = 0, alive_ = 0, arrived_ = 0;
  Where barrier_;
  Thread* running_ = nullptr;
  // Threads that can run, in the order in which they became able to: a ring, each at most once.
  uint16_t queue_[kMaxThreads];
  unsigned queued_from_ = 0, queued_to_ = 0;
  Order order_ = Order::Ascending;
  int priority_[kMaxThreads / kWarpLanes];
  uint64_t random_ = 1, switches_ = 0;
  bool failed_ = false;
  std::string error_;
  unsigned char* shared_ = nullptr;
  size_t shared_bytes_ = 0;
  std::unique_ptr<unsigned char[]> shared_storage_;
  /// Barriers that all threads have come to.
  unsigned barriers_ = 0;
  // Places whose addresses stand for the order of events.
  char begin_order_ = 0, barrier_order_[2] = {}, end_order_ = 0;
};

/// Memory [offset, offset + bytes) of the block's dynamic shared memory; fails the launch where there is none.
unsigned char* shared_range(uint32_t offset, size_t bytes, Where here);

}  // namespace elm::emulation
