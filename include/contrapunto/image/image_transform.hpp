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
#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/color_change.hpp"
#include "contrapunto/image/color_jitter.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/resize.hpp"
#include "contrapunto/image/resize_mode.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

struct ImageTransformOptions {
  std::int64_t image_size = 224;  ///< Side of the square output in pixels.
  bool train = false;             ///< Use random crops and colors; otherwise `resize_mode`.
  Interpolation interpolation = Interpolation::kBicubic;  ///< Always antialiased.

  ResizeMode resize_mode = ResizeMode::kShortest;  ///< Evaluation only.
  std::uint8_t fill = 0;                           ///< Gray level of padding, evaluation only.

  // The following options are for training only.
  std::array<double, 2> crop_scale = {0.9, 1.0};          ///< Fraction of the area that is kept.
  std::array<double, 2> crop_ratio = {3.0 / 4, 4.0 / 3};  ///< Width divided by height of the crop.
  std::int64_t shift_padding = 0;  ///< If above 0, pixels of black padding for a random shift
                                   ///< instead of a crop.
  bool horizontal_flip = false;    ///< Mirror each image with probability 1/2.
  /// Largest relative change of brightness, contrast and saturation, and of the hue in turns (0 to
  /// 0.5).
  std::array<double, 4> color_jitter = {0.0, 0.0, 0.0, 0.0};
  double color_jitter_probability = 0.0;
  double grayscale_probability = 0.0;

  /// Returns the same options for evaluation: no random crop, flip or color.
  [[nodiscard]] ImageTransformOptions for_evaluation() const {
    ImageTransformOptions options = *this;
    options.train = false;
    return options;
  }
};

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

  explicit ImageTransform(ImageTransformOptions options = {}) : o_(options) {
    TORCH_CHECK(o_.image_size > 0, "ImageTransform: image_size (", o_.image_size,
                ") must be positive");
    TORCH_CHECK(0.0 < o_.crop_scale[0] && o_.crop_scale[0] <= o_.crop_scale[1],
                "ImageTransform: crop_scale (", o_.crop_scale[0], ", ", o_.crop_scale[1],
                ") must be positive and in ascending order");
    TORCH_CHECK(0.0 < o_.crop_ratio[0] && o_.crop_ratio[0] <= o_.crop_ratio[1],
                "ImageTransform: crop_ratio (", o_.crop_ratio[0], ", ", o_.crop_ratio[1],
                ") must be positive and in ascending order");
    TORCH_CHECK(o_.shift_padding >= 0, "ImageTransform: shift_padding (", o_.shift_padding,
                ") must not be negative");
    TORCH_CHECK(o_.shift_padding < o_.image_size, "ImageTransform: shift_padding (",
                o_.shift_padding, ") must be below image_size (", o_.image_size,
                "), because a larger shift could move the whole image out of the square");
    TORCH_CHECK(std::abs(o_.color_jitter[3]) <= 0.5, "ImageTransform: hue jitter (",
                o_.color_jitter[3], ") must be at most half a turn (0.5)");
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
    } else {
      drawn.crop = random_crop(width, height, random);
    }
    drawn.flip = o_.horizontal_flip && random.uniform() < 0.5;
    if (random.uniform() < o_.color_jitter_probability) drawn.colors = draw_colors(random);
    drawn.grayscale = random.uniform() < o_.grayscale_probability;
    return drawn;
  }

  /// Writes image_size x image_size pixels to `work.square`, as `drawn` says, or the square of an
  /// evaluation if it is empty. Only the size and the resizing are those of this transform, so
  /// `drawn` may come from a transform with another size. A shift is rounded to whole pixels of
  /// this size. Raises for an image without pixels.
  void apply(const RgbImage& image, const std::optional<Augmentation>& drawn,
             Workspace& work) const {
    check_not_empty(image);
    if (drawn)
      make_training_square(image, *drawn, work);
    else
      make_evaluation_square(image, work);
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

  void make_evaluation_square(const RgbImage& image, Workspace& work) const {
    const std::int64_t size = o_.image_size;
    const std::int64_t width = image.width();
    const std::int64_t height = image.height();
    const PixelBox all = whole(width, height);
    if (o_.resize_mode == ResizeMode::kSquash) {
      work.resizer(image, all, size, size, whole(size, size), work.square, o_.interpolation);
    } else if (o_.resize_mode == ResizeMode::kShortest) {
      const std::int64_t shorter = std::min(width, height);
      // As in torchvision, the longer side is truncated, not rounded, and the crop is rounded, with
      // ties to even.
      const std::int64_t w = width == shorter ? size : size * width / shorter;
      const std::int64_t h = height == shorter ? size : size * height / shorter;
      const auto middle = [](std::int64_t excess) {
        return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(excess) / 2));
      };
      work.resizer(image, all, w, h, {middle(w - size), middle(h - size), size, size}, work.square,
                   o_.interpolation);
    } else {
      const double ratio = static_cast<double>(std::max(width, height)) / static_cast<double>(size);
      const auto scaled = [&](std::int64_t side) {
        return std::clamp<std::int64_t>(
            static_cast<std::int64_t>(std::nearbyint(static_cast<double>(side) / ratio)), 1, size);
      };
      const std::int64_t w = scaled(width);
      const std::int64_t h = scaled(height);
      RgbImage part;
      work.resizer(image, all, w, h, whole(w, h), part, o_.interpolation);
      paste(part, (size - w) / 2, (size - h) / 2, o_.fill, work.square);
    }
  }

  void make_training_square(const RgbImage& image, const Augmentation& drawn,
                            Workspace& work) const {
    const std::int64_t size = o_.image_size;
    const auto pixels = [&](double shift) {
      return static_cast<std::int64_t>(std::nearbyint(shift * static_cast<double>(size)));
    };
    const PixelBox box = drawn.crop.value_or(whole(image.width(), image.height()));
    const std::int64_t left = pixels(drawn.shift_right);
    const std::int64_t top = pixels(drawn.shift_down);
    if (left == 0 && top == 0) {
      work.resizer(image, box, size, size, whole(size, size), work.square, o_.interpolation);
    } else {
      RgbImage full;
      work.resizer(image, box, size, size, whole(size, size), full, o_.interpolation);
      paste(full, left, top, 0, work.square);
    }
    if (drawn.flip) mirror(work.square);
    for (const ColorChange& change : drawn.colors) {
      if (change.kind == ColorChange::Kind::kBrightness)
        adjust_brightness(work.square, change.amount);
      if (change.kind == ColorChange::Kind::kContrast) adjust_contrast(work.square, change.amount);
      if (change.kind == ColorChange::Kind::kSaturation)
        adjust_saturation(work.square, change.amount);
      if (change.kind == ColorChange::Kind::kHue) adjust_hue(work.square, change.amount);
    }
    if (drawn.grayscale) to_grayscale(work.square);
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

  static void mirror(RgbImage& image) {
    for (std::int64_t y = 0; y < image.height(); ++y) {
      std::uint8_t* front = image.row(y);
      std::uint8_t* back = front + (image.width() - 1) * 3;
      for (; front < back; front += 3, back -= 3) std::swap_ranges(front, front + 3, back);
    }
  }

  ImageTransformOptions o_;
};

}  // namespace contrapunto
