// Fiber scheduler of the host emulation.  Build: g++ -std=c++20 -O2 -pthread [-DEMULATION_UCONTEXT|-DEMULATION_BOOST|-DEMULATION_THREADS]
#include "emulation.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#if defined(EMULATION_UCONTEXT)
#include <ucontext.h>
#elif defined(EMULATION_BOOST)
#include <boost/context/detail/fcontext.hpp>
#elif defined(EMULATION_THREADS)
#include <barrier>
#include <condition_variable>
#endif
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define EMULATION_ASAN 1
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/asan_interface.h>
#endif
// TSan: build this file WITHOUT -fsanitize=thread but with -DEMULATION_TSAN, and the kernels with -fsanitize=thread.
#if defined(EMULATION_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_read_range(void*, unsigned long);
extern "C" void __tsan_write_range(void*, unsigned long);
#define TSAN_READ(p, n) __tsan_read_range((void*)(p), n)
#define TSAN_WRITE(p, n) __tsan_write_range((void*)(p), n)
#define TSAN_RELEASE(p) __tsan_release((void*)(p))
#define TSAN_ACQUIRE(p) __tsan_acquire((void*)(p))
#else
#define TSAN_RELEASE(p) (void)0
#define TSAN_READ(p, n) (void)0
#define TSAN_WRITE(p, n) (void)0
#define TSAN_ACQUIRE(p) (void)0
#endif

