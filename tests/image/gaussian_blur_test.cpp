// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/gaussian_blur.hpp"

#include "image/noise_image.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("A blurred point is that of PIL", "[image][cpu]") {
  // PIL.ImageFilter.GaussianBlur of Pillow 13 on one pixel (255, 100, 10) in the middle of 9 x 9
  // black ones: the red values of the middle row.
  const auto middle_row = [](double radius) {
    RgbImage image(9, 9);
    std::fill_n(image.data(), image.bytes(), std::uint8_t{0});
    std::copy_n(std::array<std::uint8_t, 3>{255, 100, 10}.data(), 3, image.row(4) + 4 * 3);
    gaussian_blur(image, radius);
    std::vector<int> red;
    for (std::int64_t x = 0; x < 9; ++x) red.push_back(image.row(4)[x * 3]);
    return red;
  };
  CHECK(middle_row(0.5) == std::vector<int>{0, 0, 1, 21, 154, 21, 1, 0, 0});
  CHECK(middle_row(1.0) == std::vector<int>{0, 1, 6, 24, 42, 24, 6, 1, 0});
  CHECK(middle_row(2.0) == std::vector<int>{2, 4, 6, 8, 9, 8, 6, 4, 2});
}

TEST_CASE("A blur is three box filters with the variance of the Gaussian", "[image][cpu]") {
  const double radius = GENERATE(0.1, 0.7, 1.3, 2.0, 5.0);
  constexpr std::int64_t n = 23;
  // The ends of the box have the weight that gives it a third of the variance.
  const double variance = radius * radius / 3;
  std::int64_t reach = 0;
  while (static_cast<double>((reach + 1) * (reach + 2)) / 3 <= variance) ++reach;
  const auto r = static_cast<double>(reach);
  const double end =
      (2 * r + 1) * (variance - r * (r + 1) / 3) / (2 * ((r + 1) * (r + 1) - variance));
  const auto weight = [&](std::int64_t k) {
    return (std::abs(k) <= reach ? 1.0 : end) / (2 * r + 1 + 2 * end);
  };
  double second_moment = 0.0;
  for (std::int64_t k = -reach - 1; k <= reach + 1; ++k)
    second_moment += weight(k) * static_cast<double>(k * k);
  REQUIRE(second_moment == Approx(variance));

  const RgbImage source = test::noise_image(n, n);
  std::vector<double> pixels(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n * n; ++i)
    pixels[static_cast<std::size_t>(i)] = source.data()[i * 3];
  for (int pass = 0; pass < 6; ++pass) {
    auto before = pixels;
    for (std::int64_t y = 0; y < n; ++y)
      for (std::int64_t x = 0; x < n; ++x) {
        double sum = 0.0;
        for (std::int64_t k = -reach - 1; k <= reach + 1; ++k) {
          const auto row = std::clamp<std::int64_t>(pass < 3 ? y : y + k, 0, n - 1);
          const auto column = std::clamp<std::int64_t>(pass < 3 ? x + k : x, 0, n - 1);
          sum += weight(k) * before[static_cast<std::size_t>(row * n + column)];
        }
        pixels[static_cast<std::size_t>(y * n + x)] = sum;
      }
  }
  RgbImage blurred = test::noise_image(n, n);
  gaussian_blur(blurred, radius);
  for (std::int64_t i = 0; i < n * n; ++i)  // Each of the six passes rounds by at most a half.
    REQUIRE(std::abs(blurred.data()[i * 3] - pixels[static_cast<std::size_t>(i)]) <= 3.001);
}

TEST_CASE("A blur keeps one color, commutes with a mirror, and needs a radius", "[image][cpu]") {
  RgbImage plain(7, 5);
  std::fill_n(plain.data(), plain.bytes(), std::uint8_t{201});
  const auto before = test::values_of(plain);
  gaussian_blur(plain, 1.7);
  CHECK(test::values_of(plain) == before);

  const auto turned = [](RgbImage& image) {
    std::reverse(image.data(), image.data() + image.bytes());
  };
  const auto first = test::changed_noise(11, 6, [&](RgbImage& image) {
    turned(image);
    gaussian_blur(image, 1.1);
  });
  const auto last = test::changed_noise(11, 6, [&](RgbImage& image) {
    gaussian_blur(image, 1.1);
    turned(image);
  });
  CHECK(first == last);
  CHECK(test::changed_noise(11, 6, [](RgbImage& image) { gaussian_blur(image, 0.0); }) ==
        test::values_of(test::noise_image(11, 6)));
  // A radius beyond the image reads the repeated border only.
  CHECK_NOTHROW(test::changed_noise(2, 1, [](RgbImage& image) { gaussian_blur(image, 30.0); }));
}
