// A stack and a place to go on from: a thread of a block. Fibers are switched by hand (x86-64) or by ucontext, and announced to AddressSanitizer and ThreadSanitizer.
#pragma once
#include <stddef.h>

#include "sanitizers.h"
#if !defined(__x86_64__) || defined(ELM_EMULATION_UCONTEXT)
#define ELM_FIBER_UCONTEXT 1
#include <ucontext.h>
#endif

namespace elm::emulation {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  /// Makes this fiber the calling thread of the system, which then may switch away from itself.
  void adopt_thread();
  /// Sets it to start at `entry`, which must not return; the stack is made once. Fibers with different numbers start at different offsets of their stacks, so that those do not
  /// all compete for the same lines of the cache.
  void prepare(void (*entry)(), int number);
  /// To be called first in `entry`.
  static void started();
  /// Goes on in `to`; returns when somebody switches back. `last`: nobody will.
  void switch_to(Fiber& to, bool last = false);

 private:
#ifdef ELM_EMULATION_SANITIZED
  static constexpr size_t kStackBytes = 256 * 1024;
#else
  static constexpr size_t kStackBytes = 64 * 1024;
#endif
  unsigned char* stack_ = nullptr;
#ifdef ELM_FIBER_UCONTEXT
  ucontext_t context_;
#else
  void* saved_ = nullptr;
#endif
#ifdef ELM_EMULATION_ASAN
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
#endif
#ifdef ELM_EMULATION_TSAN
  void* tsan_ = nullptr;
#endif
};

}  // namespace elm::emulation