namespace elm::emulation {
namespace {
#if defined(EMULATION_ASAN) || defined(EMULATION_TSAN)
constexpr size_t STACK = 256 * 1024;
#else
constexpr size_t STACK = 64 * 1024;
#endif
constexpr int MAXT = 1024;
enum State : uint8_t { Ready, AtBarrier, AtWarp, AtMbar, Done };

struct Copy { uint32_t dst; const void* src; int bytes, n; };
struct Wg { float* d; uint64_t da, db; int n; };
struct Tma { uint32_t dst; const void* map; int x, y; };
struct Mbar { int count = 0, pending = 0; int64_t tx = 0; unsigned phase = 0; std::vector<Tma> todo; char sync = 0; };
struct Fiber {
  std::vector<Wg> wg; std::vector<size_t> wg_groups;
  void* sp = nullptr;
  unsigned char* stack = nullptr;
  State state = Done;
  int bar = 0;                                  // barrier id or collective kind it waits at
  SL where;
  uint3 tid{};
  int lin = 0;
  std::vector<Copy> copies;                     // cp.async not yet performed
  std::vector<size_t> groups;                   // ends of committed groups in `copies`
#if defined(EMULATION_UCONTEXT)
  ucontext_t uc;
#endif
#ifdef EMULATION_TSAN
  void* tsan = nullptr;
#endif
#ifdef EMULATION_ASAN
  void* fake = nullptr;
#endif
};
struct WarpState { unsigned arrived = 0, mask = 0; int kind = 0; unsigned gen = 0; SL where; Slot slots[2][32]; int alive = 0; };
struct Bar { int arrived = 0; int expect = 0; SL where; char sync = 0; };

struct Worker {
  Fiber fib[MAXT];
  WarpState warp[MAXT / 32];
  Bar bars[16];
  std::map<uint32_t, Mbar> mbars;
  std::vector<int> ready;                       // fibers that can run
  int n = 0, alive = 0;
  unsigned char* smem = nullptr; size_t smem_size = 0, smem_cap = 0;
  unsigned char* smem_raw = nullptr;
  Fiber* me = nullptr;
  void* main_sp = nullptr;
#if defined(EMULATION_UCONTEXT)
  ucontext_t main_uc;
#endif
#ifdef EMULATION_TSAN
  void* main_tsan = nullptr;
#endif
  char block_sync = 0;
#ifdef EMULATION_ASAN
  void* main_fake = nullptr; const void* main_stack = nullptr; size_t main_size = 0;
#endif
  void (*fn)(void*) = nullptr; void* arg = nullptr;
  bool failed = false; std::string error;
  uint64_t rng = 1;
  uint64_t next() { rng ^= rng << 13; rng ^= rng >> 7; rng ^= rng << 17; return rng; }
};
thread_local Worker* W = nullptr;

#if !defined(EMULATION_UCONTEXT) && !defined(EMULATION_BOOST) && !defined(EMULATION_THREADS)
extern "C" void elm_emulation_switch(void** save, void* load);
asm(R"(
.text
.p2align 4
.globl elm_emulation_switch
.type elm_emulation_switch,@function
elm_emulation_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size elm_emulation_switch,.-elm_emulation_switch
)");
#endif

void to_fiber(Fiber& f) {
  Worker* w = W;
  w->me = &f;
  cur.tid = f.tid;
#ifdef EMULATION_TSAN
  __tsan_switch_to_fiber(f.tsan, 1 /* no happens-before */);
#endif
#ifdef EMULATION_ASAN
  __sanitizer_start_switch_fiber(&w->main_fake, f.stack, STACK);
#endif
#if defined(EMULATION_UCONTEXT)
  swapcontext(&w->main_uc, &f.uc);
#elif defined(EMULATION_BOOST)
  f.sp = boost::context::detail::jump_fcontext(f.sp, w).fctx;
#else
  elm_emulation_switch(&w->main_sp, f.sp);
#endif
#ifdef EMULATION_ASAN
  __sanitizer_finish_switch_fiber(w->main_fake, nullptr, nullptr);
#endif
}
void to_main(bool dying = false) {
  Worker* w = W; Fiber* f = w->me; (void)f; (void)dying;
#ifdef EMULATION_TSAN
  __tsan_switch_to_fiber(w->main_tsan, 1);
#endif
#ifdef EMULATION_ASAN
  __sanitizer_start_switch_fiber(dying ? nullptr : &f->fake, w->main_stack, w->main_size);
#endif
#if defined(EMULATION_UCONTEXT)
  swapcontext(&f->uc, &w->main_uc);
#elif defined(EMULATION_BOOST)
  w->main_sp = boost::context::detail::jump_fcontext(w->main_sp, nullptr).fctx;
#else
  elm_emulation_switch(&f->sp, w->main_sp);
#endif
#ifdef EMULATION_ASAN
  __sanitizer_finish_switch_fiber(f->fake, &w->main_stack, &w->main_size);
#endif
}
#if defined(EMULATION_BOOST)
void entry(boost::context::detail::transfer_t t) { W->main_sp = t.fctx;
#else
void entry() {
#endif
  Worker* w = W;
#ifdef EMULATION_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &w->main_stack, &w->main_size);
#endif
#ifdef EMULATION_TSAN
  TSAN_ACQUIRE(&w->block_sync);
#endif
  w->fn(w->arg);
  w = W;
  Fiber* f = w->me;
  if (f->copies.size() && !w->failed) { w->failed = true; w->error = "thread ended with cp.async copies that were never waited for"; }
#ifdef EMULATION_TSAN
  TSAN_RELEASE(&w->block_sync);
#endif
  f->state = Done;
  w->alive--;
  w->warp[f->lin >> 5].alive--;
  for (int b = 0; b < 16; b++)
    if (w->bars[b].arrived && !w->bars[b].expect && !w->failed) {
      w->failed = true;
      char t[300]; snprintf(t, sizeof t, "a thread exited while others wait at the barrier at %s:%u", w->bars[b].where.file_name(), (unsigned)w->bars[b].where.line());
      w->error = t;
    }
  to_main(true);
  abort();
}

void start(Worker* w, Fiber& f) {
  if (!f.stack) {
    f.stack = (unsigned char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mprotect(f.stack, 4096, PROT_NONE);
  }
#ifdef EMULATION_ASAN
  __asan_unpoison_memory_region(f.stack + 4096, STACK - 4096);
#endif
#ifdef EMULATION_TSAN
  if (!f.tsan) f.tsan = __tsan_create_fiber(0);
#endif
#if defined(EMULATION_UCONTEXT)
  getcontext(&f.uc);
  f.uc.uc_stack.ss_sp = f.stack; f.uc.uc_stack.ss_size = STACK; f.uc.uc_link = nullptr;
  makecontext(&f.uc, (void (*)())entry, 0);
#elif defined(EMULATION_BOOST)
  f.sp = boost::context::detail::make_fcontext(f.stack + STACK, STACK, entry);
#else
  void** s = (void**)(f.stack + STACK - (size_t)(f.lin % 61) * 192);   // colouring: 64 KB strides would share L1 sets
  *--s = nullptr;                                // alignment: rsp % 16 == 8 at entry
  *--s = (void*)entry;
  for (int i = 0; i < 6; i++) *--s = nullptr;
  f.sp = s;
#endif
  f.wg.clear(); f.wg_groups.clear(); f.wg.reserve(64); f.wg_groups.reserve(64); f.copies.clear(); f.groups.clear(); f.copies.reserve(256); f.groups.reserve(64);
  f.state = Ready;
}

bool run_block(Worker* w) {
#ifdef EMULATION_TSAN
  TSAN_ACQUIRE(&w->block_sync);                                 // all fibers of the block before
#endif
  if (config().poison && w->smem_size) memset(w->smem, 0xff, w->smem_size);      // NaN in fp32 and bf16
  for (auto& b : w->bars) b = Bar{};
  w->mbars.clear();
  w->alive = w->n;
  for (int i = 0; i < (w->n + 31) / 32; i++) { auto& x = w->warp[i]; x.arrived = 0; x.kind = 0; x.alive = w->n - i * 32 < 32 ? w->n - i * 32 : 32; }
  const Config& c = config();
  w->ready.clear();
  for (int i = 0; i < w->n; i++) start(w, w->fib[i]);
#ifdef EMULATION_TSAN
  TSAN_RELEASE(&w->block_sync);
#endif
  for (int i = 0; i < w->n; i++) w->ready.push_back(c.order == Descending ? w->n - 1 - i : i);
  std::vector<int> batch; batch.reserve(MAXT);
  int prio[MAXT / 32];
  for (int i = 0; i < MAXT / 32; i++) prio[i] = i;
  for (int i = (w->n + 31) / 32; i > 1; i--) std::swap(prio[i - 1], prio[w->next() % i]);
  while (c.order == RunAhead && !w->failed && !w->ready.empty()) {
    size_t best = 0;
    for (size_t i = 1; i < w->ready.size(); i++) if (prio[w->ready[i] >> 5] < prio[w->ready[best] >> 5]) best = i;
    Fiber& f = w->fib[w->ready[best]];
    w->ready.erase(w->ready.begin() + best);
    if (w->next() % 64 == 0) { int nw = (w->n + 31) / 32; std::swap(prio[w->next() % nw], prio[w->next() % nw]); }
    to_fiber(f);
  }
  while (!w->failed && w->alive) {
    batch.swap(w->ready);
    w->ready.clear();
    if (batch.empty()) {
      char t[400]; int nb = 0, nw = 0; const Fiber* f = nullptr;
      for (int i = 0; i < w->n; i++) { if (w->fib[i].state == AtBarrier) nb++; if (w->fib[i].state == AtWarp) nw++; if (w->fib[i].state != Ready && w->fib[i].state != Done) f = &w->fib[i]; }
      snprintf(t, sizeof t, "deadlock: %d threads at a barrier, %d in a warp collective (thread %d at %s:%u)", nb, nw, f ? f->lin : -1, f ? f->where.file_name() : "?", f ? (unsigned)f->where.line() : 0u);
      w->failed = true; w->error = t; break;
    }
    if (c.order == Random) for (size_t i = batch.size(); i > 1; i--) std::swap(batch[i - 1], batch[w->next() % i]);
    for (size_t i = 0; i < batch.size() && !w->failed; i++) {
      Fiber& f = w->fib[batch[i]];
      if (f.state == Ready) to_fiber(f);
    }
  }
  return !w->failed;
}
void wake(Worker* w, Fiber& f) { f.state = Ready; w->ready.push_back(f.lin); }
void wait(Fiber* f, State s, int id, SL sl) { f->state = s; f->bar = id; f->where = sl; to_main(); }
}  // namespace

thread_local Idx cur;
Config& config() { static Config c; return c; }
void* dyn_smem() { return W->smem; }
int lane_id() { return W->me->lin & 31; }
void fail(const char* fmt, ...) {
  char t[500]; va_list a; va_start(a, fmt); vsnprintf(t, sizeof t, fmt, a); va_end(a);
  Worker* w = W; Fiber* f = w->me;
  char u[700]; snprintf(u, sizeof u, "block (%u,%u,%u) thread %d: %s", cur.bid.x, cur.bid.y, cur.bid.z, f->lin, t);
  if (!w->failed) { w->failed = true; w->error = u; }
  f->state = Done;
  for (;;) to_main();
}
uint32_t smem_offset(const void* p, SL sl) {
  size_t o = (const unsigned char*)p - W->smem;
  if (o > W->smem_size) fail("address outside dynamic shared memory at %s:%u", sl.file_name(), (unsigned)sl.line());
  return (uint32_t)o;
}
void* smem_ptr(uint32_t o, size_t n, SL sl) {
  if ((size_t)o + n > W->smem_size) fail("shared access [%u,+%zu) beyond %zu bytes at %s:%u", o, n, W->smem_size, sl.file_name(), (unsigned)sl.line());
  return W->smem + o;
}

void barrier(int id, int count, SL sl) {
  Worker* w = W; Fiber* f = w->me; Bar& b = w->bars[id];
  if (count == 0 && w->alive != w->n) fail("barrier at %s:%u after %d threads have exited", sl.file_name(), (unsigned)sl.line(), w->n - w->alive);
  if (b.arrived == 0) { b.where = sl; b.expect = count; }
  else if (b.where.line() != sl.line() || b.where.file_name() != sl.file_name() || b.expect != count)
    fail("divergent barrier: this thread at %s:%u, others at line %u", sl.file_name(), (unsigned)sl.line(), (unsigned)b.where.line());
  TSAN_RELEASE(&b.sync);
  if (++b.arrived == (count ? count : w->n)) {
    b.arrived = 0; b.expect = 0;
    for (int i = 0; i < w->n; i++) { Fiber& g = w->fib[i]; if (g.state == AtBarrier && g.bar == id) wake(w, g); }
    // the last arriver yields too, so that the order policy decides who goes first
    f->state = Ready; w->ready.push_back(f->lin); to_main();
  } else wait(f, AtBarrier, id, sl);
  TSAN_ACQUIRE(&b.sync);
}

Slot* collective(unsigned mask, int kind, const void* in, size_t n, void (*op)(Slot*, unsigned), SL sl) {
  Worker* w = W; Fiber* f = w->me; WarpState& x = w->warp[f->lin >> 5]; const int lane = f->lin & 31;
  if (!(mask >> lane & 1)) fail("lane %d is not in its own mask %08x at %s:%u", lane, mask, sl.file_name(), (unsigned)sl.line());
  if (x.arrived == 0) { x.mask = mask; x.kind = kind; x.where = sl; }
  else if (x.mask != mask || x.kind != kind || x.where.line() != sl.line())
    fail("divergent warp operation: lane %d at %s:%u, others at line %u", lane, sl.file_name(), (unsigned)sl.line(), (unsigned)x.where.line());
  Slot* s = x.slots[x.gen & 1];
  for (size_t i = 0; i < n; i++) s[lane].in[i] = ((const unsigned char*)in)[i];
  x.arrived |= 1u << lane;
  TSAN_RELEASE(&x);
  if (x.arrived == mask) {
    TSAN_ACQUIRE(&x);
    if (op) op(s, mask);
    x.arrived = 0; x.gen++;
    TSAN_RELEASE(&x);
    const int base = f->lin & ~31;
    for (int i = 0; i < 32; i++) if (i != lane && (mask >> i & 1)) wake(w, w->fib[base + i]);
    if (config().order == Random) { f->state = Ready; w->ready.push_back(f->lin); to_main(); }
  } else wait(f, AtWarp, kind, sl);
  TSAN_ACQUIRE(&x);
  return s;
}

static void do_copy(const Copy& c) {
  unsigned char* d = (unsigned char*)smem_ptr(c.dst, c.bytes);
  if (c.n) TSAN_READ(c.src, c.n);
  TSAN_WRITE(d, c.bytes);
  const unsigned char* q = (const unsigned char*)c.src;
  for (int i = 0; i < c.bytes; i++) d[i] = i < c.n ? q[i] : 0;
}
void cp_async(uint32_t dst, const void* src, int bytes, int n, SL sl) {
  Copy c{dst, src, bytes, n};
  if (dst % bytes || (n && (uintptr_t)src % bytes)) fail("cp.async: misaligned address at %s:%u", sl.file_name(), (unsigned)sl.line());
  void* d = smem_ptr(dst, bytes, sl);
  if (!config().async_late) { do_copy(c); return; }
  TSAN_WRITE(d, bytes);                                        // the copy may land at any time from here on
  if (config().poison) __builtin_memset(d, 0xff, 16);          // reading before wait_group gives NaN
  W->me->copies.push_back(c);
}
void cp_async_commit() { auto* f = W->me; if (config().async_late) f->groups.push_back(f->copies.size()); }
void cp_async_wait(int n) {
  auto* f = W->me;
  if ((int)f->groups.size() <= n) return;
  size_t ng = f->groups.size() - n, upto = f->groups[ng - 1];
  for (size_t i = 0; i < upto; i++) do_copy(f->copies[i]);
  f->copies.erase(f->copies.begin(), f->copies.begin() + upto);
  f->groups.erase(f->groups.begin(), f->groups.begin() + ng);
  for (auto& g : f->groups) g -= upto;
}

// The last lane to arrive reads all 32 rows (16 bytes each) into the slots, so nothing can overwrite them before.
static void ldm_op(Slot* s, unsigned) {
  for (int l = 0; l < 32; l++) { const void* p; memcpy(&p, s[l].in, sizeof p); TSAN_READ(p, 16); memcpy(s[l].out, p, 16); }
}
void ldmatrix_x4(uint32_t (&r)[4], uint32_t addr, bool trans, SL sl) {
  if (addr % 16) fail("ldmatrix: misaligned address at %s:%u", sl.file_name(), (unsigned)sl.line());
  const void* p = smem_ptr(addr, 16, sl);
  Slot* s = collective(~0u, KLdm, &p, sizeof p, ldm_op, sl);
  const int l = lane_id();
  for (int m = 0; m < 4; m++)
    if (!trans) memcpy(&r[m], s[m * 8 + l / 4].out + (l % 4) * 4, 4);
    else {
      uint16_t e[2];
      for (int h = 0; h < 2; h++) memcpy(&e[h], s[m * 8 + (l % 4) * 2 + h].out + (l / 4) * 2, 2);
      memcpy(&r[m], e, 4);
    }
}

static inline float bf(uint32_t v, int h) { return __uint_as_float(h ? v & 0xffff0000u : v << 16); }
struct MmaIn { uint32_t a[4], b[2]; float c[4]; };
static void mma_op(Slot* s, unsigned) {
  float A[16][16], B[16][8], C[16][8];
  for (int l = 0; l < 32; l++) {
    MmaIn m; memcpy(&m, s[l].in, sizeof m);
    for (int q = 0; q < 4; q++) for (int h = 0; h < 2; h++) {
      A[l / 4 + (q & 1) * 8][(l % 4) * 2 + h + (q >> 1) * 8] = bf(m.a[q], h);
      C[l / 4 + (q >> 1) * 8][(l % 4) * 2 + (q & 1)] = m.c[q];
    }
    for (int q = 0; q < 2; q++) for (int h = 0; h < 2; h++) B[(l % 4) * 2 + h + q * 8][l / 4] = bf(m.b[q], h);
  }
  for (int i = 0; i < 16; i++) for (int k = 0; k < 16; k++) for (int j = 0; j < 8; j++) C[i][j] += A[i][k] * B[k][j];
  for (int l = 0; l < 32; l++) {
    float o[4];
    for (int q = 0; q < 4; q++) o[q] = C[l / 4 + (q >> 1) * 8][(l % 4) * 2 + (q & 1)];
    memcpy(s[l].out, o, sizeof o);
  }
}
void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, SL sl) {
  MmaIn m{{a[0], a[1], a[2], a[3]}, {b0, b1}, {d[0], d[1], d[2], d[3]}};
  Slot* s = collective(~0u, KMma, &m, sizeof m, mma_op, sl);
  memcpy(d, s[lane_id()].out, sizeof d);
}

// ---- sm_90a: mbarrier, TMA, wgmma ------------------------------------------------------------------------
struct TmaMap { const void* base; uint64_t w, h, pitch; uint32_t bw, bh, swz, magic; };      // what the emulated cuTensorMapEncodeTiled writes
static Mbar& mb(uint32_t b) { auto it = W->mbars.find(b); if (it == W->mbars.end()) fail("mbarrier at %u was not initialised", b); return it->second; }
static void mb_step(uint32_t b, Mbar& m) {
  if (m.pending || m.tx) return;
  m.phase++; m.pending = m.count;
  for (int i = 0; i < W->n; i++) { Fiber& f = W->fib[i]; if (f.state == AtMbar && f.bar == (int)b) wake(W, f); }
}
void mbar_init(uint32_t b, int c) { Mbar& m = W->mbars[b]; m = Mbar{}; m.count = m.pending = c; }
void mbar_arrive(uint32_t b) { Mbar& m = mb(b); TSAN_RELEASE(&m.sync); if (--m.pending < 0) fail("too many arrivals at mbarrier %u", b); mb_step(b, m); }
void mbar_expect_tx(uint32_t b, uint32_t n) { Mbar& m = mb(b); m.tx += n; mbar_arrive(b); }
static inline uint32_t sw128(uint32_t a) { return a ^ ((a >> 3) & 0x70); }
static size_t run_tma(const Tma& t) {
  TmaMap m; memcpy(&m, t.map, sizeof m);
  if (m.magic != 0x7a3a) fail("TMA: not a tensor map");
  for (uint32_t y = 0; y < m.bh; y++) for (uint32_t x = 0; x < m.bw; x++) {
    uint64_t gx = (uint64_t)(t.x + (int)x), gy = (uint64_t)(t.y + (int)y); uint16_t v = 0;
    if (gx < m.w && gy < m.h) { const void* p = (const char*)m.base + gy * m.pitch + gx * 2; TSAN_READ(p, 2); memcpy(&v, p, 2); }
    uint32_t o = t.dst + (y * m.bw + x) * 2; if (m.swz) o = sw128(o);
    void* q = smem_ptr(o, 2); TSAN_WRITE(q, 2); memcpy(q, &v, 2);
  }
  return (size_t)m.bw * m.bh * 2;
}
void tma_load_2d(uint32_t dst, const void* map, uint32_t bar, int x, int y, SL sl) {
  TmaMap m; memcpy(&m, map, sizeof m);
  if (dst % (m.swz ? 1024 : 128)) fail("TMA: misaligned shared address %u at %s:%u", dst, sl.file_name(), (unsigned)sl.line());
  void* q = smem_ptr(dst, (size_t)m.bw * m.bh * 2, sl); TSAN_WRITE(q, (size_t)m.bw * m.bh * 2);
  if (config().poison) __builtin_memset(q, 0xff, (size_t)m.bw * m.bh * 2);
  mb(bar).todo.push_back({dst, map, x, y});
}
void mbar_wait(uint32_t b, int parity, SL sl) {
  for (;;) {
    Mbar& m = mb(b);
    if ((int)(m.phase & 1) != parity) { TSAN_ACQUIRE(&m.sync); return; }
    if (!m.todo.empty()) {                                       // as late as possible: when somebody waits for it
      auto t = std::move(m.todo); m.todo.clear();
      for (auto& x : t) m.tx -= (int64_t)run_tma(x);
      TSAN_RELEASE(&m.sync); mb_step(b, m);
    } else wait(W->me, AtMbar, (int)b, sl);
  }
}
static float wg_elem(uint64_t desc, int row, int k) {
  if (desc >> 62 != 1) fail("wgmma: only the 128-byte swizzle is emulated");
  uint32_t a = (uint32_t)(desc & 0x3fff) << 4, sbo = (uint32_t)(desc >> 32 & 0x3fff) << 4;
  a += row / 8 * sbo + row % 8 * 128 + k * 2;
  void* p = smem_ptr(sw128(a), 2); TSAN_READ(p, 2);
  uint16_t h; memcpy(&h, p, 2); return __uint_as_float((uint32_t)h << 16);
}
void wgmma(float* d, uint64_t da, uint64_t db, int n, SL) { W->me->wg.push_back({d, da, db, n}); }
void wgmma_commit() { W->me->wg_groups.push_back(W->me->wg.size()); }
void wgmma_wait(int keep, SL sl) {
  Fiber* f = W->me;
  for (int wq = 0; wq < 1; wq++) collective(~0u, KWgmma, nullptr, 0, nullptr, sl);            // .sync.aligned per warp
  if ((int)f->wg_groups.size() <= keep) return;
  size_t ng = f->wg_groups.size() - keep, upto = f->wg_groups[ng - 1];
  const int lane = f->lin & 31, warp = f->lin >> 5 & 3;
  for (size_t i = 0; i < upto; i++) {
    Wg& g = f->wg[i]; float A[2][16];
    for (int h = 0; h < 2; h++) for (int k = 0; k < 16; k++) A[h][k] = wg_elem(g.da, warp * 16 + lane / 4 + h * 8, k);
    for (int j = 0; j < g.n / 8; j++) for (int e = 0; e < 2; e++) {
      int col = j * 8 + lane % 4 * 2 + e;
      for (int k = 0; k < 16; k++) { float b = wg_elem(g.db, col, k); g.d[j * 4 + e] += A[0][k] * b; g.d[j * 4 + 2 + e] += A[1][k] * b; }
    }
  }
  f->wg.erase(f->wg.begin(), f->wg.begin() + upto);
  f->wg_groups.erase(f->wg_groups.begin(), f->wg_groups.begin() + ng);
  for (auto& x : f->wg_groups) x -= upto;
}
void encode_map(void* out, const void* base, uint64_t w, uint64_t h, uint64_t pitch, uint32_t bw, uint32_t bh, int swz) {
  TmaMap m{base, w, h, pitch, bw, bh, (uint32_t)swz, 0x7a3a}; memset(out, 0, 128); memcpy(out, &m, sizeof m);
}

struct Kern { Thunk t; const size_t* sizes; int n; };
static std::map<std::string, Kern>& kernels() { static std::map<std::string, Kern> m; return m; }
Registration::Registration(const char* n, Thunk t, const size_t* s, int c) { kernels()[n] = {t, s, c}; }
Thunk find_kernel(const char* n) { auto it = kernels().find(n); return it == kernels().end() ? nullptr : it->second.t; }
const size_t* kernel_param_sizes(const char* n, int* c) { auto it = kernels().find(n); *c = it->second.n; return it->second.sizes; }

const char* launch(dim3 g, dim3 b, size_t smem, void (*fn)(void*), void* arg) {
  static std::mutex mu; static std::vector<Worker*> pool; static thread_local std::string last;
  const int n = (int)(b.x * b.y * b.z);
  if (n < 1 || n > MAXT) return "block size out of range";
  if (smem > 227 * 1024) return "too much dynamic shared memory";
  const uint64_t blocks = (uint64_t)g.x * g.y * g.z;
  std::atomic<uint64_t> nextb{0}; std::atomic<bool> bad{false}; std::string err;
  auto body = [&](int id) {
    Worker* w = nullptr;
    { std::lock_guard l(mu); if (!pool.empty()) { w = pool.back(); pool.pop_back(); } }
    if (!w) w = new Worker;
    W = w;
    w->ready.reserve(MAXT);
    w->n = n; w->fn = fn; w->arg = arg; w->failed = false; w->error.clear(); w->rng = config().seed * 0x9E3779B97F4A7C15ull + id + 1;
#ifdef EMULATION_TSAN
    w->main_tsan = __tsan_get_current_fiber();
#endif
    // exact-size heap block per launch: ASan sees one byte past the end
    w->smem_raw = (unsigned char*)malloc(smem + 1024 + 1); w->smem = (unsigned char*)(((uintptr_t)w->smem_raw + 1023) & ~(uintptr_t)1023); w->smem_size = smem;
#ifdef EMULATION_ASAN
    __asan_poison_memory_region(w->smem + ((smem + 7) & ~(size_t)7), 8);
#endif
    cur.bdim = b; cur.gdim = g;
    for (int i = 0; i < n; i++) { w->fib[i].lin = i; w->fib[i].tid = {i % b.x, i / b.x % b.y, i / (b.x * b.y)}; }
    for (;;) {
      uint64_t k = nextb++;
      if (k >= blocks || bad) break;
      if (config().order == Descending) k = blocks - 1 - k;
      cur.bid = {(unsigned)(k % g.x), (unsigned)(k / g.x % g.y), (unsigned)(k / ((uint64_t)g.x * g.y))};
      if (!run_block(w)) { bad = true; std::lock_guard l(mu); if (err.empty()) err = w->error; }
    }
    TSAN_ACQUIRE(&w->block_sync);
#ifdef EMULATION_ASAN
    __asan_unpoison_memory_region(w->smem, smem + 8);
#endif
    free(w->smem_raw);
    std::lock_guard l(mu); pool.push_back(w);
  };
  int nw = config().workers; if ((uint64_t)nw > blocks) nw = (int)blocks;
#ifdef ELM_EMULATION_STATIC_SHARED
  nw = 1;
#endif
  if (nw <= 1) body(0);
  else { std::vector<std::thread> t; for (int i = 0; i < nw; i++) t.emplace_back(body, i); for (auto& x : t) x.join(); }
  if (!bad) return nullptr;
  last = err; return last.c_str();
}
}  // namespace elm::emulation
