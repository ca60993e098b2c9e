// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "contrapunto/image/detail/resample_taps.hpp"
#include "contrapunto/kernels/detail/resample_weights.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// The two passes of a resize: plain loops, and the same sums with AVX2 and with AVX-512 for
/// machines that have them. All give the same pixels bit for bit.
namespace contrapunto::detail {

/// Vector instructions that a resize may use.
enum class Simd { kNone, kAvx2, kAvx512 };

/// Computes one row: out[i] = sum over k of weight(i, k) * row[first(i) + k], for three channels.
inline void resample_row(const std::uint8_t* row, const ResampleTaps& taps, std::uint8_t* out) {
  for (std::size_t i = 0; i < taps.first.size(); ++i) {
    const std::uint8_t* pixel = row + taps.first[i] * 3;
    std::int32_t sum[3] = {};
    for (std::size_t k = 0; k < static_cast<std::size_t>(taps.count[i]); ++k, pixel += 3)
      for (int c = 0; c < 3; ++c) sum[c] += taps.weights[i * taps.stride + k] * pixel[c];
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
      sum += taps.weights[i * taps.stride + k] * rows[k * stride + x];
    out[x] = round_pixel(sum);
  }
}

/// Where resample_rows_avx512 finds the source bytes of 16 neighboring output bytes.
struct RowGroup {
  std::int64_t pixel = 0;                             // The output pixel of the first byte.
  std::int64_t byte = 0;                              // Its first source byte.
  std::int64_t steps = 0;                             // Groups of four taps.
  bool is_wide = false;                               // Some of `bytes` are above 63.
  alignas(64) std::array<std::uint8_t, 64> bytes{};   // Of the first four taps, from `byte` on.
  alignas(64) std::array<std::int32_t, 16> pixels{};  // Output pixels, from `pixel` on.
};

/// Divides a row of output bytes into groups. Returns none if the source bytes of a group are too
/// far apart, which is the case when an image becomes more than six times smaller.
inline std::vector<RowGroup> row_groups(const ResampleTaps& taps) {
  const std::size_t bytes = taps.first.size() * 3;
  std::vector<RowGroup> groups((bytes + 15) / 16);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    RowGroup& group = groups[g];
    const std::size_t first = g * 16 / 3;
    group.pixel = static_cast<std::int64_t>(first);
    group.byte = taps.first[first] * 3;
    for (std::size_t lane = 0; lane < 16; ++lane) {
      const std::size_t byte = std::min(g * 16 + lane, bytes - 1);
      const std::size_t pixel = byte / 3;
      group.pixels[lane] = static_cast<std::int32_t>(pixel - first);
      group.steps = std::max(group.steps, (taps.count[pixel] + 3) / 4);
      const std::int64_t from =
          taps.first[pixel] * 3 - group.byte + static_cast<std::int64_t>(byte % 3);
      if (from + 9 >= 128) return {};
      group.is_wide |= from + 9 >= 64;
      for (std::size_t k = 0; k < 4; ++k)
        group.bytes[lane * 4 + k] =
            static_cast<std::uint8_t>(from + static_cast<std::int64_t>(k) * 3);
    }
  }
  return groups;
}

#if defined(__x86_64__)
/// Returns the best instructions of this machine.
inline Simd best_simd() {
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi") &&
      __builtin_cpu_supports("avx512vnni"))
    return Simd::kAvx512;
  return __builtin_cpu_supports("avx2") ? Simd::kAvx2 : Simd::kNone;
}

