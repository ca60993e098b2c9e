// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/image_decoder.hpp"

#include "contrapunto/core/random.hpp"
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "data/image_encode.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using namespace contrapunto::test;
using Bytes = std::vector<std::uint8_t>;

namespace {

/// Blocks of random colors on a slope, with edges at every phase of the JPEG blocks.
Bytes mosaic(int width, int height, int channels) {
  RandomStream random(11);
  Bytes pixels;
  Bytes colors(37 * 29 * 4);
  for (auto& color : colors) color = static_cast<std::uint8_t>(random.integer(200));
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c) {
        const int tile = ((y / 5) % 29 * 37 + (x / 7) % 37) * 4 + c;
        pixels.push_back(
            static_cast<std::uint8_t>(colors[static_cast<std::size_t>(tile)] + (3 * x + y) % 50));
      }
  return pixels;
}

std::vector<JpegFormat> every_format() {
  std::vector<JpegFormat> formats;
  for (const auto sampling : {std::array{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {1, 4}, {4, 2}})
    for (const int interval : {0, 3}) {
      formats.push_back({.sampling = sampling, .restart_interval = interval});
      formats.push_back({.quality = 70, .sampling = sampling, .restart_interval = interval});
    }
  formats.push_back({.channels = 1, .sampling = {1, 1}});
  formats.push_back({.channels = 1, .sampling = {2, 2}});
  formats.push_back({.channels = 4, .sampling = {1, 1}});
  formats.push_back({.channels = 4, .sampling = {2, 2}, .restart_interval = 2});
  formats.push_back({.progressive = true});
  formats.push_back({.separate_scans = true});
  return formats;
}

PixelBox random_box(std::int64_t width, std::int64_t height, RandomStream& random) {
  PixelBox box{random.integer(width), random.integer(height), 0, 0};
  box.width = 1 + random.integer(width - box.left);
  box.height = 1 + random.integer(height - box.top);
  return box;
}

/// Whether `pixels` have the values of `whole` in `box`, which is in pixels of `whole`.
bool has_pixels_of(const RgbImage& whole, const PixelBox& box, const RgbImage& pixels,
                   const ImageRegion& region) {
  if (region.left > box.left || region.top > box.top ||
      region.left + pixels.width() < box.left + box.width ||
      region.top + pixels.height() < box.top + box.height)
    return false;
  for (std::int64_t y = box.top; y < box.top + box.height; ++y)
    if (!std::equal(whole.row(y) + box.left * 3, whole.row(y) + (box.left + box.width) * 3,
                    pixels.row(y - region.top) + (box.left - region.left) * 3))
      return false;
  return true;
}

std::string error_of(const Bytes& bytes, const PixelBox& box) {
  ImageDecoder decoder;
  RgbImage pixels;
  try {
    decoder.open(bytes);
    static_cast<void>(decoder.decode(box, pixels));
    return "";
  } catch (const DataError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("A part of a JPEG has the pixels of the whole", "[image][cpu]") {
  RandomStream random(1);
  ImageDecoder decoder;
  RgbImage pixels;
  const auto [width, height] = GENERATE(std::pair{131, 117}, std::pair{64, 96}, std::pair{9, 150});
  for (const JpegFormat& format : every_format()) {
    const Bytes image = mosaic(width, height, format.channels);
    const Bytes bytes = encode_jpeg(image.data(), width, height, format);
    const RgbImage whole = decode_image(bytes);
    std::vector<PixelBox> boxes = {{0, 0, width, height}};
    for (std::int64_t top = 0; top < height; top += 13)
      for (std::int64_t left = 0; left < width; left += 11) {
        boxes.push_back({left, top, 1, 1});
        boxes.push_back({left, top, std::min<std::int64_t>(width - left, 40),
                         std::min<std::int64_t>(height - top, 17)});
      }
    for (int i = 0; i < 30; ++i) boxes.push_back(random_box(width, height, random));
    for (const PixelBox& box : boxes) {
      decoder.open(bytes);
      REQUIRE(decoder.width() == width);
      REQUIRE(decoder.height() == height);
      const ImageRegion region = decoder.decode(box, pixels);
      REQUIRE(region.width == width);
      REQUIRE(region.height == height);
      CAPTURE(format.channels, format.sampling[0], format.sampling[1], format.restart_interval,
              box.left, box.top, box.width, box.height);
      REQUIRE(has_pixels_of(whole, box, pixels, region));
    }
  }
}

TEST_CASE("Only a part of a large JPEG is decoded", "[image][cpu]") {
  const Bytes image = mosaic(300, 200, 3);
  ImageDecoder decoder;
  RgbImage pixels;
  const auto size_of = [&](const JpegFormat& format) {
    const Bytes bytes = encode_jpeg(image.data(), 300, 200, format);
    decoder.open(bytes);
    static_cast<void>(decoder.decode({100, 80, 50, 40}, pixels));
    return std::array{pixels.width(), pixels.height()};
  };
  const auto part = size_of({});
  CHECK(part[0] < 130);
  CHECK(part[1] == 40);
  CHECK(size_of({.progressive = true}) == std::array<std::int64_t, 2>{300, 200});
  CHECK(size_of({.separate_scans = true}) == std::array<std::int64_t, 2>{300, 200});
}

TEST_CASE("A reduced part of a JPEG has the pixels of the reduced whole", "[image][cpu]") {
  RandomStream random(2);
  ImageDecoder decoder;
  RgbImage whole;
  RgbImage pixels;
  const std::int64_t reduction = GENERATE(2, 4);
  const std::int64_t width = 203;
  const std::int64_t height = 157;
  for (const JpegFormat& format : every_format()) {
    const Bytes image = mosaic(203, 157, format.channels);
    const Bytes bytes = encode_jpeg(image.data(), 203, 157, format);
    decoder.open(bytes);
    static_cast<void>(decoder.decode({0, 0, width, height}, whole, reduction));
    REQUIRE(whole.width() == (width + reduction - 1) / reduction);
    REQUIRE(whole.height() == (height + reduction - 1) / reduction);
    for (int i = 0; i < 60; ++i) {
      const PixelBox box = random_box(width, height, random);
      decoder.open(bytes);
      const ImageRegion region = decoder.decode(box, pixels, reduction);
      REQUIRE(region.reduction == reduction);
      const PixelBox reduced{
          box.left / reduction, box.top / reduction,
          (box.left + box.width + reduction - 1) / reduction - box.left / reduction,
          (box.top + box.height + reduction - 1) / reduction - box.top / reduction};
      CAPTURE(format.channels, format.sampling[0], format.sampling[1], box.left, box.top, box.width,
              box.height);
      REQUIRE(has_pixels_of(whole, reduced, pixels, region));
    }
  }
}

TEST_CASE("Other formats are decoded whole whatever part is asked for", "[image][cpu]") {
  const RgbImage original = picture(40, 30);
  ImageDecoder decoder;
  RgbImage pixels;
  const Bytes bytes = encode_ppm(original);
  for (const std::int64_t reduction : {1, 2}) {
    decoder.open(bytes);
    const ImageRegion region = decoder.decode({10, 10, 5, 5}, pixels, reduction);
    CHECK(region.reduction == 1);
    CHECK(has_pixels_of(original, {0, 0, 40, 30}, pixels, region));
  }
}

TEST_CASE("A truncated JPEG raises whatever part is asked for", "[image][cpu]") {
  const Bytes image = mosaic(80, 64, 3);
  const PixelBox boxes[] = {{0, 0, 8, 8}, {70, 60, 10, 4}, {0, 0, 80, 64}};
  const Bytes bytes = encode_jpeg(image.data(), 80, 64, JpegFormat{});
  for (const PixelBox& box : boxes) {
    for (std::size_t length = 0; length < bytes.size() * 9 / 10; length += 97)
      REQUIRE_FALSE(
          error_of(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)), box)
              .empty());
    Bytes padded = bytes;
    padded.resize(bytes.size() + 500);
    CHECK(error_of(padded, box).empty());
    Bytes followed = bytes;
    followed.insert(followed.end(), {1, 2, 3});
    CHECK(error_of(followed, box).empty());
    // The end is missing, and zeros take its place.
    Bytes hollow(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2));
    const auto whole_says = error_of(hollow, boxes[2]);
    CHECK(error_of(hollow, box) == whole_says);
  }
}

