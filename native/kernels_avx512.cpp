#define ELM_PATH path_avx512
#include "kernels.h"
#include "lanes_avx512.h"

namespace elm::ELM_PATH {
static constexpr Path path_value = Path::avx512;
}

#include "kernel_table.inl"

namespace elm {
const Kernels& avx512_kernels() { return ELM_PATH::table; }
}  // namespace elm
