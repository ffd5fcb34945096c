#include "scheduler.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <utility>

namespace elm::emulation {

namespace {

thread_local Block* current_block = nullptr;

bool same_place(const Where& x, const Where& y) {
  return x.line() == y.line() && (x.file_name() == y.file_name() || strcmp(x.file_name(), y.file_name()) == 0);
}

__attribute__((format(printf, 1, 2))) std::string text(const char* format, ...) {
  char buffer[600];
  va_list list;
  va_start(list, format);
  vsnprintf(buffer, sizeof buffer, format, list);
  va_end(list);
  return buffer;
}

constexpr size_t kSharedAlignment = 1024;

}  // namespace

thread_local Position position;

Block::Block() : threads_(new Thread[kMaxThreads]), warps_(new Warp[kMaxThreads / kWarpLanes]) {}

Block& Block::current() { return *current_block; }

void Block::begin(const Kernel& kernel, dim3 grid, dim3 block, size_t shared_bytes, void** arguments) {
  current_block = this;
  kernel_ = &kernel;
  arguments_ = arguments;
  count_ = static_cast<int>(block.x * block.y * block.z);
  order_ = settings().order;
  failed_ = false;
  error_.clear();
  switches_ = 0;
  outside_.adopt_thread();
  position.block_size = block;
  position.grid_size = grid;
  for (int i = 0; i < count_; i++) {
    threads_[i].number = i;
    threads_[i].index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
  }
  // Memory of exactly this size: AddressSanitizer sees an access beyond its end.
  shared_storage_.reset(new unsigned char[shared_bytes + kSharedAlignment]);
  shared_ = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(shared_storage_.get()) + kSharedAlignment - 1) & ~(kSharedAlignment - 1));
  shared_bytes_ = shared_bytes;
#ifdef ELM_EMULATION_ASAN
  __asan_poison_memory_region(shared_ + shared_bytes, shared_storage_.get() + shared_bytes + kSharedAlignment - (shared_ + shared_bytes));
#endif
}

void Block::end() {
  tsan_acquire(&end_order_);
#ifdef ELM_EMULATION_ASAN
  __asan_unpoison_memory_region(shared_, shared_storage_.get() + shared_bytes_ + kSharedAlignment - shared_);
#endif
  shared_storage_.reset();
  current_block = nullptr;
}

bool Block::run(uint3 index, uint64_t seed) {
  tsan_acquire(&end_order_);
  position.block = index;
  constexpr unsigned char kNaN = 0xff;
  memset(shared_, kNaN, shared_bytes_);
  random_ = seed * 0x9E3779B97F4A7C15ull + 1;
  alive_ = count_;
  arrived_ = 0;
  queued_from_ = queued_to_ = 0;
  const int warps = (count_ + kWarpLanes - 1) / kWarpLanes;
  for (int i = 0; i < warps; i++) {
    warps_[i].arrived = 0;
    priority_[i] = i;
  }
  for (int i = warps; order_ == Order::RunAhead && i > 1; i--)
    std::swap(priority_[i - 1], priority_[random() % i]);
  for (int i = 0; i < count_; i++) {
    Thread& thread = threads_[order_ == Order::Descending ? count_ - 1 - i : i];
    thread.at_barrier = thread.finished = false;
    thread.copies.clear();
    thread.groups.clear();
    thread.fiber.prepare(entry, thread.number);
    wake(thread);
  }
  tsan_release(&begin_order_);
  running_ = next();
  position.thread = running_->index;
  position.number = running_->number;
  outside_.switch_to(running_->fiber);
  return !failed_;
}

void Block::entry() {
  Fiber::started();
  Block& block = current();
  tsan_acquire(&block.begin_order_);
  block.kernel_->call(block.arguments_);
  block.finish();
}

void Block::finish() {
  Thread& self = *running_;
  if (!self.copies.empty())
    fail("the thread ended with asynchronous copies that it had not waited for");
  if (arrived_)
    set_error(text("block (%u,%u,%u): thread %d ended while others wait at the barrier at %s:%u", position.block.x, position.block.y, position.block.z, self.number, barrier_.file_name(),
                   static_cast<unsigned>(barrier_.line())));
  tsan_release(&end_order_);
  self.finished = true;
  alive_--;
  hand_over(self, true);
  abort();
}

