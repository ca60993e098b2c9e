// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/optim/update_rule.hpp"

namespace contrapunto {

/// A type-erased UpdateRule, for a program that chooses its rule when it runs. It converts from
/// every UpdateRule.
class AnyUpdateRule {
 public:
  template <class R>
  requires(!std::same_as<R, AnyUpdateRule> && UpdateRule<R>)
      AnyUpdateRule(R rule)  // NOLINT: converting on purpose
      : name_(rule.name()),
        check_([rule] { rule.check(); }),
        state_names_([rule](const std::string& name, const at::Tensor& parameter) {
          return rule.state_names(name, parameter);
        }),
        update_([rule](const UpdateBatch& batch) { rule.update(batch); }) {
    if constexpr (requires { rule.squares_decay(); }) squares_decay_ = rule.squares_decay();
    if constexpr (requires { rule.takes_scaling(); }) takes_scaling_ = rule.takes_scaling();
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  void check() const { check_(); }
  [[nodiscard]] std::vector<std::string> state_names(const std::string& name,
                                                     const at::Tensor& parameter) const {
    return state_names_(name, parameter);
  }
  void update(const UpdateBatch& batch) const { update_(batch); }
  /// Unset if the rule has none.
  [[nodiscard]] std::optional<double> squares_decay() const { return squares_decay_; }
  [[nodiscard]] bool takes_scaling() const { return takes_scaling_; }

 private:
  std::string name_;
  std::function<void()> check_;
  std::function<std::vector<std::string>(const std::string&, const at::Tensor&)> state_names_;
  std::function<void(const UpdateBatch&)> update_;
  std::optional<double> squares_decay_ = std::nullopt;
  bool takes_scaling_ = false;
};
static_assert(UpdateRule<AnyUpdateRule>);

}  // namespace contrapunto
