// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <utility>

#include "contrapunto/autograd/recompute_scope.hpp"
#include "contrapunto/core/keeps_float32.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/nn/detail/batch_norm_over_ranks.hpp"

namespace contrapunto {

/// Batch norm over [B, C, H, W] with the names of torch.nn.BatchNorm2d. Parameters and statistics
/// stay in float32 when the model is converted to 16 bits. The output has the dtype of the input.
/// Reference: Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167
class BatchNormImpl : public torch::nn::Module, public KeepsFloat32 {
 public:
  static constexpr double kEps = 1e-5;  ///< Added to variances.

  /// `first_weight` is the initial value of every weight.
  explicit BatchNormImpl(std::int64_t channels, double first_weight = 1.0,
                         const at::TensorOptions& tensor_options = {}) {
    weight = register_parameter("weight", at::ones({channels}, tensor_options).mul_(first_weight));
    bias = register_parameter("bias", at::zeros({channels}, tensor_options));
    running_mean = register_buffer("running_mean", at::zeros({channels}, tensor_options));
    running_var = register_buffer("running_var", at::ones({channels}, tensor_options));
    num_batches_tracked =
        register_buffer("num_batches_tracked", at::zeros({}, tensor_options.dtype(at::kLong)));
  }

  /// In training, unless frozen, uses the statistics of the batch and updates the running
  /// statistics. If a forward is repeated (see is_recomputing()), the running statistics stay as
  /// the first run left them.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) {
    const bool learn = is_training() && !frozen_;
    const bool again = learn && is_recomputing();
    if (learn && !again) num_batches_tracked.add_(1);
    const auto dtype = running_mean.scalar_type();
    if (learn && ranks_.size() > 1) {
      const auto batch =
          detail::normalize_over_ranks(x, weight.to(dtype), bias.to(dtype), kEps, ranks_);
      if (!again) {
        running_mean.lerp_(batch.mean.to(dtype), kMomentum);
        running_var.lerp_(batch.unbiased_variance.to(dtype), kMomentum);
      }
      return batch.output;
    }
    return at::batch_norm(x, weight.to(dtype), bias.to(dtype), again ? at::Tensor() : running_mean,
                          again ? at::Tensor() : running_var, learn, kMomentum, kEps,
                          /*cudnn_enabled=*/true);
  }

  /// From now on uses and keeps the running statistics, even in training. It cannot be undone.
  void freeze_statistics() { frozen_ = true; }
  [[nodiscard]] bool frozen() const { return frozen_; }

  /// From now on the batch statistics are those of all ranks; see synchronize_batch_norm.
  void synchronize(Ranks ranks) { ranks_ = std::move(ranks); }
  [[nodiscard]] bool synchronized() const { return ranks_.size() > 1; }

  using torch::nn::Module::to;
  void to(at::Device device, at::ScalarType dtype, bool non_blocking = false) override {
    torch::nn::Module::to(device, non_blocking);
    to(dtype, non_blocking);
  }
  void to(at::ScalarType dtype, bool /*non_blocking*/ = false) override {
    // A running mean with 8 significant bits cannot follow updates of a tenth. The counter is never
    // a float.
    const auto kept = dtype == at::kHalf || dtype == at::kBFloat16 ? at::kFloat : dtype;
    for (auto* tensor : {&weight, &bias, &running_mean, &running_var})
      tensor->set_data(tensor->to(kept));
  }

  at::Tensor weight;               ///< [C]
  at::Tensor bias;                 ///< [C]
  at::Tensor running_mean;         ///< [C]
  at::Tensor running_var;          ///< [C], unbiased.
  at::Tensor num_batches_tracked;  ///< [], int64.

 private:
  static constexpr double kMomentum = 0.1;

  bool frozen_ = false;
  Ranks ranks_;
};
TORCH_MODULE(BatchNorm);

}  // namespace contrapunto