Thread* Block::next() {
  if (failed_)
    return nullptr;
  if (queued_from_ == queued_to_) {
    if (alive_ == 0)
      return nullptr;
    int at_barrier = 0;
    const Thread* example = nullptr;
    for (int i = 0; i < count_; i++)
      if (!threads_[i].finished) {
        at_barrier += threads_[i].at_barrier;
        example = &threads_[i];
      }
    set_error(text("block (%u,%u,%u): deadlock: %d threads wait at a barrier and %d in operations of their warps, one of them thread %d at %s:%u", position.block.x, position.block.y,
                   position.block.z, at_barrier, alive_ - at_barrier, example->number, example->where.file_name(), static_cast<unsigned>(example->where.line())));
    return nullptr;
  }
  unsigned chosen = queued_from_;
  const unsigned waiting = queued_to_ - queued_from_;
  if (order_ == Order::Random)
    chosen += static_cast<unsigned>(random() % waiting);
  else if (order_ == Order::RunAhead) {
    for (unsigned i = queued_from_ + 1; i != queued_to_; i++)
      if (priority_[queue_[i % kMaxThreads] / kWarpLanes] < priority_[queue_[chosen % kMaxThreads] / kWarpLanes])
        chosen = i;
    const int warps = (count_ + kWarpLanes - 1) / kWarpLanes;
    if (random() % 64 == 0)
      std::swap(priority_[random() % warps], priority_[random() % warps]);
  }
  std::swap(queue_[chosen % kMaxThreads], queue_[queued_from_ % kMaxThreads]);
  return &threads_[queue_[queued_from_++ % kMaxThreads]];
}

void Block::hand_over(Thread& self, bool last) {
  Thread* chosen = next();
  if (chosen == &self)
    return;
  if (!chosen) {
    self.fiber.switch_to(outside_, last);
    return;
  }
  running_ = chosen;
  position.thread = chosen->index;
  position.number = chosen->number;
  switches_++;
  self.fiber.switch_to(chosen->fiber, last);
}

void Block::set_error(std::string text) {
  if (!failed_)
    error_ = std::move(text);
  failed_ = true;
}

void Block::fail(const char* message) {
  Thread& self = *running_;
  set_error(text("block (%u,%u,%u) thread %d: %s", position.block.x, position.block.y, position.block.z, self.number, message));
  self.fiber.switch_to(outside_, true);
  abort();
}

uint64_t Block::random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_;
}

void Block::synchronize(Where here) {
  Thread& self = *running_;
  if (alive_ != count_)
    fail(text("comes to the barrier at %s:%u after %d threads have ended", here.file_name(), static_cast<unsigned>(here.line()), count_ - alive_).c_str());
  if (arrived_ == 0)
    barrier_ = here;
  else if (!same_place(barrier_, here))
    fail(text("divergent barrier: this thread comes to %s:%u while others wait at %s:%u", here.file_name(), static_cast<unsigned>(here.line()), barrier_.file_name(),
              static_cast<unsigned>(barrier_.line())).c_str());
  // One place for every other barrier: who has gone on and come to the next one orders nothing for those who have yet to go on from this one.
  char* const order = &barrier_order_[barriers_ & 1];
  tsan_release(order);
  self.where = here;
  self.at_barrier = true;
  if (++arrived_ == count_) {
    arrived_ = 0;
    barriers_++;
    // The last to come queues up with the others: the order decides who goes on first.
    for (int i = 0; i < count_; i++) {
      Thread& thread = threads_[order_ == Order::Descending ? count_ - 1 - i : i];
      thread.at_barrier = false;
      wake(thread);
    }
  }
  hand_over(self, false);
  tsan_acquire(order);
}

