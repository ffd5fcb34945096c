// What the emulation tells the sanitizers.
// ThreadSanitizer: kernels are built with it, the emulation itself is not (but with ELM_EMULATION_TSAN): handing over from one thread of a block to another must not look like
// synchronisation, so the emulation says itself what orders what, and which memory the emulated instructions touch.
#pragma once
#include <stddef.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define ELM_EMULATION_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef ELM_EMULATION_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_read_range(void*, unsigned long);
extern "C" void __tsan_write_range(void*, unsigned long);
#endif
#if defined(ELM_EMULATION_ASAN) || defined(ELM_EMULATION_TSAN)
#define ELM_EMULATION_SANITIZED 1
#endif

namespace elm::emulation {

#ifdef ELM_EMULATION_TSAN
inline void tsan_release(void* place) { __tsan_release(place); }
inline void tsan_acquire(void* place) { __tsan_acquire(place); }
inline void tsan_read(const void* p, size_t bytes) { __tsan_read_range(const_cast<void*>(p), bytes); }
inline void tsan_write(void* p, size_t bytes) { __tsan_write_range(p, bytes); }
#else
inline void tsan_release(void*) {}
inline void tsan_acquire(void*) {}
inline void tsan_read(const void*, size_t) {}
inline void tsan_write(void*, size_t) {}
#endif

}  // namespace elm::emulation
