// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/nn/attention_pool.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/parametrized_module.hpp"
#include "contrapunto/nn/patch_dropout.hpp"
#include "contrapunto/nn/patch_embedding.hpp"
#include "contrapunto/nn/positional_embedding.hpp"
#include "contrapunto/nn/transformer.hpp"
#include "contrapunto/towers/any_tower.hpp"

namespace contrapunto {

/// How the tokens of an image become one feature.
enum class ImagePool {
  kClassToken,  ///< The output of the class token.
  kAverage,     ///< The mean over the patches, without the class token.
  kAttention    ///< AttentionPool over all tokens, with `heads` heads.
};

/// Distributions of new weights.
enum class VisionInitialization {
  kOpenClip,  ///< As in OpenCLIP's own tower: uniform Xavier, and N(0, 1 / width) for embeddings.
  kSigLip     ///< As in timm's SigLIP tower: N(0, 0.02^2) everywhere, and zero biases.
};

struct VisionTransformerOptions {
  std::int64_t image_size = 224;  ///< Height and width in pixels.
  std::int64_t patch_size = 32;   ///< Height and width in pixels.
  std::int64_t width = 768;
  std::int64_t layers = 12;
  std::int64_t heads = 12;      ///< Must divide `width` unless `head_width` is set.
  std::int64_t head_width = 0;  ///< Numbers of each head; 0: width / heads.
  /// Heads of each layer; empty: `heads` in all of them. A layer with 0 heads has no attention.
  std::vector<std::int64_t> layer_heads = {};
  /// Width of the hidden layer of the MLP of each layer; empty: `hidden()` in all of them. An MLP
  /// of width 0 adds its bias.
  std::vector<std::int64_t> layer_hidden = {};
  double mlp_ratio = 4.0;
  std::int64_t output_dim = 512;  ///< Ignored without `projection`.
  Activation activation = Activation::kGelu;
  ImagePool pool = ImagePool::kClassToken;
  bool class_token = true;
  bool pre_norm = true;        ///< Layer norm before the first block.
  bool patch_bias = false;     ///< Bias of the patch convolution.
  bool projection = true;      ///< Project from `width` to `output_dim` at the end.
  double patch_dropout = 0.0;  ///< Fraction of patches dropped in training, in [0, 1).
  double layer_norm_eps = 1e-5;
  VisionInitialization initialization = VisionInitialization::kOpenClip;
  bool timm_names = false;  ///< Whether OpenCLIP keeps the tensors under timm's names.
  BlockParts parts = {};    ///< Attention and MLP of each layer; see BlockParts.

