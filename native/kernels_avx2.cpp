#define ELM_PATH path_avx2
#include "kernels.h"
#include "lanes_avx2.h"

namespace elm::ELM_PATH {
static constexpr Path path_value = Path::avx2;
}

#include "kernel_table.inl"

namespace elm {
const Kernels& avx2_kernels() { return ELM_PATH::table; }
}  // namespace elm
