// The instructions that tensor_core.h wraps: copies that come late, matrices loaded by a warp, and its product.
#include "scheduler.h"

namespace elm::emulation {

namespace {

void perform(const AsyncCopy& copy) {
  unsigned char* target = shared_range(copy.target, 16, Where::current());
  tsan_read(copy.source, static_cast<size_t>(copy.bytes));
  tsan_write(target, 16);
  unsigned char bytes[16] = {};
  __builtin_memcpy(bytes, copy.source, static_cast<size_t>(copy.bytes));
  __builtin_memcpy(target, bytes, 16);
}

// All 32 rows at once, by the last lane to come: nobody can overwrite one before.
void load_rows(Slot* slots) {
  for (int lane = 0; lane < kWarpLanes; lane++) {
    tsan_read(slots[lane].row, 16);
    __builtin_memcpy(slots[lane].result, slots[lane].row, 16);
  }
}

float lower(uint32_t pair) { return __uint_as_float(pair << 16); }
float upper(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

// Products of two bfloat16 are exact in float: only the order of the sum matters, which is that of the columns of a.
void multiply(Slot* slots) {
  typedef float Row __attribute__((vector_size(32)));
  alignas(32) float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < kWarpLanes; lane++) {
    const auto& own = slots[lane].product;
    const int g = lane / 4, t = lane % 4 * 2;
    for (int half = 0; half < 2; half++) {
      a[g][t + half * 8] = lower(own.a[half * 2]);
      a[g][t + half * 8 + 1] = upper(own.a[half * 2]);
      a[g + 8][t + half * 8] = lower(own.a[half * 2 + 1]);
      a[g + 8][t + half * 8 + 1] = upper(own.a[half * 2 + 1]);
      b[t + half * 8][g] = lower(own.b[half]);
      b[t + half * 8 + 1][g] = upper(own.b[half]);
      __builtin_memcpy(&d[g + half * 8][t], own.d + half * 2, 8);
    }
  }
  const Row* rows_of_b = reinterpret_cast<const Row*>(b);
  for (int row = 0; row < 16; row++) {
    Row sum = *reinterpret_cast<const Row*>(d[row]);
    for (int k = 0; k < 16; k++)
      sum += a[row][k] * rows_of_b[k];
    *reinterpret_cast<Row*>(d[row]) = sum;
  }
  for (int lane = 0; lane < kWarpLanes; lane++) {
    const int g = lane / 4, t = lane % 4 * 2;
    __builtin_memcpy(slots[lane].result, &d[g][t], 8);
    __builtin_memcpy(slots[lane].result + 8, &d[g + 8][t], 8);
  }
}

}  // namespace

void copy_async16(uint32_t target, const void* source, int bytes, Where here) {
  if (bytes < 0 || bytes > 16)
    fail("asynchronous copy of %d bytes at %s:%u", bytes, here.file_name(), static_cast<unsigned>(here.line()));
  if (target % 16 || (bytes && reinterpret_cast<uintptr_t>(source) % 16))
    fail("asynchronous copy between addresses that are not multiples of 16 at %s:%u", here.file_name(), static_cast<unsigned>(here.line()));
  unsigned char* place = shared_range(target, 16, here);
#ifdef ELM_EMULATION_ASAN
  // Reports a source outside its allocation here, with the kernel's line.
  for (int i = 0; i < bytes; i++)
    static_cast<void>(static_cast<const volatile unsigned char*>(source)[i]);
#endif
  tsan_write(place, 16);  // from here on
  __builtin_memset(place, 0xff, 16);
  Block::current().running().copies.push_back({target, source, bytes});
}

void copy_async_commit() {
  Thread& self = Block::current().running();
  self.groups.push_back(self.copies.size());
}

void copy_async_wait(int newest_groups_left) {
  Thread& self = Block::current().running();
  const size_t left = static_cast<size_t>(newest_groups_left);
  if (self.groups.size() <= left)
    return;
  const size_t groups = self.groups.size() - left, copies = self.groups[groups - 1];
  for (size_t i = 0; i < copies; i++)
    perform(self.copies[i]);
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<ptrdiff_t>(copies));
  self.groups.erase(self.groups.begin(), self.groups.begin() + static_cast<ptrdiff_t>(groups));
  for (size_t& end : self.groups)
    end -= copies;
}

void ldmatrix_x4(uint32_t (&rows)[4], uint32_t address, bool transposed, Where here) {
  if (address % 16)
    fail("ldmatrix from an address that is not a multiple of 16 at %s:%u", here.file_name(), static_cast<unsigned>(here.line()));
  const void* row = shared_range(address, 16, here);
  Block& block = Block::current();
  block.enter(~0u, Operation::LoadMatrix, here).row = row;
  const Slot* slots = block.meet(load_rows);
  const int own = lane();
  for (int matrix = 0; matrix < 4; matrix++) {
    const Slot* rows_of_matrix = slots + matrix * 8;
    if (!transposed)
      __builtin_memcpy(&rows[matrix], rows_of_matrix[own / 4].result + own % 4 * 4, 4);
    else {
      uint16_t pair[2];
      for (int i = 0; i < 2; i++)
        __builtin_memcpy(&pair[i], rows_of_matrix[own % 4 * 2 + i].result + own / 4 * 2, 2);
      __builtin_memcpy(&rows[matrix], pair, 4);
    }
  }
}

void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Where here) {
  Block& block = Block::current();
  block.enter(~0u, Operation::Multiply, here).product = {{a[0], a[1], a[2], a[3]}, {b0, b1}, {d[0], d[1], d[2], d[3]}};
  const Slot* slots = block.meet(multiply);
  __builtin_memcpy(d, slots[lane()].result, sizeof d);
}

}  // namespace elm::emulation
