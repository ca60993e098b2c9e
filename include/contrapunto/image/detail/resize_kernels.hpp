// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "contrapunto/image/detail/resample_taps.hpp"
#include "contrapunto/kernels/detail/resample_weights.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// The two passes of a resize: plain loops, and the same sums with AVX2 for machines that have it.
/// Both give the same pixels bit for bit.
namespace contrapunto::detail {

/// Computes one row: out[i] = sum over k of weight(i, k) * row[first(i) + k], for three channels.
inline void resample_row(const std::uint8_t* row, const ResampleTaps& taps, std::uint8_t* out) {
  for (std::size_t i = 0; i < taps.first.size(); ++i) {
    const std::uint8_t* pixel = row + taps.first[i] * 3;
    std::int32_t sum[3] = {};
    for (std::size_t k = 0; k < static_cast<std::size_t>(taps.count[i]); ++k, pixel += 3)
      for (int c = 0; c < 3; ++c) sum[c] += taps.weight(i, k) * pixel[c];
    for (const std::int32_t channel : sum) *out++ = round_pixel(channel);
  }
}

/// Computes one output row i: out[x] = sum over k of weight(i, k) * rows[k * stride + x].
inline void resample_column(const std::uint8_t* rows, std::size_t stride, const ResampleTaps& taps,
                            std::size_t i, std::uint8_t* out, std::size_t begin,
                            std::size_t bytes) {
  for (std::size_t x = begin; x < bytes; ++x) {
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < static_cast<std::size_t>(taps.count[i]); ++k)
      sum += taps.weight(i, k) * rows[k * stride + x];
    out[x] = round_pixel(sum);
  }
}

#if defined(__x86_64__)
inline bool has_avx2() {
  return __builtin_cpu_supports("avx2");
}

/// Returns (high << 12) + low, the sum with full weights.
__attribute__((target("avx2"))) inline __m256i join_weights(__m256i high, __m256i low) {
  return _mm256_add_epi32(_mm256_slli_epi32(high, kLowWeightBits), low);
}

/// Converts sums to integer pixels, rounded but not clipped.
__attribute__((target("avx2"))) inline __m256i round_pixels(__m256i sum) {
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << (kWeightBits - 1))),
                           kWeightBits);
}

/// Loads four weights: the first two into every 32 bits of the lower half, and the others into the
/// upper half.
__attribute__((target("avx2"))) inline __m256i weight_pairs(const std::int16_t* weights) {
  std::int64_t four;
  std::memcpy(&four, weights, sizeof four);
  return _mm256_permutevar8x32_epi32(_mm256_set1_epi64x(four),
                                     _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
}

/// resample_row for four rows at once, which share the weights. If there are fewer rows, pass the
/// same row again. It reads up to 13 bytes behind the last tap and writes one byte behind each
/// output row.
__attribute__((target("avx2"))) inline void resample_rows_avx2(
    const std::array<const std::uint8_t*, 4>& rows, const ResampleTaps& taps,
    const std::array<std::uint8_t*, 4>& out) {
  // Four pixels at a time: the lower half gets pixels 0 and 1, and the upper half pixels 2 and 3.
  // Each channel of both is side by side in 16 bits, so that madd adds two taps.
  const __m256i spread =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                       -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  for (std::size_t i = 0; i < taps.first.size(); ++i) {
    std::size_t at = static_cast<std::size_t>(taps.first[i]) * 3;
    const std::int16_t* high = &taps.high[i * taps.stride];
    const std::int16_t* low = &taps.low[i * taps.stride];
    __m256i high_sum[4] = {};
    __m256i low_sum[4] = {};
    for (std::int64_t k = 0; k < taps.count[i]; k += 4, at += 12) {
      const __m256i h = weight_pairs(high + k);
      const __m256i l = weight_pairs(low + k);
      for (std::size_t r = 0; r < 4; ++r) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[r] + at));
        const __m256i four = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
        high_sum[r] = _mm256_add_epi32(high_sum[r], _mm256_madd_epi16(four, h));
        low_sum[r] = _mm256_add_epi32(low_sum[r], _mm256_madd_epi16(four, l));
      }
    }
    // The halves hold sums over different taps. Added crosswise, rows 0 and 1 (2 and 3) get one
    // half each.
    __m256i pair[2];
    for (std::size_t p = 0; p < 2; ++p) {
      const __m256i a = join_weights(high_sum[2 * p], low_sum[2 * p]);
      const __m256i b = join_weights(high_sum[2 * p + 1], low_sum[2 * p + 1]);
      pair[p] = round_pixels(_mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                                              _mm256_permute2x128_si256(a, b, 0x31)));
    }
    const __m256i words = _mm256_packs_epi32(pair[0], pair[1]);  // rows 0, 2 | rows 1, 3
    const __m256i bytes = _mm256_packus_epi16(words, words);
    const int rgb[4] = {_mm256_extract_epi32(bytes, 0), _mm256_extract_epi32(bytes, 4),
                        _mm256_extract_epi32(bytes, 1), _mm256_extract_epi32(bytes, 5)};
    for (std::size_t r = 0; r < 4; ++r) std::memcpy(out[r] + i * 3, &rgb[r], sizeof rgb[r]);
  }
}

