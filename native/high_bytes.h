// bf12 pairs (weight.h) to bf16 words with the 256-bit instructions that AVX2 and AVX-512 share.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "portable.h"
#include "weight.h"

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

/// rows[n], lane i = columns[i], lane n, for eight registers of eight lanes.
static ELM_INLINE void transpose8(const __m256i columns[8], __m256i rows[8]) {
    __m256i twos[8], fours[8];
    ELM_UNROLL
    for (int i = 0; i < 8; i += 2) {
        twos[i] = _mm256_unpacklo_epi32(columns[i], columns[i + 1]);
        twos[i + 1] = _mm256_unpackhi_epi32(columns[i], columns[i + 1]);
    }
    ELM_UNROLL
    for (int i = 0; i < 8; i += 4)
        ELM_UNROLL
        for (int j = 0; j < 2; j++) {
            fours[i + 2 * j] = _mm256_unpacklo_epi64(twos[i + j], twos[i + j + 2]);
            fours[i + 2 * j + 1] = _mm256_unpackhi_epi64(twos[i + j], twos[i + j + 2]);
        }
    ELM_UNROLL
    for (int n = 0; n < 4; n++) {
        rows[n] = _mm256_permute2x128_si256(fours[n], fours[n + 4], 0x20);
        rows[n + 4] = _mm256_permute2x128_si256(fours[n], fours[n + 4], 0x31);
    }
}

/// Eight pairs turned: out[row * 16 + column] for their 16 rows and 16 columns, as floats.
static ELM_INLINE void part_turned_bf12(const uint8_t* p, HighBytes highs, float* out) {
    // In this order the pairs come out of the interleaving with zeros in the order of the columns.
    constexpr int order[8] = {0, 1, 4, 5, 2, 3, 6, 7};
    __m256i words[2][8];
    ELM_UNROLL
    for (int i = 0; i < 8; i++)
        unpack_words(p + order[i] * pair_size(Form::bf12), highs, words[0][i], words[1][i]);
    ELM_UNROLL
    for (int half = 0; half < 2; half++) {
        __m256i rows[8];
        transpose8(words[half], rows);
        ELM_UNROLL
        for (int n = 0; n < 8; n++) {
            float* row = out + (8 * half + n) * 16;
            _mm256_storeu_ps(row, _mm256_castsi256_ps(_mm256_unpacklo_epi16(_mm256_setzero_si256(), rows[n])));
            _mm256_storeu_ps(row + 8, _mm256_castsi256_ps(_mm256_unpackhi_epi16(_mm256_setzero_si256(), rows[n])));
        }
    }
}

}  // namespace elm::ELM_PATH
