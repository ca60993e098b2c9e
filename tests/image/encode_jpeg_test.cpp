// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/encode_jpeg.hpp"

#include <cmath>
#include <cstdlib>

#include "contrapunto/image/decode_image.hpp"
#include "image/noise_image.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

RgbImage smooth(std::int64_t width, std::int64_t height) {
  RgbImage image(width, height);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        image.row(y)[x * 3 + c] =
            static_cast<std::uint8_t>(128 + 100 * std::sin(0.05 * static_cast<double>(x + c * y)));
  return image;
}

double mean_difference(const RgbImage& a, const RgbImage& b) {
  REQUIRE(a.width() == b.width());
  REQUIRE(a.height() == b.height());
  double sum = 0;
  for (std::size_t i = 0; i < a.bytes(); ++i) sum += std::abs(a.data()[i] - b.data()[i]);
  return sum / static_cast<double>(a.bytes());
}

}  // namespace

TEST_CASE("A JPEG decodes to nearly the pixels that were encoded", "[image][cpu]") {
  for (const auto& [width, height] : {std::pair{64, 48}, {1, 1}, {17, 3}, {301, 97}}) {
    const auto image = smooth(width, height);
    const double fine = mean_difference(decode_image(encode_jpeg(image, 100)), image);
    CHECK(fine < 1.5);
    CHECK(mean_difference(decode_image(encode_jpeg(image, 90)), image) < 4.0);
  }
}

TEST_CASE("A JPEG is baseline, and better quality takes more bytes", "[image][cpu]") {
  const auto image = test::noise_image(96, 64, 3);
  const auto bytes = encode_jpeg(image, 90);
  // The start of a baseline frame; a progressive one starts with FF C2.
  std::size_t baseline = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); ++i)
    baseline += bytes[i] == 0xFF && bytes[i + 1] == 0xC0;
  CHECK(baseline == 1);
  CHECK(encode_jpeg(image, 50).size() < bytes.size());
  CHECK(encode_jpeg(image, 90) == bytes);
}

TEST_CASE("An image that JPEG cannot hold is refused by its size", "[image][cpu]") {
  using Catch::Matchers::Contains;
  CHECK_THROWS_WITH(encode_jpeg(RgbImage(8, 8), 0), Contains("quality (0)"));
  CHECK_THROWS_WITH(encode_jpeg(RgbImage(8, 8), 101), Contains("quality (101)"));
  CHECK_THROWS_WITH(encode_jpeg(RgbImage(0, 0), 90), Contains("0 x 0 pixels"));
  CHECK_THROWS_WITH(encode_jpeg(RgbImage(kLargestJpegSide + 1, 1), 90), Contains("65501 x 1"));
  CHECK(decode_image(encode_jpeg(RgbImage(kLargestJpegSide, 1), 90)).width() == kLargestJpegSide);
}
