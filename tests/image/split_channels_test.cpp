// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/detail/split_channels.hpp"

#include "image/noise_image.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Interleaved pixels become three planes", "[image][cpu]") {
  using contrapunto::detail::best_simd;
  using contrapunto::detail::Simd;
  for (const Simd simd : {Simd::kNone, best_simd()})
    for (const std::int64_t width : {1, 15, 16, 17, 100}) {
      const RgbImage image = test::noise_image(width, 3);
      const auto pixels = static_cast<std::size_t>(width * 3);
      std::vector<std::uint8_t> planes(pixels * 3 + 1, 99);
      contrapunto::detail::split_channels(image.data(), pixels, planes.data(), simd);
      for (std::size_t i = 0; i < pixels; ++i)
        for (std::size_t c = 0; c < 3; ++c)
          REQUIRE(planes[c * pixels + i] == image.data()[i * 3 + c]);
      CHECK(planes.back() == 99);
    }
}