/// Returns (high << 12) + low, the sum with full weights.
__attribute__((target("avx2"))) inline __m256i join_weights(__m256i high, __m256i low) {
  return _mm256_add_epi32(_mm256_slli_epi32(high, WordTaps::kLowBits), low);
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
    const WordTaps& weights, const std::array<std::uint8_t*, 4>& out) {
  // Four pixels at a time: the lower half gets pixels 0 and 1, and the upper half pixels 2 and 3.
  // Each channel of both is side by side in 16 bits, so that madd adds two taps.
  const __m256i spread =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                       -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  for (std::size_t i = 0; i < taps.first.size(); ++i) {
    std::size_t at = static_cast<std::size_t>(taps.first[i]) * 3;
    const std::int16_t* high = &weights.high[i * taps.stride];
    const std::int16_t* low = &weights.low[i * taps.stride];
    __m256i high_sum[4] = {};
    __m256i low_sum[4] = {};
    for (std::int64_t k = 0; k < taps.count[i]; k += 4, at += 12) {
      const __m256i h = weight_pairs(high + k);
      const __m256i l = weight_pairs(low + k);
#pragma GCC unroll 4
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
#pragma GCC unroll 2
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
#pragma GCC unroll 4
    for (std::size_t r = 0; r < 4; ++r) std::memcpy(out[r] + i * 3, &rgb[r], sizeof rgb[r]);
  }
}

/// resample_column for the first bytes, 32 at a time. Returns the number of bytes processed.
__attribute__((target("avx2"))) inline std::size_t resample_column_avx2(
    const std::uint8_t* rows, std::size_t stride, const ResampleTaps& taps, const WordTaps& weights,
    std::size_t i, std::uint8_t* out, std::size_t bytes) {
  const auto count = static_cast<std::size_t>(taps.count[i]);
  const std::int16_t* high = &weights.high[i * taps.stride];
  const std::int16_t* low = &weights.low[i * taps.stride];
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
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        high_sum[q] = _mm256_add_epi32(high_sum[q], _mm256_madd_epi16(quads[q], h));
        low_sum[q] = _mm256_add_epi32(low_sum[q], _mm256_madd_epi16(quads[q], l));
      }
    }
    // unpack and pack work on the same halves, so the bytes return to their order.
    __m256i done[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) done[q] = round_pixels(join_weights(high_sum[q], low_sum[q]));
    const __m256i words[2] = {_mm256_packs_epi32(done[0], done[1]),
                              _mm256_packs_epi32(done[2], done[3])};
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + x),
                        _mm256_packus_epi16(words[0], words[1]));
  }
  return x;
}

/// The weights as digits[2] * 2^16 + digits[1] * 2^8 + digits[0] with digits from -128 to 127, for
/// exact sums of products of bytes. Four neighboring taps are packed into 32 bits.
struct ByteTaps {
  /// Output pixels behind the last that may be read. What they hold has no influence.
  static constexpr std::size_t kPadding = 16;

  std::size_t pitch = 0;                             // Output pixels with the padding.
  std::array<std::vector<std::uint32_t>, 3> digits;  // Each [groups of four taps, pitch].

  __attribute__((target("avx2"))) void assign(const ResampleTaps& taps) {
    const std::size_t pixels = taps.first.size();
    pitch = pixels + kPadding;
    for (auto& digit : digits) digit.resize(taps.stride / 4 * pitch);
    // With 2^7 added to each digit, the digits are the plain bytes of the sum.
    const __m128i half = _mm_set1_epi32(0x808080);
    const __m128i by_digit = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const std::int32_t* weights = taps.weights.data();
    for (std::size_t i = 0; i < pixels; ++i)
      for (std::size_t at = i; at < digits[0].size(); at += pitch, weights += 4) {
        const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights));
        const __m128i bytes = _mm_xor_si128(_mm_add_epi32(four, half), half);
        const __m128i packed = _mm_shuffle_epi8(bytes, by_digit);
        digits[0][at] = static_cast<std::uint32_t>(_mm_extract_epi32(packed, 0));
        digits[1][at] = static_cast<std::uint32_t>(_mm_extract_epi32(packed, 1));
        digits[2][at] = static_cast<std::uint32_t>(_mm_extract_epi32(packed, 2));
      }
  }
};

// GCC 12 warns of an uninitialized value in the forms of these intrinsics without a mask. Compilers
// remove a mask of ones.
constexpr __mmask8 kFourWords = 0xF;
constexpr __mmask16 kEveryWord = 0xFFFF;
constexpr __mmask64 kEveryByte = ~std::uint64_t{0};

