// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/matmul.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/parametrized_module.hpp"
#include "contrapunto/nn/positional_embedding.hpp"
#include "contrapunto/nn/transformer.hpp"
#include "contrapunto/towers/any_tower.hpp"

namespace contrapunto {

/// Which token becomes the feature of a text.
enum class TextPool {
  kEndToken,  ///< The token with the largest id, which is the end token of CLIP's tokenizer.
  kLast       ///< The token at the last position.
};

struct TextTransformerOptions {
  std::int64_t context_length = 77;
  std::int64_t vocab_size = 49408;
  std::int64_t width = 512;
  std::int64_t heads = 8;       ///< Must divide `width` unless `head_width` is set.
  std::int64_t head_width = 0;  ///< Numbers of each head; 0: width / heads.
  /// Heads of each layer; empty: `heads` in all of them. A layer with 0 heads has no attention.
  std::vector<std::int64_t> layer_heads = {};
  /// Width of the hidden layer of the MLP of each layer; empty: `hidden()` in all of them. An MLP
  /// of width 0 adds its bias.
  std::vector<std::int64_t> layer_hidden = {};
  std::int64_t layers = 12;
  double mlp_ratio = 4.0;
  std::int64_t output_dim = 512;
  Activation activation = Activation::kGelu;
  bool causal = true;  ///< Tokens attend only to themselves and to earlier tokens.
  TextPool pool = TextPool::kEndToken;
  bool projection_bias = false;  ///< Make the projection a Linear with bias instead of a matrix.
  double layer_norm_eps = 1e-5;
  /// Attention and MLP of each layer; see BlockParts. A custom attention for a causal tower must be
  /// causal too.
  BlockParts parts = {};

  /// Returns whether padding after the end token changes the feature. If it does not, texts may be
  /// trimmed after the end token of the longest text.
  [[nodiscard]] bool reads_padding() const { return !causal || pool != TextPool::kEndToken; }
  /// Width of the hidden layer of the MLP, where `layer_hidden` does not say otherwise.
  [[nodiscard]] std::int64_t hidden() const {
    return static_cast<std::int64_t>(static_cast<double>(width) * mlp_ratio);
  }
  /// Heads of layer `layer`, counted from 0.
  [[nodiscard]] std::int64_t heads_in(std::int64_t layer) const {
    return layer_heads.empty() ? heads : layer_heads.at(static_cast<std::size_t>(layer));
  }
  /// Width of the hidden layer of the MLP of layer `layer`.
  [[nodiscard]] std::int64_t hidden_in(std::int64_t layer) const {
    return layer_hidden.empty() ? hidden() : layer_hidden.at(static_cast<std::size_t>(layer));
  }
  /// Numbers of each head.
  [[nodiscard]] std::int64_t numbers_per_head() const {
    return head_width > 0 || heads == 0 ? head_width : width / heads;
  }
};

/// Text transformer with OpenCLIP's parameter names. The last block computes only the pooled token.
/// If the tokens are in host memory, nothing behind the longest text is computed.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
class TextTransformerImpl : public ParametrizedModule {
 public:
  /// `tensor_options` gives the dtype and device of the parameters; the meta device creates shapes
  /// only.
  explicit TextTransformerImpl(TextTransformerOptions options = {},
                               const at::TensorOptions& tensor_options = {})
      : o_(options) {
    const auto width = static_cast<double>(o_.width);
    const double scale = 1.0 / std::sqrt(width);
    const double residual_std = scale / std::sqrt(2.0 * static_cast<double>(o_.layers));
    token_embedding =
        register_module("token_embedding", std::make_shared<torch::nn::Module>("Embedding"));
    token_weight = token_embedding->register_parameter(
        "weight", detail::normal_tensor({o_.vocab_size, o_.width}, 0.02, tensor_options));
    positional_embedding = register_parameter(
        "positional_embedding",
        detail::normal_tensor({o_.context_length, o_.width}, 0.01, tensor_options));
    transformer = register_module(
        "transformer",
        Transformer(detail::layer_blocks("TextTransformer", o_.layers,
                                         ResidualAttentionBlockOptions{
                                             .attention = {.width = o_.width,
                                                           .heads = o_.heads,
                                                           .head_width = o_.head_width,
                                                           .causal = o_.causal,
                                                           .in_proj_std = scale,
                                                           .out_proj_std = residual_std},
                                             .mlp = {.width = o_.width,
                                                     .hidden = o_.hidden(),
                                                     .activation = o_.activation,
                                                     .c_fc_std = 1.0 / std::sqrt(2.0 * width),
                                                     .c_proj_std = residual_std},
                                             .layer_norm_eps = o_.layer_norm_eps},
                                         o_.layer_heads, o_.layer_hidden),
                    tensor_options, o_.parts));
    ln_final = register_module("ln_final", LayerNorm(o_.width, o_.layer_norm_eps, tensor_options));
    if (o_.projection_bias)
      projection =
          register_module("text_projection", Linear(LinearOptions{.in_features = o_.width,
                                                                  .out_features = o_.output_dim,
                                                                  .weight_std = scale,
                                                                  .zero_bias = true},
                                                    tensor_options));
    else
      text_projection =
          register_weight("text_projection",
                          detail::normal_tensor({o_.width, o_.output_dim}, scale, tensor_options));
  }

