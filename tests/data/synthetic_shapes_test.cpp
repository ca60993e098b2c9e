// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/synthetic_shapes.hpp"

#include "contrapunto/image/detail/decode_ppm.hpp"
#include "data/contains.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Synthetic shapes are a pure function of seed and index", "[data][cpu]") {
  const SyntheticShapes a({.samples = 60, .image_size = 32, .seed = 1});
  const SyntheticShapes b({.samples = 90, .image_size = 32, .seed = 1});
  const SyntheticShapes c({.samples = 60, .image_size = 32, .seed = 2});
  CHECK(a.read(37).image == b.read(37).image);
  CHECK(a.read(37).captions == b.read(37).captions);
  CHECK(a.read(37).image != c.read(37).image);
  CHECK(a.read(37).image != a.read(7).image);  // the same class
}

TEST_CASE("Captions and labels of synthetic shapes name the class", "[data][cpu]") {
  const SyntheticShapes source({.samples = 60});
  const auto names = source.class_names();
  REQUIRE(names.size() == 30);
  CHECK(names[6] == "green square");
  std::vector<int> count(30);
  for (std::int64_t i = 0; i < source.size(); ++i) {
    const EncodedSample sample = source.read(i);
    const auto label = static_cast<std::size_t>(sample.label.value());
    ++count[label];
    REQUIRE(sample.captions.size() == 4);
    for (const auto& caption : sample.captions) REQUIRE_THAT(caption, test::contains(names[label]));
  }
  CHECK(count == std::vector<int>(30, 2));
}

TEST_CASE("The color of a synthetic shape is in its picture", "[data][cpu]") {
  const SyntheticShapes source({.samples = 30, .image_size = 48, .noise = 0.0});
  RgbImage image;
  contrapunto::detail::decode_ppm(source.read(0).image, image, 0);  // a red circle
  REQUIRE((image.width() == 48 && image.height() == 48));
  int red = 0;
  for (std::size_t i = 0; i < image.bytes(); i += 3)
    red += image.data()[i] == 220 && image.data()[i + 1] == 40 && image.data()[i + 2] == 40;
  CHECK(red > 100);
}