/// The sums of one digit of the weights each; see ByteTaps.
struct DigitSums {
  __m512i sum[3];
};

__attribute__((target("avx512bw,avx512vbmi,avx512vnni"))) inline void add_products(
    DigitSums& sums, __m512i pixels, __m512i digit0, __m512i digit1, __m512i digit2) {
  sums.sum[0] = _mm512_dpbusd_epi32(sums.sum[0], pixels, digit0);
  sums.sum[1] = _mm512_dpbusd_epi32(sums.sum[1], pixels, digit1);
  sums.sum[2] = _mm512_dpbusd_epi32(sums.sum[2], pixels, digit2);
}

/// Returns sums that begin with one half of a pixel, which rounds them.
__attribute__((target("avx512bw,avx512vbmi,avx512vnni"))) inline DigitSums one_half() {
  return {
      {_mm512_set1_epi32(1 << (kWeightBits - 1)), _mm512_setzero_si512(), _mm512_setzero_si512()}};
}

/// Converts sums that began with one_half() to integer pixels, not clipped.
__attribute__((target("avx512bw,avx512vbmi,avx512vnni"))) inline __m512i round_pixels(
    const DigitSums& sums) {
  const __m512i upper = _mm512_add_epi32(_mm512_maskz_slli_epi32(kEveryWord, sums.sum[2], 16),
                                         _mm512_maskz_slli_epi32(kEveryWord, sums.sum[1], 8));
  return _mm512_maskz_srai_epi32(kEveryWord, _mm512_add_epi32(upper, sums.sum[0]), kWeightBits);
}

/// The sums of 16 neighboring output bytes in each of four rows. kWide: the source bytes of four
/// taps are up to 127 bytes apart, otherwise 63.
template <bool kWide>
__attribute__((target("avx512bw,avx512vbmi,avx512vnni"))) inline std::array<DigitSums, 4> sum_group(
    const std::array<const std::uint8_t*, 4>& rows, const ByteTaps& taps, const RowGroup& group) {
  const __m512i places = _mm512_load_si512(group.bytes.data());
  const __m512i pixels = _mm512_load_si512(group.pixels.data());
  std::array<DigitSums, 4> sums = {one_half(), one_half(), one_half(), one_half()};
  std::size_t weights = static_cast<std::size_t>(group.pixel);
  for (std::int64_t byte = group.byte; byte < group.byte + group.steps * 12;
       byte += 12, weights += taps.pitch) {
    const __m512i digit0 = _mm512_maskz_permutexvar_epi32(
        kEveryWord, pixels, _mm512_loadu_si512(&taps.digits[0][weights]));
    const __m512i digit1 = _mm512_maskz_permutexvar_epi32(
        kEveryWord, pixels, _mm512_loadu_si512(&taps.digits[1][weights]));
    const __m512i digit2 = _mm512_maskz_permutexvar_epi32(
        kEveryWord, pixels, _mm512_loadu_si512(&taps.digits[2][weights]));
#pragma GCC unroll 4
    for (std::size_t r = 0; r < 4; ++r) {
      __m512i four = _mm512_loadu_si512(rows[r] + byte);
      if constexpr (kWide)
        four = _mm512_permutex2var_epi8(four, places, _mm512_loadu_si512(rows[r] + byte + 64));
      else
        four = _mm512_maskz_permutexvar_epi8(kEveryByte, places, four);
      add_products(sums[r], four, digit0, digit1, digit2);
    }
  }
  return sums;
}

