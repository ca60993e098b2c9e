// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/tone_curves.hpp"

#include "image/noise_image.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using test::changed_noise;
using test::noise_image;
using test::values_of;

namespace {

/// The noise with every value replaced by `tone(value)`.
template <class Tone>
std::vector<int> by_hand(Tone tone) {
  auto values = values_of(noise_image(13, 9));
  for (int& value : values) value = tone(value);
  return values;
}

RgbImage of_values(const std::vector<std::uint8_t>& gray) {
  RgbImage image(static_cast<std::int64_t>(gray.size()), 1);
  for (std::size_t i = 0; i < gray.size(); ++i) std::fill_n(image.data() + 3 * i, 3, gray[i]);
  return image;
}

std::vector<int> red_of(const RgbImage& image) {
  std::vector<int> red;
  for (std::int64_t x = 0; x < image.width(); ++x) red.push_back(image.data()[3 * x]);
  return red;
}

}  // namespace

TEST_CASE("Solarizing inverts the values from the threshold on", "[image][cpu]") {
  for (const int threshold : {0, 1, 77, 128, 255, 256})
    CHECK(changed_noise(13, 9, [&](RgbImage& i) { solarize(i, threshold); }) ==
          by_hand([&](int v) { return v >= threshold ? 255 - v : v; }));
  CHECK(changed_noise(13, 9, [](RgbImage& i) { solarize(i, 0); }) ==
        changed_noise(13, 9, [](RgbImage& i) { invert_colors(i); }));
}

TEST_CASE("Solarize-add brightens the dark values only", "[image][cpu]") {
  CHECK(changed_noise(13, 9, [](RgbImage& i) { solarize_add(i, 110); }) ==
        by_hand([](int v) { return v < 128 ? v + 110 : v; }));
  RgbImage image = of_values({0, 127, 128});
  solarize_add(image, 200);
  CHECK(red_of(image) == std::vector<int>{200, 255, 128});
}

TEST_CASE("Posterizing keeps the highest bits", "[image][cpu]") {
  for (const int bits : {1, 3, 7, 8}) {
    const int step = 1 << (8 - bits);
    CHECK(changed_noise(13, 9, [&](RgbImage& i) { posterize(i, bits); }) ==
          by_hand([&](int v) { return v / step * step; }));
  }
  for (const int bits : {0, -1})
    CHECK(changed_noise(13, 9, [&](RgbImage& i) { posterize(i, bits); }) ==
          by_hand([](int) { return 0; }));
}

TEST_CASE("The smallest value becomes black and the largest white", "[image][cpu]") {
  RgbImage image = of_values({50, 100, 125, 150});
  image.data()[1] = 7;  // Another channel has another range.
  auto_contrast(image);
  CHECK(red_of(image) == std::vector<int>{0, 127, 191, 255});  // 127.5 and 191.25, truncated
  CHECK(image.data()[1] == 0);
  CHECK(image.data()[4] == 165);  // (100 - 7) * 255 / 143 = 165.8
  RgbImage plain = of_values({9, 9});
  auto_contrast(plain);
  CHECK(red_of(plain) == std::vector<int>{9, 9});
}

TEST_CASE("Equalizing makes every range of values as frequent", "[image][cpu]") {
  // Values of 0 to 63 only, many of each.
  RgbImage image = noise_image(256, 256);
  for (std::size_t i = 0; i < image.bytes(); ++i) image.data()[i] /= 4;
  equalize(image);
  const auto values = values_of(image);
  CHECK(*std::min_element(values.begin(), values.end()) < 4);
  CHECK(*std::max_element(values.begin(), values.end()) > 250);
  std::array<int, 4> all{};
  for (const int value : values) ++all[static_cast<std::size_t>(value / 64)];
  for (const int count : all)
    CHECK(count == Approx(256 * 256 * 3 / 4).epsilon(0.07));  // a value more is 6 % of a quarter

  // Fewer than 255 pixels below the brightest value, and one value, change nothing.
  CHECK(changed_noise(13, 9, [](RgbImage& i) { equalize(i); }) == values_of(noise_image(13, 9)));
  RgbImage plain(300, 1);
  std::fill_n(plain.data(), plain.bytes(), std::uint8_t{33});
  equalize(plain);
  CHECK(red_of(plain) == std::vector<int>(300, 33));
}
