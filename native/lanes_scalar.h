// Sixteen float lanes in portable C++: the reference that the vector paths match bit for bit.
#pragma once

#include <cstdint>
#include <cstring>

#include "portable.h"

namespace elm::ELM_PATH {

struct Part {
    float v[16];
};
constexpr int part_width = 16;
constexpr int parts = 1;

// Tile sizes of the dense products.
constexpr int axpy_rows = 1;
constexpr int axpy_vectors = 2;
/// Most rows of a tile of one panel, and of one of two panels.
constexpr int tile_rows = 1;
constexpr int wide_tile_rows = 0;
/// Rows of the next tile where so many are left.
static ELM_INLINE int tile_height(int) { return tile_rows; }
/// The same for tiles of words, which this path does without.
constexpr int word_tile_rows = 0;
static ELM_INLINE int word_tile_height(int left) { return left; }
/// Up to so many rows a packed weight is widened in registers.
constexpr int streamed_rows = 1;
/// Panels that a tile of so many rows then takes.
constexpr int streamed_panels(int) { return 1; }

/// a * b + c, rounded once, on any machine: the product is exact in double; the double sum is rounded to odd, so that the rounding to
/// single sees on which side of a tie the exact value lies.
static ELM_INLINE float fma_exact(float a, float b, float c) {
    const double product = static_cast<double>(a) * b;
    const double addend = c;
    const double sum = product + addend;
    const double part = sum - product;
    const double error = (product - (sum - part)) + (addend - part);
    uint64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    const bool finite = (bits & 0x7ff0000000000000u) != 0x7ff0000000000000u;
    if (finite && error != 0.0 && (bits & 1) == 0)
        bits += (error > 0.0) == (sum > 0.0) ? uint64_t{1} : ~uint64_t{0};
    double odd;
    std::memcpy(&odd, &bits, sizeof odd);
    return static_cast<float>(odd);
}

static ELM_INLINE float bits_to_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static ELM_INLINE float widen_bf16(const uint8_t* p) {
    uint16_t bits;
    std::memcpy(&bits, p, sizeof bits);
    return bits_to_float(static_cast<uint32_t>(bits) << 16);
}

static ELM_INLINE float widen_f16(const uint8_t* p) {
    uint16_t bits;
    std::memcpy(&bits, p, sizeof bits);
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
    const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7fffu) << 13;
    if (magnitude >= 0x0f800000u)  // infinity or NaN, which becomes quiet
        return bits_to_float(sign | 0x7f800000u | (magnitude & 0x007fe000u) | ((magnitude & 0x007fe000u) != 0 ? 0x00400000u : 0u));
    // Read as a single the value is 2^-112 of what it should be; the product is exact, for subnormals too.
    return bits_to_float(sign | magnitude) * bits_to_float(0x77800000u);
}

#define ELM_EACH for (int i = 0; i < 16; i++)

static ELM_INLINE Part part_set(float x) { Part r; ELM_EACH r.v[i] = x; return r; }
static ELM_INLINE Part part_load(const uint8_t* p) { Part r; std::memcpy(r.v, p, 64); return r; }
static ELM_INLINE Part part_load_n(const uint8_t* p, int n) {
    Part r = part_set(0.0f);
    std::memcpy(r.v, p, static_cast<size_t>(n) * 4);
    return r;
}
static ELM_INLINE Part part_load_bf16(const uint8_t* p) { Part r; ELM_EACH r.v[i] = widen_bf16(p + 2 * i); return r; }
static ELM_INLINE Part part_load_bf16_n(const uint8_t* p, int n) {
    Part r = part_set(0.0f);
    for (int i = 0; i < n; i++) r.v[i] = widen_bf16(p + 2 * i);
    return r;
}
static ELM_INLINE Part part_load_f16(const uint8_t* p) { Part r; ELM_EACH r.v[i] = widen_f16(p + 2 * i); return r; }
static ELM_INLINE Part part_load_f16_n(const uint8_t* p, int n) {
    Part r = part_set(0.0f);
    for (int i = 0; i < n; i++) r.v[i] = widen_f16(p + 2 * i);
    return r;
}
static ELM_INLINE void part_store(float* p, Part a) { std::memcpy(p, a.v, 64); }
static ELM_INLINE void part_store_n(float* p, Part a, int n) { std::memcpy(p, a.v, static_cast<size_t>(n) * 4); }
static ELM_INLINE Part part_fma(Part a, Part b, Part c) { Part r; ELM_EACH r.v[i] = fma_exact(a.v[i], b.v[i], c.v[i]); return r; }
static ELM_INLINE Part part_add(Part a, Part b) { Part r; ELM_EACH r.v[i] = a.v[i] + b.v[i]; return r; }
static ELM_INLINE Part part_sub(Part a, Part b) { Part r; ELM_EACH r.v[i] = a.v[i] - b.v[i]; return r; }
static ELM_INLINE Part part_mul(Part a, Part b) { Part r; ELM_EACH r.v[i] = a.v[i] * b.v[i]; return r; }
static ELM_INLINE Part part_div(Part a, Part b) { Part r; ELM_EACH r.v[i] = a.v[i] / b.v[i]; return r; }
static ELM_INLINE Part part_sqrt(Part a) { Part r; ELM_EACH r.v[i] = sqrt_f32(a.v[i]); return r; }
static ELM_INLINE Part part_max(Part a, Part b) { Part r; ELM_EACH r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return r; }
static ELM_INLINE Part part_min(Part a, Part b) { Part r; ELM_EACH r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return r; }
static ELM_INLINE Part part_negate(Part a) { Part r; ELM_EACH r.v[i] = -a.v[i]; return r; }

