// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/decode_image.hpp"

#include "contrapunto/image/encode_ppm.hpp"
#include "data/image_encode.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using namespace contrapunto::test;
using Bytes = std::vector<std::uint8_t>;

namespace {

int largest_difference(const RgbImage& a, const RgbImage& b) {
  REQUIRE(a.width() == b.width());
  REQUIRE(a.height() == b.height());
  int largest = 0;
  for (std::size_t i = 0; i < a.bytes(); ++i)
    largest = std::max(largest, std::abs(a.data()[i] - b.data()[i]));
  return largest;
}

std::vector<Bytes> rows_of(const RgbImage& image) {
  std::vector<Bytes> rows;
  for (std::int64_t y = 0; y < image.height(); ++y)
    rows.emplace_back(image.row(y), image.row(y) + image.width() * 3);
  return rows;
}

std::string error_of(const Bytes& bytes, std::int64_t max_pixels = 0) {
  RgbImage image;
  try {
    decode_image(bytes, image, max_pixels);
    return "";
  } catch (const DataError& e) {
    return e.what();
  }
}

}  // namespace

TEST_CASE("Lossless encodings decode to the same pixels", "[data][cpu]") {
  const RgbImage original = picture(37, 21);
  RgbImage decoded;
  const PngFormat interlaced{.interlaced = true};
  for (const Bytes& bytes :
       {encode_ppm(original), encode_png(rows_of(original), 37, {}),
        encode_png(rows_of(original), 37, interlaced), encode_webp(original, true)}) {
    decode_image(bytes, decoded);
    CHECK(largest_difference(decoded, original) == 0);
  }
}

TEST_CASE("Lossy encodings decode to nearly the same pixels", "[data][cpu]") {
  const RgbImage original = picture(64, 48);
  RgbImage decoded;
  for (const Bytes& bytes :
       {encode_jpeg(original.data(), 64, 48, 3), encode_jpeg(original.data(), 64, 48, 3, true),
        encode_webp(original, false)}) {
    decode_image(bytes, decoded);
    double sum = 0.0;
    for (std::size_t i = 0; i < original.bytes(); ++i)
      sum += std::abs(decoded.data()[i] - original.data()[i]);
    CHECK(sum / static_cast<double>(original.bytes()) < 6.0);
  }
}

TEST_CASE("Gray JPEG fills the three channels alike", "[data][cpu]") {
  const Bytes gray(40 * 30, 123);
  RgbImage decoded;
  decode_image(encode_jpeg(gray.data(), 40, 30, 1), decoded);
  for (std::size_t i = 0; i < decoded.bytes(); ++i) REQUIRE(decoded.data()[i] == 123);
}

TEST_CASE("CMYK JPEG is read as Adobe writes it, inverted", "[data][cpu]") {
  Bytes ink;
  for (int i = 0; i < 16 * 16; ++i) ink.insert(ink.end(), {200, 100, 50, 255});  // no black
  RgbImage decoded;
  decode_image(encode_jpeg(ink.data(), 16, 16, 4), decoded);
  CHECK(std::abs(decoded.data()[0] - 200) <= 2);
  CHECK(std::abs(decoded.data()[1] - 100) <= 2);
  CHECK(std::abs(decoded.data()[2] - 50) <= 2);
  for (std::size_t i = 3; i < ink.size(); i += 4) ink[i] = 0;  // full black
  decode_image(encode_jpeg(ink.data(), 16, 16, 4), decoded);
  CHECK(decoded.data()[0] <= 1);
}

TEST_CASE("PNG of every color type becomes what PIL's convert gives", "[data][cpu]") {
  RgbImage decoded;
  const auto pixel = [&](std::int64_t x) {
    const std::uint8_t* p = decoded.row(0) + x * 3;
    return std::array<int, 3>{p[0], p[1], p[2]};
  };
  using Rgb = std::array<int, 3>;
  const PngFormat palette{.type = PNG_COLOR_TYPE_PALETTE,
                          .palette = {{1, 2, 3}, {200, 100, 50}},
                          .palette_alpha = {0, 128}};
  decode_image(encode_png({{0, 1}}, 2, palette), decoded);
  CHECK(pixel(0) == Rgb{1, 2, 3});  // transparent, and its color still counts
  CHECK(pixel(1) == Rgb{200, 100, 50});
  decode_image(encode_png({{9, 8, 7, 0, 6, 5, 4, 255}}, 2, {.type = PNG_COLOR_TYPE_RGB_ALPHA}),
               decoded);
  CHECK(pixel(0) == Rgb{9, 8, 7});
  CHECK(pixel(1) == Rgb{6, 5, 4});
  decode_image(encode_png({{77, 0}}, 1, {.type = PNG_COLOR_TYPE_GRAY_ALPHA}), decoded);
  CHECK(pixel(0) == Rgb{77, 77, 77});
  decode_image(encode_png({{0x6C}}, 4, {.type = PNG_COLOR_TYPE_GRAY, .depth = 2}), decoded);
  CHECK(pixel(0) == Rgb{85, 85, 85});
  CHECK(pixel(1) == Rgb{170, 170, 170});
  CHECK(pixel(2) == Rgb{255, 255, 255});
  // 16 bits: gray is cut off at 255, colors keep the high byte.
  decode_image(encode_png({{0, 100, 0, 255, 1, 0}}, 3, {.type = PNG_COLOR_TYPE_GRAY, .depth = 16}),
               decoded);
  CHECK(pixel(0) == Rgb{100, 100, 100});
  CHECK(pixel(1) == Rgb{255, 255, 255});
  CHECK(pixel(2) == Rgb{255, 255, 255});
  decode_image(encode_png({{10, 255, 20, 0, 30, 128}}, 1, {.depth = 16}), decoded);
  CHECK(pixel(0) == Rgb{10, 20, 30});
}

TEST_CASE("An image above the pixel limit is refused by its header", "[data][cpu]") {
  const RgbImage original = picture(40, 30);
  const Bytes jpeg = encode_jpeg(original.data(), 40, 30, 3);
  for (const Bytes& bytes : {jpeg, encode_png(rows_of(original), 40, {}),
                             encode_webp(original, true), encode_ppm(original)}) {
    CHECK(error_of(bytes, 1200).empty());
    CHECK(error_of(bytes, 1199).find("1200 pixels are more than max_pixels (1199)") !=
          std::string::npos);
  }
  // The header alone is enough to refuse it.
  CHECK(error_of(Bytes(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(jpeg.size() - 100)),
                 100)
            .find("more than max_pixels") != std::string::npos);
}

TEST_CASE("Truncated images raise and return no partial image", "[data][cpu]") {
  const RgbImage original = picture(64, 48);
  for (const Bytes& bytes :
       {encode_jpeg(original.data(), 64, 48, 3), encode_jpeg(original.data(), 64, 48, 3, true),
        encode_png(rows_of(original), 64, {}), encode_webp(original, true),
        encode_webp(original, false), encode_ppm(original)})
    for (std::size_t length = 0; length < bytes.size() * 9 / 10; length += 7)
      REQUIRE_FALSE(
          error_of(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)))
              .empty());
}

TEST_CASE("Data that is not an image raises", "[data][cpu]") {
  CHECK(error_of({}) == "the image is empty");
  CHECK(error_of({'G', 'I', 'F', '8', '9', 'a'}) == "not a JPEG, PNG, WebP or PPM image");
}
