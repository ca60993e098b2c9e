// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <cstdint>
#include <vector>

#include "contrapunto/core/random.hpp"
#include "contrapunto/image/rgb_image.hpp"

/// Images for the tests of image operations.
namespace contrapunto::test {

inline std::vector<int> values_of(const RgbImage& image) {
  return {image.data(), image.data() + image.bytes()};
}

/// An image of random pixels.
inline RgbImage noise_image(std::int64_t width, std::int64_t height, std::uint64_t seed = 1) {
  RgbImage image(width, height);
  RandomStream random(seed);
  for (std::size_t i = 0; i < image.bytes(); ++i)
    image.data()[i] = static_cast<std::uint8_t>(random.integer(256));
  return image;
}

/// Returns the values of noise_image() after `change`.
template <class Change>
std::vector<int> changed_noise(std::int64_t width, std::int64_t height, Change change) {
  RgbImage image = noise_image(width, height);
  change(image);
  return values_of(image);
}

}  // namespace contrapunto::test
