// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/compress/hard_concrete.hpp"
#include "contrapunto/compress/transformer_units.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/random.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/nn/column_mask.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

struct PruningOptions {
  bool image = true;  ///< Remove units of the image tower.
  bool text = true;   ///< Remove units of the text tower.
  /// One sparsity for both towers together; otherwise each has its own.
  bool joint = true;
  SizeMeasure measure = SizeMeasure::kParameters;
  double start_sparsity = 0.0;     ///< Fraction of the size that is removed at step 0.
  double target_sparsity = 0.25;   ///< The same from `ramp_steps` on, in (0, 1).
  std::int64_t ramp_steps = 1000;  ///< Optimizer steps between the two.
  /// Fractions are of this model; unset: of the model that has the masks. Later stages name the
  /// model of the first stage.
  std::optional<ModelConfig> original = std::nullopt;
  double lr = 0.02;                  ///< Of the masks, and of the multipliers of the sparsity.
  double initial_log_alpha = 10.0;   ///< Of every mask; with 10 all are 1 in the first step.
  double initial_multiplier = 10.0;  ///< Of the square of the missing sparsity.
  std::int64_t width_multiple = 8;   ///< The residual stream keeps a multiple of this.
  std::int64_t hidden_multiple = 8;  ///< Each MLP keeps a multiple of this.
  std::uint64_t seed = 0;
};

/// The units of a tower that are kept, and the values of all masks.
struct KeptUnits {
  TransformerUnits units = {};
  at::Tensor width = {};                ///< Indices, int64, ascending.
  std::vector<at::Tensor> heads = {};   ///< The same for each layer.
  std::vector<at::Tensor> hidden = {};  ///< The same for each layer.
  at::Tensor width_mask = {};           ///< [width], 0 for a unit that is removed.
  std::vector<at::Tensor> heads_mask = {};
  std::vector<at::Tensor> hidden_mask = {};
};

