// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/random.hpp"
#include "contrapunto/data/detail/image_packer.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/kernels/augment_images.hpp"
#include "contrapunto/kernels/normalize_images.hpp"
#include "image/noise_image.hpp"
#include "support/catch.hpp"

namespace contrapunto::test {

constexpr std::array<double, 3> kAugmentMean = {0.48, 0.45, 0.40};
constexpr std::array<double, 3> kAugmentDeviation = {0.26, 0.27, 0.28};

/// Images and what a transform draws for them, packed, and the squares that the transform makes.
struct AugmentCase {
  std::string name;
  PackedImages packed = {};
  std::vector<at::Tensor> expected = {};  // uint8 [B, 3, S, S] for each table
};

/// Every change that augmentation on the device knows, often.
inline ImageTransformOptions all_changes(std::int64_t size, Interpolation interpolation) {
  ImageTransformOptions o{.image_size = size,
                          .train = true,
                          .interpolation = interpolation,
                          .crop_scale = {0.05, 1.0},
                          .horizontal_flip = true,
                          .color_jitter = {0.8, 0.8, 0.8, 0.5},
                          .color_jitter_probability = 0.8,
                          .grayscale_probability = 0.2,
                          .solarize_probability = 0.2,
                          .solarize_threshold = 100};
  o.erasing.probability = 0.6;
  o.erasing.fill = ErasingFill::kNoise;
  o.erasing.boxes = 3;
  return o;
}

/// `images` with `transforms`, of which the first one draws, in `views` views. The images are those
/// that were drawn for, reduced `reduction` times.
inline AugmentCase augment_case(std::string name, const std::vector<RgbImage>& images,
                                const std::vector<ImageTransformOptions>& transforms,
                                std::int64_t views = 1,
                                std::int64_t piece_bytes = std::int64_t{1} << 20,
                                std::int64_t reduction = 1) {
  std::vector<ImageTransform> to;
  for (const auto& options : transforms) to.emplace_back(options);
  const auto rows = std::ssize(images);
  contrapunto::detail::ImagePacker packer(
      rows, {.transforms = to, .views = views, .piece_bytes = piece_bytes});
  AugmentCase made{.name = std::move(name)};
  for (std::int64_t view = 0; view < views; ++view)
    for (const auto& options : transforms)
      made.expected.push_back(
          torch::empty({rows, 3, options.image_size, options.image_size}, torch::kByte));
  ImageTransform::Workspace work;
  for (std::int64_t row = rows - 1; row >= 0; --row)  // in any order
    for (std::int64_t view = 0; view < views; ++view) {
      const RgbImage& image = images[static_cast<std::size_t>(row)];
      RandomStream random(7, static_cast<std::uint64_t>(view), static_cast<std::uint64_t>(row));
      const ImageRegion region{.width = image.width() * reduction - (reduction - 1),
                               .height = image.height() * reduction - reduction / 2,
                               .reduction = reduction};
      const auto drawn = to.front().draw(region.width, region.height, random);
      packer.set_view(row, view, image, region, *drawn, work);
      for (std::size_t t = 0; t < to.size(); ++t) {
        to[t].apply(image, region, drawn, work);
        const std::int64_t size = transforms[t].image_size;
        made.expected[static_cast<std::size_t>(view) * to.size() + t][row] =
            torch::from_blob(work.square.data(), {size, size, 3}, torch::kByte).permute({2, 0, 1});
      }
    }
  made.packed = packer.finish();
  return made;
}

/// A smooth image with all hues and an edge.
inline RgbImage smooth_image(std::int64_t width, std::int64_t height, int variant) {
  RgbImage image(width, height);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      std::uint8_t* p = image.row(y) + x * 3;
      p[variant % 3] = static_cast<std::uint8_t>(x * 255 / width);
      p[(variant + 1) % 3] = static_cast<std::uint8_t>(y * 255 / height);
      p[(variant + 2) % 3] = x + y > width ? 230 : 20;
    }
  return image;
}

/// Images of noise, which finds any wrong weight, and smooth ones with plain gray, whose colors
/// reach all cases of the hue.
inline std::vector<RgbImage> images_of_all_shapes(int count) {
  std::vector<RgbImage> images;
  RandomStream random(3);
  for (int i = 0; i < count; ++i) {
    const std::int64_t width = 1 + random.integer(i % 5 == 0 ? 300 : 90);
    const std::int64_t height = 1 + random.integer(i % 7 == 0 ? 300 : 90);
    images.push_back(i % 3 == 0 ? smooth_image(width, height, i)
                                : noise_image(width, height, static_cast<std::uint64_t>(i)));
    if (i % 4 == 0) std::fill_n(images.back().data(), images.back().bytes() / 2, 137);
  }
  return images;
}

inline std::vector<AugmentCase> augment_cases(int count) {
  using enum Interpolation;
  const auto images = images_of_all_shapes(count);
  std::vector<AugmentCase> cases;
  cases.push_back(augment_case("bicubic", images, {all_changes(33, kBicubic)}));
  cases.push_back(augment_case("bilinear", images, {all_changes(32, kBilinear)}));
  cases.push_back(augment_case("one pixel", images, {all_changes(1, kBicubic)}));
  auto shifted = all_changes(24, kBicubic);
  shifted.shift_padding = 9;
  cases.push_back(augment_case("shifted", images, {shifted}));
  auto colored = all_changes(20, kBicubic);
  colored.erasing.fill = ErasingFill::kColor;
  colored.erasing.probability = 1.0;
  cases.push_back(augment_case("boxes of one color", images, {colored}));
  cases.push_back(
      augment_case("reduced", images, {all_changes(29, kBicubic)}, 1, std::int64_t{1} << 20, 4));
  cases.push_back(augment_case("plain", images, {{.image_size = 40, .train = true}}));
  cases.push_back(augment_case("views and readings of other sizes, many pieces", images,
                               {all_changes(17, kBicubic), all_changes(48, kBilinear)}, 2, 1000));
  return cases;
}

/// Requires the bytes of the transform, and from `augment` with normalization the colors that
/// normalize_images() makes of these bytes.
template <class Augment>
void check_augment_case(const Augment& augment, const AugmentCase& given) {
  INFO(given.name);
  const auto compare = [&](const AugmentedImages& made) {
    const std::vector<at::Tensor> images = augment(given.packed, made);
    REQUIRE(images.size() == given.expected.size());
    for (std::size_t t = 0; t < images.size(); ++t) {
      INFO("table " << t << ", " << made.dtype);
      const auto expected = made.dtype == torch::kByte
                                ? given.expected[t]
                                : normalize_images(given.expected[t], made.mean, made.deviation,
                                                   made.dtype, made.format);
      REQUIRE(images[t].is_contiguous(made.format));
      REQUIRE(images[t].cpu().equal(expected));
    }
  };
  compare({});
  compare({.format = at::MemoryFormat::ChannelsLast});
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf})
    compare(
        {dtype, kAugmentMean, kAugmentDeviation,
         dtype == torch::kFloat ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous});
}

}  // namespace contrapunto::test