TEST_CASE("A decoder is ready for the next image after an error", "[image][cpu]") {
  const Bytes image = mosaic(80, 64, 3);
  const Bytes bytes = encode_jpeg(image.data(), 80, 64, JpegFormat{});
  const Bytes half(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2));
  ImageDecoder decoder;
  RgbImage pixels;
  decoder.open(half);
  CHECK_THROWS_AS(decoder.decode({0, 0, 80, 64}, pixels), DataError);
  decoder.open(bytes);
  const ImageRegion region = decoder.decode({3, 4, 20, 20}, pixels);
  CHECK(has_pixels_of(decode_image(bytes), {3, 4, 20, 20}, pixels, region));
}

TEST_CASE("A box outside of the image is refused", "[image][cpu]") {
  const RgbImage original = picture(40, 30);
  const Bytes bytes = encode_jpeg(original.data(), 40, 30, 3);
  ImageDecoder decoder;
  RgbImage pixels;
  decoder.open(bytes);
  CHECK_THROWS_WITH(static_cast<void>(decoder.decode({30, 0, 11, 30}, pixels)),
                    Catch::Matchers::Contains("not inside an image of 40 x 30"));
  CHECK_THROWS_WITH(static_cast<void>(decoder.decode({0, 0, 40, 30}, pixels, 3)),
                    Catch::Matchers::Contains("reduction (3) must be 1, 2 or 4"));
}
