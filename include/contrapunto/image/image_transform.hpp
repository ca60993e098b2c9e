// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "contrapunto/core/random.hpp"
#include "contrapunto/image/augment_policy.hpp"
#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/color_change.hpp"
#include "contrapunto/image/detail/augment_square.hpp"
#include "contrapunto/image/detail/resample_taps.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/image_transform_options.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/resize.hpp"
#include "contrapunto/image/resize_mode.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/kernels/detail/resample_weights.hpp"

namespace contrapunto {

/// Converts decoded pixels to the uint8 square that a tower reads, as OpenCLIP and torchvision do.
/// Colors are normalized later, on the device. Random numbers come from the caller, so the crop of
/// a sample depends only on the given stream. It is a value, and const calls may run in any number
/// of threads. Raises for options out of range.
class ImageTransform {
 public:
  /// Memory of one thread, which is reused for all images.
  struct Workspace {
    Resizer resizer;
    RgbImage square;
  };

  explicit ImageTransform(ImageTransformOptions options = {}) : o_(std::move(options)) {
    o_.check();
    if (!o_.augment.empty()) policy_.emplace(o_.augment);
  }

  [[nodiscard]] const ImageTransformOptions& options() const { return o_; }

  /// Draws the random decisions about an image of `width` x `height` pixels. For evaluation there
  /// are none, and nothing is drawn.
  [[nodiscard]] std::optional<Augmentation> draw(std::int64_t width, std::int64_t height,
                                                 RandomStream& random) const {
    if (!o_.train) return std::nullopt;
    Augmentation drawn;
    if (o_.shift_padding > 0) {
      const auto shift = [&] {
        const std::int64_t pixels = random.integer(2 * o_.shift_padding + 1) - o_.shift_padding;
        return static_cast<double>(pixels) / static_cast<double>(o_.image_size);
      };
      drawn.shift_right = shift();
      drawn.shift_down = shift();
    } else if (o_.simple_crop_padding) {
      drawn.simple_crop = draw_simple_crop(width, height, random);
    } else {
      drawn.crop = random_crop(width, height, random);
    }
    drawn.flip = o_.horizontal_flip && random.uniform() < 0.5;
    if (random.uniform() < o_.color_jitter_probability) drawn.colors = draw_colors(random);
    drawn.grayscale = random.uniform() < o_.grayscale_probability;
    // What is off draws nothing, so that runs without it keep their random numbers.
    const auto happens = [&](double probability) {
      return probability > 0.0 && random.uniform() < probability;
    };
    if (policy_) {
      drawn.operations = policy_->draw(o_.image_size, random);
      drawn.operation_fill = mean_color();
    }
    if (happens(o_.blur_probability))
      drawn.blur =
          random.uniform(o_.blur_radius[0], o_.blur_radius[1]) / static_cast<double>(o_.image_size);
    if (happens(o_.solarize_probability)) drawn.solarize_threshold = o_.solarize_threshold;
    drawn.erased = o_.erasing.draw(o_.image_mean, o_.image_std, random);
    return drawn;
  }

  /// Writes image_size x image_size pixels to `work.square`, as `drawn` says, or the square of an
  /// evaluation if it is empty. Only the size and the resizing are those of this transform, so
  /// `drawn` may come from a transform with another size. Shifts and erased boxes are rounded to
  /// whole pixels of this size. Raises for an image without pixels.
  void apply(const RgbImage& image, const std::optional<Augmentation>& drawn,
             Workspace& work) const {
    apply(image, ImageRegion::whole(image), drawn, work);
  }

  /// The same with a part of the image, which `region` describes and which must contain
  /// needed_box(). The square has the same pixels as with the whole image if the part is not
  /// reduced.
  void apply(const RgbImage& pixels, const ImageRegion& region,
             const std::optional<Augmentation>& drawn, Workspace& work) const {
    check_not_empty(pixels);
    if (drawn)
      make_training_square(pixels, region, *drawn, work);
    else
      make_evaluation_square(pixels, region, work);
  }

