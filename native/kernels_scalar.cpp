#define ELM_PATH path_scalar
#include "kernels.h"
#include "lanes_scalar.h"

namespace elm::ELM_PATH {
static constexpr Path path_value = Path::scalar;
}

#include "kernel_table.inl"

namespace elm {
const Kernels& scalar_kernels() { return ELM_PATH::table; }
}  // namespace elm
