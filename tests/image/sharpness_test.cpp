// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/sharpness.hpp"

#include "image/noise_image.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Sharpness blends with the weighted mean of the neighbors", "[image][cpu]") {
  const double factor = GENERATE(0.0, 0.4, 1.0, 1.9);
  constexpr std::int64_t w = 9, h = 7;
  const RgbImage source = test::noise_image(w, h);
  RgbImage sharp = test::noise_image(w, h);
  adjust_sharpness(sharp, factor);
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t c = 0; c < 3; ++c) {
        const double here = source.row(y)[x * 3 + c];
        double smooth = here;
        if (0 < x && x < w - 1 && 0 < y && y < h - 1) {
          smooth = 4 * here;
          for (std::int64_t dy = -1; dy <= 1; ++dy)
            for (std::int64_t dx = -1; dx <= 1; ++dx)
              smooth += source.row(y + dy)[(x + dx) * 3 + c];
          smooth = std::round(smooth / 13);
        }
        const double blended = std::clamp(smooth + factor * (here - smooth), 0.0, 255.0);
        // Truncated; the factor in float32 may move a whole number to the level below.
        REQUIRE(sharp.row(y)[x * 3 + c] <= blended + 1e-3);
        REQUIRE(sharp.row(y)[x * 3 + c] > blended - 1 - 1e-3);
      }
}

TEST_CASE("An image without inner pixels keeps its sharpness", "[image][cpu]") {
  for (const auto& [w, h] : {std::pair{1, 1}, {2, 9}, {9, 2}})
    CHECK(test::changed_noise(w, h, [](RgbImage& image) { adjust_sharpness(image, 1.9); }) ==
          test::values_of(test::noise_image(w, h)));
}
