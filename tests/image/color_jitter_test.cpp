// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/color_jitter.hpp"

#include "data/image_encode.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

std::vector<int> bytes_of(const RgbImage& image) {
  return {image.data(), image.data() + image.bytes()};
}

template <class Change>
std::vector<int> changed(Change change) {
  RgbImage image = test::picture(13, 9);
  change(image);
  return bytes_of(image);
}

}  // namespace

TEST_CASE("A factor of one changes no color", "[data][cpu]") {
  const auto original = bytes_of(test::picture(13, 9));
  CHECK(changed([](RgbImage& i) { adjust_brightness(i, 1.0); }) == original);
  CHECK(changed([](RgbImage& i) { adjust_contrast(i, 1.0); }) == original);
  CHECK(changed([](RgbImage& i) { adjust_saturation(i, 1.0); }) == original);
}

TEST_CASE("A factor of zero leaves black, the mean and gray", "[data][cpu]") {
  CHECK(changed([](RgbImage& i) { adjust_brightness(i, 0.0); }) == std::vector<int>(13 * 9 * 3, 0));
  const auto flat = changed([](RgbImage& i) { adjust_contrast(i, 0.0); });
  CHECK(flat == std::vector<int>(flat.size(), flat.front()));
  CHECK(changed([](RgbImage& i) { adjust_saturation(i, 0.0); }) ==
        changed([](RgbImage& i) { to_grayscale(i); }));
}

TEST_CASE("Turning the hue by thirds swaps the pure colors", "[data][cpu]") {
  RgbImage image(1, 1);
  std::copy_n(std::array<std::uint8_t, 3>{200, 0, 0}.data(), 3, image.data());
  adjust_hue(image, 1.0 / 3);  // 8-bit hue: 85 of 255 is exactly a third
  CHECK(bytes_of(image) == std::vector<int>{0, 200, 0});
  adjust_hue(image, 1.0 / 3);
  CHECK(bytes_of(image) == std::vector<int>{0, 0, 200});
}

TEST_CASE("Turning the hue does not change gray", "[data][cpu]") {
  RgbImage image(1, 1);
  std::fill_n(image.data(), 3, std::uint8_t{77});
  adjust_hue(image, 0.4);
  CHECK(bytes_of(image) == std::vector<int>{77, 77, 77});
}
