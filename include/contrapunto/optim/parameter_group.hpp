// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace contrapunto {

/// Parameters with the same optimizer settings.
struct ParameterGroup {
  std::string name = {};
  std::vector<at::Tensor> parameters = {};
  std::vector<std::string> parameter_names = {};  ///< One name per parameter, unique over all
                                                  ///< groups.
  double weight_decay = 0.0;
  double lr_multiplier = 1.0;  ///< Factor of the schedule's learning rate.
};

}  // namespace contrapunto
