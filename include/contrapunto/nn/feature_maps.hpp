// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/linear.h>
#include <c10/util/Exception.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/nn/detail/initialize.hpp"
#include "contrapunto/nn/parametrized_module.hpp"

namespace contrapunto {

/// Learned linear maps from the features of a student to the widths of its teachers, one for each
/// teacher and tower, for losses that compare features of models of different widths. A teacher of
/// the student's width has none. The parameters are "x_0" [teacher, student], "y_0", "x_1" and so
/// on, initialized as those of torch.nn.Linear. There is no bias, so it makes no difference that
/// the features are of unit length before the map. Reference: Yang et al. 2024,
/// https://arxiv.org/abs/2307.12732, section 3.3
class FeatureMapsImpl : public ParametrizedModule {
 public:
  /// Raises if a width is not positive.
  FeatureMapsImpl(std::int64_t student_width, const std::vector<std::int64_t>& teacher_widths)
      : width_(student_width), maps_(teacher_widths.size()) {
    for (std::size_t k = 0; k < maps_.size(); ++k) {
      const auto width = teacher_widths[k];
      TORCH_CHECK(width_ > 0 && width > 0, "FeatureMaps: the widths ", width_, " and ", width,
                  " must be positive");
      if (width == width_) continue;
      const double bound = detail::default_bound(width_);
      const auto add = [&](const char* tower) {
        return register_weight(tower + std::to_string(k),
                               detail::uniform_tensor({width, width_}, bound, {}));
      };
      maps_[k].first = add("x_");
      maps_[k].second = add("y_");
    }
  }

  /// Returns the student's embeddings in the width of each teacher, with rows of unit length.
  [[nodiscard]] std::vector<Embeddings> forward(const Embeddings& student) const {
    std::vector<Embeddings> mapped;
    for (const auto& [x, y] : maps_) {
      auto e = student;
      if (x.defined()) {
        TORCH_CHECK(e.x.size(1) == width_, "FeatureMaps: the student's features have the width ",
                    e.x.size(1), ", but the maps were made for ", width_);
        e.x = unit_rows(at::linear(e.x, effective_weight(x)));
        e.y = unit_rows(at::linear(e.y, effective_weight(y)));
      }
      mapped.push_back(std::move(e));
    }
    return mapped;
  }

 private:
  std::int64_t width_;
  std::vector<std::pair<at::Tensor, at::Tensor>> maps_;  // [teacher, student] of x and y
};
TORCH_MODULE(FeatureMaps);

}  // namespace contrapunto