  /// Number of patches along one side.
  [[nodiscard]] std::int64_t grid() const { return image_size / patch_size; }
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

/// Vision transformer with OpenCLIP's parameter names. It computes only what reaches the output: if
/// the class token is pooled, the last block computes its query and MLP for that token alone.
/// Reference: Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929
class VisionTransformerImpl : public ParametrizedModule {
 public:
  /// Raises for options that contradict each other. `tensor_options` gives the dtype and device of
  /// the parameters; the meta device creates shapes only.
  explicit VisionTransformerImpl(VisionTransformerOptions options = {},
                                 const at::TensorOptions& tensor_options = {})
      : o_(options) {
    TORCH_CHECK(o_.patch_size > 0 && o_.image_size >= o_.patch_size,
                "VisionTransformer: image_size (", o_.image_size, ") must be at least patch_size (",
                o_.patch_size, ")");
    TORCH_CHECK(o_.class_token || o_.pool != ImagePool::kClassToken,
                "VisionTransformer: pool is kClassToken but class_token is false; use kAverage or "
                "kAttention");
    TORCH_CHECK(o_.patch_dropout >= 0.0 && o_.patch_dropout < 1.0,
                "VisionTransformer: patch_dropout (", o_.patch_dropout, ") must be in [0, 1)");
    const bool siglip = o_.initialization == VisionInitialization::kSigLip;
    const double scale = 1.0 / std::sqrt(static_cast<double>(o_.width));
    const double siglip_std = 0.02;
    const auto matrix_std = siglip ? std::optional<double>(siglip_std) : std::nullopt;

    conv1 = register_module("conv1",
                            PatchEmbedding(o_.patch_size, o_.width, o_.patch_bias, tensor_options));
    if (o_.class_token)
      class_embedding = register_parameter(
          "class_embedding", detail::normal_tensor({o_.width}, scale, tensor_options));
    positional_embedding = register_parameter(
        "positional_embedding", detail::normal_tensor({prefix() + o_.grid() * o_.grid(), o_.width},
                                                      siglip ? siglip_std : scale, tensor_options));
    if (o_.pre_norm)
      ln_pre = register_module("ln_pre", LayerNorm(o_.width, o_.layer_norm_eps, tensor_options));
    transformer = register_module(
        "transformer",
        Transformer(detail::layer_blocks(
                        "VisionTransformer", o_.layers,
                        ResidualAttentionBlockOptions{.attention = {.width = o_.width,
                                                                    .heads = o_.heads,
                                                                    .head_width = o_.head_width,
                                                                    .in_proj_std = matrix_std,
                                                                    .out_proj_std = matrix_std},
                                                      .mlp = {.width = o_.width,
                                                              .hidden = o_.hidden(),
                                                              .activation = o_.activation,
                                                              .c_fc_std = matrix_std,
                                                              .c_proj_std = matrix_std,
                                                              .zero_bias = siglip},
                                                      .layer_norm_eps = o_.layer_norm_eps},
                        o_.layer_heads, o_.layer_hidden),
                    tensor_options, o_.parts));
    ln_post = register_module("ln_post", LayerNorm(o_.width, o_.layer_norm_eps, tensor_options));
    if (o_.pool == ImagePool::kAttention)
      attn_pool = register_module(
          "attn_pool", AttentionPool(AttentionPoolOptions{.width = o_.width,
                                                          .heads = o_.heads,
                                                          .hidden = o_.hidden(),
                                                          .layer_norm_eps = o_.layer_norm_eps},
                                     tensor_options));
    if (o_.projection)
      proj = register_weight(
          "proj", detail::normal_tensor({o_.width, o_.output_dim}, scale, tensor_options));
  }

  /// Maps normalized images [B, 3, image_size, image_size] of any floating dtype and memory format
  /// to features [B, output_dim], which are not normalized. Raises for another size and for images
  /// that are not floating point.
  [[nodiscard]] at::Tensor forward(const at::Tensor& images) {
    TORCH_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == o_.image_size &&
                    images.size(3) == o_.image_size,
                "VisionTransformer: images are ", images.sizes(), ", but this tower takes [B, 3, ",
                o_.image_size, ", ", o_.image_size,
                "]; resize them, or build the tower with another image_size (loading resizes its "
                "positions)");
    TORCH_CHECK(images.is_floating_point(), "VisionTransformer: images are ", images.scalar_type(),
                ", not floating point; normalize them first with normalize_images()");
    auto x = embed(images);
    const auto grid = token_grid(images.size(0), x.size(1));
    x = x.flatten(0, 1);
    if (o_.pre_norm) x = ln_pre(x);

    if (o_.pool == ImagePool::kClassToken) {
      const auto rows = at::arange(grid.batch, x.options().dtype(at::kLong)) * grid.length();
      x = ln_post(transformer->forward_once(x, grid, rows));
    } else {
      x = ln_post(transformer(x, grid));
      x = o_.pool == ImagePool::kAttention ? attn_pool(x, grid)
                                           : x.view({grid.batch, grid.length(), o_.width})
                                                 .narrow(1, grid.prefix, grid.rows * grid.columns)
                                                 .mean(1);
    }
    return o_.projection ? at::matmul(x, effective_weight(proj)) : x;
  }

  /// Returns the cost of one image if every token passes through every layer.
  [[nodiscard]] ForwardCost cost(std::int64_t /*tokens*/ = 0) const {
    const auto width = static_cast<double>(o_.width);
    const auto patches = static_cast<double>(o_.grid() * o_.grid());
    const auto grid = token_grid(1, prefix() + o_.grid() * o_.grid());
    auto cost = transformer->cost(grid);
    cost.macs += patches * width * 3.0 * static_cast<double>(o_.patch_size * o_.patch_size);
    if (o_.pool == ImagePool::kAttention)
      cost.macs += static_cast<double>(grid.length()) * 2.0 * width * (width + 1.0) +
                   2.0 * width * (width + static_cast<double>(o_.hidden()));
    if (o_.projection) cost.macs += width * static_cast<double>(o_.output_dim);
    return cost;
  }

