// What a kernel's thread may ask of its block in the emulation. A block runs on one thread of the system; its threads are fibers.
// A misuse (a lane outside its own mask, a barrier that others wait for at another line, an address outside shared memory) ends the launch with a sentence that names block, thread,
// file and line. Two operations at the same line count as the same one.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <source_location>

namespace elm::emulation {

using Where = std::source_location;

/// The indices of the running thread; number: in its block.
struct Position {
  uint3 thread, block;
  dim3 block_size, grid_size;
  int number;
};
extern thread_local Position position;

/// The number of the running thread in its warp.
inline int lane() { return position.number & 31; }

/// Ends the launch with an error about the running thread.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Waits until every thread of the block has come to the same line.
void synchronize_block(Where here);

// Each waits until every lane of `mask` has come to the same operation at the same line.
void synchronize_warp(unsigned mask, Where here);
unsigned ballot(unsigned mask, bool holds, Where here);
uint64_t shuffle_bits(unsigned mask, uint64_t bits, int source, Where here);
template <class T> T shuffle(unsigned mask, T x, int source, Where here) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  memcpy(&bits, &x, sizeof x);
  bits = shuffle_bits(mask, bits, source, here);
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// The block's dynamic shared memory; its bytes are 0xff at the start (NaN in any float type).
void* dynamic_shared();
/// A place in dynamic shared memory as instructions address it: bytes from its start.
uint32_t shared_offset(const void* p, Where here = Where::current());

// As the PTX instructions (tensor_core.h). A copy happens as late as it may: when its thread waits for it. Until then its target is NaN.
void copy_async16(uint32_t target, const void* source, int bytes, Where here = Where::current());
void copy_async_commit();
void copy_async_wait(int newest_groups_left);
void ldmatrix_x4(uint32_t (&rows)[4], uint32_t address, bool transposed, Where here = Where::current());
void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Where here = Where::current());

}  // namespace elm::emulation
