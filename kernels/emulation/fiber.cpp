#include "fiber.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

namespace elm::emulation {

#ifndef ELM_FIBER_UCONTEXT
// Saves the registers that a call preserves on the stack, and the stack's pointer in *save; takes up another stack that was left in the same way.
extern "C" void elm_emulation_switch(void** save, void* load);
asm(R"(
.text
.p2align 4
.globl elm_emulation_switch
.hidden elm_emulation_switch
.type elm_emulation_switch,@function
elm_emulation_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size elm_emulation_switch,.-elm_emulation_switch
)");
constexpr int kSavedRegisters = 6;
#endif

Fiber::~Fiber() {
  if (stack_)
    munmap(stack_, kStackBytes);
}

void Fiber::adopt_thread() {
#ifdef ELM_EMULATION_ASAN
  pthread_attr_t attributes;
  void* bottom;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &bottom, &bytes_);
  pthread_attr_destroy(&attributes);
  bottom_ = bottom;
#endif
#ifdef ELM_EMULATION_TSAN
  tsan_ = __tsan_get_current_fiber();
#endif
}

void Fiber::prepare(void (*entry)(), int number) {
  if (!stack_) {
    stack_ = static_cast<unsigned char*>(mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    if (stack_ == MAP_FAILED || mprotect(stack_, page, PROT_NONE) != 0) {
      perror("emulation: no stack for a thread of a block");
      abort();
    }
#ifdef ELM_EMULATION_ASAN
    bottom_ = stack_ + page;
    bytes_ = kStackBytes - page;
#endif
#ifdef ELM_EMULATION_TSAN
    tsan_ = __tsan_create_fiber(0);
#endif
  }
#ifdef ELM_EMULATION_ASAN
  __asan_unpoison_memory_region(bottom_, bytes_);
#endif
#ifdef ELM_FIBER_UCONTEXT
  (void)number;
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#else
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes - static_cast<size_t>(number % 61) * 192);
  *--top = nullptr;  // entry finds the stack as after a call: 8 bytes off a multiple of 16
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSavedRegisters; i++)
    *--top = nullptr;
  saved_ = top;
#endif
}

void Fiber::started() {
#ifdef ELM_EMULATION_ASAN
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

void Fiber::switch_to(Fiber& to, [[maybe_unused]] bool last) {
#ifdef ELM_EMULATION_TSAN
  constexpr unsigned kNoOrder = 1;
  __tsan_switch_to_fiber(to.tsan_, kNoOrder);
#endif
#ifdef ELM_EMULATION_ASAN
  __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack_, to.bottom_, to.bytes_);
#endif
#ifdef ELM_FIBER_UCONTEXT
  swapcontext(&context_, &to.context_);
#else
  elm_emulation_switch(&saved_, to.saved_);
#endif
#ifdef ELM_EMULATION_ASAN
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

}  // namespace elm::emulation
