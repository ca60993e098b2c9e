// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/random_erasing.hpp"
#include "contrapunto/image/resize_mode.hpp"

namespace contrapunto {

struct ImageTransformOptions {
  std::int64_t image_size = 224;  ///< Side of the square output in pixels.
  bool train = false;             ///< Use random crops and colors; otherwise `resize_mode`.
  Interpolation interpolation = Interpolation::kBicubic;  ///< Always antialiased.

  ResizeMode resize_mode = ResizeMode::kShortest;  ///< Evaluation only.
  std::uint8_t fill = 0;                           ///< Gray level of padding, evaluation only.
  /// Evaluation with kShortest only: the part of the shorter side that is kept, such as 0.875 for
  /// 224 pixels of 256. The shorter side becomes image_size / center_crop, rounded down as in timm.
  double center_crop = 1.0;

  // The following options are for training only.
  std::array<double, 2> crop_scale = {0.9, 1.0};          ///< Fraction of the area that is kept.
  std::array<double, 2> crop_ratio = {3.0 / 4, 4.0 / 3};  ///< Width divided by height of the crop.
  std::int64_t shift_padding = 0;  ///< If above 0, pixels of black padding for a random shift
                                   ///< instead of a crop.
  /// If set, DeiT III's simple crop instead of a random one: the shorter side becomes image_size,
  /// that many pixels (4 in DeiT III) are added on all sides by reflection, and a random square of
  /// the result is taken.
  std::optional<std::int64_t> simple_crop_padding = std::nullopt;
  bool horizontal_flip = false;  ///< Mirror each image with probability 1/2.
  /// Largest relative change of brightness, contrast and saturation, and of the hue in turns (0 to
  /// 0.5).
  std::array<double, 4> color_jitter = {0.0, 0.0, 0.0, 0.0};
  double color_jitter_probability = 0.0;
  double grayscale_probability = 0.0;
  double blur_probability = 0.0;
  std::array<double, 2> blur_radius = {0.1, 2.0};  ///< Standard deviation in pixels of the output.
  double solarize_probability = 0.0;
  std::int64_t solarize_threshold = 128;  ///< Levels from this one on are inverted.
  std::string augment = {};  ///< An automatic augmentation by timm's name, such as "3a" or
                             ///< "rand-m9-mstd0.5-inc1"; see AugmentPolicy. Empty: none.
  RandomErasing erasing = {};
  /// Of the normalization on the device, for colors from 0 to 1. Rotated, sheared and shifted
  /// images are filled up with the mean color, and erased pixels are drawn around it.
  std::array<double, 3> image_mean = {0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> image_std = {0.26862954, 0.26130258, 0.27577711};

  /// Returns the same options for evaluation: no random crop, flip or color.
  [[nodiscard]] ImageTransformOptions for_evaluation() const {
    ImageTransformOptions options = *this;
    options.train = false;
    return options;
  }

  /// Returns the same options for another size of the result, in pixels.
  [[nodiscard]] ImageTransformOptions with_size(std::int64_t size) const {
    ImageTransformOptions options = *this;
    options.image_size = size;
    return options;
  }

  /// Raises for options out of range.
  void check() const {
    TORCH_CHECK(image_size > 0, "ImageTransform: image_size (", image_size, ") must be positive");
    TORCH_CHECK(0.0 < center_crop && center_crop <= 1.0, "ImageTransform: center_crop (",
                center_crop, ") must be above 0 and at most 1");
    TORCH_CHECK(0.0 < crop_scale[0] && crop_scale[0] <= crop_scale[1],
                "ImageTransform: crop_scale (", crop_scale[0], ", ", crop_scale[1],
                ") must be positive and in ascending order");
    TORCH_CHECK(0.0 < crop_ratio[0] && crop_ratio[0] <= crop_ratio[1],
                "ImageTransform: crop_ratio (", crop_ratio[0], ", ", crop_ratio[1],
                ") must be positive and in ascending order");
    TORCH_CHECK(shift_padding >= 0, "ImageTransform: shift_padding (", shift_padding,
                ") must not be negative");
    TORCH_CHECK(shift_padding < image_size, "ImageTransform: shift_padding (", shift_padding,
                ") must be below image_size (", image_size,
                "), because a larger shift could move the whole image out of the square");
    TORCH_CHECK(std::abs(color_jitter[3]) <= 0.5, "ImageTransform: hue jitter (", color_jitter[3],
                ") must be at most half a turn (0.5)");
    TORCH_CHECK(!simple_crop_padding || shift_padding == 0, "ImageTransform: shift_padding (",
                shift_padding, ") and simple_crop_padding (", *simple_crop_padding,
                ") exclude each other");
    TORCH_CHECK(
        !simple_crop_padding || (0 <= *simple_crop_padding && *simple_crop_padding < image_size),
        "ImageTransform: simple_crop_padding (", *simple_crop_padding,
        ") must be at least 0 and below image_size (", image_size,
        "), because so many pixels cannot be reflected");
    const auto check_probability = [](const char* name, double value) {
      TORCH_CHECK(0.0 <= value && value <= 1.0, "ImageTransform: ", name, " (", value,
                  ") must be from 0 to 1");
    };
    check_probability("blur_probability", blur_probability);
    check_probability("solarize_probability", solarize_probability);
    TORCH_CHECK(0.0 <= blur_radius[0] && blur_radius[0] <= blur_radius[1],
                "ImageTransform: blur_radius (", blur_radius[0], ", ", blur_radius[1],
                ") must not be negative and in ascending order");
    TORCH_CHECK(0 <= solarize_threshold && solarize_threshold <= 256,
                "ImageTransform: solarize_threshold (", solarize_threshold,
                ") must be from 0 to 256");
    erasing.check();
  }
};

}  // namespace contrapunto
