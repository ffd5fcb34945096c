// Sixteen float lanes as two AVX2 registers (with FMA and F16C).
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "portable.h"

namespace elm::ELM_PATH {

struct Part {
    __m256 v;
};
constexpr int part_width = 8;
constexpr int parts = 2;

// Tile sizes of the dense products (rows x columns of accumulators). Twelve accumulators of one register each leave four of the sixteen
// registers for operands.
constexpr int dot_rows = 3;
constexpr int axpy_rows = 6;
constexpr int axpy_vectors = 1;
constexpr int panel_rows = 6;
constexpr int panel_vectors = 1;

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

struct Quad {
    __m128 v;
};
static ELM_INLINE Quad quad_load(const float* p) { return {_mm_loadu_ps(p)}; }
static ELM_INLINE void quad_store(float* p, Quad a) { _mm_storeu_ps(p, a.v); }
static ELM_INLINE Quad quad_add(Quad a, Quad b) { return {_mm_add_ps(a.v, b.v)}; }

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
/// The elements of 16 with even and with odd index.
static ELM_INLINE void part_split(Part a, Part b, Part& even, Part& odd) {
    even.v = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a.v, b.v, 0x88)), 0xd8));
    odd.v = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a.v, b.v, 0xdd)), 0xd8));
}
/// The sums of four accumulators, each by the tree of part_sum, from their even and their odd lanes.
static ELM_INLINE Quad pair_sum4(Part ae, Part ao, Part be, Part bo, Part ce, Part co, Part de, Part df) {
    // per accumulator: even lanes below, odd ones above
    const __m256 a = _mm256_add_ps(_mm256_permute2f128_ps(ae.v, ao.v, 0x20), _mm256_permute2f128_ps(ae.v, ao.v, 0x31));
    const __m256 b = _mm256_add_ps(_mm256_permute2f128_ps(be.v, bo.v, 0x20), _mm256_permute2f128_ps(be.v, bo.v, 0x31));
    const __m256 c = _mm256_add_ps(_mm256_permute2f128_ps(ce.v, co.v, 0x20), _mm256_permute2f128_ps(ce.v, co.v, 0x31));
    const __m256 d = _mm256_add_ps(_mm256_permute2f128_ps(de.v, df.v, 0x20), _mm256_permute2f128_ps(de.v, df.v, 0x31));
    const __m256 ab = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    const __m256 cd = _mm256_add_ps(_mm256_shuffle_ps(c, d, 0x44), _mm256_shuffle_ps(c, d, 0xee));
    const __m256 halves = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x88), _mm256_shuffle_ps(ab, cd, 0xdd));
    return {_mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1))};
}
/// The sums of four accumulators, each by the tree of part_sum.
static ELM_INLINE Quad part_sum4(const Part a[parts], const Part b[parts], const Part c[parts], const Part d[parts]) {
    const __m256 a8 = _mm256_add_ps(a[0].v, a[1].v), b8 = _mm256_add_ps(b[0].v, b[1].v);
    const __m256 c8 = _mm256_add_ps(c[0].v, c[1].v), d8 = _mm256_add_ps(d[0].v, d[1].v);
    const __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(a8, b8, 0x20), _mm256_permute2f128_ps(a8, b8, 0x31));
    const __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c8, d8, 0x20), _mm256_permute2f128_ps(c8, d8, 0x31));
    // per 128-bit half: a0+a2, a1+a3, c0+c2, c1+c3 (and b, d)
    const __m256 pairs = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    const __m256 sums = _mm256_add_ps(pairs, _mm256_movehdup_ps(pairs));
    // sums: a . c . | b . d .
    return {_mm_unpacklo_ps(_mm_permute_ps(_mm256_castps256_ps128(sums), 0x08), _mm_permute_ps(_mm256_extractf128_ps(sums, 1), 0x08))};
}

}  // namespace elm::ELM_PATH
