// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/teacher_store_info.hpp"

#include "data/contains.hpp"
#include "data/tar_writer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

/// Options in which everything that changes a view differs from its default.
ImageTransformOptions all_on() {
  return {.image_size = 48,
          .train = true,
          .crop_scale = {0.3, 0.9},
          .crop_ratio = {0.8, 1.2},
          .horizontal_flip = true,
          .color_jitter = {0.1, 0.2, 0.3, 0.4},
          .color_jitter_probability = 0.5,
          .grayscale_probability = 0.6,
          .blur_probability = 0.7,
          .blur_radius = {0.2, 1.5},
          .solarize_probability = 0.3,
          .solarize_threshold = 99,
          .augment = "rand-m7",
          .erasing = {.probability = 0.4,
                      .fill = ErasingFill::kNoise,
                      .boxes = 2,
                      .area = {0.1, 0.2},
                      .ratio = {0.5, 2.0}},
          .image_mean = {0.5, 0.6, 0.7},
          .image_std = {0.2, 0.3, 0.4}};
}

nlohmann::json read_back(const ImageTransformOptions& options) {
  const test::TemporaryFolder folder;
  const TeacherStoreInfo info{
      .teacher = "t", .width = 4, .replay = {.views = 2, .seed = 1}, .transform = options};
  folder.write(TeacherStoreInfo::kFile, info.json().dump());
  const auto read = TeacherStoreInfo::read(folder / "");
  CHECK(read.checksum() == info.checksum());
  return contrapunto::detail::view_options(read.transform);
}

}  // namespace

TEST_CASE("A teacher store keeps every option of its views", "[data][cpu]") {
  CHECK(read_back(all_on()) == contrapunto::detail::view_options(all_on()));
  auto shifted = all_on();
  shifted.shift_padding = 3;
  CHECK(read_back(shifted) == contrapunto::detail::view_options(shifted));
  auto simple = all_on();
  simple.simple_crop_padding = 4;
  CHECK(read_back(simple) == contrapunto::detail::view_options(simple));
}

TEST_CASE("Options that are off are not in a teacher store", "[data][cpu]") {
  // As in the stores that were built before there were these options.
  const auto json = contrapunto::detail::view_options({.train = true});
  std::vector<std::string> names;
  for (const auto& item : json.items()) names.push_back(item.key());
  CHECK(names == std::vector<std::string>{"color_jitter", "color_jitter_probability", "crop_ratio",
                                          "crop_scale", "grayscale_probability", "horizontal_flip",
                                          "shift_padding", "train"});
}

TEST_CASE("Every option of a view makes other stores unusable", "[data][cpu]") {
  const ImageTransformOptions plain{.image_size = 48, .train = true};
  const auto refused = [](const ImageTransformOptions& stored, const ImageTransformOptions& wanted,
                          const std::string& message) {
    CHECK_THROWS_WITH(contrapunto::detail::require_same_values(
                          "the store ", contrapunto::detail::view_options(stored),
                          contrapunto::detail::view_options(wanted)),
                      test::contains(message));
  };
  const auto with = [&](auto change) {
    ImageTransformOptions options = plain;
    change(options);
    return options;
  };
  const auto blurred = with([](auto& o) { o.blur_probability = 0.5; });
  refused(plain, blurred, "blur_probability = not set, but here it is 0.5");
  refused(blurred, plain, "blur_probability = 0.5, but here it is not set");
  refused(blurred, with([](auto& o) {
            o.blur_probability = 0.5;
            o.image_size = 64;
          }),
          "image_size = 48, but here it is 64");
  refused(plain, with([](auto& o) { o.augment = "rand-m9"; }), "augment = not set");
  refused(plain, with([](auto& o) { o.solarize_probability = 0.1; }), "solarize_probability");
  refused(plain, with([](auto& o) { o.erasing.probability = 0.1; }), "erasing_");
  const auto simple = with([](auto& o) { o.simple_crop_padding = 4; });
  refused(plain, simple, "crop_ratio");
  refused(simple, with([](auto& o) { o.simple_crop_padding = 2; }),
          "simple_crop_padding = 4, but here it is 2");
  const auto erased = with([](auto& o) { o.erasing.probability = 0.1; });
  auto other = erased;
  other.image_mean[1] = 0.5;
  refused(erased, other, "image_mean");
  // The size of the output and the normalization alone make no difference.
  auto larger = plain;
  larger.image_size = 96;
  larger.image_mean = {0.5, 0.5, 0.5};
  CHECK_NOTHROW(contrapunto::detail::require_same_values(
      "", contrapunto::detail::view_options(plain), contrapunto::detail::view_options(larger)));
}