  /// Maps tokens int64 [B, L], 1 <= L <= context_length, to features [B, output_dim], which are not
  /// normalized. Raises for longer texts and, if the tower reads padding, for shorter ones. For
  /// tokens in host memory it also raises for ids outside [0, vocab_size).
  [[nodiscard]] at::Tensor forward(const at::Tensor& tokens) {
    check(tokens);
    return o_.reads_padding() ? encode(tokens) : encode(trim(tokens));
  }

  /// Returns the cost of one text of `tokens` tokens if every token passes through every layer. 0
  /// means context_length, which is also the upper limit.
  [[nodiscard]] ForwardCost cost(std::int64_t tokens = 0) const {
    const auto length = tokens > 0 ? std::min(tokens, o_.context_length) : o_.context_length;
    auto cost = transformer->cost({.columns = length});
    cost.macs += static_cast<double>(o_.width * o_.output_dim);
    return cost;
  }

  /// The embeddings, each block (the last one with `ln_final`), and the projection.
  [[nodiscard]] LockGroups lock_groups() const {
    LockGroups groups(1);
    for (std::int64_t i = 0; i < o_.layers; ++i)
      groups.push_back({"transformer.resblocks." + std::to_string(i)});
    groups.back().push_back("ln_final");
    groups.push_back({"text_projection"});
    return groups;
  }

  /// See activation_checkpoint.
  void checkpoint_activations(bool on) { transformer->checkpoint_activations(on); }

  /// Resizes position embeddings to this tower's context length.
  [[nodiscard]] at::Tensor fit_open_clip_tensor(const std::string& name,
                                                const at::Tensor& source) const {
    const bool fits = name != "positional_embedding" || source.dim() != 2 ||
                      source.size(1) != o_.width || source.size(0) == o_.context_length;
    return fits ? source : resize_text_positions(source, o_.context_length);
  }

  [[nodiscard]] const TextTransformerOptions& options() const { return o_; }

  std::shared_ptr<torch::nn::Module> token_embedding;
  at::Tensor token_weight;          ///< [vocab_size, width], `token_embedding.weight`.
  at::Tensor positional_embedding;  ///< [context_length, width]
  Transformer transformer = nullptr;
  LayerNorm ln_final = nullptr;
  at::Tensor text_projection;   ///< [width, output_dim]; undefined with `projection_bias`.
  Linear projection = nullptr;  ///< `text_projection` with `projection_bias`.

 private:
  void check(const at::Tensor& tokens) const {
    TORCH_CHECK(tokens.dim() == 2 && tokens.size(1) > 0 && tokens.scalar_type() == at::kLong,
                "TextTransformer: tokens are ", tokens.sizes(), " of ", tokens.scalar_type(),
                ", expected int64 [B, L] with L >= 1");
    TORCH_CHECK(
        tokens.size(1) <= o_.context_length, "TextTransformer: texts have ", tokens.size(1),
        " tokens, more than context_length (", o_.context_length,
        "); let the tokenizer truncate them, or build the tower with a longer context_length");
    TORCH_CHECK(!o_.reads_padding() || tokens.size(1) == o_.context_length,
                "TextTransformer: texts have ", tokens.size(1),
                " tokens, but this tower (causal = ", o_.causal,
                ") also reads padding, so they must have context_length (", o_.context_length,
                "); pad them and do not trim batches");
    // On a GPU this check would synchronize; the kernel's own assertion remains there.
    if (!tokens.is_cpu() || tokens.numel() == 0) return;
    const auto low = tokens.min().item<std::int64_t>();
    const auto high = tokens.max().item<std::int64_t>();
    TORCH_CHECK(low >= 0 && high < o_.vocab_size, "TextTransformer: token ids range from ", low,
                " to ", high, " but vocab_size is ", o_.vocab_size,
                "; use the tokenizer that belongs to this model");
  }

  /// Returns the rows of the token matrix [B * L, width] in the dtype of the blocks.
  at::Tensor embed(const at::Tensor& tokens) const {
    const auto dtype = transformer->dtype();
    return (at::embedding(token_weight, tokens).to(dtype) +
            positional_embedding.narrow(0, 0, tokens.size(1)).to(dtype))
        .flatten(0, 1);
  }

  at::Tensor project(const at::Tensor& pooled) {
    const auto x = ln_final(pooled);
    return o_.projection_bias ? projection(x) : at::matmul(x, effective_weight(text_projection));
  }

  /// Trims what is behind the end token of the longest text, if this is known without synchronizing
  /// with a device.
  static at::Tensor trim(const at::Tensor& tokens) {
    if (!tokens.is_cpu() || tokens.numel() == 0) return tokens;
    return tokens.narrow(1, 0, tokens.argmax(1).max().item<std::int64_t>() + 1);
  }

  at::Tensor encode(const at::Tensor& tokens) {
    const TokenGrid grid{.batch = tokens.size(0), .columns = tokens.size(1)};
    const auto first = at::arange(grid.batch, tokens.options()) * grid.length();
    const auto rows = first + (o_.pool == TextPool::kLast ? at::full_like(first, grid.length() - 1)
                                                          : tokens.argmax(1));
    return project(transformer->forward_once(embed(tokens), grid, rows));
  }

  TextTransformerOptions o_;
};
TORCH_MODULE(TextTransformer);

}  // namespace contrapunto
