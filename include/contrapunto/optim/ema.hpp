// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto {

struct EmaOptions {
  /// Fraction of the old average that an update keeps, in [0, 1]. With 0 the average is the module
  /// itself: nothing is stored, and EmaScope changes nothing.
  double decay = 0.9999;
  bool warmup = false;              ///< Keep less at first; see `current_decay()`.
  double warmup_gamma = 1.0;        ///< Number of updates; a larger value is slower.
  double warmup_power = 2.0 / 3.0;  ///< 2/3 reaches 0.999 after 31,600 updates, and 3/4 after
                                    ///< 10,000.
};

/// Exponential moving average of the parameters and floating-point buffers of a module. Other
/// buffers are copied. The average starts from the weights at construction, and without `warmup`
/// the first update already keeps the fraction `decay` of it. Averages of 16-bit tensors are kept
/// in float32. The module must keep its device and dtypes. Raises for options out of range and for
/// a module without parameters.
/// Reference: Polyak & Juditsky 1992, https://doi.org/10.1137/0330046; warm-up as in timm.
class Ema {
 public:
  Ema(const torch::nn::Module& module, EmaOptions options) : o_(options) {
    TORCH_CHECK(o_.decay >= 0.0 && o_.decay <= 1.0, "Ema: decay (", o_.decay,
                ") must be in [0, 1]");
    TORCH_CHECK(!o_.warmup || (o_.warmup_gamma > 0.0 && o_.warmup_power > 0.0),
                "Ema: warmup_gamma (", o_.warmup_gamma, ") and warmup_power (", o_.warmup_power,
                ") must be above 0");
    if (o_.decay == 0.0) return;
    for (const auto& item : module.named_parameters()) add(item.key(), item.value());
    for (const auto& item : module.named_buffers()) add(item.key(), item.value());
    TORCH_CHECK(!names_.empty(), "Ema: the module has no parameters");
  }
  Ema(const torch::nn::Module& module, double decay) : Ema(module, EmaOptions{.decay = decay}) {}

  /// Returns the fraction of the old average that the next update keeps. With warm-up it is
  /// min(decay, 1 - (1 + t / gamma)^-power) after t updates, which is 0 for the first update.
  [[nodiscard]] double current_decay() const {
    if (!o_.warmup) return o_.decay;
    const double t = static_cast<double>(updates_) / o_.warmup_gamma;
    return std::min(o_.decay, 1.0 - std::pow(1.0 + t, -o_.warmup_power));
  }

  /// Updates average = d * average + (1 - d) * module. Call it after each optimizer step. Raises
  /// while an EmaScope exists.
  void update() {
    TORCH_CHECK(!swapped_,
                "Ema: update() was called while an EmaScope has put the averages into the module");
    const at::NoGradGuard no_grad;
    check_module();
    const double decay = current_decay();
    if (!same_.averages.empty()) at::_foreach_lerp_(same_.averages, same_.sources, 1.0 - decay);
    if (!narrow_.averages.empty()) {
      at::_foreach_mul_(narrow_.averages, decay);
      at::_foreach_add_(narrow_.averages, narrow_.sources, 1.0 - decay);
    }
    for (std::size_t i = 0; i < counts_.averages.size(); ++i)
      counts_.averages[i].copy_(counts_.sources[i]);
    ++updates_;
  }

  /// Number of updates so far.
  [[nodiscard]] std::int64_t updates() const { return updates_; }

  /// The properties of the average that a plan of the run uses.
  [[nodiscard]] AverageFacts facts() const {
    double bytes = 0.0;
    for (const auto& item : own_tensors())
      bytes += static_cast<double>(item.second.numel() * item.second.element_size());
    if (o_.warmup || o_.decay == 0.0) return {bytes, std::nullopt};
    return {bytes, o_.decay};
  }

  /// Returns the averages by parameter name, which are not copied, and the number of updates.
  [[nodiscard]] State save_state() const { return {own_tensors(), {{"updates", updates_}}}; }

  /// Restores the average that saved `state`. Raises with a list of the names that differ, and
  /// while an EmaScope exists.
  void load_state(const State& state) {
    TORCH_CHECK(!swapped_, "Ema: load_state() was called while an EmaScope is open");
    const auto updates = state.scalar<std::int64_t>("updates");
    detail::load_tensors("Ema: the state belongs to another model or to other parameter groups",
                         own_tensors(), state.tensors);
    updates_ = updates;
  }

 private:
  friend class EmaScope;

  struct Lists {
    std::vector<at::Tensor> averages, sources;
  };

  void add(const std::string& name, const at::Tensor& source) {
    if (!source.defined()) return;
    const auto kind = source.scalar_type();
    const bool narrow = kind == at::kHalf || kind == at::kBFloat16;
    auto& lists = narrow ? narrow_ : source.is_floating_point() ? same_ : counts_;
    lists.averages.push_back(narrow ? source.detach().to(at::kFloat) : source.detach().clone());
    lists.sources.push_back(source);
    names_.emplace_back(name, lists.averages.back());
  }

  void check_module() const {
    for (const auto* lists : {&same_, &narrow_})
      for (std::size_t i = 0; i < lists->sources.size(); ++i)
        TORCH_CHECK(lists->sources[i].device() == lists->averages[i].device() &&
                        (lists == &narrow_ ||
                         lists->sources[i].scalar_type() == lists->averages[i].scalar_type()),
                    "Ema: the module's tensors are now ", lists->sources[i].scalar_type(), " on ",
                    lists->sources[i].device(),
                    "; move and convert the model before creating the average");
  }

  [[nodiscard]] TensorMap own_tensors() const { return {names_.begin(), names_.end()}; }

  EmaOptions o_;
  Lists same_;    // Averaged in their own dtype.
  Lists narrow_;  // 16-bit tensors, averaged in float32.
  Lists counts_;  // Integers, which are copied.
  std::vector<std::pair<std::string, at::Tensor>> names_;
  std::int64_t updates_ = 0;
  bool swapped_ = false;
};
static_assert(Stateful<Ema>);

}  // namespace contrapunto