/// Learned masks over the residual stream, the heads and the hidden units of the MLPs of the
/// transformer towers of a model: automatic weight inheritance. Each mask is a hard-concrete gate,
/// and the Lagrangian a m + b m^2 of the missing expected sparsity m, with learned multipliers a
/// and b, holds the sparsity at its target. (TinyCLIP's code counts only a sparsity that is too
/// low, and may then remove too much.)
///
///   PruningMasks masks(model, config, {.target_sparsity = 0.25});
///   // ... then the step strategy, so that it knows the masks; and in each step:
///   masks.sample_(step);
///   compute_gradients(batch);
///   optimizer.step(lr);
///   masks.update_(step);
///   // ... at the end:
///   masks.fix_();
///   auto smaller = extract_pruned(model, config, masks);
///
/// A step draws its masks once, as a function of the seed and the step. They are parameters of the
/// model that forwards only read, so every chunk, both passes of GradCache, recomputed activations
/// and all ranks see the same sub-network, and their gradients add up like those of weights.
///
/// Create the optimizer of the weights and the averages before the masks, because they take all
/// parameters of the model, and the step strategy after them. Norms read the masked residual stream
/// and normalize over the units that are left, so the masked network equals the one that
/// extract_pruned() makes.
/// Reference: Wu et al. 2023, https://arxiv.org/abs/2309.12314, section 3.2; Xia et al. 2022,
/// https://arxiv.org/abs/2204.00408
class PruningMasks {
 public:
  /// Adds masks of value 1 to `model`, which was built from `config` and is on its device. Raises
  /// for options out of range, and for a tower whose units cannot be removed; see image_units().
  PruningMasks(DualEncoder& model, const ModelConfig& config, PruningOptions options)
      : o_(std::move(options)) {
    TORCH_CHECK(o_.image || o_.text, "PruningMasks: neither tower has masks; set image or text");
    TORCH_CHECK(0.0 <= o_.start_sparsity && o_.start_sparsity <= o_.target_sparsity &&
                    o_.target_sparsity < 1.0 && o_.ramp_steps >= 0,
                "PruningMasks: start_sparsity (", o_.start_sparsity, ") and target_sparsity (",
                o_.target_sparsity, ") must be in [0, 1) in this order, and ramp_steps (",
                o_.ramp_steps, ") must not be negative");
    TORCH_CHECK(o_.width_multiple > 0 && o_.hidden_multiple > 0, "PruningMasks: width_multiple (",
                o_.width_multiple, ") and hidden_multiple (", o_.hidden_multiple,
                ") must be positive");
    const auto original = o_.original.value_or(config);
    std::vector<double> full;
    if (o_.image) {
      add_tower(*model, image_units(config, o_.measure));
      full.push_back(image_units(original, o_.measure).size());
    }
    if (o_.text) {
      add_tower(*model, text_units(config, o_.measure));
      full.push_back(text_units(original, o_.measure).size());
    }
    const auto device = model->logit_scale.device();
    const auto on_device = at::TensorOptions(at::kFloat).device(device);
    std::int64_t total = 0;
    for (const auto& group : groups_) total += group.size;
    log_alpha_ = at::full({total}, o_.initial_log_alpha, on_device);
    gates_ = at::ones({total}, on_device);
    slopes_ = at::zeros({total}, on_device);
    const auto constraints = o_.joint ? 1 : static_cast<std::int64_t>(towers_.size());
    multipliers_ = at::zeros({constraints, 2}, on_device);
    multipliers_.select(1, 1).fill_(o_.initial_multiplier);
    full_size_ = full.front();
    for (std::size_t i = 1; i < full.size(); ++i) full_size_ += full[i];
    for (std::size_t i = 0; i < towers_.size(); ++i) {
      towers_[i].full_size = o_.joint ? full_size_ : full[i];
      towers_[i].constraint = o_.joint ? 0 : static_cast<std::int64_t>(i);
      set_size_weights(towers_[i]);
    }
    log_alpha_.mutable_grad() = at::zeros_like(log_alpha_);
    multipliers_.mutable_grad() = at::zeros_like(multipliers_);
    optimizer_.emplace(
        std::vector<ParameterGroup>{{.name = "masks",
                                     .parameters = {log_alpha_, multipliers_},
                                     .parameter_names = {"log_alpha", "multipliers"}}});
  }

