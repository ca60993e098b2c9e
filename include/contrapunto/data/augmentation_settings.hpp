// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "contrapunto/image/augment_policy.hpp"
#include "contrapunto/image/image_transform_options.hpp"
#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// Settings of the random changes of training images; see ImageTransformOptions.
struct AugmentationSettings {
  double crop_area = 0.9;     ///< Smallest fraction of the area of an image that a crop keeps.
  std::int64_t shift = 0;     ///< Pixels; above 0, images are shifted and not cropped.
  bool flip = false;          ///< Mirror half of the images.
  double color_jitter = 0.0;  ///< Strength: 1 is that of SimCLR, for four of five images.
  double grayscale = 0.0;     ///< Fractions of the images.
  double blur = 0.0;
  double solarize = 0.0;
  double erasing = 0.0;
  std::string augment = {};        ///< See AugmentPolicy; empty: none.
  bool augment_on_device = false;  ///< See augment_device().
};

/// Adds `augmentation`, which must outlive the table, to the current section of `table`.
inline void add_augmentation_settings(SettingsTable& table, AugmentationSettings& augmentation) {
  AugmentationSettings& a = augmentation;
  table.add("crop-area", a.crop_area, "smallest fraction of the image's area that a crop keeps");
  table.add("shift", a.shift, "pixels; above 0: shift images instead of cropping them");
  table.add("flip", a.flip, "mirror each image with probability 1/2");
  table.add("color-jitter", a.color_jitter, "strength; 1 is that of SimCLR, 0: none")
      .check(at_least(0));
  table.add("grayscale", a.grayscale, "fraction of images without color").check(in_range(0, 1));
  table.add("blur", a.blur, "fraction of images that are blurred").check(in_range(0, 1));
  table.add("solarize", a.solarize, "fraction of images with inverted bright pixels")
      .check(in_range(0, 1));
  table.add("erasing", a.erasing, "fraction of images with a box of noise").check(in_range(0, 1));
  table.add("augment", a.augment, "timm's name, such as 3a or rand-m9-mstd0.5-inc1; empty: none")
      .readable_by([](const std::string& name) {
        if (!name.empty()) static_cast<void>(AugmentPolicy(name));
      });
}

/// Adds the same and the choice of the device, for programs that train.
inline void add_training_augmentation_settings(SettingsTable& table,
                                               AugmentationSettings& augmentation) {
  add_augmentation_settings(table, augmentation);
  table
      .add("augment-on-device", augmentation.augment_on_device,
           "make the crops and changes of images on the GPU, with the same result")
      .may_change();
}

/// Returns the value of LoaderOptions::augment_device for a run on `device`. Raises if the images
/// are to be augmented on the device and it is no GPU.
[[nodiscard]] inline std::optional<c10::Device> augment_device(const AugmentationSettings& settings,
                                                               c10::Device device) {
  if (!settings.augment_on_device) return std::nullopt;
  TORCH_CHECK(device.is_cuda(), "augment-on-device needs a GPU, and this run is on ", device,
              "; leave the setting out, which gives the same images");
  return device;
}

/// Returns `options` with the augmentations of `settings`.
[[nodiscard]] inline ImageTransformOptions with_augmentation(ImageTransformOptions options,
                                                             const AugmentationSettings& settings) {
  options.crop_scale = {settings.crop_area, 1.0};
  options.shift_padding = settings.shift;
  options.horizontal_flip = settings.flip;
  const double strength = settings.color_jitter;
  options.color_jitter = {0.8 * strength, 0.8 * strength, 0.8 * strength,
                          std::min(0.5, 0.2 * strength)};
  options.color_jitter_probability = strength > 0 ? 0.8 : 0.0;
  options.grayscale_probability = settings.grayscale;
  options.blur_probability = settings.blur;
  options.solarize_probability = settings.solarize;
  options.augment = settings.augment;
  options.erasing.probability = settings.erasing;
  options.erasing.fill = ErasingFill::kNoise;
  return options;
}

/// Returns the transform of the training images of `model`, a ModelConfig, with the augmentations
/// of `settings`.
template <class Model>
[[nodiscard]] ImageTransformOptions training_transform(const Model& model,
                                                       const AugmentationSettings& settings) {
  return with_augmentation({.image_size = model.image_size(),
                            .train = true,
                            .interpolation = model.interpolation,
                            .resize_mode = model.resize_mode,
                            .image_mean = model.image_mean,
                            .image_std = model.image_std},
                           settings);
}

}  // namespace contrapunto
