// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/resize.hpp"

#include "contrapunto/core/random.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

RgbImage noise(std::int64_t width, std::int64_t height, std::uint64_t seed) {
  RgbImage image(width, height);
  RandomStream random(seed);
  for (std::size_t i = 0; i < image.bytes(); ++i)
    image.data()[i] = static_cast<std::uint8_t>(random.next() & (i % 5 ? 0xFF : 0xC0));
  return image;
}

std::vector<std::uint8_t> bytes_of(const RgbImage& image) {
  return {image.data(), image.data() + image.bytes()};
}

/// One axis in float64, the definition: a filter as wide as the scale, centered on each pixel.
std::vector<double> resample(const std::vector<double>& values, std::size_t target) {
  const double scale = static_cast<double>(values.size()) / static_cast<double>(target);
  const double widening = std::max(scale, 1.0);
  std::vector<double> out(target);
  for (std::size_t i = 0; i < target; ++i) {
    double sum = 0.0;
    double weights = 0.0;
    for (std::size_t j = 0; j < values.size(); ++j) {
      const double x = std::abs(
          (static_cast<double>(j) + 0.5 - (static_cast<double>(i) + 0.5) * scale) / widening);
      double w = 0.0;
      if (x < 1)
        w = 1.5 * x * x * x - 2.5 * x * x + 1;
      else if (x < 2)
        w = -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2;
      sum += w * values[j];
      weights += w;
    }
    out[i] = sum / weights;
  }
  return out;
}

}  // namespace

TEST_CASE("Resizing to the same size changes nothing", "[data][cpu]") {
  const RgbImage image = noise(31, 17, 1);
  RgbImage out;
  Resizer()(image, {0, 0, 31, 17}, 31, 17, {0, 0, 31, 17}, out);
  CHECK(bytes_of(out) == bytes_of(image));
}

TEST_CASE("A plain image stays plain at any size", "[data][cpu]") {
  RgbImage image(20, 30);
  std::fill_n(image.data(), image.bytes(), std::uint8_t{137});
  RgbImage out;
  for (const std::int64_t size : {1, 2, 7, 30, 64, 99}) {
    Resizer()(image, {0, 0, 20, 30}, size, size, {0, 0, size, size}, out);
    for (std::size_t i = 0; i < out.bytes(); ++i) REQUIRE(out.data()[i] == 137);
  }
}

TEST_CASE("A row is resized as the float64 definition says", "[data][cpu]") {
  for (const std::int64_t target : {5, 20, 41, 63, 130}) {
    const RgbImage image = noise(63, 1, 9);
    RgbImage out;
    Resizer()(image, {0, 0, 63, 1}, target, 1, {0, 0, target, 1}, out);
    for (std::size_t c = 0; c < 3; ++c) {
      std::vector<double> values;
      for (std::size_t x = 0; x < 63; ++x) values.push_back(image.data()[x * 3 + c]);
      const auto expected = resample(values, static_cast<std::size_t>(target));
      for (std::size_t x = 0; x < expected.size(); ++x)
        REQUIRE(std::abs(out.data()[x * 3 + c] - std::clamp(expected[x], 0.0, 255.0)) <= 0.5001);
    }
  }
}

TEST_CASE("Vector code gives the bits of the plain loops", "[data][cpu]") {
  using contrapunto::detail::Simd;
  const Simd best = contrapunto::detail::best_simd();
  if (best == Simd::kNone) {
    WARN("this processor has no AVX2; nothing to compare");
    return;
  }
  std::vector<Simd> all = {Simd::kAvx2};
  if (best == Simd::kAvx512)
    all.push_back(best);
  else
    WARN("this processor has no AVX-512 with VBMI and VNNI; only AVX2 is compared");
  RandomStream random(3);
  contrapunto::detail::ResizeBuffers buffers;
  for (int round = 0; round < 200; ++round) {
    const auto side = [&](std::int64_t most) { return 1 + random.integer(most); };
    // Every tenth image is wide, so that the source pixels of neighbors are far apart.
    const RgbImage image =
        noise(side(round % 10 ? 150 : 1200), side(150), static_cast<std::uint64_t>(round));
    PixelBox box{random.integer(image.width()), random.integer(image.height()), 0, 0};
    box.width = 1 + random.integer(image.width() - box.left);
    box.height = 1 + random.integer(image.height() - box.top);
    const std::int64_t width = side(90);
    const std::int64_t height = side(90);
    const auto mode = round % 3 ? Interpolation::kBicubic : Interpolation::kBilinear;
    const auto resized = [&](Simd simd) {
      RgbImage out;
      buffers.resize(image, ImageRegion::whole(image), box, width, height, {0, 0, width, height},
                     out, mode, simd);
      return bytes_of(out);
    };
    const auto plain = resized(Simd::kNone);
    for (const Simd simd : all) REQUIRE(resized(simd) == plain);
  }
}

TEST_CASE("A part of an image is resized like the whole", "[data][cpu]") {
  RandomStream random(5);
  Resizer resizer;
  for (int round = 0; round < 60; ++round) {
    const RgbImage image = noise(90, 70, static_cast<std::uint64_t>(round));
    PixelBox box{random.integer(80), random.integer(60), 0, 0};
    box.width = 1 + random.integer(90 - box.left);
    box.height = 1 + random.integer(70 - box.top);
    ImageRegion region = ImageRegion::whole(image);
    region.left = random.integer(box.left + 1);
    region.top = random.integer(box.top + 1);
    const std::int64_t right = box.left + box.width + random.integer(91 - box.left - box.width);
    RgbImage part(right - region.left, box.top + box.height - region.top);
    for (std::int64_t y = 0; y < part.height(); ++y)
      std::copy_n(image.row(region.top + y) + region.left * 3, part.width() * 3, part.row(y));
    RgbImage expected;
    RgbImage out;
    resizer(image, box, 24, 31, {3, 4, 20, 21}, expected);
    resizer(part, region, box, 24, 31, {3, 4, 20, 21}, out, Interpolation::kBicubic);
    REQUIRE(bytes_of(out) == bytes_of(expected));
  }
}

TEST_CASE("A window is a part of the whole result", "[data][cpu]") {
  const RgbImage image = noise(80, 60, 4);
  RgbImage whole;
  RgbImage part;
  Resizer resizer;
  resizer(image, {3, 2, 70, 50}, 40, 33, {0, 0, 40, 33}, whole);
  resizer(image, {3, 2, 70, 50}, 40, 33, {11, 5, 20, 19}, part);
  for (std::int64_t y = 0; y < 19; ++y)
    for (std::int64_t x = 0; x < 20 * 3; ++x)
      REQUIRE(part.row(y)[x] == whole.row(y + 5)[x + 11 * 3]);
}

TEST_CASE("Pixels outside the box have no influence", "[data][cpu]") {
  RgbImage image = noise(50, 40, 4);
  RgbImage before;
  RgbImage after;
  Resizer()(image, {10, 8, 30, 20}, 16, 16, {0, 0, 16, 16}, before);
  for (std::int64_t y = 0; y < 40; ++y)
    for (std::int64_t x = 0; x < 50; ++x)
      if (x < 10 || x >= 40 || y < 8 || y >= 28)
        std::fill_n(image.row(y) + x * 3, 3, std::uint8_t{255});
  Resizer()(image, {10, 8, 30, 20}, 16, 16, {0, 0, 16, 16}, after);
  CHECK(bytes_of(before) == bytes_of(after));
}
