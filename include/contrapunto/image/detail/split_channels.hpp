// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "contrapunto/image/detail/resize_kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace contrapunto::detail {

#if defined(__x86_64__)
/// split_channels for the first pixels, 16 at a time. Returns the number of pixels processed.
__attribute__((target("avx2"))) inline std::size_t split_channels_avx2(const std::uint8_t* rgb,
                                                                       std::size_t pixels,
                                                                       std::uint8_t* out) {
  // Which of the 48 bytes each channel takes from each third; -1 gives zero.
  const __m128i take[3][3] = {
      {_mm_setr_epi8(0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13)},
      {_mm_setr_epi8(1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14)},
      {_mm_setr_epi8(2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15)}};
  std::size_t i = 0;
  for (; i + 16 <= pixels; i += 16) {
    const auto* in = reinterpret_cast<const __m128i*>(rgb + i * 3);
    const __m128i a = _mm_loadu_si128(in);
    const __m128i b = _mm_loadu_si128(in + 1);
    const __m128i c = _mm_loadu_si128(in + 2);
#pragma GCC unroll 3
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const __m128i front = _mm_or_si128(_mm_shuffle_epi8(a, take[channel][0]),
                                         _mm_shuffle_epi8(b, take[channel][1]));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + channel * pixels + i),
                       _mm_or_si128(front, _mm_shuffle_epi8(c, take[channel][2])));
    }
  }
  return i;
}
#endif

/// Copies interleaved pixels to three planes: out[channel * pixels + i] = rgb[i * 3 + channel].
inline void split_channels(const std::uint8_t* rgb, std::size_t pixels, std::uint8_t* out,
                           Simd simd = best_simd()) {
  std::size_t done = 0;
#if defined(__x86_64__)
  if (simd != Simd::kNone) done = split_channels_avx2(rgb, pixels, out);
#else
  static_cast<void>(simd);
#endif
  for (std::size_t channel = 0; channel < 3; ++channel)
    for (std::size_t i = done; i < pixels; ++i) out[channel * pixels + i] = rgb[i * 3 + channel];
}

}  // namespace contrapunto::detail