/// resample_column for the first bytes, 32 at a time. Returns the number of bytes processed.
__attribute__((target("avx2"))) inline std::size_t resample_column_avx2(
    const std::uint8_t* rows, std::size_t stride, const ResampleTaps& taps, std::size_t i,
    std::uint8_t* out, std::size_t bytes) {
  const auto count = static_cast<std::size_t>(taps.count[i]);
  const std::int16_t* high = &taps.high[i * taps.stride];
  const std::int16_t* low = &taps.low[i * taps.stride];
  const __m256i zero = _mm256_setzero_si256();
  std::size_t x = 0;
  for (; x + 32 <= bytes; x += 32) {
    __m256i high_sum[4] = {};
    __m256i low_sum[4] = {};
    for (std::size_t k = 0; k < count; k += 2) {
      std::int32_t two;
      std::memcpy(&two, high + k, sizeof two);
      const __m256i h = _mm256_set1_epi32(two);
      std::memcpy(&two, low + k, sizeof two);
      const __m256i l = _mm256_set1_epi32(two);
      const auto* row = rows + k * stride + x;
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
      // The partner of a last odd tap has weight zero, so any row will do.
      const __m256i b =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(k + 1 < count ? row + stride : row));
      const __m256i lower = _mm256_unpacklo_epi8(a, b);
      const __m256i upper = _mm256_unpackhi_epi8(a, b);
      const __m256i quads[4] = {
          _mm256_unpacklo_epi8(lower, zero), _mm256_unpackhi_epi8(lower, zero),
          _mm256_unpacklo_epi8(upper, zero), _mm256_unpackhi_epi8(upper, zero)};
      for (int q = 0; q < 4; ++q) {
        high_sum[q] = _mm256_add_epi32(high_sum[q], _mm256_madd_epi16(quads[q], h));
        low_sum[q] = _mm256_add_epi32(low_sum[q], _mm256_madd_epi16(quads[q], l));
      }
    }
    // unpack and pack work on the same halves, so the bytes return to their order.
    __m256i done[4];
    for (int q = 0; q < 4; ++q) done[q] = round_pixels(join_weights(high_sum[q], low_sum[q]));
    const __m256i words[2] = {_mm256_packs_epi32(done[0], done[1]),
                              _mm256_packs_epi32(done[2], done[3])};
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + x),
                        _mm256_packus_epi16(words[0], words[1]));
  }
  return x;
}
#else
inline bool has_avx2() {
  return false;
}
#endif

}  // namespace contrapunto::detail
