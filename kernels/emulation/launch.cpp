// The registry of kernels, the settings, and a launch's way through the workers.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <string_view>
#include <thread>

#include "scheduler.h"

namespace elm::emulation {

namespace {

std::map<std::string_view, Kernel>& kernels() {
  static auto* all = new std::map<std::string_view, Kernel>;
  return *all;
}

Settings from_environment() {
  Settings settings{Order::Ascending, 1, static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))};
  if (const char* order = getenv("ELM_EMULATION_ORDER")) {
    constexpr std::string_view kNames[] = {"ascending", "descending", "random", "run-ahead"};
    const auto* found = std::find(std::begin(kNames), std::end(kNames), order);
    if (found == std::end(kNames)) {
      fprintf(stderr, "emulation: ELM_EMULATION_ORDER is '%s'; it must be ascending, descending, random or run-ahead\n", order);
      exit(1);
    }
    settings.order = static_cast<Order>(found - kNames);
  }
  if (const char* seed = getenv("ELM_EMULATION_SEED"))
    settings.seed = strtoull(seed, nullptr, 10);
  if (const char* workers = getenv("ELM_EMULATION_WORKERS"))
    settings.workers = std::clamp(atoi(workers), 1, 256);
#ifdef ELM_EMULATION_STATIC_SHARED
  settings.workers = 1;
#endif
  return settings;
}

/// Threads of the system that wait for work. Made when first needed, and never ended: the process may be on its way out while they sleep.
class Workers {
 public:
  static Workers& instance() {
    static auto* workers = new Workers;
    return *workers;
  }

  /// Calls `work` on the calling thread and on `helpers` others; returns when all have returned.
  void run(int helpers, const std::function<void()>& work) {
    {
      std::lock_guard lock(mutex_);
      for (; threads_ < helpers; threads_++)
        std::thread([this] { serve(); }).detach();
      work_ = &work;
      wanted_ = busy_ = helpers;
    }
    if (helpers)
      start_.notify_all();
    work();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      start_.wait(lock, [this] { return wanted_ > 0; });
      wanted_--;
      const std::function<void()>& work = *work_;
      lock.unlock();
      work();
      lock.lock();
      if (--busy_ == 0)
        done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable start_, done_;
  const std::function<void()>* work_ = nullptr;
  int threads_ = 0, wanted_ = 0, busy_ = 0;
};

/// Blocks with their fibers' stacks, kept from launch to launch.
class Engines {
 public:
  static Engines& instance() {
    static auto* engines = new Engines;
    return *engines;
  }
  std::unique_ptr<Block> take() {
    std::lock_guard lock(mutex_);
    if (idle_.empty())
      return std::make_unique<Block>();
    std::unique_ptr<Block> engine = std::move(idle_.back());
    idle_.pop_back();
    return engine;
  }
  void give_back(std::unique_ptr<Block> engine) {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(engine));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> idle_;
};

/// The first access on a thread allocates all thread-local variables of this library, shared memory of the kernels among them. Before glibc 2.40 that one access may lose vector registers
/// which the compiler holds for kept (-mtls-dialect=gnu2); none are live around a call like this.
__attribute__((noinline)) void touch_thread_locals() { position.number = 0; }

}  // namespace

Registration::Registration(const Kernel& kernel) { kernels()[kernel.name] = kernel; }

const Kernel* find_kernel(const char* name) {
  const auto found = kernels().find(name);
  return found == kernels().end() ? nullptr : &found->second;
}

std::vector<Kernel> all_kernels() {
  std::vector<Kernel> all;
  for (const auto& [name, kernel] : kernels())
    all.push_back(kernel);
  return all;
}

Settings& settings() {
  static Settings settings = from_environment();
  return settings;
}

Outcome run(const Kernel& kernel, dim3 grid, dim3 block, size_t shared_bytes, void** arguments) {
  static std::mutex one_at_a_time;
  std::lock_guard launch_lock(one_at_a_time);
  const Settings& chosen = settings();
  Engines::instance();  // made before there are threads that could
  const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
  // In random order: a step that visits every block once.
  uint64_t step = 1;
  if (chosen.order == Order::Random)
    for (step = (chosen.seed * 7919 + blocks * 5 / 8) % blocks + 1; std::gcd(step, blocks) != 1; step++) {}

  std::atomic<uint64_t> next{0}, switches{0};
  std::atomic<bool> failed{false};
  std::mutex outcome_lock;
  Outcome outcome;
  const std::function<void()> work = [&] {
    touch_thread_locals();
    std::unique_ptr<Block> engine = Engines::instance().take();
    engine->begin(kernel, grid, block, shared_bytes, arguments);
    while (!failed) {
      uint64_t number = next++;
      if (number >= blocks)
        break;
      number = chosen.order == Order::Descending ? blocks - 1 - number : static_cast<uint64_t>(static_cast<unsigned __int128>(number) * step % blocks);
      const uint3 index{static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y), static_cast<unsigned>(number / (static_cast<uint64_t>(grid.x) * grid.y))};
      if (!engine->run(index, chosen.seed + number)) {
        failed = true;
        std::lock_guard lock(outcome_lock);
        if (outcome.error.empty())
          outcome.error = engine->error();
      }
    }
    switches += engine->switches();
    engine->end();
    Engines::instance().give_back(std::move(engine));
  };
  Workers::instance().run(static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(chosen.workers), blocks)) - 1, work);
  outcome.switches = switches;
  return outcome;
}

}  // namespace elm::emulation