  /// The stem, each block (the last one with `ln_post`), and the head (attention pool, `proj`).
  [[nodiscard]] LockGroups lock_groups() const {
    LockGroups groups(1);
    for (std::int64_t i = 0; i < o_.layers; ++i)
      groups.push_back({"transformer.resblocks." + std::to_string(i)});
    groups.back().push_back("ln_post");
    groups.emplace_back();
    if (attn_pool) groups.back().push_back("attn_pool");
    if (o_.projection) groups.back().push_back("proj");
    return groups;
  }

  /// See activation_checkpoint.
  void checkpoint_activations(bool on) { transformer->checkpoint_activations(on); }

  /// Returns the same name, or timm's name with `timm_names`.
  [[nodiscard]] std::string open_clip_name(const std::string& name) const {
    if (!o_.timm_names) return name;
    static const std::array<std::pair<std::string, std::string>, 11> renamed{
        {{"positional_embedding", "pos_embed"},
         {"conv1.", "patch_embed.proj."},
         {"transformer.resblocks.", "blocks."},
         {"ln_1.", "norm1."},
         {"ln_2.", "norm2."},
         {"ln_post.", "norm."},
         {"attn.in_proj_", "attn.qkv."},
         {"attn.out_proj.", "attn.proj."},
         {"mlp.c_fc.", "mlp.fc1."},
         {"mlp.c_proj.", "mlp.fc2."},
         {"class_embedding", "cls_token"}}};
    std::string timm = name;
    for (const auto& [ours, theirs] : renamed)
      if (const auto at = timm.find(ours); at != std::string::npos)
        timm.replace(at, ours.size(), theirs);
    return "trunk." + timm;
  }

  /// Resizes position embeddings to this tower's grid; timm's have a batch dimension.
  [[nodiscard]] at::Tensor fit_open_clip_tensor(const std::string& name,
                                                const at::Tensor& source) const {
    if (name != "positional_embedding") return source;
    const auto positions = o_.timm_names && source.dim() == 3 ? source.squeeze(0) : source;
    if (positions.dim() != 2 || positions.sizes() == positional_embedding.sizes() ||
        positions.size(1) != o_.width)
      return positions;
    return resize_grid_positions(positions, prefix(), o_.grid());
  }

  [[nodiscard]] const VisionTransformerOptions& options() const { return o_; }
  /// Number of tokens before the patches: 1 with a class token, otherwise 0.
  [[nodiscard]] std::int64_t prefix() const { return o_.class_token ? 1 : 0; }

  PatchEmbedding conv1 = nullptr;
  at::Tensor class_embedding;       ///< [width]; undefined without a class token.
  at::Tensor positional_embedding;  ///< [prefix + grid^2, width]
  LayerNorm ln_pre = nullptr;
  Transformer transformer = nullptr;
  LayerNorm ln_post = nullptr;
  AttentionPool attn_pool = nullptr;
  at::Tensor proj;  ///< [width, output_dim]; undefined without a projection.

 private:
  /// Returns the tokens with positions, after patch dropout: [B, L, width].
  at::Tensor embed(const at::Tensor& images) {
    auto x = conv1(images).view({images.size(0), -1, o_.width});
    if (o_.class_token)
      x = at::cat({class_embedding.to(x.scalar_type()).expand({x.size(0), 1, o_.width}), x}, 1);
    x = x + positional_embedding.to(x.scalar_type());
    return is_training() && o_.patch_dropout > 0.0 ? drop_patches(x, o_.patch_dropout, prefix())
                                                   : x;
  }

  /// Returns the grid of `length` tokens. Fewer tokens than the full grid do not form a plane,
  /// because patches were dropped.
  TokenGrid token_grid(std::int64_t batch, std::int64_t length) const {
    if (length == prefix() + o_.grid() * o_.grid())
      return {.batch = batch, .rows = o_.grid(), .columns = o_.grid(), .prefix = prefix()};
    return {.batch = batch, .rows = 1, .columns = length - prefix(), .prefix = prefix()};
  }

  VisionTransformerOptions o_;
};
TORCH_MODULE(VisionTransformer);

}  // namespace contrapunto
