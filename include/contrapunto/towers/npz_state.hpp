// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/detail/named_tensors.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/vision_transformer.hpp"

namespace contrapunto {

namespace detail {

/// How the axes of a tensor differ between a tower and Flax.
enum class NpzAxes {
  kSame,
  kPatches,    ///< [out, in, rows, columns] here, [rows, columns, in, out] there.
  kMatrix,     ///< [out, in] here, [in, out] there.
  kHeads,      ///< [heads * numbers, in] here, [in, heads, numbers] there.
  kHeadBias,   ///< [heads * numbers] here, [heads, numbers] there.
  kFromHeads,  ///< [out, heads * numbers] here, [heads, numbers, out] there.
  kToken,      ///< [width] here, [1, 1, width] there.
  kPositions   ///< [tokens, width] here, [1, tokens, width] there.
};

/// A tensor of a file, which is a tensor of a tower or one of the equal parts of it.
struct NpzTensor {
  std::string own, file;
  NpzAxes axes = NpzAxes::kSame;
  std::int64_t heads = 0;  ///< Of those axes that have heads.
  std::size_t part = 0, part_count = 1;
};

/// Returns the tensors of image towers that vision_transformer and big_vision have; the parts of
/// one tensor are next to each other.
inline std::vector<NpzTensor> npz_tensors(const VisionTransformerOptions& o, bool big_vision) {
  std::vector<NpzTensor> all;
  const auto norm = [&](const std::string& own, const std::string& file) {
    all.push_back({own + ".weight", file + "/scale"});
    all.push_back({own + ".bias", file + "/bias"});
  };
  const auto linear = [&](const std::string& own, const std::string& file) {
    all.push_back({own + ".weight", file + "/kernel", NpzAxes::kMatrix});
    all.push_back({own + ".bias", file + "/bias"});
  };
  const auto mlp = [&](const std::string& own, const std::string& file) {
    linear(own + ".c_fc", file + "/Dense_0");
    linear(own + ".c_proj", file + "/Dense_1");
  };
  const auto to_heads = [&](const std::string& weight, const std::string& bias,
                            const std::string& file, const std::vector<std::string>& parts,
                            std::int64_t heads) {
    for (std::size_t i = 0; i < parts.size(); ++i)
      all.push_back({weight, file + parts[i] + "/kernel", NpzAxes::kHeads, heads, i, parts.size()});
    for (std::size_t i = 0; i < parts.size(); ++i)
      all.push_back({bias, file + parts[i] + "/bias", NpzAxes::kHeadBias, heads, i, parts.size()});
  };
  const auto from_heads = [&](const std::string& own, const std::string& file, std::int64_t heads) {
    all.push_back({own + ".weight", file + "out/kernel", NpzAxes::kFromHeads, heads});
    all.push_back({own + ".bias", file + "out/bias"});
  };
  const std::string encoder = "Transformer/", pool = "MAPHead_0/";
  all.push_back({"conv1.weight", "embedding/kernel", NpzAxes::kPatches});
  all.push_back({"conv1.bias", "embedding/bias"});
  all.push_back({"class_embedding", "cls", NpzAxes::kToken});
  all.push_back({"positional_embedding",
                 big_vision ? "pos_embedding" : encoder + "posembed_input/pos_embedding",
                 NpzAxes::kPositions});
  for (std::int64_t i = 0; i < o.layers; ++i) {
    const auto own = "transformer.resblocks." + std::to_string(i) + ".";
    const auto file = encoder + "encoderblock_" + std::to_string(i) + "/";
    // vision_transformer counts the parts of a block together, big_vision those of each kind.
    const auto attention = file + "MultiHeadDotProductAttention_" + (big_vision ? "0/" : "1/");
    norm(own + "ln_1", file + "LayerNorm_0");
    to_heads(own + "attn.in_proj_weight", own + "attn.in_proj_bias", attention,
             {"query", "key", "value"}, o.heads_in(i));
    from_heads(own + "attn.out_proj", attention, o.heads_in(i));
    norm(own + "ln_2", file + (big_vision ? "LayerNorm_1" : "LayerNorm_2"));
    mlp(own + "mlp", file + (big_vision ? "MlpBlock_0" : "MlpBlock_3"));
  }
  norm("ln_post", encoder + "encoder_norm");
  const auto pool_heads = o.pool_heads > 0 ? o.pool_heads : o.heads;
  const auto attention = pool + "MultiHeadDotProductAttention_0/";
  all.push_back({"attn_pool.latent", pool + "probe"});
  to_heads("attn_pool.q.weight", "attn_pool.q.bias", attention, {"query"}, pool_heads);
  to_heads("attn_pool.kv.weight", "attn_pool.kv.bias", attention, {"key", "value"}, pool_heads);
  from_heads("attn_pool.proj", attention, pool_heads);
  norm("attn_pool.norm", pool + "LayerNorm_0");
  mlp("attn_pool.mlp", pool + "MlpBlock_0");
  linear("head", "head");
  return all;
}

/// Returns `tensor`, a tensor of a tower or a part of it, with the axes of a file.
inline at::Tensor to_npz_axes(const NpzTensor& entry, const at::Tensor& tensor) {
  switch (entry.axes) {
    case NpzAxes::kSame:
      return tensor;
    case NpzAxes::kPatches:
      return tensor.permute({2, 3, 1, 0});
    case NpzAxes::kMatrix:
      return tensor.t();
    case NpzAxes::kHeads:
      return tensor.t().reshape({tensor.size(1), entry.heads, -1});
    case NpzAxes::kHeadBias:
      return tensor.reshape({entry.heads, -1});
    case NpzAxes::kFromHeads:
      return tensor.t().reshape({entry.heads, -1, tensor.size(0)});
    case NpzAxes::kToken:
      return tensor.reshape({1, 1, -1});
    case NpzAxes::kPositions:
      return tensor.unsqueeze(0);
  }
  TORCH_INTERNAL_ASSERT(false, "unknown NpzAxes");
}

/// Returns `tensor`, which a file has, with the axes of a tower. What has another number of axes is
/// returned as it is. Raises for another number of heads, which the shapes here would not show.
inline at::Tensor from_npz_axes(const NpzTensor& entry, const at::Tensor& tensor,
                                const std::string& model_name) {
  const auto check_heads = [&](std::int64_t heads) {
    TORCH_CHECK(heads == entry.heads, "load_npz_state: these weights do not belong to '",
                model_name, "': '", entry.file, "' has ", heads, " heads, the tower has ",
                entry.heads);
  };
  const auto dim = tensor.dim();
  switch (entry.axes) {
    case NpzAxes::kSame:
      return tensor;
    case NpzAxes::kPatches:
      return dim == 4 ? tensor.permute({3, 2, 0, 1}) : tensor;
    case NpzAxes::kMatrix:
      return dim == 2 ? tensor.t() : tensor;
    case NpzAxes::kHeads:
      if (dim != 3) return tensor;
      check_heads(tensor.size(1));
      return tensor.flatten(1).t();
    case NpzAxes::kHeadBias:
      if (dim != 2) return tensor;
      check_heads(tensor.size(0));
      return tensor.flatten();
    case NpzAxes::kFromHeads:
      if (dim != 3) return tensor;
      check_heads(tensor.size(0));
      return tensor.flatten(0, 1).t();
    case NpzAxes::kToken:
      return dim == 3 && tensor.size(0) == 1 && tensor.size(1) == 1 ? tensor.flatten() : tensor;
    case NpzAxes::kPositions:
      return dim == 3 && tensor.size(0) == 1 ? tensor.squeeze(0) : tensor;
  }
  TORCH_INTERNAL_ASSERT(false, "unknown NpzAxes");
}

/// Returns the options of a tower that vision_transformer or big_vision could have trained. Raises
/// for one with parts that they do not have.
inline const VisionTransformerOptions& npz_options(const AnyTower& tower,
                                                   const std::string& model_name) {
  const auto* vit = tower->as<VisionTransformerImpl>();
  TORCH_CHECK(vit != nullptr, "npz_state: '", model_name, "' has no VisionTransformer ('",
              tower->name(), "'), so its weights have no names in big_vision");
  const auto& o = vit->options();
  const auto refuse = [&](bool wrong, const char* part) {
    TORCH_CHECK(!wrong, "npz_state: the tower of '", model_name, "' has ", part,
                ", which the models of vision_transformer and big_vision do not have");
  };
  refuse(o.stem != ImageStem::kPatches, "a stem of convolutions");
  refuse(!o.patch_bias, "patches without a bias");
  refuse(o.pre_norm, "a norm before the first block (pre_norm)");
  refuse(o.registers > 0, "registers");
  refuse(o.positions == ImagePositions::kNone, "no positions");
  refuse(o.rotary.kind != RotaryKind::kNone, "rotary embeddings");
  refuse(o.relative_bias != RelativeBiasKind::kNone, "relative positions");
  refuse(o.qkv_bias != AttentionBias::kAll, "attention without some of the biases (qkv_bias)");
  refuse(o.qk_norm || o.attention_norm, "norms inside of the attention");
  refuse(std::any_of(o.attention.begin(), o.attention.end(),
                     [](const AttentionKind& kind) { return kind != AttentionKind(); }),
         "attention that is not global");
  refuse(o.parts.attention || o.parts.mlp, "parts of your own");
  refuse(o.mlp != MlpKind::kPlain, "a gated MLP");
  refuse(o.block_order != BlockOrder::kSequential, "another order inside of the blocks");
  refuse(o.layer_scale.has_value(), "LayerScale");
  refuse(o.activation != Activation::kGelu, "another activation than GELU");
  refuse(!o.layer_heads.empty() || !o.layer_hidden.empty(), "layers that differ");
  refuse(o.pool == ImagePool::kSequence, "a sequence pool");
  refuse(o.norm_after_pool && o.pool != ImagePool::kClassToken, "a norm after the pool");
  refuse(o.projection && !o.projection_bias, "a projection without a bias");
  return o;
}

/// Returns what stands before the names of the image tower in `state`, or nothing if `state` has no
/// image tower of vision_transformer or big_vision.
inline std::optional<std::string> npz_prefix(const TensorMap& state) {
  for (const std::string prefix :
       {"", "params/", "opt/target/", "img/", "params/img/", "opt/target/img/"})
    if (state.contains(prefix + "embedding/kernel")) return prefix;
  return std::nullopt;
}

/// Returns the image tower in `state` with the names and axes of the tower of `o`, and everything
/// else in it under the names of the file.
inline TensorMap own_npz_state(const VisionTransformerOptions& o, const TensorMap& state,
                               const std::string& model_name) {
  const auto prefix = npz_prefix(state);
  TORCH_CHECK(prefix, "load_npz_state: these weights do not belong to '", model_name,
              "': there is no embedding/kernel among their ", state.size(),
              " tensors; they are not those of an image tower of vision_transformer or big_vision");
  TensorMap file;
  bool big_vision = false;
  const std::string layers = "Transformer/encoderblock/";  // Stacked, as nn.scan makes them.
  for (const auto& [key, tensor] : state) {
    if (!key.starts_with(*prefix)) continue;
    const auto name = key.substr(prefix->size());
    big_vision |= name.starts_with("Transformer/encoderblock") &&
                  name.find("/MultiHeadDotProductAttention_0/") != std::string::npos;
    if (!name.starts_with(layers) || tensor.dim() == 0) {
      file.emplace(name, tensor);
      continue;
    }
    for (std::int64_t i = 0; i < tensor.size(0); ++i)
      file.emplace(
          "Transformer/encoderblock_" + std::to_string(i) + "/" + name.substr(layers.size()),
          tensor.select(0, i));
  }
  TensorMap own;
  const auto entries = npz_tensors(o, big_vision);
  for (std::size_t i = 0; i < entries.size(); i += entries[i].part_count) {
    std::vector<at::Tensor> parts;
    for (std::size_t j = i; j < i + entries[i].part_count; ++j)
      if (const auto found = file.find(entries[j].file); found != file.end())
        parts.push_back(from_npz_axes(entries[j], found->second, model_name));
    // Equal parts only: others would be a whole of the right size with the wrong contents.
    if (parts.size() != entries[i].part_count ||
        !std::all_of(parts.begin(), parts.end(),
                     [&](const at::Tensor& part) { return part.sizes() == parts[0].sizes(); }))
      continue;
    for (std::size_t j = i; j < i + entries[i].part_count; ++j) file.erase(entries[j].file);
    own.emplace(entries[i].own, parts.size() == 1 ? parts[0] : at::cat(parts));
  }
  own.merge(file);
  return own;
}

/// Whether a tensor of own_npz_state() belongs to a classifier.
inline bool is_npz_classifier(const std::string& name) {
  return name == "head.weight" || name == "head.bias" || name.starts_with("pre_logits/");
}

}  // namespace detail

/// Returns the weights of an image tower with the names and axes of google-research's
/// vision_transformer: detached, contiguous and on their device. A tower with attention pooling,
/// fixed positions, or a class token without a position has those of big_vision instead, with
/// "params/" before them. Raises for a tower with parts that neither has, such as registers.
/// write_npz() writes the result.
[[nodiscard]] inline TensorMap npz_state(const AnyTower& tower) {
  const auto& o = detail::npz_options(tower, tower->name());
  const bool big_vision = o.pool == ImagePool::kAttention ||
                          o.positions == ImagePositions::kSinCos ||
                          (o.class_token && !o.prefix_positions);
  auto own = detail::named_tensors(*tower);
  TensorMap state;
  const std::string prefix = big_vision ? "params/" : "";
  for (const auto& entry : detail::npz_tensors(o, big_vision)) {
    const auto found = own.find(entry.own);
    if (found == own.end()) continue;
    const auto parts = found->second.detach().chunk(static_cast<std::int64_t>(entry.part_count));
    state.emplace(prefix + entry.file, detail::to_npz_axes(entry, parts[entry.part]).contiguous());
    if (entry.part + 1 == entry.part_count) own.erase(found);
  }
  TORCH_CHECK(own.empty(), "npz_state: the tensor '", own.empty() ? "" : own.begin()->first,
              "' of the tower has no name in vision_transformer and big_vision");
  return state;
}

/// Copies the image tower of a file of google-research's vision_transformer or big_vision (see
/// read_npz()) into `tower`, and converts the device and dtype. The names may begin with "params/"
/// or "opt/target/", and those of CLIP and LiT models with "img/", of which the other tower is left
/// out; layers may be stacked. The classifier (`head`, and `pre_logits` below it) is ignored unless
/// the tower has a `head`. Positions are resized (bicubic, antialiased). Raises before anything is
/// copied if names are missing, unexpected or of another shape, and lists them with the names of
/// the tower.
inline void load_npz_state(AnyTower& tower, const TensorMap& state,
                           const std::string& model_name = "this model") {
  const at::NoGradGuard no_grad;
  const auto& o = detail::npz_options(tower, model_name);
  auto given = detail::own_npz_state(o, state, model_name);
  const auto own = detail::named_tensors(*tower);
  if (!own.contains("head.weight"))
    std::erase_if(given, [](const auto& item) { return detail::is_npz_classifier(item.first); });
  for (auto& [name, tensor] : given)
    if (own.contains(name)) tensor = tower.fit_open_clip_tensor(name, tensor);
  detail::load_tensors("load_npz_state: these weights do not belong to '" + model_name + "'", own,
                       given);
}

}  // namespace contrapunto
