// A context: the thread pool, the kernels of its instruction set and its scratch memory.
#pragma once

#include <cstddef>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "elm_cpu.h"
#include "kernels.h"
#include "thread_pool.h"

namespace elm {

/// A failure on its way to the C ABI.
struct Failure {
    elm_status status;
    std::string sentence;
};

/// Memory for intermediate results: grows, never shrinks, keeps no contents when it grows.
class Scratch {
public:
    Scratch() = default;
    ~Scratch() { release(); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    Scratch(Scratch&& other) noexcept : data_(other.data_), size_(other.size_) {
        other.data_ = nullptr;
        other.size_ = 0;
    }

    /// At least this many floats, aligned to 64 bytes.
    float* floats(int64_t count) {
        if (count > size_) {
            release();
            data_ = static_cast<float*>(::operator new(static_cast<size_t>(count) * sizeof(float), std::align_val_t{64}));
            size_ = count;
        }
        return data_;
    }
    float* data() const { return data_; }

private:
    void release() {
        if (data_ != nullptr)
            ::operator delete(data_, std::align_val_t{64});
        data_ = nullptr;
        size_ = 0;
    }
    float* data_ = nullptr;
    int64_t size_ = 0;
};

/// Records a failure for elm_last_error and returns its status.
elm_status record(elm_status status, const char* sentence) noexcept;

/// Runs the body of a C function; exceptions become a status.
template <class Body>
elm_status guarded(Body&& body) noexcept {
    try {
        body();
        return ELM_OK;
    } catch (const Failure& failure) {
        return record(failure.status, failure.sentence.c_str());
    } catch (const std::bad_alloc&) {
        return record(ELM_OUT_OF_MEMORY, "the compute core ran out of memory for intermediate results; use smaller batches");
    } catch (...) {
        return record(ELM_INTERNAL, "the compute core failed unexpectedly");
    }
}

Path choose_path(const char* name);
const Kernels& kernels_of(Path path);
int supported_paths();
int processors();

}  // namespace elm

struct elm_context {
    elm_context(int threads, const elm::Kernels& table)
        : pool(threads), kernels(table), thread_scratch(static_cast<size_t>(threads)) {}

    elm::ThreadPool pool;
    const elm::Kernels& kernels;
    std::vector<elm::Scratch> thread_scratch;
    elm::Scratch shared_scratch[3];
    elm::Scratch arranged;  // the rows of a product

    /// Makes sure that every thread has this much scratch.
    void reserve(int64_t floats) {
        for (elm::Scratch& scratch : thread_scratch)
            scratch.floats(floats);
    }
    float* scratch(int thread) const { return thread_scratch[static_cast<size_t>(thread)].data(); }

    /// body(begin, end, thread) over [0, count) in ranges of `grain`.
    template <class Body>
    void parallel(int64_t count, int64_t grain, Body&& body) {
        pool.run(
            count, grain,
            [](void* state, int64_t begin, int64_t end, int thread) {
                (*static_cast<std::remove_reference_t<Body>*>(state))(begin, end, thread);
            },
            const_cast<void*>(static_cast<const void*>(&body)));
    }

    /// The same for items of about `nanoseconds` each: work too short to share stays on the calling thread.
    template <class Body>
    void parallel_by_cost(int64_t count, double nanoseconds, Body&& body) {
        const double total = static_cast<double>(count) * nanoseconds;
        const int threads = pool.threads();
        int64_t grain = count;
        if (threads > 1 && total > 12000.0) {
            const double shares = total / 4000.0 < threads * 4.0 ? total / 4000.0 : threads * 4.0;
            grain = static_cast<int64_t>(static_cast<double>(count) / shares);
            if (grain < 1)
                grain = 1;
        }
        parallel(count, grain, body);
    }
};

namespace elm {

inline float* f32(const elm_tensor& t) { return static_cast<float*>(t.data); }
inline int32_t* i32(const elm_tensor& t) { return static_cast<int32_t*>(t.data); }
inline const uint8_t* raw(const elm_tensor& t) { return static_cast<const uint8_t*>(t.data); }
inline int64_t count(const elm_tensor& t) { return static_cast<int64_t>(t.rows) * t.columns; }
inline int size_of(int type) { return type == ELM_BF16 || type == ELM_F16 ? 2 : 4; }

/// Fails unless every value lies in [least, limit).
void check_indices(const char* what, const int32_t* values, int64_t count, int64_t least, int64_t limit);

/// Linear layers of the same rows, and the gradient of one, over raw arguments, cut into blocks for the threads.
void run_linear(elm_context& context, LinearArgs* layers, int count);
void run_linear_backward(elm_context& context, LinearBackwardArgs args);

}  // namespace elm
