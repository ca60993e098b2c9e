// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/move_pixels.hpp"

#include "image/noise_image.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using test::changed_noise;
using test::noise_image;
using test::values_of;

namespace {

constexpr std::array<std::uint8_t, 3> kFill = {1, 2, 3};

RgbImage moved(RgbImage image, const AffineMap& map, Interpolation interpolation) {
  move_pixels(image, map, interpolation, kFill);
  return image;
}

}  // namespace

TEST_CASE("A shift by whole pixels copies them and fills the rest", "[image][cpu]") {
  const auto interpolation = GENERATE(Interpolation::kBicubic, Interpolation::kBilinear);
  const RgbImage source = noise_image(8, 6);
  const RgbImage result = moved(noise_image(8, 6), {.x0 = 3.0, .y0 = -2.0}, interpolation);
  for (std::int64_t y = 0; y < 6; ++y)
    for (std::int64_t x = 0; x < 8; ++x)
      for (std::int64_t c = 0; c < 3; ++c) {
        const bool is_inside = x + 3 < 8 && y >= 2;
        REQUIRE(result.row(y)[x * 3 + c] == (is_inside ? source.row(y - 2)[(x + 3) * 3 + c]
                                                       : kFill[static_cast<std::size_t>(c)]));
      }
  CHECK(values_of(moved(noise_image(8, 6), {}, interpolation)) == values_of(source));
}

TEST_CASE("Four quarter turns are the identity, and one moves the rows to columns",
          "[image][cpu]") {
  // Sides are even, so that the centers of pixels come from centers, up to the rounding of cosines.
  const auto interpolation = GENERATE(Interpolation::kBicubic, Interpolation::kBilinear);
  const RgbImage source = noise_image(10, 10);
  const RgbImage turned =
      moved(noise_image(10, 10), AffineMap::rotation(90.0, 10, 10), interpolation);
  for (std::int64_t y = 0; y < 10; ++y)
    for (std::int64_t x = 0; x < 10; ++x)
      REQUIRE(std::abs(turned.row(y)[x * 3] - source.row(x)[(9 - y) * 3]) <= 1);  // truncated
  CHECK(values_of(moved(noise_image(10, 10), AffineMap::rotation(0.0, 10, 10), interpolation)) ==
        values_of(source));
}

TEST_CASE("Pixels are sums over their neighbors, truncated", "[image][cpu]") {
  const auto interpolation = GENERATE(Interpolation::kBicubic, Interpolation::kBilinear);
  const auto kernel = [&](double distance) {
    const double t = std::abs(distance);
    if (interpolation == Interpolation::kBilinear) return std::max(0.0, 1 - t);
    // Keys's cubic with a = -1.
    return t < 1 ? t * t * t - 2 * t * t + 1 : t < 2 ? -t * t * t + 5 * t * t - 8 * t + 4 : 0.0;
  };
  constexpr std::int64_t w = 14, h = 11;
  const RgbImage source = noise_image(w, h);
  const AffineMap map{.xx = 0.9, .xy = 0.27, .x0 = -1.4, .yx = -0.13, .yy = 1.1, .y0 = 0.6};
  const RgbImage result = moved(noise_image(w, h), map, interpolation);
  int inside = 0;
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x) {
      const double cx = static_cast<double>(x) + 0.5, cy = static_cast<double>(y) + 0.5;
      const double from_x = 0.9 * cx + 0.27 * cy - 1.4, from_y = -0.13 * cx + 1.1 * cy + 0.6;
      if (from_x < 0 || from_x >= w || from_y < 0 || from_y >= h) {
        REQUIRE(std::equal(kFill.begin(), kFill.end(), result.row(y) + x * 3));
        continue;
      }
      ++inside;
      for (std::int64_t c = 0; c < 3; ++c) {
        double exact = 0.0;
        for (std::int64_t row = -3; row < h + 3; ++row)
          for (std::int64_t column = -3; column < w + 3; ++column)
            exact += kernel(from_y - 0.5 - static_cast<double>(row)) *
                     kernel(from_x - 0.5 - static_cast<double>(column)) *
                     source.row(std::clamp<std::int64_t>(
                         row, 0, h - 1))[std::clamp<std::int64_t>(column, 0, w - 1) * 3 + c];
        exact = std::clamp(exact, 0.0, 255.0);
        REQUIRE(result.row(y)[x * 3 + c] <= exact + 1e-9);
        REQUIRE(result.row(y)[x * 3 + c] > exact - 1 - 1e-9);
      }
    }
  CHECK(inside > 100);
}

TEST_CASE("The cubic takes the values of the pixels and has the slope of PIL", "[image][cpu]") {
  const std::array<double, 4> values = {10, 20, 50, 40};
  const auto at = [&](double d) {
    return contrapunto::detail::between<Interpolation::kBicubic>(values, d);
  };
  CHECK(at(0.0) == 20.0);
  CHECK(at(1.0) == 50.0);
  CHECK((at(1e-6) - at(0.0)) / 1e-6 == Approx(50.0 - 10.0).epsilon(1e-4));
  CHECK((at(1.0) - at(1.0 - 1e-6)) / 1e-6 == Approx(40.0 - 20.0).epsilon(1e-4));
}
