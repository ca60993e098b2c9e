// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace contrapunto {

/// A loss to differentiate, and its named parts for the log. A scalar tensor converts to it.
struct LossTerms {
  LossTerms(at::Tensor loss) : total(std::move(loss)) {}  // NOLINT: converting on purpose
  LossTerms(at::Tensor loss, std::vector<std::pair<std::string, at::Tensor>> named)
      : total(std::move(loss)), parts(std::move(named)) {}

  at::Tensor total;                                       ///< [], float32.
  std::vector<std::pair<std::string, at::Tensor>> parts;  ///< Scalars that need no gradient.
};

}  // namespace contrapunto
