// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "contrapunto/towers/any_tower.hpp"

namespace contrapunto {

/// Lets a tower take images of `image_size` pixels until the end of the scope, such as an
/// evaluation within a phase of smaller images. With size 0 it does nothing. Raises if the tower
/// takes one size only.
class ImageSizeScope {
 public:
  ImageSizeScope(const AnyTower& tower, std::int64_t image_size)
      : tower_(tower), before_(image_size > 0 ? tower.accept_images(image_size) : 0) {}
  ImageSizeScope(const ImageSizeScope&) = delete;
  ImageSizeScope& operator=(const ImageSizeScope&) = delete;
  ~ImageSizeScope() {
    if (before_ > 0) tower_.accept_images(before_);
  }

 private:
  AnyTower tower_;
  std::int64_t before_;
};

}  // namespace contrapunto
