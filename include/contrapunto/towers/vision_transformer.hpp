// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/nn/attention_kind.hpp"
#include "contrapunto/nn/attention_pool.hpp"
#include "contrapunto/nn/convolution_stem.hpp"
#include "contrapunto/nn/drop_path.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/parametrized_module.hpp"
#include "contrapunto/nn/patch_dropout.hpp"
#include "contrapunto/nn/patch_embedding.hpp"
#include "contrapunto/nn/positional_embedding.hpp"
#include "contrapunto/nn/sequence_pool.hpp"
#include "contrapunto/nn/transformer.hpp"
#include "contrapunto/towers/any_tower.hpp"

namespace contrapunto {

/// How the tokens of an image become one feature.
enum class ImagePool {
  kClassToken,  ///< The output of the class token.
  kAverage,     ///< The mean over the patches, without the class token.
  kAttention,   ///< AttentionPool over all tokens.
  kSequence     ///< SequencePool over all tokens.
};

/// How images become tokens.
enum class ImageStem {
  kPatches,      ///< PatchEmbedding.
  kConvolutions  ///< ConvolutionStem.
};

/// What is added to the tokens before the first block.
enum class ImagePositions {
  kLearned,  ///< A vector for each token, as in the original ViT.
  kSinCos,   ///< sincos_positions of the patches; nothing for other tokens.
  kNone
};

/// Distributions of new weights.
enum class VisionInitialization {
  kOpenClip,  ///< As in OpenCLIP's own tower: uniform Xavier, and N(0, 1 / width) for embeddings.
  kSigLip     ///< As in timm: N(0, 0.02^2) everywhere, and zero biases.
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
  bool pre_norm = true;          ///< Layer norm before the first block.
  bool patch_bias = false;       ///< Bias of the patch convolution.
  bool projection = true;        ///< Project from `width` to `output_dim` at the end.
  bool projection_bias = false;  ///< The projection is a linear layer with a bias, named `head`.
  double patch_dropout = 0.0;    ///< Fraction of patches dropped in training, in [0, 1).
  double layer_norm_eps = 1e-5;
  VisionInitialization initialization = VisionInitialization::kOpenClip;
  bool timm_names = false;  ///< Whether OpenCLIP keeps the tensors under timm's names.
  /// Attention of each layer; a shorter list is repeated, and the empty one is global attention.
  std::vector<AttentionKind> attention = {};
  ImageStem stem = ImageStem::kPatches;
  std::int64_t stem_layers = 2;     ///< kConvolutions only; each halves the sides.
  std::int64_t stem_channels = 64;  ///< kConvolutions only.
  ImagePositions positions = ImagePositions::kLearned;
  bool prefix_positions = true;  ///< kLearned: class token and registers have positions too.
  std::int64_t registers = 0;    ///< Learned tokens after the class token.
  RotaryOptions rotary = {};     ///< Of queries and keys, in every layer.
  RelativeBiasKind relative_bias = RelativeBiasKind::kNone;  ///< In every layer.
  AttentionBias qkv_bias = AttentionBias::kAll;
  bool qk_norm = false;         ///< Layer norm of queries and keys.
  bool attention_norm = false;  ///< Layer norm before the last projection of the attention.
  MlpKind mlp = MlpKind::kPlain;
  bool mlp_norm = false;  ///< Layer norm inside of a gated MLP.
  BlockOrder block_order = BlockOrder::kSequential;
  std::optional<double> layer_scale = std::nullopt;  ///< Initial factors of the branches.
  double drop_path = 0.0;        ///< Of the last layer; grows linearly from 0 in the first.
  std::int64_t pool_heads = 0;   ///< kAttention only; 0: `heads`.
  bool norm_after_pool = false;  ///< `ln_post` reads the pooled feature instead of the tokens.
  BlockParts parts = {};         ///< Attention and MLP of each layer; see BlockParts.