/// a * 2^n for integral n in [-252, 254], rounded once for a in [0.5, 2].
static ELM_INLINE Part part_scale(Part a, Part n) {
    Part r;
    ELM_EACH {
        const float bounded = n.v[i] == n.v[i] ? n.v[i] : 0.0f;
        const int32_t whole = static_cast<int32_t>(bounded);
        const int32_t half = whole >> 1;
        r.v[i] = a.v[i] * bits_to_float(static_cast<uint32_t>(half + 127) << 23) *
                 bits_to_float(static_cast<uint32_t>(whole - half + 127) << 23);
    }
    return r;
}
static ELM_INLINE void part_chain(Part a, Part b, Part& c) { c = part_fma(a, b, c); }

#undef ELM_EACH

/// The low and the high half of each 32-bit lane as bf16.
static ELM_INLINE Part part_low_bf16(Part a) {
    Part r;
    for (int i = 0; i < 16; i++) {
        uint32_t bits;
        std::memcpy(&bits, &a.v[i], sizeof bits);
        r.v[i] = bits_to_float(bits << 16);
    }
    return r;
}
static ELM_INLINE Part part_high_bf16(Part a) {
    Part r;
    for (int i = 0; i < 16; i++) {
        uint32_t bits;
        std::memcpy(&bits, &a.v[i], sizeof bits);
        r.v[i] = bits_to_float(bits & 0xffff0000u);
    }
    return r;
}

/// out[c], lane i = rows[i][c] for four columns.
static ELM_INLINE void part_transpose4(const float* const rows[part_width], int64_t column, Part out[4]) {
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < part_width; i++)
            out[c].v[i] = rows[i][column + c];
}

static ELM_INLINE float part_sum(const Part p[parts]) {
    float s[8];
    for (int i = 0; i < 8; i++) s[i] = p[0].v[i] + p[0].v[i + 8];
    for (int i = 0; i < 4; i++) s[i] = s[i] + s[i + 4];
    return (s[0] + s[2]) + (s[1] + s[3]);
}
static ELM_INLINE float greater(float a, float b) { return a > b ? a : b; }
static ELM_INLINE float part_largest(const Part p[parts]) {
    float s[8];
    for (int i = 0; i < 8; i++) s[i] = greater(p[0].v[i], p[0].v[i + 8]);
    for (int i = 0; i < 4; i++) s[i] = greater(s[i], s[i + 4]);
    return greater(greater(s[0], s[2]), greater(s[1], s[3]));
}

/// A pair of columns of a packed panel, as in weight.h: 16 elements of each.
static ELM_INLINE void part_pair_bf16(const uint8_t* p, Part first[parts], Part second[parts]) {
    const Part words = part_load(p);
    first[0] = part_low_bf16(words);
    second[0] = part_high_bf16(words);
}
struct HighBytes {
    const uint8_t* table;
};
static ELM_INLINE HighBytes high_bytes(const uint8_t* table) { return {table}; }
static ELM_INLINE void part_pair_bf12(const uint8_t* p, HighBytes highs, Part first[parts], Part second[parts]) {
    for (int i = 0; i < 32; i++) {
        const int place = pair_place(i);
        const int code = place < 16 ? p[place] & 15 : p[place - 16] >> 4;
        const uint32_t bits = static_cast<uint32_t>(highs.table[code]) << 24 | static_cast<uint32_t>(p[16 + place]) << 16;
        (i % 2 == 0 ? first : second)[0].v[i / 2] = bits_to_float(bits);
    }
}

static ELM_INLINE void part_words_bf12(const uint8_t* p, HighBytes highs, uint8_t* out) {
    for (int i = 0; i < 32; i++) {
        const int place = pair_place(i);
        out[2 * i] = p[16 + place];
        out[2 * i + 1] = highs.table[place < 16 ? p[place] & 15 : p[place - 16] >> 4];
    }
}

static ELM_INLINE void part_turned_bf12(const uint8_t* p, HighBytes highs, float* out) {
    for (int pair = 0; pair < 8; pair++) {
        Part columns[2][1];
        part_pair_bf12(p + pair * pair_size(Form::bf12), highs, columns[0], columns[1]);
        for (int n = 0; n < 16; n++)
            for (int i = 0; i < 2; i++)
                out[n * 16 + 2 * pair + i] = columns[i][0].v[n];
    }
}

}  // namespace elm::ELM_PATH
