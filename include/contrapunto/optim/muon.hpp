// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/detail/adam_updates.hpp"
#include "contrapunto/optim/glob_matches.hpp"
#include "contrapunto/optim/newton_schulz.hpp"
#include "contrapunto/optim/optimizer.hpp"
#include "contrapunto/optim/update_rule.hpp"

namespace contrapunto {

/// Factor of the learning rate of a matrix, whose orthogonal update has singular values near 1.
enum class MuonScale {
  /// 0.2 * sqrt(max(rows, columns)): the elements of an update are as large as those of AdamW, so
  /// one learning rate and one weight decay suit all parameters.
  /// Reference: Liu et al. 2025, https://arxiv.org/abs/2502.16982
  kMatchAdamW,
  /// sqrt(max(1, rows / columns)), as in the original. Learning rates of matrices are then about
  /// 0.02, far above those of other parameters; see multiply_learning_rates().
  kOriginal,
};

/// Muon: the updates of weight matrices are a Nesterov momentum made orthogonal by newton_schulz();
/// all other parameters are updated by AdamW. Convolution kernels [O, I, H, W] are matrices
/// [O, I * H * W], and joint projections are the matrices of queries, keys and values
/// (in_proj_weight) or of keys and values (kv.weight). Matrices of one shape are processed
/// together, so the rounding of their products may depend on which of them a rank has.
/// Reference: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
struct MuonRule {
  double momentum = 0.95;  ///< Decay of the mean of gradients of matrices, in [0, 1).
  MuonScale scale = MuonScale::kMatchAdamW;
  AdamWRule adamw = {};  ///< For all other parameters.
  /// Parameters of two or more dimensions that are no matrices of hidden layers, as globs over full
  /// names; see not_hidden().
  std::vector<std::string> adamw_patterns = not_hidden();
  /// Dtype of the products of newton_schulz(); unset: bfloat16, but float32 on the CPU, where
  /// batched products in bfloat16 are slow.
  std::optional<at::ScalarType> product_dtype = std::nullopt;

  /// Embeddings and positions, the first convolution, and the last projections of the models of the
  /// library.
  [[nodiscard]] static std::vector<std::string> not_hidden() {
    return {
        "*embedding*", "conv1.weight",      "visual.conv1.weight", "tower.conv1.weight", "proj",
        "*.proj",      "*text_projection*", "*attnpool.c_proj.*",  "*attn_pool.latent",  "out.*",
        "head.*",      "*.head.*",          "feature_maps.*"};
  }

  [[nodiscard]] std::string name() const { return "Muon"; }
  void check() const {
    TORCH_CHECK(momentum >= 0.0 && momentum < 1.0, "Muon: the momentum (", momentum,
                ") must be in [0, 1)");
    adamw.check();
  }
  [[nodiscard]] double squares_decay() const { return adamw.beta2; }

  /// Whether the parameter `name` is one or several weight matrices of a hidden layer.
  [[nodiscard]] bool is_matrix(const std::string& name, const at::Tensor& parameter) const {
    return parameter.dim() >= 2 &&
           std::none_of(adamw_patterns.begin(), adamw_patterns.end(),
                        [&](const std::string& pattern) { return glob_matches(pattern, name); });
  }

  [[nodiscard]] std::vector<std::string> state_names(const std::string& name,
                                                     const at::Tensor& parameter) const {
    if (is_matrix(name, parameter)) return {"momentum_buffer"};
    return {"exp_avg", "exp_avg_sq"};
  }

  void update(const UpdateBatch& batch) const {
    const auto momenta = batch.state.find("momentum_buffer");
    if (momenta == batch.state.end()) {
      const auto updates =
          detail::adam_updates(batch, adamw.beta1, adamw.beta2, adamw.eps).directions;
      at::_foreach_mul_(batch.weights, 1.0 - batch.lr * batch.weight_decay);
      at::_foreach_sub_(batch.weights, updates, batch.lr);
      return;
    }
    at::_foreach_lerp_(momenta->second, batch.gradients, 1.0 - momentum);
    const auto updates = at::_foreach_lerp(batch.gradients, momenta->second, momentum);
    at::_foreach_mul_(batch.weights, 1.0 - batch.lr * batch.weight_decay);
    const bool on_cpu = !updates.empty() && updates.front().is_cpu();
    const auto dtype = product_dtype.value_or(on_cpu ? at::kFloat : at::kBFloat16);
    std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::size_t>> by_shape;
    std::vector<at::Tensor> matrices;  // [matrices of the parameter, rows, columns] for each.
    for (std::size_t i = 0; i < updates.size(); ++i) {
      matrices.push_back(as_matrices(batch.names[i], updates[i]));
      if (matrices[i].numel() > 0)
        by_shape[{matrices[i].size(1), matrices[i].size(2)}].push_back(i);
    }
    for (const auto& [shape, members] : by_shape) {
      std::vector<at::Tensor> equal;
      for (const auto i : members) equal.push_back(matrices[i]);
      const auto orthogonal = newton_schulz(at::cat(equal), dtype);
      const double factor = batch.lr * scale_of(shape.first, shape.second);
      std::int64_t first = 0;
      for (const auto i : members) {
        const auto& weight = batch.weights[i];
        const auto part = orthogonal.narrow(0, first, matrices[i].size(0));
        weight.sub_(part.reshape(weight.sizes()).to(weight.scalar_type()), factor);
        first += matrices[i].size(0);
      }
    }
  }

 private:
  [[nodiscard]] static at::Tensor as_matrices(const std::string& name, const at::Tensor& update) {
    const auto rows = update.size(0);
    const std::int64_t joint = name.ends_with("in_proj_weight") ? 3
                               : name.ends_with(".kv.weight")   ? 2
                                                                : 1;
    const auto count = rows % joint == 0 ? joint : 1;
    return update.reshape({count, rows / count, update.numel() / std::max<std::int64_t>(1, rows)});
  }

  [[nodiscard]] double scale_of(std::int64_t rows, std::int64_t columns) const {
    const auto r = static_cast<double>(rows), c = static_cast<double>(columns);
    return scale == MuonScale::kMatchAdamW ? 0.2 * std::sqrt(std::max(r, c))
                                           : std::sqrt(std::max(1.0, r / c));
  }
};
static_assert(UpdateRule<MuonRule>);

using Muon = Optimizer<MuonRule>;
static_assert(Stateful<Muon>);

}  // namespace contrapunto
