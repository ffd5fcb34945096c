// A packed weight as the C ABI hands it out.
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "elm_cpu.h"
#include "weight.h"

namespace elm {

struct AlignedDelete {
    void operator()(uint8_t* data) const { ::operator delete(data, std::align_val_t{64}); }
};
using AlignedBytes = std::unique_ptr<uint8_t[], AlignedDelete>;

/// The weight of a tensor: a float matrix as stored, or a packed one.
Weight weight_of(const elm_tensor& tensor);

}  // namespace elm

struct elm_matrix {
    elm::Weight view{};
    elm::AlignedBytes data;
    std::vector<uint8_t> tables;
    std::vector<uint32_t> first, exceptions;
    int64_t bytes = 0;  // of all four
};
