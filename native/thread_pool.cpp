#include "thread_pool.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace elm {

namespace {

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#endif
}

/// A worker spins for the next job as long as its last one took, within these limits: waking up costs tens of microseconds, and after a long
/// job the wait is mostly for the others' share of it.
constexpr std::chrono::steady_clock::duration least_spin = std::chrono::microseconds(300), most_spin = std::chrono::milliseconds(2);

uint32_t generation(uint64_t state) { return static_cast<uint32_t>(state >> 32); }

}  // namespace

ThreadPool::ThreadPool(int threads) {
    workers_.reserve(static_cast<size_t>(threads > 1 ? threads - 1 : 0));
    for (int thread = 1; thread < threads; thread++)
        workers_.emplace_back([this, thread] { work(thread); });
}

ThreadPool::~ThreadPool() {
    {
        std::lock_guard lock(mutex_);
        stop_.store(true);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_)
        worker.join();
}

void ThreadPool::run(int64_t count, int64_t grain, Function function, void* state) {
    if (count <= 0)
        return;
    if (workers_.empty() || count <= grain) {
        function(state, 0, count, 0);
        return;
    }
    function_ = function;
    job_ = state;
    count_ = count;
    grain_ = grain;
    next_.store(0, std::memory_order_relaxed);
    const uint64_t opened = (static_cast<uint64_t>(generation(state_.load()) + 1u) << 32) | open_bit;
    state_.store(opened);
    if (sleepers_.load() > 0) {
        // The empty critical section keeps the wake-up from falling between a worker's last look and its sleep.
        { std::lock_guard lock(mutex_); }
        wake_.notify_all();
    }
    take(0);
    state_.fetch_and(~open_bit);
    // From here on nobody enters; wait for those inside.
    for (int spins = 0; (state_.load() & (open_bit - 1)) != 0; spins++) {
        if (spins < 4096)
            pause();
        else
            std::this_thread::yield();
    }
}

void ThreadPool::take(int thread) {
    for (;;) {
        const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
        if (begin >= count_)
            return;
        const int64_t end = begin + grain_ < count_ ? begin + grain_ : count_;
        function_(job_, begin, end, thread);
    }
}

uint64_t ThreadPool::wait_for_next(uint32_t seen, Clock::time_point limit) {
    for (int spins = 0;; spins++) {
        const uint64_t state = state_.load();
        if (generation(state) != seen || stop_.load(std::memory_order_relaxed))
            return state;
        pause();
        if ((spins & 63) == 63 && Clock::now() > limit)
            break;
    }
    std::unique_lock lock(mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return stop_.load() || generation(state_.load()) != seen; });
    sleepers_.fetch_sub(1);
    return state_.load();
}

void ThreadPool::work(int thread) {
    uint32_t seen = 0;
    Clock::time_point limit = Clock::now() + least_spin;
    for (;;) {
        uint64_t state = wait_for_next(seen, limit);
        if (stop_.load())
            return;
        seen = generation(state);
        const Clock::time_point begin = Clock::now();
        // Enter only while the job is open: its fields do not change before all who entered have left.
        while ((state & open_bit) != 0 && generation(state) == seen) {
            if (state_.compare_exchange_weak(state, state + 1)) {
                take(thread);
                state_.fetch_sub(1);
                break;
            }
        }
        const Clock::time_point end = Clock::now();
        limit = end + std::clamp(end - begin, least_spin, most_spin);
    }
}

}  // namespace elm