  /// Number of patches along one side, or of tokens of the convolutions.
  [[nodiscard]] std::int64_t grid() const { return grid_of(image_size); }
  /// The same for images of `size` pixels.
  [[nodiscard]] std::int64_t grid_of(std::int64_t size) const {
    if (stem == ImageStem::kPatches) return size / patch_size;
    return (size + (std::int64_t{1} << stem_layers) - 1) >> stem_layers;
  }
  /// Number of tokens before the patches.
  [[nodiscard]] std::int64_t prefix() const { return (class_token ? 1 : 0) + registers; }
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
    TORCH_CHECK(o_.registers >= 0, "VisionTransformer: registers (", o_.registers,
                ") must not be negative");
    check_patch_dropout();
    const bool siglip = o_.initialization == VisionInitialization::kSigLip;
    const double scale = 1.0 / std::sqrt(static_cast<double>(o_.width));
    const double siglip_std = 0.02;
    const auto matrix_std = siglip ? std::optional<double>(siglip_std) : std::nullopt;
    const double token_std = siglip ? siglip_std : scale;

    if (o_.stem == ImageStem::kPatches)
      conv1 = register_module(
          "conv1", PatchEmbedding(o_.patch_size, o_.width, o_.patch_bias, tensor_options));
    else
      stem = register_module(
          "stem", ConvolutionStem(o_.stem_layers, o_.stem_channels, o_.width, tensor_options));
    if (o_.class_token)
      class_embedding = register_parameter(
          "class_embedding", detail::normal_tensor({o_.width}, scale, tensor_options));
    if (o_.registers > 0)
      register_tokens = register_parameter(
          "register_tokens",
          detail::normal_tensor({o_.registers, o_.width}, token_std, tensor_options));
    if (o_.positions == ImagePositions::kLearned)
      positional_embedding = register_parameter(
          "positional_embedding",
          detail::normal_tensor({learned_prefix() + o_.grid() * o_.grid(), o_.width}, token_std,
                                tensor_options));
    if (o_.pre_norm)
      ln_pre = register_module("ln_pre", LayerNorm(o_.width, o_.layer_norm_eps, tensor_options));
    transformer =
        register_module("transformer", Transformer(blocks(matrix_std), tensor_options, o_.parts));
    ln_post = register_module("ln_post", LayerNorm(o_.width, o_.layer_norm_eps, tensor_options));
    if (o_.pool == ImagePool::kAttention)
      attn_pool = register_module(
          "attn_pool",
          AttentionPool(AttentionPoolOptions{.width = o_.width,
                                             .heads = o_.pool_heads > 0 ? o_.pool_heads : o_.heads,
                                             .hidden = o_.hidden(),
                                             .layer_norm_eps = o_.layer_norm_eps},
                        tensor_options));
    else if (o_.pool == ImagePool::kSequence)
      seq_pool = register_module("seq_pool", SequencePool(o_.width, matrix_std, tensor_options));
    if (o_.projection && o_.projection_bias)
      head = register_module("head", Linear(LinearOptions{.in_features = o_.width,
                                                          .out_features = o_.output_dim,
                                                          .weight_std = scale,
                                                          .zero_bias = true},
                                            tensor_options));
    else if (o_.projection)
      proj = register_weight(
          "proj", detail::normal_tensor({o_.width, o_.output_dim}, scale, tensor_options));
  }

