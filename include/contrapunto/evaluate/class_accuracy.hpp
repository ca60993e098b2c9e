// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "contrapunto/evaluate/classification_accuracy.hpp"

namespace contrapunto {

/// The accuracy of a classifier over all images and in each class.
struct ClassAccuracy {
  ClassificationAccuracy all = {};
  std::vector<std::int64_t> samples_of = {};  ///< [classes] Images of each class.
  std::vector<std::int64_t> right_of = {};    ///< [classes] Those whose class ranks first.

  /// Returns the fraction of the images of `label` whose class ranks first; 0 without images.
  [[nodiscard]] double top1_of(std::int64_t label) const {
    const auto i = static_cast<std::size_t>(label);
    return samples_of.at(i) == 0
               ? 0.0
               : static_cast<double>(right_of.at(i)) / static_cast<double>(samples_of.at(i));
  }

  /// Returns up to `count` classes with images, the lowest top1_of() first and, if it is equal, the
  /// lower label.
  [[nodiscard]] std::vector<std::int64_t> worst(std::int64_t count) const {
    std::vector<std::int64_t> labels(samples_of.size());
    std::iota(labels.begin(), labels.end(), std::int64_t{0});
    std::erase_if(labels, [&](std::int64_t label) {
      return samples_of[static_cast<std::size_t>(label)] == 0;
    });
    std::sort(labels.begin(), labels.end(), [&](std::int64_t a, std::int64_t b) {
      return std::pair(top1_of(a), a) < std::pair(top1_of(b), b);
    });
    labels.resize(std::min(labels.size(), static_cast<std::size_t>(count)));
    return labels;
  }
};

}  // namespace contrapunto
