// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <utility>
#include <vector>

#include "contrapunto/optim/ema.hpp"

namespace contrapunto {

/// During its lifetime the module holds the averages, for evaluation. Afterward the module has its
/// own weights again, bit for bit. Meanwhile do not train the module or update the average, and
/// keep the module in eval mode; otherwise batch norm would update the averages. It needs no memory
/// except for 16-bit weights. Only one EmaScope at a time may exist for each Ema, which must
/// outlive it.
class EmaScope {
 public:
  [[nodiscard]] explicit EmaScope(Ema& ema) : ema_(ema) {
    TORCH_CHECK(!ema.swapped_, "EmaScope: the averages are already in the module");
    const at::NoGradGuard no_grad;
    ema.check_module();
    for (auto* lists : {&ema.same_, &ema.narrow_, &ema.counts_})
      for (std::size_t i = 0; i < lists->sources.size(); ++i) {
        auto& source = lists->sources[i];
        own_.emplace_back(source, source.variable_data());
        source.set_data(lists->averages[i].to(source.scalar_type()));
      }
    ema.swapped_ = true;
  }
  ~EmaScope() {
    const at::NoGradGuard no_grad;
    for (auto& [tensor, weights] : own_) tensor.set_data(weights);
    ema_.swapped_ = false;
  }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Ema& ema_;
  std::vector<std::pair<at::Tensor, at::Tensor>> own_;
};

}  // namespace contrapunto