  /// Returns the part of an image of `width` x `height` pixels that apply() reads.
  [[nodiscard]] PixelBox needed_box(std::int64_t width, std::int64_t height,
                                    const std::optional<Augmentation>& drawn) const {
    if (drawn) return drawn->crop.value_or(whole(width, height));
    if (o_.resize_mode != ResizeMode::kShortest) return whole(width, height);
    const auto [w, h] = sides_of_shortest(width, height, evaluation_side());
    const PixelBox window = center_window(w, h);
    const auto needed = [&](std::int64_t source, std::int64_t target, std::int64_t begin) {
      const auto axis =
          detail::resample_axis(o_.interpolation, 0.0, static_cast<double>(source), target);
      return detail::TapRange{axis.range(begin).from, axis.range(begin + o_.image_size - 1).to};
    };
    const auto columns = needed(width, w, window.left);
    const auto rows = needed(height, h, window.top);
    return {columns.from, rows.from, columns.to - columns.from, rows.to - rows.from};
  }

  /// Returns how many times smaller the needed part of an image of `width` x `height` pixels
  /// becomes on the side on which it shrinks less. Below 1 it grows.
  [[nodiscard]] double shrinkage(std::int64_t width, std::int64_t height,
                                 const std::optional<Augmentation>& drawn) const {
    const bool crops_center = !drawn && o_.resize_mode == ResizeMode::kShortest;
    const auto size = static_cast<double>(crops_center ? evaluation_side() : o_.image_size);
    const PixelBox box = drawn ? drawn->crop.value_or(whole(width, height)) : whole(width, height);
    const bool is_longest = !drawn && o_.resize_mode == ResizeMode::kLongest;
    const auto side =
        is_longest ? std::max(box.width, box.height) : std::min(box.width, box.height);
    return static_cast<double>(side) / size;
  }

  /// Calls draw() and apply().
  void operator()(const RgbImage& image, RandomStream& random, Workspace& work) const {
    check_not_empty(image);
    apply(image, draw(image.width(), image.height(), random), work);
  }

  /// Returns uint8 [3, image_size, image_size]. Without a stream the first stream of seed 0 is
  /// used.
  [[nodiscard]] at::Tensor operator()(const RgbImage& image,
                                      RandomStream random = RandomStream()) const {
    Workspace work;
    (*this)(image, random, work);
    return at::from_blob(work.square.data(), {o_.image_size, o_.image_size, 3}, at::kByte)
        .permute({2, 0, 1})
        .clone(at::MemoryFormat::Contiguous);
  }

