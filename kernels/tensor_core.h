// Thin wrappers over sm_80 PTX (cp.async, ldmatrix, mma.sync); emulated in the host build.
#pragma once
#include "device.h"
typedef uint32_t smem_t;                       // shared-window address (GPU) / offset in dynamic smem (emu)

#ifdef ELM_GPU
ELM_DEV smem_t smem_addr(const void* p) { return ELM_CVTA_SHARED(p); }
// 16-byte async copy global->shared; n < 16 zero-fills the rest (n == 0: nothing is read)
ELM_DEV void cp_async16(smem_t dst, const void* src, int n) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(dst), "l"(src), "r"(n) : "memory"); }
ELM_DEV void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> ELM_DEV void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
ELM_DEV void ldmatrix_x4(uint32_t (&r)[4], smem_t a) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a) : "memory"); }
ELM_DEV void ldmatrix_x4_trans(uint32_t (&r)[4], smem_t a) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a) : "memory"); }
ELM_DEV void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1)); }
#else
ELM_DEV smem_t smem_addr(const void* p) { return elm::emulation::smem_offset(p); }
ELM_DEV void cp_async16(smem_t dst, const void* src, int n) { elm::emulation::cp_async(dst, src, 16, n); }
ELM_DEV void cp_async_commit() { elm::emulation::cp_async_commit(); }
template <int N> ELM_DEV void cp_async_wait() { elm::emulation::cp_async_wait(N); }
ELM_DEV void ldmatrix_x4(uint32_t (&r)[4], smem_t a) { elm::emulation::ldmatrix_x4(r, a, false); }
ELM_DEV void ldmatrix_x4_trans(uint32_t (&r)[4], smem_t a) { elm::emulation::ldmatrix_x4(r, a, true); }
ELM_DEV void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { elm::emulation::mma_bf16_16816(d, a, b0, b1); }
#endif

// Hides from the compiler where a value comes from, so that what a loop makes of it is made there each time instead of being held in registers throughout.
#ifdef ELM_GPU
ELM_DEV uint32_t fresh(uint32_t x) { asm volatile("" : "+r"(x)); return x; }
#else
ELM_DEV uint32_t fresh(uint32_t x) { return x; }
#endif
ELM_DEV int fresh(int x) { return (int)fresh((uint32_t)x); }
