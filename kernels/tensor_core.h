// Asynchronous copies to shared memory, and products of 16 x 8 x 16 on the tensor cores (sm_80 and later): thin wrappers over the PTX instructions.
#pragma once
#include "device.h"

// In the emulation, errors name the line of the kernel that called, and lanes that come from different lines do not meet.
#ifdef ELM_GPU
#define ELM_FROM
#else
#define ELM_FROM , elm::emulation::Where from = elm::emulation::Where::current()
#endif

// An address in shared memory as the instructions take it.
typedef uint32_t smem_t;

#ifdef ELM_GPU
ELM_DEV smem_t smem_addr(const void* p) { return ELM_CVTA_SHARED(p); }
#else
ELM_DEV smem_t smem_addr(const void* p ELM_FROM) { return elm::emulation::shared_offset(p, from); }
#endif

// Starts a copy of 16 bytes from global to shared memory, both aligned to 16; only `bytes` (0 to 16) are read and the rest is zero. Seen by the thread itself after cp_async_wait,
// by others after a barrier on top.
ELM_DEV void cp_async16(smem_t target, const void* source, int bytes ELM_FROM) {
#ifdef ELM_GPU
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source), "r"(bytes) : "memory");
#else
  elm::emulation::copy_async16(target, source, bytes, from);
#endif
}

// Closes the group of the thread's copies since the last commit; it may be empty.
ELM_DEV void cp_async_commit() {
#ifdef ELM_GPU
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  elm::emulation::copy_async_commit();
#endif
}

// Waits for all of the thread's groups but the newest N.
template <int N> ELM_DEV void cp_async_wait() {
#ifdef ELM_GPU
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#else
  elm::emulation::copy_async_wait(N);
#endif
}

// Four 8 x 8 matrices of 16-bit elements: lane l gives the address of row l % 8 of matrix l / 8 (16 bytes, aligned) and gets, of each matrix, elements 2 (l % 4) and + 1 of row l / 4.
ELM_DEV void ldmatrix_x4(uint32_t (&r)[4], smem_t row ELM_FROM) {
#ifdef ELM_GPU
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
#else
  elm::emulation::ldmatrix_x4(r, row, false, from);
#endif
}

// The same of the transposed matrices.
ELM_DEV void ldmatrix_x4_trans(uint32_t (&r)[4], smem_t row ELM_FROM) {
#ifdef ELM_GPU
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
#else
  elm::emulation::ldmatrix_x4(r, row, true, from);
#endif
}

// d += a b for a of 16 x 16 and b of 16 x 8 in bfloat16, d of 16 x 8 in float. With g = lane / 4 and t = 2 (lane % 4), a lane holds of
//   a: rows g (a[0], a[2]) and g + 8 (a[1], a[3]), columns t, t + 1 (a[0], a[1]) and t + 8, t + 9 (a[2], a[3]);
//   b: rows t, t + 1 (b0) and t + 8, t + 9 (b1), column g;
//   d: row g (d[0], d[1]) and row g + 8 (d[2], d[3]), columns t, t + 1.
ELM_DEV void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1 ELM_FROM) {
#ifdef ELM_GPU
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  elm::emulation::mma_bf16_16816(d, a, b0, b1, from);
#endif
}

#undef ELM_FROM

// Hides from the compiler where a value comes from, so that what a loop makes of it is made there each time instead of being held in registers throughout.
ELM_DEV uint32_t fresh(uint32_t x) {
#ifdef ELM_GPU
  asm volatile("" : "+r"(x));
#endif
  return x;
}
ELM_DEV int fresh(int x) { return (int)fresh((uint32_t)x); }
