// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/augmentation_settings.hpp"

#include "contrapunto/image/image_transform.hpp"
#include "data/contains.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("The settings of augmentations become options of the transform", "[data][cpu]") {
  const AugmentationSettings settings{.crop_area = 0.4,
                                      .shift = 3,
                                      .flip = true,
                                      .color_jitter = 0.5,
                                      .grayscale = 0.2,
                                      .blur = 0.3,
                                      .solarize = 0.4,
                                      .erasing = 0.6,
                                      .augment = "3a"};
  struct Model {
    [[nodiscard]] std::int64_t image_size() const { return 30; }
    Interpolation interpolation = Interpolation::kBilinear;
    ResizeMode resize_mode = ResizeMode::kSquash;
    std::array<double, 3> image_mean = {0.1, 0.2, 0.3}, image_std = {0.4, 0.5, 0.6};
  };
  const ImageTransformOptions options = training_transform(Model(), settings);
  CHECK(options.train);
  CHECK(options.image_size == 30);
  CHECK(options.interpolation == Interpolation::kBilinear);
  CHECK(options.resize_mode == ResizeMode::kSquash);
  CHECK(options.image_mean == Model().image_mean);
  CHECK(options.image_std == Model().image_std);
  CHECK(options.crop_scale == std::array<double, 2>{0.4, 1.0});
  CHECK(options.shift_padding == 3);
  CHECK(options.horizontal_flip);
  CHECK(options.color_jitter == std::array<double, 4>{0.4, 0.4, 0.4, 0.1});
  CHECK(options.color_jitter_probability == 0.8);
  CHECK(options.grayscale_probability == 0.2);
  CHECK(options.blur_probability == 0.3);
  CHECK(options.solarize_probability == 0.4);
  CHECK(options.erasing.probability == 0.6);
  CHECK(options.erasing.fill == ErasingFill::kNoise);
  CHECK(options.augment == "3a");
  CHECK_NOTHROW(ImageTransform(options));
  CHECK_NOTHROW(ImageTransform(with_augmentation({}, {.color_jitter = 9.0})));  // hue: 0.5 at most
}

TEST_CASE("The settings are off at first and draw nothing then", "[data][cpu]") {
  const ImageTransformOptions plain{.image_size = 30, .train = true, .crop_scale = {0.9, 1.0}};
  RandomStream random(1), same = random;
  const auto drawn = ImageTransform(with_augmentation(plain, {})).draw(50, 40, random);
  const auto before = ImageTransform(plain).draw(50, 40, same);
  CHECK(drawn->crop->left == before->crop->left);
  CHECK((drawn->operations.empty() && drawn->erased.empty() && drawn->blur == 0.0));
  CHECK(random.next() == same.next());
}

TEST_CASE("A setting of an unknown augmentation raises with its part", "[data][cpu]") {
  const auto described = [](AugmentationSettings settings) {
    SettingsTable table;
    add_augmentation_settings(table, settings);
  };
  CHECK_NOTHROW(described({}));
  CHECK_THROWS_WITH(described({.augment = "rand-m9-z4"}),
                    test::contains("augment") && test::contains("part 'z4' is unknown"));
  CHECK_THROWS_WITH(described({.blur = 1.5}), test::contains("blur"));
  CHECK_THROWS_WITH(described({.erasing = -0.5}), test::contains("erasing"));
}

TEST_CASE("Images are augmented on a GPU if the settings say so, and never on the CPU",
          "[data][cpu]") {
  AugmentationSettings settings;
  CHECK_FALSE(augment_device(settings, torch::kCUDA));
  settings.augment_on_device = true;
  CHECK(augment_device(settings, torch::Device(torch::kCUDA, 1)) == torch::Device(torch::kCUDA, 1));
  CHECK_THROWS_WITH(augment_device(settings, torch::kCPU),
                    test::contains("augment-on-device needs a GPU, and this run is on cpu"));
}
