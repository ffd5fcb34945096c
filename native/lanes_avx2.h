// Sixteen float lanes as two AVX2 registers (with FMA and F16C).
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "high_bytes.h"
#include "portable.h"

namespace elm::ELM_PATH {

struct Part {
    __m256 v;
};
constexpr int part_width = 8;
constexpr int parts = 2;

// Tile sizes of the dense products. Twelve accumulators of one register each leave four of the sixteen registers for operands.
constexpr int axpy_rows = 6;
constexpr int axpy_vectors = 1;
/// Most rows of a tile of one panel, and of one of two panels.
constexpr int tile_rows = 6;
constexpr int wide_tile_rows = 3;
/// Rows of the next tile where so many are left: mixtures of 6, 5, and 3 (times two panels) keep the multipliers busiest.
static ELM_INLINE int tile_height(int left) {
    constexpr int heights[12] = {0, 1, 2, 3, 2, 5, 6, 5, 5, 6, 5, 6};
    return left >= 12 ? tile_rows : heights[left];
}
/// The same for tiles of words, whose mask takes a register: mixtures of 5 and 4; 6 rows at once keep the multipliers busier than 3 and 3.
constexpr int word_tile_rows = 6;
static ELM_INLINE int word_tile_height(int left) {
    constexpr int heights[8] = {0, 1, 2, 3, 4, 5, 6, 4};
    return left < 8 ? heights[left] : left % 4 == 0 || left == 11 ? 4 : 5;
}
/// Up to so many rows a packed weight is widened in registers.
constexpr int streamed_rows = 4;
/// Panels that a tile of so many rows then takes.
constexpr int streamed_panels(int rows) { return rows == 1 ? 4 : 1; }

/// All ones in the first n lanes.
static ELM_INLINE __m256i first_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/// The first n 16-bit values, then zeros.
static ELM_INLINE __m128i load_halves(const uint8_t* p, int n) {
    alignas(16) uint16_t padded[8] = {};
    std::memcpy(padded, p, static_cast<size_t>(n) * 2);
    return _mm_load_si128(reinterpret_cast<const __m128i*>(padded));
}
static ELM_INLINE Part from_bf16(__m128i halves) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
}

static ELM_INLINE Part part_set(float x) { return {_mm256_set1_ps(x)}; }
static ELM_INLINE Part part_load(const uint8_t* p) { return {_mm256_loadu_ps(reinterpret_cast<const float*>(p))}; }
static ELM_INLINE Part part_load_n(const uint8_t* p, int n) {
    return {_mm256_maskload_ps(reinterpret_cast<const float*>(p), first_lanes(n))};
}
static ELM_INLINE Part part_load_bf16(const uint8_t* p) { return from_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
static ELM_INLINE Part part_load_bf16_n(const uint8_t* p, int n) { return from_bf16(load_halves(p, n)); }
static ELM_INLINE Part part_load_f16(const uint8_t* p) { return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
static ELM_INLINE Part part_load_f16_n(const uint8_t* p, int n) { return {_mm256_cvtph_ps(load_halves(p, n))}; }
static ELM_INLINE void part_store(float* p, Part a) { _mm256_storeu_ps(p, a.v); }
static ELM_INLINE void part_store_n(float* p, Part a, int n) { _mm256_maskstore_ps(p, first_lanes(n), a.v); }
static ELM_INLINE Part part_fma(Part a, Part b, Part c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
/// c += a * b, for long chains: the sum stays in its register, and no operand comes from memory, which is slower.
static ELM_INLINE void part_chain(Part a, Part b, Part& c) {
#if defined(__GNUC__)
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(c.v) : "x"(a.v), "x"(b.v));
#else
    c = part_fma(a, b, c);
#endif
}
static ELM_INLINE Part part_add(Part a, Part b) { return {_mm256_add_ps(a.v, b.v)}; }
static ELM_INLINE Part part_sub(Part a, Part b) { return {_mm256_sub_ps(a.v, b.v)}; }
static ELM_INLINE Part part_mul(Part a, Part b) { return {_mm256_mul_ps(a.v, b.v)}; }
static ELM_INLINE Part part_div(Part a, Part b) { return {_mm256_div_ps(a.v, b.v)}; }
static ELM_INLINE Part part_sqrt(Part a) { return {_mm256_sqrt_ps(a.v)}; }
static ELM_INLINE Part part_max(Part a, Part b) { return {_mm256_max_ps(a.v, b.v)}; }
static ELM_INLINE Part part_min(Part a, Part b) { return {_mm256_min_ps(a.v, b.v)}; }
static ELM_INLINE Part part_negate(Part a) { return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))}; }

/// a * 2^n for integral n in [-252, 254], rounded once for a in [0.5, 2].
static ELM_INLINE Part part_scale(Part a, Part n) {
    const __m256i whole = _mm256_cvtps_epi32(n.v);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23));
    return {_mm256_mul_ps(_mm256_mul_ps(a.v, first), second)};
}

/// The low and the high half of each 32-bit lane as bf16.
static ELM_INLINE Part part_low_bf16(Part a) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.v), 16))}; }
static ELM_INLINE Part part_high_bf16(Part a) {
    return {_mm256_and_ps(a.v, _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xffff0000u))))};
}

/// out[c], lane i = rows[i][c] for four columns.
static ELM_INLINE void part_transpose4(const float* const rows[part_width], int64_t column, Part out[4]) {
    __m256 from[4];
    ELM_UNROLL
    for (int i = 0; i < 4; i++)
        from[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i] + column)), _mm_loadu_ps(rows[i + 4] + column), 1);
    const __m256 low01 = _mm256_unpacklo_ps(from[0], from[1]), high01 = _mm256_unpackhi_ps(from[0], from[1]);
    const __m256 low23 = _mm256_unpacklo_ps(from[2], from[3]), high23 = _mm256_unpackhi_ps(from[2], from[3]);
    out[0].v = _mm256_shuffle_ps(low01, low23, 0x44);
    out[1].v = _mm256_shuffle_ps(low01, low23, 0xee);
    out[2].v = _mm256_shuffle_ps(high01, high23, 0x44);
    out[3].v = _mm256_shuffle_ps(high01, high23, 0xee);
}

static ELM_INLINE float part_sum(const Part p[parts]) {
    const __m256 s8 = _mm256_add_ps(p[0].v, p[1].v);
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
static ELM_INLINE float part_largest(const Part p[parts]) {
    const __m256 s8 = _mm256_max_ps(p[0].v, p[1].v);
    const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}

/// A pair of columns of a packed panel, as in weight.h: 16 elements of each.
static ELM_INLINE void part_words(__m256i low, __m256i high, Part first[parts], Part second[parts]) {
    const Part words[parts] = {{_mm256_castsi256_ps(low)}, {_mm256_castsi256_ps(high)}};
    ELM_UNROLL
    for (int i = 0; i < parts; i++) {
        first[i] = part_low_bf16(words[i]);
        second[i] = part_high_bf16(words[i]);
    }
}
static ELM_INLINE void part_pair_bf16(const uint8_t* p, Part first[parts], Part second[parts]) {
    part_words(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32)), first,
               second);
}
static ELM_INLINE void part_pair_bf12(const uint8_t* p, HighBytes highs, Part first[parts], Part second[parts]) {
    __m256i low, high;
    unpack_words(p, highs, low, high);
    part_words(low, high, first, second);
}

}  // namespace elm::ELM_PATH
