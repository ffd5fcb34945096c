// Sixteen float lanes as one AVX-512 register (F, BW, DQ, VL).
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "high_bytes.h"
#include "portable.h"

namespace elm::ELM_PATH {

struct Part {
    __m512 v;
};
constexpr int part_width = 16;
constexpr int parts = 1;

// Tile sizes of the dense products.
constexpr int axpy_rows = 6;
constexpr int axpy_vectors = 4;
/// Most rows of a tile of one panel, and of one of two panels.
constexpr int tile_rows = 12;
constexpr int wide_tile_rows = 12;
/// Rows of the next tile where so many are left.
static ELM_INLINE int tile_height(int left) { return left >= 2 * tile_rows ? tile_rows : left > tile_rows ? (left + 1) / 2 : left; }
/// The same for tiles of words, which this path does without.
constexpr int word_tile_rows = 0;
static ELM_INLINE int word_tile_height(int left) { return left; }
/// Up to so many rows a packed weight is widened in registers.
constexpr int streamed_rows = 4;
/// Panels that a tile of so many rows then takes.
constexpr int streamed_panels(int rows) { return rows == 1 ? 4 : 2; }

static ELM_INLINE __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
static ELM_INLINE Part from_bf16(__m256i halves) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}

static ELM_INLINE Part part_set(float x) { return {_mm512_set1_ps(x)}; }
static ELM_INLINE Part part_load(const uint8_t* p) { return {_mm512_loadu_ps(p)}; }
static ELM_INLINE Part part_load_n(const uint8_t* p, int n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
static ELM_INLINE Part part_load_bf16(const uint8_t* p) { return from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
static ELM_INLINE Part part_load_bf16_n(const uint8_t* p, int n) { return from_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), p)); }
static ELM_INLINE Part part_load_f16(const uint8_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
static ELM_INLINE Part part_load_f16_n(const uint8_t* p, int n) { return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))}; }
static ELM_INLINE void part_store(float* p, Part a) { _mm512_storeu_ps(p, a.v); }
static ELM_INLINE void part_store_n(float* p, Part a, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
static ELM_INLINE Part part_fma(Part a, Part b, Part c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
static ELM_INLINE void part_chain(Part a, Part b, Part& c) { c = part_fma(a, b, c); }
static ELM_INLINE Part part_add(Part a, Part b) { return {_mm512_add_ps(a.v, b.v)}; }
static ELM_INLINE Part part_sub(Part a, Part b) { return {_mm512_sub_ps(a.v, b.v)}; }
static ELM_INLINE Part part_mul(Part a, Part b) { return {_mm512_mul_ps(a.v, b.v)}; }
static ELM_INLINE Part part_div(Part a, Part b) { return {_mm512_div_ps(a.v, b.v)}; }
static ELM_INLINE Part part_sqrt(Part a) { return {_mm512_sqrt_ps(a.v)}; }
static ELM_INLINE Part part_max(Part a, Part b) { return {_mm512_max_ps(a.v, b.v)}; }
static ELM_INLINE Part part_min(Part a, Part b) { return {_mm512_min_ps(a.v, b.v)}; }
static ELM_INLINE Part part_negate(Part a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }

/// a * 2^n for integral n in [-252, 254], rounded once for a in [0.5, 2].
static ELM_INLINE Part part_scale(Part a, Part n) { return {_mm512_scalef_ps(a.v, n.v)}; }

/// The low and the high half of each 32-bit lane as bf16.
static ELM_INLINE Part part_low_bf16(Part a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a.v), 16))}; }
static ELM_INLINE Part part_high_bf16(Part a) {
    return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}

/// out[c], lane i = rows[i][c] for four columns.
static ELM_INLINE void part_transpose4(const float* const rows[part_width], int64_t column, Part out[4]) {
    __m512 from[4];
    ELM_UNROLL
    for (int i = 0; i < 4; i++) {
        const __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i] + column)),
            _mm_loadu_ps(rows[i + 4] + column), 1);
        const __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i + 8] + column)),
            _mm_loadu_ps(rows[i + 12] + column), 1);
        from[i] = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
    }
    const __m512 low01 = _mm512_unpacklo_ps(from[0], from[1]), high01 = _mm512_unpackhi_ps(from[0], from[1]);
    const __m512 low23 = _mm512_unpacklo_ps(from[2], from[3]), high23 = _mm512_unpackhi_ps(from[2], from[3]);
    out[0].v = _mm512_shuffle_ps(low01, low23, 0x44);
    out[1].v = _mm512_shuffle_ps(low01, low23, 0xee);
    out[2].v = _mm512_shuffle_ps(high01, high23, 0x44);
    out[3].v = _mm512_shuffle_ps(high01, high23, 0xee);
}

static ELM_INLINE float part_sum(const Part p[parts]) {
    const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(p[0].v), _mm512_extractf32x8_ps(p[0].v, 1));
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
static ELM_INLINE float part_largest(const Part p[parts]) {
    const __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(p[0].v), _mm512_extractf32x8_ps(p[0].v, 1));
    const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}

/// A pair of columns of a packed panel, as in weight.h: 16 elements of each.
static ELM_INLINE void part_pair_bf16(const uint8_t* p, Part first[parts], Part second[parts]) {
    const Part words = part_load(p);
    first[0] = part_low_bf16(words);
    second[0] = part_high_bf16(words);
}
static ELM_INLINE void part_pair_bf12(const uint8_t* p, HighBytes highs, Part first[parts], Part second[parts]) {
    __m256i low, high;
    unpack_words(p, highs, low, high);
    const Part words = {_mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1))};
    first[0] = part_low_bf16(words);
    second[0] = part_high_bf16(words);
}

}  // namespace elm::ELM_PATH