  /// Maps normalized images [B, 3, image_size, image_size] of any floating dtype and memory format
  /// to features [B, output_dim], which are not normalized. Raises for another size, unless
  /// accept_images() was called with it, and for images that are not floating point.
  [[nodiscard]] at::Tensor forward(const at::Tensor& images) {
    TORCH_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == accepted_ &&
                    images.size(3) == accepted_,
                "VisionTransformer: images are ", images.sizes(), ", but this tower takes [B, 3, ",
                accepted_, ", ", accepted_,
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
      x = transformer(x, grid);
      x = o_.norm_after_pool ? ln_post(pooled(x, grid)) : pooled(ln_post(x), grid);
    }
    if (head) return head(x);
    return o_.projection ? at::matmul(x, effective_weight(proj)) : x;
  }

  /// Takes images of `image_size` pixels from now on, for a phase of a training, and returns the
  /// size before. No parameter changes: learned positions and tables of relative positions are
  /// resized in each forward, so that gradients reach them. Raises for a size without a patch.
  std::int64_t accept_images(std::int64_t image_size) {
    check_image_size(image_size);
    return std::exchange(accepted_, image_size);
  }

  /// Fits the tower to images of another size, between two trainings: learned positions
  /// (bicubic, antialiased) and tables of relative positions (bicubic) are resized and change their
  /// shapes, so call this before the optimizer is created. Rotary embeddings with a `trained_side`
  /// keep it. Raises for a size without a patch.
  void resize_images(std::int64_t image_size) {
    check_image_size(image_size);
    const at::NoGradGuard no_grad;
    o_.image_size = accepted_ = image_size;
    if (positional_embedding.defined()) positional_embedding.set_data(positions());
    for (auto& block : transformer->resblocks)
      if (auto* attention = block->attn ? block->attn->as<AttentionImpl>() : nullptr)
        attention->resize_plane(o_.grid(), o_.grid());
  }

  /// Returns the cost of one image, of the size that forward() takes, if every token passes through
  /// every layer.
  [[nodiscard]] ForwardCost cost(std::int64_t /*tokens*/ = 0) const {
    const auto width = static_cast<double>(o_.width);
    const auto tokens = token_grid(1, prefix() + grid() * grid());
    auto cost = transformer->cost(tokens);
    cost.macs += stem_macs();
    if (o_.pool == ImagePool::kAttention)
      cost.macs += static_cast<double>(tokens.length()) * 2.0 * width * (width + 1.0) +
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
    if (seq_pool) groups.back().push_back("seq_pool");
    if (o_.projection) groups.back().push_back(head ? "head" : "proj");
    return groups;
  }

  /// See activation_checkpoint.
  void checkpoint_activations(bool on) { transformer->checkpoint_activations(on); }

  /// Returns the same name, or timm's name with `timm_names`.
  [[nodiscard]] std::string open_clip_name(const std::string& name) const {
    if (!o_.timm_names) return name;
    // BEiT and timm's Eva, which has all models with rotary embeddings.
    const bool beit = o_.qkv_bias == AttentionBias::kNoKeys || o_.rotary.kind != RotaryKind::kNone;
    const std::pair<std::string, std::string> renamed[] = {
        {"positional_embedding", "pos_embed"},
        {"conv1.", "patch_embed.proj."},
        {"transformer.resblocks.", "blocks."},
        {"ln_1.", "norm1."},
        {"ln_2.", "norm2."},
        {"ln_pre.", "norm_pre."},
        {"ln_post.", o_.norm_after_pool ? "fc_norm." : "norm."},
        {"ls_1.gamma", beit ? "gamma_1" : "ls1.gamma"},
        {"ls_2.gamma", beit ? "gamma_2" : "ls2.gamma"},
        {"attn.in_proj_", "attn.qkv."},
        {"attn.out_proj.", "attn.proj."},
        {"attn.relative_bias.table", "attn.relative_position_bias_table"},
        {"mlp.c_fc.", "mlp.fc1."},
        {"mlp.c_proj.", "mlp.fc2."},
        {"class_embedding", "cls_token"},
        {"register_tokens", "reg_token"}};
    std::string timm = name;
    for (const auto& [ours, theirs] : renamed)
      if (const auto at = timm.find(ours); at != std::string::npos)
        timm.replace(at, ours.size(), theirs);
    return "trunk." + timm;
  }

  /// Resizes position embeddings to this tower's grid; timm's have a batch dimension.
  [[nodiscard]] at::Tensor fit_open_clip_tensor(const std::string& name,
                                                const at::Tensor& source) const {
    const bool token = name == "class_embedding" || name == "register_tokens";
    if (token && o_.timm_names && source.dim() == 3)
      return name == "class_embedding" ? source.flatten() : source.squeeze(0);
    if (name.ends_with("attn.relative_bias.table")) return fit_bias_table(name, source);
    if (name != "positional_embedding") return source;
    const auto positions = o_.timm_names && source.dim() == 3 ? source.squeeze(0) : source;
    if (positions.dim() != 2 || positions.sizes() == positional_embedding.sizes() ||
        positions.size(1) != o_.width)
      return positions;
    return resize_grid_positions(positions, learned_prefix(), o_.grid());
  }

  [[nodiscard]] const VisionTransformerOptions& options() const { return o_; }
  /// Number of tokens before the patches: the class token and the registers.
  [[nodiscard]] std::int64_t prefix() const { return o_.prefix(); }

  PatchEmbedding conv1 = nullptr;  ///< Empty with a stem of convolutions.
  ConvolutionStem stem = nullptr;  ///< Empty with patches.
  at::Tensor class_embedding;      ///< [width]; undefined without a class token.
  at::Tensor register_tokens;      ///< [registers, width]; undefined without registers.
  /// [prefix + grid^2, width], or [grid^2, width] without `prefix_positions`; undefined unless
  /// learned.
  at::Tensor positional_embedding;
  LayerNorm ln_pre = nullptr;
  Transformer transformer = nullptr;
  LayerNorm ln_post = nullptr;
  AttentionPool attn_pool = nullptr;
  SequencePool seq_pool = nullptr;
  at::Tensor proj;        ///< [width, output_dim]; undefined without a projection or with `head`.
  Linear head = nullptr;  ///< Empty unless the projection has a bias.

 private:
  /// Resizes the table of relative positions of a square plane or window to that of `name`.
  at::Tensor fit_bias_table(const std::string& name, const at::Tensor& source) const {
    const auto* own = named_parameters().find(name);
    if (own == nullptr || source.dim() != 2 || source.sizes() == own->sizes()) return source;
    const auto extra = prefix() > 0 ? 3 : 0;
    const auto side = [&](std::int64_t rows) {
      const auto across = std::llround(std::sqrt(static_cast<double>(rows - extra)));
      return across * across == rows - extra ? (across + 1) / 2 : 0;
    };
    const auto from = side(source.size(0)), to = side(own->size(0));
    if (from == 0 || to == 0) return source;
    return RelativeBiasImpl::resize_table(source, from, from, to, to);
  }

  void check_image_size(std::int64_t image_size) const {
    TORCH_CHECK(image_size >= o_.patch_size, "VisionTransformer: image_size (", image_size,
                ") must be at least patch_size (", o_.patch_size, ")");
  }

  /// Number of tokens along one side of the images that forward() takes.
  [[nodiscard]] std::int64_t grid() const { return o_.grid_of(accepted_); }

  /// The learned positions for these images.
  [[nodiscard]] at::Tensor positions() const {
    return resize_grid_positions(positional_embedding, learned_prefix(), grid());
  }

  /// Number of prefix tokens that have learned positions.
  [[nodiscard]] std::int64_t learned_prefix() const { return o_.prefix_positions ? prefix() : 0; }

  /// Patches that are dropped leave no plane, which windows and positions within it need.
  void check_patch_dropout() const {
    if (o_.patch_dropout == 0.0) return;
    bool needs_plane =
        o_.rotary.kind != RotaryKind::kNone || o_.relative_bias != RelativeBiasKind::kNone;
    for (const auto& kind : o_.attention)
      needs_plane |=
          kind.pattern == AttentionPattern::kWindow || kind.pattern == AttentionPattern::kFocused;
    TORCH_CHECK(
        !needs_plane,
        "VisionTransformer: patch_dropout leaves no plane of tokens, which windows, focused "
        "attention, rotary embeddings and relative biases need; set it to 0");
  }

  /// Returns the options of each block.
  [[nodiscard]] std::vector<ResidualAttentionBlockOptions> blocks(
      std::optional<double> matrix_std) const {
    const ResidualAttentionBlockOptions usual{
        .attention = {.width = o_.width,
                      .heads = o_.heads,
                      .head_width = o_.head_width,
                      .in_proj_std = matrix_std,
                      .out_proj_std = matrix_std,
                      .bias = o_.qkv_bias,
                      .qk_norm = o_.qk_norm,
                      .output_norm = o_.attention_norm,
                      .layer_norm_eps = o_.layer_norm_eps,
                      .rotary = o_.rotary,
                      .relative_bias = {.kind = o_.relative_bias,
                                        .rows = o_.grid(),
                                        .columns = o_.grid(),
                                        .prefix = prefix()}},
        .mlp = {.width = o_.width,
                .hidden = o_.hidden(),
                .activation = o_.activation,
                .c_fc_std = matrix_std,
                .c_proj_std = matrix_std,
                .zero_bias = matrix_std.has_value(),
                .kind = o_.mlp,
                .inner_norm = o_.mlp_norm},
        .layer_norm_eps = o_.layer_norm_eps,
        .order = o_.block_order,
        .layer_scale = o_.layer_scale};
    auto all = detail::layer_blocks("VisionTransformer", o_.layers, usual, o_.layer_heads,
                                    o_.layer_hidden);
    const auto rates = drop_path_rates(o_.layers, o_.drop_path);
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].drop_path = rates[i];
      if (!o_.attention.empty()) all[i].attention.kind = o_.attention[i % o_.attention.size()];
    }
    return all;
  }

  /// Returns the tokens with positions, after patch dropout: [B, L, width].
  at::Tensor embed(const at::Tensor& images) {
    auto x = (stem ? stem(images) : conv1(images)).view({images.size(0), -1, o_.width});
    const auto batch = x.size(0);
    if (o_.positions == ImagePositions::kSinCos)
      x = x + sincos_positions(grid(), grid(), o_.width, x.options().dtype(at::kFloat))
                  .to(x.scalar_type());
    else if (positional_embedding.defined() && !o_.prefix_positions)
      x = x + positions().to(x.scalar_type());
    std::vector<at::Tensor> tokens;
    const auto add_tokens = [&](const at::Tensor& rows) {
      tokens.push_back(rows.to(x.scalar_type()).expand({batch, rows.size(0), o_.width}));
    };
    if (o_.class_token) add_tokens(class_embedding.unsqueeze(0));
    if (o_.registers > 0) add_tokens(register_tokens);
    if (!tokens.empty()) {
      tokens.push_back(x);
      x = at::cat(tokens, 1);
    }
    if (positional_embedding.defined() && o_.prefix_positions)
      x = x + positions().to(x.scalar_type());
    return is_training() && o_.patch_dropout > 0.0 ? drop_patches(x, o_.patch_dropout, prefix())
                                                   : x;
  }

  /// Maps tokens [B * L, width] to [B, width], for every pool but the class token.
  at::Tensor pooled(const at::Tensor& x, const TokenGrid& grid) {
    if (o_.pool == ImagePool::kAttention) return attn_pool(x, grid);
    if (o_.pool == ImagePool::kSequence) return seq_pool(x, grid);
    return x.view({grid.batch, grid.length(), o_.width})
        .narrow(1, grid.prefix, grid.rows * grid.columns)
        .mean(1);
  }

  /// Multiply-adds of the stem for one image.
  [[nodiscard]] double stem_macs() const {
    const auto width = static_cast<double>(o_.width);
    if (o_.stem == ImageStem::kPatches)
      return static_cast<double>(grid() * grid()) * width * 3.0 *
             static_cast<double>(o_.patch_size * o_.patch_size);
    double macs = 0.0;
    for (std::int64_t i = 0; i < o_.stem_layers; ++i) {
      const auto side = static_cast<double>((accepted_ + (std::int64_t{1} << i) - 1) >> i);
      const auto in = static_cast<double>(i == 0 ? 3 : o_.stem_channels);
      const auto out = i + 1 == o_.stem_layers ? width : static_cast<double>(o_.stem_channels);
      macs += side * side * 9.0 * in * out;
    }
    return macs;
  }

  /// Returns the grid of `length` tokens. Fewer tokens than the full grid do not form a plane,
  /// because patches were dropped.
  TokenGrid token_grid(std::int64_t batch, std::int64_t length) const {
    if (length == prefix() + grid() * grid())
      return {.batch = batch, .rows = grid(), .columns = grid(), .prefix = prefix()};
    return {.batch = batch, .rows = 1, .columns = length - prefix(), .prefix = prefix()};
  }

  VisionTransformerOptions o_;
  std::int64_t accepted_ = o_.image_size;  // Pixels of the images that forward() takes.
};
TORCH_MODULE(VisionTransformer);

}  // namespace contrapunto