  /// Draws the masks of step `step` and clears their gradients.
  void sample_(std::int64_t step) {
    const at::NoGradGuard no_grad;
    const auto uniform = at::empty({log_alpha_.numel()}, at::kFloat);
    RandomStream random(o_.seed, static_cast<std::uint64_t>(step), kStream);
    auto* out = uniform.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < uniform.numel(); ++i)
      out[i] = static_cast<float>(random.uniform());
    const auto sample = kGates.sample(log_alpha_, uniform.to(log_alpha_.device()));
    slopes_.copy_(sample.slope);
    set(sample.gate);
    for (const auto& leaf : parameters()) at::Tensor(leaf).mutable_grad().reset();
  }

  /// Updates the distribution of the masks with the gradients that the step strategy has left in
  /// them, and with the missing sparsity of step `step`; and the multipliers. `scaling` is that of
  /// the optimizer's step: pass parameters() to the loss scaler together with the weights.
  void update_(std::int64_t step, const StepScaling& scaling = {}) {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> own;
    for (const auto& group : groups_) own.push_back(gradient_of(group));
    auto gradient = at::cat(own).mul_(slopes_);
    const auto counts = expected_counts();
    const auto missing = target(step) - sparsities(counts);  // [constraints]
    const auto pull = multipliers_.select(1, 0) + 2.0 * missing * multipliers_.select(1, 1);
    const auto slope = kGates.open_probability_slope(log_alpha_);
    for (const auto& tower : towers_) {
      const auto by_count = size_slope(tower, counts);  // Of the size, by the count of each group.
      for (std::size_t g = tower.first; g < tower.first + tower.groups(); ++g) {
        const auto& group = groups_[g];
        const auto factor = pull[tower.constraint] *
                            by_count[static_cast<std::int64_t>(g - tower.first)] / tower.full_size;
        gradient.narrow(0, group.begin, group.size)
            .add_(slope.narrow(0, group.begin, group.size) * factor);
      }
    }
    log_alpha_.mutable_grad().copy_(gradient);
    multipliers_.mutable_grad().copy_(-at::stack({missing, missing.square()}, 1));  // Ascent.
    optimizer_->step(o_.lr, {.found_inf = scaling.found_inf});
    log_alpha_.clamp_(-kMostLogAlpha, kMostLogAlpha);
  }

  /// Sets the masks to those that are kept in the end: 0 for the units with the smallest
  /// probabilities, as many as are closed in expectation after rounding to the multiples. It waits
  /// for the device. Call it before an evaluation; sample_() starts the next step anyway.
  void fix_() {
    const at::NoGradGuard no_grad;
    const auto probability = kGates.open_probability(log_alpha_).cpu();
    const auto values = kGates.kept_value(log_alpha_).cpu();
    auto gates = at::zeros_like(values);
    for (const auto& group : groups_) {
      const auto expected = probability.narrow(0, group.begin, group.size).sum().item<double>();
      const auto kept = std::clamp<std::int64_t>(
          std::llround(expected / static_cast<double>(group.multiple)) * group.multiple,
          group.least, group.size);
      if (kept == 0) continue;
      const auto all = values.narrow(0, group.begin, group.size);
      const auto chosen = std::get<1>(all.topk(kept));
      gates.narrow(0, group.begin, group.size).index_copy_(0, chosen, all.index_select(0, chosen));
    }
    set(gates.to(gates_.device()));
  }

  /// The masks, which are parameters of the model: for the loss scaler, not for the optimizer.
  [[nodiscard]] std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all;
    for (const auto& group : groups_) all.insert(all.end(), group.masks.begin(), group.masks.end());
    return all;
  }

  /// Sparsity that step `step` aims at.
  [[nodiscard]] double target(std::int64_t step) const {
    const double done =
        o_.ramp_steps == 0
            ? 1.0
            : std::min(1.0, static_cast<double>(step) / static_cast<double>(o_.ramp_steps));
    return o_.start_sparsity + (o_.target_sparsity - o_.start_sparsity) * done;
  }

  /// Expected sparsity of all towers together. It waits for the device.
  [[nodiscard]] double expected_sparsity() const {
    const at::NoGradGuard no_grad;
    const auto counts = expected_counts();
    double size = 0.0;
    for (const auto& tower : towers_) size += size_of(tower, counts).item<double>();
    return 1.0 - size / full_size_;
  }

  /// The units that the present masks keep, for each tower with masks, the image tower first. It
  /// waits for the device.
  [[nodiscard]] std::vector<KeptUnits> kept() const {
    std::vector<KeptUnits> all;
    const auto gates = gates_.cpu();
    for (const auto& tower : towers_) {
      KeptUnits kept{.units = tower.units};
      for (std::size_t g = tower.first; g < tower.first + tower.groups(); ++g) {
        const auto mask = gates.narrow(0, groups_[g].begin, groups_[g].size);
        const auto indices = mask.nonzero().squeeze(1);
        if (g == tower.first) {
          kept.width = indices, kept.width_mask = mask;
        } else if ((g - tower.first) % 2 == 1) {
          kept.heads.push_back(indices), kept.heads_mask.push_back(mask);
        } else {
          kept.hidden.push_back(indices), kept.hidden_mask.push_back(mask);
        }
      }
      all.push_back(std::move(kept));
    }
    return all;
  }

  /// The state for a checkpoint. Masks are not part of it, since every step draws them anew.
  [[nodiscard]] State save_state() const {
    auto state = optimizer_->save_state();
    state.tensors["log_alpha"] = log_alpha_;
    state.tensors["multipliers"] = multipliers_;
    return state;
  }

  /// Restores the masks that saved `state`. Raises if they belong to another model.
  void load_state(const State& state) {
    State moments = state;
    TensorMap own{{"log_alpha", log_alpha_}, {"multipliers", multipliers_}}, saved;
    for (const auto& [name, _] : own) {
      saved[name] = state.tensor(name);
      moments.tensors.erase(name);
    }
    detail::load_tensors("PruningMasks: the state belongs to other towers", own, saved);
    optimizer_->load_state(moments);
  }

  [[nodiscard]] const PruningOptions& options() const { return o_; }

 private:
  /// Units of one kind in one layer, or the residual stream of a tower.
  struct Group {
    std::int64_t begin = 0;  // Among all units.
    std::int64_t size = 0;
    std::int64_t multiple = 1;  // Of the number of units that are kept.
    std::int64_t least = 0;     // Number of units that are kept at least.
    std::vector<at::Tensor> masks = {};
  };
  /// A tower's groups are the residual stream, and the heads and the hidden units of each layer.
  struct Tower {
    TransformerUnits units;
    std::size_t first = 0;  // Its first group.
    double full_size = 0.0;
    std::int64_t constraint = 0;
    /// Weights in the size, [groups]: of a unit, and of a unit for each number of the stream.
    at::Tensor alone = {}, with_width = {};

    [[nodiscard]] std::size_t groups() const { return 1 + 2 * units.layers(); }
  };

  static constexpr HardConcrete kGates = {};
  static constexpr double kMostLogAlpha = 4.605170185988091;        // ln(100), as in TinyCLIP.
  static constexpr std::uint64_t kStream = std::uint64_t{1} << 61;  // Not one of the data loader.

  void add_tower(torch::nn::Module& model, TransformerUnits units) {
    const auto modules = model.named_modules();
    // In the precision of the weights, at least float32.
    const auto mask_like = [&](std::int64_t size, const at::Tensor& weight) {
      const auto dtype = c10::promoteTypes(weight.scalar_type(), at::kFloat);
      return at::ones({size}, weight.options().dtype(dtype)).requires_grad_();
    };
    Group stream{.size = units.width,
                 .multiple = o_.width_multiple,
                 .least = std::min(units.width, o_.width_multiple)};
    for (const auto& item : modules) {
      const auto& name = item.key();
      if (!name.starts_with(units.prefix)) continue;
      auto* norm = item.value()->as<LayerNormImpl>();
      if (norm == nullptr) continue;
      stream.masks.push_back(mask_like(units.width, norm->weight));
      norm->mask_units(stream.masks.back(),
                       name.ends_with("ln_post") || name.ends_with("ln_final"));
    }
    Tower tower{.units = units, .first = groups_.size()};
    add(std::move(stream));
    for (std::size_t i = 0; i < units.layers(); ++i) {
      const auto block = units.prefix + "transformer.resblocks." + std::to_string(i) + ".";
      const auto mask_columns = [&](const std::string& name, std::int64_t count,
                                    std::int64_t repeat, Group group) {
        group.size = count;
        if (count > 0) {
          auto* linear = modules[block + name]->as<LinearImpl>();
          TORCH_INTERNAL_ASSERT(linear != nullptr);
          group.masks.push_back(mask_like(count, linear->weight));
          linear->parametrize("weight", "mask", ColumnMask(group.masks.back(), repeat));
        }
        add(std::move(group));
      };
      mask_columns("attn.out_proj", units.heads[i], units.head_width, {});
      mask_columns(
          "mlp.c_proj", units.hidden[i], 1,
          {.multiple = o_.hidden_multiple, .least = std::min(units.hidden[i], o_.hidden_multiple)});
    }
    towers_.push_back(std::move(tower));
  }

  void add(Group group) {
    if (!groups_.empty()) group.begin = groups_.back().begin + groups_.back().size;
    groups_.push_back(std::move(group));
  }

  /// Writes `gates` into the masks of the model.
  void set(const at::Tensor& gates) {
    gates_.copy_(gates);
    std::vector<at::Tensor> targets, values;
    for (const auto& group : groups_)
      for (const auto& mask : group.masks) {
        targets.push_back(mask);
        values.push_back(gates_.narrow(0, group.begin, group.size));
      }
    at::_foreach_copy_(targets, values);
  }

  /// The gradient of the units of a group, from all its masks.
  [[nodiscard]] at::Tensor gradient_of(const Group& group) const {
    at::Tensor sum;
    for (const auto& mask : group.masks) {
      const auto& gradient = mask.grad();
      if (gradient.defined()) sum = sum.defined() ? sum + gradient : gradient.to(at::kFloat);
    }
    TORCH_CHECK(sum.defined() || group.masks.empty(),
                "PruningMasks: a mask has no gradient; create the step strategy after the masks, "
                "and call update_() after it, once per step");
    return sum.defined() ? sum : at::zeros({group.size}, log_alpha_.options());
  }

  /// Expected number of units of each group, [groups].
  [[nodiscard]] at::Tensor expected_counts() const {
    const auto probability = kGates.open_probability(log_alpha_);
    std::vector<at::Tensor> counts;
    for (const auto& group : groups_)
      counts.push_back(probability.narrow(0, group.begin, group.size).sum());
    return at::stack(counts);
  }

  /// Fills in the weights of the groups of a tower in its size.
  void set_size_weights(Tower& tower) const {
    const auto& units = tower.units;
    std::vector<float> alone{static_cast<float>(units.per_width)}, with_width{0.0F};
    for (std::size_t i = 0; i < units.layers(); ++i) {
      alone.insert(alone.end(), {static_cast<float>(units.per_head), 0.0F});
      with_width.insert(with_width.end(), {static_cast<float>(units.per_head_width),
                                           static_cast<float>(units.per_hidden_width)});
    }
    tower.alone = at::tensor(alone, log_alpha_.options());
    tower.with_width = at::tensor(with_width, log_alpha_.options());
  }

  [[nodiscard]] static at::Tensor of_tower(const Tower& tower, const at::Tensor& counts) {
    return counts.narrow(0, static_cast<std::int64_t>(tower.first),
                         static_cast<std::int64_t>(tower.groups()));
  }

  /// Expected size of a tower, [].
  [[nodiscard]] static at::Tensor size_of(const Tower& tower, const at::Tensor& counts) {
    const auto own = of_tower(tower, counts);
    return at::dot(tower.alone, own) + own[0] * at::dot(tower.with_width, own);
  }

  /// Derivative of the expected size by the count of each group, [groups of the tower].
  [[nodiscard]] static at::Tensor size_slope(const Tower& tower, const at::Tensor& counts) {
    const auto own = of_tower(tower, counts);
    auto slope = tower.alone + own[0] * tower.with_width;
    slope[0] += at::dot(tower.with_width, own);
    return slope;
  }

  /// Expected sparsities, [constraints].
  [[nodiscard]] at::Tensor sparsities(const at::Tensor& counts) const {
    auto left = at::zeros({multipliers_.size(0)}, log_alpha_.options());
    for (const auto& tower : towers_)
      left[tower.constraint] += size_of(tower, counts) / tower.full_size;
    return 1.0 - left;
  }

  PruningOptions o_;
  std::vector<Group> groups_;
  std::vector<Tower> towers_;
  double full_size_ = 0.0;
  at::Tensor log_alpha_;    // [units]
  at::Tensor gates_;        // [units], the present masks.
  at::Tensor slopes_;       // [units], derivative of the drawn masks by log_alpha_.
  at::Tensor multipliers_;  // [constraints, 2], of the missing sparsity and of its square.
  std::optional<AdamW> optimizer_;
};
static_assert(Stateful<PruningMasks>);

}  // namespace contrapunto