/// resample_row for four rows at once, which share the weights. If there are fewer rows, pass the
/// same row again. It reads up to 127 bytes behind the last tap and writes up to 15 bytes behind
/// each output row.
__attribute__((target("avx512bw,avx512vbmi,avx512vnni"))) inline void resample_rows_avx512(
    const std::array<const std::uint8_t*, 4>& rows, const ByteTaps& taps,
    const std::vector<RowGroup>& groups, const std::array<std::uint8_t*, 4>& out) {
  const __m512i by_row = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  std::size_t at = 0;
  for (const RowGroup& group : groups) {
    const auto sums =
        group.is_wide ? sum_group<true>(rows, taps, group) : sum_group<false>(rows, taps, group);
    // Each quarter then holds four bytes of each row, and `by_row` puts the rows one after another.
    const __m512i first = _mm512_packs_epi32(round_pixels(sums[0]), round_pixels(sums[1]));
    const __m512i second = _mm512_packs_epi32(round_pixels(sums[2]), round_pixels(sums[3]));
    const __m512i bytes =
        _mm512_maskz_permutexvar_epi32(kEveryWord, by_row, _mm512_packus_epi16(first, second));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out[0] + at),
                     _mm512_maskz_extracti32x4_epi32(kFourWords, bytes, 0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out[1] + at),
                     _mm512_maskz_extracti32x4_epi32(kFourWords, bytes, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out[2] + at),
                     _mm512_maskz_extracti32x4_epi32(kFourWords, bytes, 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out[3] + at),
                     _mm512_maskz_extracti32x4_epi32(kFourWords, bytes, 3));
    at += 16;
  }
}

/// resample_column. It reads up to 63 bytes behind each row.
__attribute__((target("avx512bw,avx512vbmi,avx512vnni"))) inline void resample_column_avx512(
    const std::uint8_t* rows, std::size_t stride, const ResampleTaps& taps, const ByteTaps& digits,
    std::size_t i, std::uint8_t* out, std::size_t bytes) {
  const auto count = static_cast<std::size_t>(taps.count[i]);
  for (std::size_t x = 0; x < bytes; x += 64) {
    DigitSums sums[4] = {one_half(), one_half(), one_half(), one_half()};
    for (std::size_t k = 0; k < count; k += 4) {
      // Taps beyond the last have weight zero, so any row will do.
      const std::uint8_t* row = rows + k * stride + x;
      const __m512i a = _mm512_loadu_si512(row);
      const __m512i b = _mm512_loadu_si512(k + 1 < count ? row + stride : row);
      const __m512i c = _mm512_loadu_si512(k + 2 < count ? row + 2 * stride : row);
      const __m512i d = _mm512_loadu_si512(k + 3 < count ? row + 3 * stride : row);
      const __m512i lower_ab = _mm512_unpacklo_epi8(a, b);
      const __m512i lower_cd = _mm512_unpacklo_epi8(c, d);
      const __m512i upper_ab = _mm512_unpackhi_epi8(a, b);
      const __m512i upper_cd = _mm512_unpackhi_epi8(c, d);
      const __m512i quads[4] = {
          _mm512_unpacklo_epi16(lower_ab, lower_cd), _mm512_unpackhi_epi16(lower_ab, lower_cd),
          _mm512_unpacklo_epi16(upper_ab, upper_cd), _mm512_unpackhi_epi16(upper_ab, upper_cd)};
      const std::size_t weights = k / 4 * digits.pitch + i;
      const __m512i digit0 = _mm512_set1_epi32(static_cast<int>(digits.digits[0][weights]));
      const __m512i digit1 = _mm512_set1_epi32(static_cast<int>(digits.digits[1][weights]));
      const __m512i digit2 = _mm512_set1_epi32(static_cast<int>(digits.digits[2][weights]));
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) add_products(sums[q], quads[q], digit0, digit1, digit2);
    }
    // unpack and pack work on the same quarters, so the bytes return to their order.
    const __m512i lower = _mm512_packs_epi32(round_pixels(sums[0]), round_pixels(sums[1]));
    const __m512i upper = _mm512_packs_epi32(round_pixels(sums[2]), round_pixels(sums[3]));
    const __mmask64 inside = bytes - x >= 64 ? ~__mmask64{0} : (__mmask64{1} << (bytes - x)) - 1;
    _mm512_mask_storeu_epi8(out + x, inside, _mm512_packus_epi16(lower, upper));
  }
}
#else
inline Simd best_simd() {
  return Simd::kNone;
}
#endif

}  // namespace contrapunto::detail
