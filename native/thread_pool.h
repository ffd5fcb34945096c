// A small thread pool for short numeric jobs.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace elm {

/// Runs index ranges on the calling thread and its workers. A worker spins for some time after a job, so that a row of jobs needs no
/// system call, and then sleeps. Which thread runs which range is left to chance: jobs must not let it show in a result.
class ThreadPool {
public:
    /// A range [begin, end) of a job; thread in [0, threads()) names the scratch that it may use.
    using Function = void (*)(void* state, int64_t begin, int64_t end, int thread);

    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return static_cast<int>(workers_.size()) + 1; }

    /// Runs function over [0, count) in ranges of `grain` and returns when all are done.
    void run(int64_t count, int64_t grain, Function function, void* state);

private:
    using Clock = std::chrono::steady_clock;

    // state_: generation << 32 | open bit 31 | number of workers inside the job
    static constexpr uint64_t open_bit = uint64_t{1} << 31;

    void work(int thread);
    void take(int thread);
    /// Waits for a job after generation `seen`: spins until the limit, then sleeps. Returns the state that has it.
    uint64_t wait_for_next(uint32_t seen, Clock::time_point limit);

    std::vector<std::thread> workers_;
    alignas(64) std::atomic<uint64_t> state_{0};
    alignas(64) std::atomic<int64_t> next_{0};
    alignas(64) std::atomic<int> sleepers_{0};
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    Function function_ = nullptr;
    void* job_ = nullptr;
    int64_t count_ = 0;
    int64_t grain_ = 1;
};

}  // namespace elm
