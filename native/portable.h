// What differs between compilers, and scalar functions that give the same bits everywhere. Everything here has internal linkage: the
// same header is compiled for several instruction sets, and the linker must not mix them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(_MSC_VER) && !defined(__clang__)
#define ELM_INLINE __forceinline
#define ELM_NOINLINE __declspec(noinline)
#define ELM_INLINE_LAMBDA
#define ELM_UNROLL
#define ELM_UNROLL_SOME
#elif defined(__clang__)
#define ELM_INLINE inline __attribute__((always_inline))
#define ELM_NOINLINE __attribute__((noinline))
#define ELM_INLINE_LAMBDA __attribute__((always_inline))
#define ELM_UNROLL _Pragma("unroll")
#define ELM_UNROLL_SOME _Pragma("unroll 4")
#else
#define ELM_INLINE inline __attribute__((always_inline))
#define ELM_NOINLINE __attribute__((noinline))
#define ELM_INLINE_LAMBDA __attribute__((always_inline))
#define ELM_UNROLL _Pragma("GCC unroll 32")
#define ELM_UNROLL_SOME _Pragma("GCC unroll 4")
#endif

namespace elm {

/// Asks for a cache line; any address is allowed.
static ELM_INLINE void prefetch(const void* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p);
#else
    (void)p;
#endif
}

/// Loads stay on their side of this. Compilers move them far ahead and then run out of registers.
static ELM_INLINE void keep_order() {
#if defined(__GNUC__)
    asm volatile("" ::: "memory");
#endif
}

static ELM_INLINE float sqrt_f32(float x) { return ::sqrtf(x); }
static ELM_INLINE double sqrt_f64(double x) { return ::sqrt(x); }

/// Natural logarithm of a float, correct to the last bit but for rare ties: 2 atanh((m - 1)/(m + 1)) + e ln 2 by plain double operations,
/// so that no version of the system's mathematics shows.
static inline float log_f32(float x) {
    if (!(x > 0.0f))
        return x == 0.0f ? -HUGE_VALF : NAN;
    if (x == HUGE_VALF)
        return x;
    double value = x;  // a float, even a subnormal one, is a normal double
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    int exponent = static_cast<int>(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double mantissa;
    std::memcpy(&mantissa, &bits, sizeof mantissa);
    if (mantissa > 1.4142135623730951) {
        mantissa *= 0.5;
        exponent++;
    }
    const double s = (mantissa - 1.0) / (mantissa + 1.0);
    const double square = s * s;
    double series = 1.0 / 19.0;
    for (int odd = 17; odd >= 1; odd -= 2)
        series = series * square + 1.0 / odd;
    return static_cast<float>(2.0 * s * series + exponent * 0.6931471805599453);
}

}  // namespace elm