Slot& Block::enter(unsigned mask, Operation operation, Where here) {
  Thread& self = *running_;
  Warp& warp = warps_[self.number / kWarpLanes];
  const int lane = self.number % kWarpLanes;
  if (!(mask >> lane & 1))
    fail(text("lane %d is not in its own mask %08x at %s:%u", lane, mask, here.file_name(), static_cast<unsigned>(here.line())).c_str());
  if (warp.arrived == 0) {
    warp.mask = mask;
    warp.operation = operation;
    warp.where = here;
  } else if (warp.mask != mask || warp.operation != operation || !same_place(warp.where, here))
    fail(text("divergent operation of a warp: lane %d comes to %s:%u with mask %08x while others wait at %s:%u with mask %08x", lane, here.file_name(), static_cast<unsigned>(here.line()), mask,
              warp.where.file_name(), static_cast<unsigned>(warp.where.line()), warp.mask).c_str());
  return warp.slots[warp.generation & 1][lane];
}

const Slot* Block::meet(void (*complete)(Slot*)) {
  Thread& self = *running_;
  Warp& warp = warps_[self.number / kWarpLanes];
  const int lane = self.number % kWarpLanes;
  Slot* slots = warp.slots[warp.generation & 1];
  warp.arrived |= 1u << lane;
  tsan_release(slots);
  if (warp.arrived != warp.mask) {
    self.where = warp.where;
    hand_over(self, false);
  } else {
    tsan_acquire(slots);
    if (complete)
      complete(slots);
    warp.arrived = 0;
    warp.generation++;
    tsan_release(slots);
    const int first = self.number - lane;
    for (unsigned others = warp.mask & ~(1u << lane); others != 0;) {
      const int other = order_ == Order::Descending ? 31 - __builtin_clz(others) : __builtin_ctz(others);
      others &= ~(1u << other);
      wake(threads_[first + other]);
    }
    if (order_ == Order::Random) {
      wake(self);
      hand_over(self, false);
    }
  }
  tsan_acquire(slots);
  return slots;
}

void fail(const char* format, ...) {
  char buffer[500];
  va_list list;
  va_start(list, format);
  vsnprintf(buffer, sizeof buffer, format, list);
  va_end(list);
  Block::current().fail(buffer);
}

void synchronize_block(Where here) { Block::current().synchronize(here); }

void synchronize_warp(unsigned mask, Where here) {
  Block& block = Block::current();
  block.enter(mask, Operation::Synchronize, here);
  block.meet();
}

unsigned ballot(unsigned mask, bool holds, Where here) {
  Block& block = Block::current();
  block.enter(mask, Operation::Ballot, here).bits = holds;
  const Slot* slots = block.meet();
  unsigned bits = 0;
  for (int i = 0; i < kWarpLanes; i++)
    if (mask >> i & 1)
      bits |= static_cast<unsigned>(slots[i].bits) << i;
  return bits;
}

uint64_t shuffle_bits(unsigned mask, uint64_t bits, int source, Where here) {
  Block& block = Block::current();
  block.enter(mask, Operation::Shuffle, here).bits = bits;
  const Slot* slots = block.meet();
  if (source < 0 || source >= kWarpLanes || !(mask >> source & 1))
    fail("shuffle from lane %d, which is outside mask %08x, at %s:%u", source, mask, here.file_name(), static_cast<unsigned>(here.line()));
  return slots[source].bits;
}

void* dynamic_shared() { return Block::current().shared(); }

uint32_t shared_offset(const void* p, Where here) {
  const Block& block = Block::current();
  const ptrdiff_t offset = static_cast<const unsigned char*>(p) - const_cast<Block&>(block).shared();
  if (offset < 0 || static_cast<size_t>(offset) > block.shared_bytes())
    fail("not an address in dynamic shared memory at %s:%u", here.file_name(), static_cast<unsigned>(here.line()));
  return static_cast<uint32_t>(offset);
}

unsigned char* shared_range(uint32_t offset, size_t bytes, Where here) {
  Block& block = Block::current();
  if (offset + bytes > block.shared_bytes())
    fail("bytes %u to %zu of %zu of dynamic shared memory at %s:%u", offset, offset + bytes, block.shared_bytes(), here.file_name(), static_cast<unsigned>(here.line()));
  return block.shared() + offset;
}

}  // namespace elm::emulation
