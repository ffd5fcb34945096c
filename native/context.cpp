// Contexts, errors and the choice of an instruction set.
#include "context.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "portable.h"

#ifdef ELM_X86
#ifdef _MSC_VER
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace elm {

namespace {

thread_local char last_error[512] = "";

#ifdef ELM_X86
struct CpuId {
    uint32_t a, b, c, d;
};

CpuId cpuid(uint32_t leaf, uint32_t subleaf) {
    CpuId id{};
#ifdef _MSC_VER
    int out[4];
    __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
    id = {static_cast<uint32_t>(out[0]), static_cast<uint32_t>(out[1]), static_cast<uint32_t>(out[2]), static_cast<uint32_t>(out[3])};
#else
    __cpuid_count(leaf, subleaf, id.a, id.b, id.c, id.d);
#endif
    return id;
}

/// The register states that the operating system saves.
uint64_t saved_states() {
#ifdef _MSC_VER
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

int find_paths() {
    int found = 1;
    if (cpuid(0, 0).a < 7)
        return found;
    const CpuId one = cpuid(1, 0), seven = cpuid(7, 0);
    const auto bit = [](uint32_t word, int at) { return ((word >> at) & 1u) != 0; };
    if (!bit(one.c, 27))  // OSXSAVE
        return found;
    const uint64_t saved = saved_states();
    const bool ymm = (saved & 0x06) == 0x06, zmm = (saved & 0xe6) == 0xe6;
    const bool fma = bit(one.c, 12), f16c = bit(one.c, 29), avx2 = bit(seven.b, 5);
    if (ymm && fma && f16c && avx2) {
        found |= 2;
        const bool f = bit(seven.b, 16), dq = bit(seven.b, 17), bw = bit(seven.b, 30), vl = bit(seven.b, 31);
        if (zmm && f && dq && bw && vl)
            found |= 4;
    }
    return found;
}
#else
int find_paths() { return 1; }
#endif

constexpr const char* names[] = {"scalar", "avx2", "avx512"};

}  // namespace

elm_status record(elm_status status, const char* sentence) noexcept {
    std::snprintf(last_error, sizeof last_error, "%s", sentence);
    return status;
}

int supported_paths() {
    static const int found = find_paths();
    return found;
}

int processors() {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    const unsigned found = std::thread::hardware_concurrency();
    return found > 0 ? static_cast<int>(found) : 1;
}

Path choose_path(const char* name) {
    const bool from_environment = name == nullptr || *name == 0;
    const char* wanted = from_environment ? std::getenv("ELM_CPU") : name;
    const int supported = supported_paths();
    if (wanted == nullptr || *wanted == 0)
        return (supported & 4) != 0 ? Path::avx512 : (supported & 2) != 0 ? Path::avx2 : Path::scalar;
    const std::string source = from_environment ? "the environment variable ELM_CPU" : "the requested path";
    for (int path = 0; path < 3; path++)
        if (std::strcmp(wanted, names[path]) == 0) {
            if ((supported & (1 << path)) == 0)
                throw Failure{ELM_UNSUPPORTED, source + " asks for " + wanted +
                    ", which this processor does not support; choose another or leave it unset"};
            return static_cast<Path>(path);
        }
    throw Failure{ELM_UNSUPPORTED, source + " is '" + wanted + "', but must be scalar, avx2 or avx512"};
}

const Kernels& kernels_of(Path path) {
#ifdef ELM_X86
    if (path == Path::avx512)
        return avx512_kernels();
    if (path == Path::avx2)
        return avx2_kernels();
#endif
    (void)path;
    return scalar_kernels();
}

void check_indices(const char* what, const int32_t* values, int64_t count, int64_t least, int64_t limit) {
    for (int64_t i = 0; i < count; i++)
        if (values[i] < least || values[i] >= limit)
            throw Failure{ELM_INVALID_ARGUMENT, std::string(what) + " " + std::to_string(i) + " is " + std::to_string(values[i]) +
                                                    ", outside [" + std::to_string(least) + ", " + std::to_string(limit) + ")"};
}

}  // namespace elm

using namespace elm;

extern "C" {

int32_t elm_abi_version() noexcept { return ELM_ABI_VERSION; }

const char* elm_last_error() noexcept { return last_error; }

int32_t elm_supported_paths() noexcept { return supported_paths(); }

int32_t elm_processors() noexcept { return processors(); }

elm_status elm_create(int32_t threads, const char* path, elm_context** context) noexcept {
    return guarded([&] {
        *context = nullptr;
        if (threads < 0 || threads > 1024)
            throw Failure{ELM_INVALID_ARGUMENT, "the number of threads is " + std::to_string(threads) +
                ", but must be 0 (all processors) to 1024"};
        const Kernels& kernels = kernels_of(choose_path(path));
        *context = new elm_context(threads == 0 ? processors() : threads, kernels);
    });
}

void elm_destroy(elm_context* context) noexcept { delete context; }

int32_t elm_threads(const elm_context* context) noexcept { return context->pool.threads(); }

int32_t elm_path(const elm_context* context) noexcept { return static_cast<int32_t>(context->kernels.path); }

void elm_exp(const elm_context* context, const float* x, float* y, int64_t count) noexcept { context->kernels.exp(x, y, count); }

void elm_log(const float* x, float* y, int64_t count) noexcept {
    for (int64_t i = 0; i < count; i++)
        y[i] = log_f32(x[i]);
}

void elm_fma(const elm_context* context, const float* a, const float* b, const float* c, float* y, int64_t count) noexcept {
    context->kernels.fma(a, b, c, y, count);
}

}  // extern "C"
