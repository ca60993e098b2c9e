// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace contrapunto {

/// Images with more pixels are rejected after their header is read, before memory is allocated.
constexpr std::int64_t kDefaultMaxPixels = 25'000'000;

/// Pixels as uint8 [height, width, 3] in RGB order, with rows without gaps. It keeps its memory
/// when it becomes smaller, so that a worker that decodes many images rarely allocates.
class RgbImage {
 public:
  /// Bytes behind the last pixel that may be read but not written, so that vector loads of the last
  /// pixels need no special case.
  static constexpr std::size_t kReadablePadding = 128;

  RgbImage() = default;
  RgbImage(std::int64_t width, std::int64_t height) { reshape(width, height); }

  /// Sets the size. The pixels are unspecified afterward.
  void reshape(std::int64_t width, std::int64_t height) {
    const std::size_t bytes = static_cast<std::size_t>(width * height * 3) + kReadablePadding;
    if (bytes > capacity_) {
      pixels_.reset();
      capacity_ = 0;
      pixels_.reset(new std::uint8_t[bytes]);  // make_unique would fill it with zeros.
      capacity_ = bytes;
    }
    width_ = width;
    height_ = height;
  }

  /// Width and height in pixels, and the number of bytes of all pixels.
  [[nodiscard]] std::int64_t width() const { return width_; }
  [[nodiscard]] std::int64_t height() const { return height_; }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(width_ * height_ * 3); }
  /// Pointer to the first pixel of row `y`, and to the first pixel of the image.
  [[nodiscard]] std::uint8_t* row(std::int64_t y) { return pixels_.get() + y * width_ * 3; }
  [[nodiscard]] const std::uint8_t* row(std::int64_t y) const {
    return pixels_.get() + y * width_ * 3;
  }
  [[nodiscard]] std::uint8_t* data() { return pixels_.get(); }
  [[nodiscard]] const std::uint8_t* data() const { return pixels_.get(); }

 private:
  std::int64_t width_ = 0;
  std::int64_t height_ = 0;
  std::size_t capacity_ = 0;
  std::unique_ptr<std::uint8_t[]> pixels_;
};

}  // namespace contrapunto
