// Host emulation of the CUDA subset the kernels use.  One OS thread runs one block at a time; the threads
// of a block are fibers (elm_emu.cpp).  Included by device.h in the g++/clang++ host build only.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <math.h>
#include <source_location>
#include <type_traits>
#include <utility>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#ifdef ELM_EMULATION_STATIC_SHARED       // sanitizer builds, one worker: plain statics get redzones, TLS does not
#define __shared__ static
#else
#define __shared__ static thread_local
#endif

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };

namespace elm::emulation {
using SL = std::source_location;
struct Idx { uint3 tid; uint3 bid; dim3 bdim, gdim; };
extern thread_local Idx cur;                                   // set by the scheduler at each switch
void* dyn_smem();
uint32_t smem_offset(const void* p, SL sl = SL::current());
void* smem_ptr(uint32_t off, size_t bytes, SL sl = SL::current());
[[noreturn]] void fail(const char* fmt, ...) __attribute__((format(printf, 1, 2)));

void barrier(int id, int count, SL sl);                        // count 0 = whole block
// One collective of the lanes in mask: each lane gives `in` (n bytes); when the last has come, op(ctx) runs once
// (it may fill slot(l).out); then every lane goes on.
struct Slot { alignas(16) unsigned char in[64]; alignas(16) unsigned char out[32]; };
struct Warp;
Slot* warp_slots();                                            // 32 slots of the current generation (double-buffered)
int lane_id();
Slot* collective(unsigned mask, int kind, const void* in, size_t n, void (*op)(Slot*, unsigned mask), SL sl);

void cp_async(uint32_t dst, const void* src, int bytes, int n, SL sl = SL::current());
void cp_async_commit();
void cp_async_wait(int n);
void ldmatrix_x4(uint32_t (&r)[4], uint32_t addr, bool trans, SL sl = SL::current());
void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, SL sl = SL::current());

enum Order { Ascending, Descending, Random, RunAhead };   // RunAhead: one warp goes as far as it can before the others move
struct Config { Order order = Ascending; uint64_t seed = 1; int workers = 1; bool poison = true; bool async_late = true; };
Config& config();
// Runs fn once per thread of the grid; returns null or the first error text.
const char* launch(dim3 grid, dim3 block, size_t smem, void (*fn)(void*), void* arg);
template <class F> const char* launch(dim3 g, dim3 b, size_t smem, F&& f) {
  return launch(g, b, smem, [](void* p) { (*(std::remove_reference_t<F>*)p)(); }, (void*)&f);
}

// Kernel registry: the same void** parameter block as cuLaunchKernel.
using Thunk = void (*)(void**);
struct Registration { Registration(const char* name, Thunk t, const size_t* sizes, int n); };
Thunk find_kernel(const char* name);
const size_t* kernel_param_sizes(const char* name, int* n);
template <auto F> struct Call;
template <class... A, void (*F)(A...)> struct Call<F> {
  template <size_t... I> static void go(void** p, std::index_sequence<I...>) { F(*(std::remove_cvref_t<A>*)p[I]...); }
  static void thunk(void** p) { go(p, std::index_sequence_for<A...>{}); }
  static constexpr int count = sizeof...(A);
  static constexpr size_t sizes[sizeof...(A) + 1] = {sizeof(A)..., 0};
};
#define ELM_KERNEL(f) static ::elm::emulation::Registration elm_reg_##f(#f, &::elm::emulation::Call<&f>::thunk, ::elm::emulation::Call<&f>::sizes, ::elm::emulation::Call<&f>::count);
}  // namespace elm::emulation

#define threadIdx (::elm::emulation::cur.tid)
#define blockIdx (::elm::emulation::cur.bid)
#define blockDim (::elm::emulation::cur.bdim)
#define gridDim (::elm::emulation::cur.gdim)

static inline void __syncthreads(elm::emulation::SL sl = elm::emulation::SL::current()) { elm::emulation::barrier(0, 0, sl); }
static inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
namespace elm::emulation {
enum { KSync = 1, KShfl, KBallot, KLdm, KMma, KWgmma };
template <class T> inline T shfl(unsigned mask, T v, int src, SL sl) {
  static_assert(sizeof(T) <= 8);
  Slot* s = collective(mask, KShfl, &v, sizeof(T), nullptr, sl);
  if (!(mask >> (src & 31) & 1)) fail("shfl: source lane %d is outside mask %08x at %s:%u", src, mask, sl.file_name(), sl.line());
  T r; memcpy(&r, s[src & 31].in, sizeof(T)); return r;
}
}
template <class T> static inline T __shfl_xor_sync(unsigned m, T v, int l, elm::emulation::SL sl = elm::emulation::SL::current()) { return elm::emulation::shfl(m, v, elm::emulation::lane_id() ^ l, sl); }
template <class T> static inline T __shfl_sync(unsigned m, T v, int l, elm::emulation::SL sl = elm::emulation::SL::current()) { return elm::emulation::shfl(m, v, l & 31, sl); }
static inline void __syncwarp(unsigned m = 0xffffffffu, elm::emulation::SL sl = elm::emulation::SL::current()) { elm::emulation::collective(m, elm::emulation::KSync, nullptr, 0, nullptr, sl); }
static inline unsigned __ballot_sync(unsigned m, int p, elm::emulation::SL sl = elm::emulation::SL::current()) {
  elm::emulation::Slot* s = elm::emulation::collective(m, elm::emulation::KBallot, &p, sizeof p, nullptr, sl);
  unsigned r = 0;
  for (int i = 0; i < 32; i++) if (m >> i & 1) { int v; memcpy(&v, s[i].in, 4); r |= (v != 0) << i; }
  return r;
}
static inline float atomicAdd(float* p, float v) {
  float o, n;
  unsigned a = __atomic_load_n((unsigned*)p, __ATOMIC_RELAXED), b;
  do { o = __uint_as_float(a); n = o + v; b = __float_as_uint(n); } while (!__atomic_compare_exchange_n((unsigned*)p, &a, b, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return o;
}
static inline int atomicAdd(int* p, int v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
