// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "contrapunto/compress/unit_importance.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/nn/activation.hpp"
#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/mlp.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/open_clip_state.hpp"

namespace contrapunto {

/// The importance of the units of both towers; empty for a tower that is no transformer or through
/// which nothing was passed.
struct MeasuredImportance {
  UnitImportance image = {};
  UnitImportance text = {};
};

namespace detail {

/// The mean absolute value of each column, over all rows that were added.
class ColumnMeans {
 public:
  /// Adds the rows of `x` [N, columns].
  void add(const at::Tensor& x) {
    const auto sum = x.detach().abs().to(at::kDouble).sum(0).cpu();
    sum_ = sum_.defined() ? sum_ + sum : sum;
    rows_ += x.size(0);
  }
  [[nodiscard]] bool empty() const { return rows_ == 0; }
  [[nodiscard]] at::Tensor value() const { return sum_ / static_cast<double>(rows_); }

 private:
  at::Tensor sum_;
  std::int64_t rows_ = 0;
};

/// What is measured in a layer: inputs of the attention and of the MLP, outputs of the heads and of
/// the hidden units.
struct LayerMeans {
  ColumnMeans attention_input, heads, mlp_input, hidden;
};

class MeasuredAttentionImpl : public AttentionImpl {
 public:
  MeasuredAttentionImpl(AttentionOptions options, const at::TensorOptions& tensor_options,
                        std::shared_ptr<LayerMeans> means)
      : AttentionImpl(options, tensor_options), o_(options), means_(std::move(means)) {}

  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    means_->attention_input.add(x);
    const auto projected = at::linear(x, effective_weight(in_proj_weight), in_proj_bias);
    const auto mixed = attend(
        projected.view({grid.batch, grid.length(), 3, o_.heads, o_.inner() / o_.heads}), o_.causal);
    const auto tokens = mixed.view({grid.batch * grid.length(), o_.heads, -1});
    means_->heads.add(tokens.abs().mean(2));
    return out_proj(tokens.flatten(1));
  }

  /// Computes all rows, so that the heads are measured on every token in the last layer too.
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& x, const TokenGrid& grid,
                                        const at::Tensor& rows) {
    return forward(x, grid).index_select(0, rows);
  }

 private:
  AttentionOptions o_;
  std::shared_ptr<LayerMeans> means_;
};
TORCH_MODULE(MeasuredAttention);

class MeasuredMlpImpl : public MlpImpl {
 public:
  MeasuredMlpImpl(MlpOptions options, const at::TensorOptions& tensor_options,
                  std::shared_ptr<LayerMeans> means)
      : MlpImpl(options, tensor_options),
        activation_(options.activation),
        means_(std::move(means)) {}

  [[nodiscard]] at::Tensor forward(const at::Tensor& x) {
    const auto hidden = activate(c_fc(x), activation_);
    means_->mlp_input.add(x);
    means_->hidden.add(hidden);
    return c_proj(hidden);
  }

 private:
  Activation activation_;
  std::shared_ptr<LayerMeans> means_;
};
TORCH_MODULE(MeasuredMlp);

using TowerMeans = std::vector<std::shared_ptr<LayerMeans>>;

/// Makes the layers of a transformer with the options `o` measure, and returns what they measure.
template <class TransformerOptions>
TowerMeans measure_layers(TransformerOptions& o) {
  TowerMeans means;
  for (std::int64_t i = 0; i < o.layers; ++i) means.push_back(std::make_shared<LayerMeans>());
  o.parts.attention = [means](std::int64_t layer, const AttentionOptions& usual,
                              const at::TensorOptions& tensor_options) -> AnyAttention {
    return MeasuredAttention(usual, tensor_options, means[static_cast<std::size_t>(layer)]);
  };
  o.parts.mlp = [means](std::int64_t layer, const MlpOptions& usual,
                        const at::TensorOptions& tensor_options) -> AnyMlp {
    return MeasuredMlp(usual, tensor_options, means[static_cast<std::size_t>(layer)]);
  };
  return means;
}

inline UnitImportance importance_of(const TowerMeans& means) {
  UnitImportance importance;
  if (means.empty() || means.front()->hidden.empty()) return importance;
  for (const auto& layer : means) {
    importance.hidden.push_back(layer->hidden.value());
    importance.width.push_back(layer->mlp_input.value());
    importance.heads.emplace_back(at::empty({0}, at::kDouble));
    if (layer->heads.empty()) continue;  // A layer without attention.
    importance.heads.back() = layer->heads.value();
    importance.width.back() += layer->attention_input.value();
  }
  return importance;
}

}  // namespace detail

/// Measures which units of a source of weights are active: the mean absolute value of each hidden
/// unit of an MLP and of the outputs of each head, and for the residual stream that of the normed
/// inputs of attention and MLP. `weights` are OpenCLIP weights of the model of `config`. `run`
/// receives this model in evaluation mode, on the CPU, and passes some batches through it with
/// encode_image and encode_text; a few hundred samples are enough. It may move the model to another
/// device first. Every token that a layer computes counts, also padding inside a batch of texts.
/// Raises as load_open_clip_state() does.
/// Reference: Muralidharan et al. 2024, https://arxiv.org/abs/2407.14679
[[nodiscard]] inline MeasuredImportance measure_importance(
    ModelConfig config, TensorMap weights, const std::function<void(DualEncoder&)>& run) {
  const at::NoGradGuard no_grad;
  detail::TowerMeans image;
  if (auto* vit = std::get_if<VisionTransformerOptions>(&config.image))
    image = detail::measure_layers(*vit);
  const auto text = detail::measure_layers(config.text);
  auto model = make_dual_encoder(config);
  load_open_clip_state(model, config, std::move(weights));
  model->eval();
  run(model);
  return {detail::importance_of(image), detail::importance_of(text)};
}

}  // namespace contrapunto
