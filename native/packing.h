// A packed weight as the C ABI hands it out.
#pragma once

#include <new>
#include <utility>
#include <vector>

#include "elm_cpu.h"
#include "weight.h"

namespace elm {

/// Memory of a packed weight: on large pages where the system has them, since a product reads it in a few long streams.
class PackedBytes {
public:
    PackedBytes() = default;
    explicit PackedBytes(int64_t size);
    ~PackedBytes();
    PackedBytes(PackedBytes&& other) noexcept : data_(other.data_), alignment_(other.alignment_) { other.data_ = nullptr; }
    PackedBytes& operator=(PackedBytes&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(alignment_, other.alignment_);
        return *this;
    }
    uint8_t* get() const { return data_; }

private:
    uint8_t* data_ = nullptr;
    std::align_val_t alignment_{64};
};

/// The weight of a tensor: a float matrix as stored, or a packed one.
Weight weight_of(const elm_tensor& tensor);

}  // namespace elm

struct elm_matrix {
    elm::Weight view{};
    elm::PackedBytes data;
    std::vector<uint8_t> tables;
    std::vector<uint32_t> first, exceptions;
    int64_t bytes = 0;  // of all four
};
