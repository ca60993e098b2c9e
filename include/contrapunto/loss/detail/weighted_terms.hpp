// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/loss_terms.hpp"

namespace contrapunto::detail {

/// Adds up losses with weights, and lists each under its name, without its weight, followed by its
/// own parts as NAME/PART.
class WeightedTerms {
 public:
  void add(const std::string& name, double weight, const LossTerms& terms) {
    const auto weighted = weight * terms.total;
    total_ = total_.defined() ? total_ + weighted : weighted;
    parts_.emplace_back(name, terms.total.detach());
    for (const auto& [part, value] : terms.parts)
      parts_.emplace_back(name + "/" + part, value.detach());
  }

  /// Returns the sum; there must be at least one term.
  [[nodiscard]] LossTerms take() { return {std::move(total_), std::move(parts_)}; }

 private:
  at::Tensor total_;
  std::vector<std::pair<std::string, at::Tensor>> parts_;
};

}  // namespace contrapunto::detail