  /// Returns the crop of a training image: up to ten attempts at an area and a shape inside the
  /// image, and otherwise the largest centered crop of an allowed shape.
  [[nodiscard]] PixelBox random_crop(std::int64_t width, std::int64_t height,
                                     RandomStream& random) const {
    const auto w = static_cast<double>(width);
    const auto h = static_cast<double>(height);
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double area = w * h * random.uniform(o_.crop_scale[0], o_.crop_scale[1]);
      const double ratio =
          std::exp(random.uniform(std::log(o_.crop_ratio[0]), std::log(o_.crop_ratio[1])));
      const auto crop_width = static_cast<std::int64_t>(std::nearbyint(std::sqrt(area * ratio)));
      const auto crop_height = static_cast<std::int64_t>(std::nearbyint(std::sqrt(area / ratio)));
      if (0 < crop_width && crop_width <= width && 0 < crop_height && crop_height <= height) {
        const std::int64_t top = random.integer(height - crop_height + 1);
        const std::int64_t left = random.integer(width - crop_width + 1);
        return {left, top, crop_width, crop_height};
      }
    }
    const double ratio = std::clamp(w / h, o_.crop_ratio[0], o_.crop_ratio[1]);
    const auto crop_width =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::nearbyint(h * ratio)), 1, width);
    const auto crop_height =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::nearbyint(w / ratio)), 1, height);
    const bool too_wide = w / h > o_.crop_ratio[1];
    const bool too_tall = w / h < o_.crop_ratio[0];
    const PixelBox box{0, 0, too_wide ? crop_width : width, too_tall ? crop_height : height};
    return {(width - box.width) / 2, (height - box.height) / 2, box.width, box.height};
  }

 private:
  static void check_not_empty(const RgbImage& image) {
    TORCH_CHECK(image.width() > 0 && image.height() > 0, "ImageTransform: image of ", image.width(),
                " x ", image.height(), " pixels");
  }

  [[nodiscard]] static PixelBox whole(std::int64_t width, std::int64_t height) {
    return {0, 0, width, height};
  }

  /// Returns the square in the center of w x h pixels. As in torchvision, its place is rounded,
  /// with ties to even.
  [[nodiscard]] PixelBox center_window(std::int64_t w, std::int64_t h) const {
    const auto middle = [&](std::int64_t side) {
      return static_cast<std::int64_t>(
          std::nearbyint(static_cast<double>(side - o_.image_size) / 2));
    };
    return {middle(w), middle(h), o_.image_size, o_.image_size};
  }

  void make_evaluation_square(const RgbImage& pixels, const ImageRegion& region,
                              Workspace& work) const {
    const std::int64_t size = o_.image_size;
    const PixelBox all = region.full_box();
    if (o_.resize_mode == ResizeMode::kSquash) {
      work.resizer(pixels, region, all, size, size, whole(size, size), work.square,
                   o_.interpolation);
    } else if (o_.resize_mode == ResizeMode::kShortest) {
      const auto [w, h] = sides_of_shortest(region.width, region.height, evaluation_side());
      work.resizer(pixels, region, all, w, h, center_window(w, h), work.square, o_.interpolation);
    } else {
      const double ratio =
          static_cast<double>(std::max(region.width, region.height)) / static_cast<double>(size);
      const auto scaled = [&](std::int64_t side) {
        return std::clamp<std::int64_t>(
            static_cast<std::int64_t>(std::nearbyint(static_cast<double>(side) / ratio)), 1, size);
      };
      const std::int64_t w = scaled(region.width);
      const std::int64_t h = scaled(region.height);
      RgbImage part;
      work.resizer(pixels, region, all, w, h, whole(w, h), part, o_.interpolation);
      paste(part, (size - w) / 2, (size - h) / 2, o_.fill, work.square);
    }
  }

  void make_training_square(const RgbImage& pixels, const ImageRegion& region,
                            const Augmentation& drawn, Workspace& work) const {
    const std::int64_t size = o_.image_size;
    const auto rounded = [&](double shift) {
      return static_cast<std::int64_t>(std::nearbyint(shift * static_cast<double>(size)));
    };
    const PixelBox box = drawn.crop.value_or(region.full_box());
    const std::int64_t left = rounded(drawn.shift_right);
    const std::int64_t top = rounded(drawn.shift_down);
    if (drawn.simple_crop) {
      const auto [w, h] = sides_of_shortest(region.width, region.height, o_.image_size);
      RgbImage full;
      work.resizer(pixels, region, box, w, h, whole(w, h), full, o_.interpolation);
      cut_reflected(full, rounded((*drawn.simple_crop)[0]), rounded((*drawn.simple_crop)[1]),
                    work.square);
    } else if (left == 0 && top == 0) {
      work.resizer(pixels, region, box, size, size, whole(size, size), work.square,
                   o_.interpolation);
    } else {
      RgbImage full;
      work.resizer(pixels, region, box, size, size, whole(size, size), full, o_.interpolation);
      paste(full, left, top, 0, work.square);
    }
    detail::augment_square(work.square, drawn, o_.interpolation);
  }

  /// Returns the shorter side of an evaluation image before the center is cut out.
  [[nodiscard]] std::int64_t evaluation_side() const {
    return static_cast<std::int64_t>(static_cast<double>(o_.image_size) / o_.center_crop);
  }

  /// Returns width and height if the shorter side becomes `side`. As in torchvision, the longer
  /// side is truncated, not rounded.
  [[nodiscard]] static std::array<std::int64_t, 2> sides_of_shortest(std::int64_t width,
                                                                     std::int64_t height,
                                                                     std::int64_t side) {
    const std::int64_t shorter = std::min(width, height);
    return {width == shorter ? side : side * width / shorter,
            height == shorter ? side : side * height / shorter};
  }

  /// Returns left and top of the square in the resized image as fractions of image_size. They may
  /// be outside of the image by the padding.
  [[nodiscard]] std::array<double, 2> draw_simple_crop(std::int64_t width, std::int64_t height,
                                                       RandomStream& random) const {
    const std::int64_t padding = *o_.simple_crop_padding;
    const auto size = static_cast<double>(o_.image_size);
    const auto place = [&](std::int64_t side) {
      return static_cast<double>(random.integer(side + 2 * padding - o_.image_size + 1) - padding);
    };
    const auto [w, h] = sides_of_shortest(width, height, o_.image_size);
    const double top = place(h) / size;
    return {place(w) / size, top};
  }

  /// The mean color as timm rounds it.
  [[nodiscard]] std::array<std::uint8_t, 3> mean_color() const {
    std::array<std::uint8_t, 3> color;
    for (std::size_t c = 0; c < 3; ++c)
      color[c] = static_cast<std::uint8_t>(
          std::clamp(std::nearbyint(255.0 * o_.image_mean[c]), 0.0, 255.0));
    return color;
  }

  /// Draws the four changes in random order, each with an amount from its range.
  [[nodiscard]] std::vector<ColorChange> draw_colors(RandomStream& random) const {
    using Kind = ColorChange::Kind;
    std::array<Kind, 4> order = {Kind::kBrightness, Kind::kContrast, Kind::kSaturation, Kind::kHue};
    for (std::int64_t left = 4; left > 1; --left)
      std::swap(order[static_cast<std::size_t>(left - 1)],
                order[static_cast<std::size_t>(random.integer(left))]);
    std::vector<ColorChange> changes;
    for (const Kind kind : order) {
      const double most = o_.color_jitter[static_cast<std::size_t>(kind)];
      if (most <= 0.0) continue;
      const double low = kind == Kind::kHue ? -most : std::max(0.0, 1.0 - most);
      const double high = kind == Kind::kHue ? most : 1.0 + most;
      changes.push_back({kind, random.uniform(low, high)});
    }
    return changes;
  }

  /// Draws a square of `fill` with `part` at (left, top). Parts outside the square are clipped.
  void paste(const RgbImage& part, std::int64_t left, std::int64_t top, std::uint8_t fill,
             RgbImage& square) const {
    const std::int64_t size = o_.image_size;
    square.reshape(size, size);
    std::fill_n(square.data(), square.bytes(), fill);
    const std::int64_t x_begin = std::max<std::int64_t>(left, 0);
    const std::int64_t x_end = std::min(left + part.width(), size);
    if (x_begin >= x_end) return;
    for (std::int64_t y = std::max<std::int64_t>(top, 0); y < std::min(top + part.height(), size);
         ++y)
      std::copy_n(part.row(y - top) + (x_begin - left) * 3, (x_end - x_begin) * 3,
                  square.row(y) + x_begin * 3);
  }

  /// Cuts the square at (left, top) out of `image`, which is continued by its mirror image without
  /// repeating the pixels at the border.
  void cut_reflected(const RgbImage& image, std::int64_t left, std::int64_t top,
                     RgbImage& square) const {
    const auto reflected = [](std::int64_t at, std::int64_t length) {
      const std::int64_t inside = at < 0 ? -at : at < length ? at : 2 * (length - 1) - at;
      return std::clamp<std::int64_t>(inside, 0, length - 1);
    };
    square.reshape(o_.image_size, o_.image_size);
    for (std::int64_t y = 0; y < o_.image_size; ++y) {
      const std::uint8_t* row = image.row(reflected(top + y, image.height()));
      for (std::int64_t x = 0; x < o_.image_size; ++x)
        std::copy_n(row + reflected(left + x, image.width()) * 3, 3, square.row(y) + x * 3);
    }
  }

  ImageTransformOptions o_;
  std::optional<AugmentPolicy> policy_;
};

}  // namespace contrapunto
