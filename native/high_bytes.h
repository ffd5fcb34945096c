// bf12 pairs (weight.h) to bf16 words with the 256-bit instructions that AVX2 and AVX-512 share.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "portable.h"

namespace elm::ELM_PATH {

/// A block's table of high bytes, in both halves of a register.
struct HighBytes {
    __m256i table;
};
static ELM_INLINE HighBytes high_bytes(const uint8_t* table) {
    return {_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)))};
}

/// The 32 words of a pair in the order of the rows: 16 in low, 16 in high.
static ELM_INLINE void unpack_words(const uint8_t* p, HighBytes highs, __m256i& low, __m256i& high) {
    const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i codes = _mm256_and_si256(_mm256_srlv_epi32(both, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)), _mm256_set1_epi8(15));
    const __m256i upper = _mm256_shuffle_epi8(highs.table, codes), lower = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
    low = _mm256_unpacklo_epi8(lower, upper);
    high = _mm256_unpackhi_epi8(lower, upper);
}

/// The words of a pair in that order, in memory.
static ELM_INLINE void part_words_bf12(const uint8_t* p, HighBytes highs, uint8_t* out) {
    __m256i low, high;
    unpack_words(p, highs, low, high);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32), high);
}

}  // namespace elm::ELM_PATH
