// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "contrapunto/compress/pruning_masks.hpp"
#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/detail/named_tensors.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// The network that is left when masked units are taken out, with the values of the masks that are
/// not 1 multiplied into the weights.
struct PrunedModel {
  ModelConfig config = {};
  DualEncoder model = nullptr;
};

namespace detail {

/// Cuts the tensors of one tower to the units that are kept.
class TowerExtraction {
 public:
  explicit TowerExtraction(KeptUnits kept) : kept_(std::move(kept)) {}

  [[nodiscard]] const KeptUnits& kept() const { return kept_; }
  [[nodiscard]] bool owns(const std::string& name) const {
    return name.starts_with(kept_.units.prefix);
  }

  /// Returns whether the smaller tower has the tensor `name`: masks and the attention of a layer
  /// without heads are gone.
  [[nodiscard]] bool keeps(const std::string& name) const {
    if (name.ends_with("unit_mask")) return false;
    const bool attention =
        name.find(".attn.") != std::string::npos || name.find(".ln_1.") != std::string::npos;
    return !attention || kept_.heads[layer_of(name)].numel() > 0;
  }

  /// Returns `tensor`, named `name` in the DualEncoder, without the units that are removed. The
  /// values of the masks that the weight absorbs are multiplied to the power `power`.
  [[nodiscard]] at::Tensor operator()(const std::string& name, at::Tensor tensor,
                                      double power) const {
    const auto dtype = tensor.scalar_type();
    tensor = tensor.detach();
    for (const auto& cut : cuts_of(name)) {
      tensor = tensor.index_select(cut.dimension, cut.indices.to(tensor.device()));
      if (!cut.mask.defined()) continue;
      std::vector<std::int64_t> shape(static_cast<std::size_t>(tensor.dim()), 1);
      shape[static_cast<std::size_t>(cut.dimension)] = -1;
      const auto scale = cut.mask.index_select(0, cut.indices).to(at::kDouble).pow(power);
      tensor = tensor * scale.to(tensor.device(), at::promoteTypes(dtype, at::kFloat)).view(shape);
    }
    return tensor.to(dtype);
  }

  /// The layer in the name of a tensor of a block.
  [[nodiscard]] std::size_t layer_of(const std::string& name) const {
    return std::stoul(name.substr(kept_.units.prefix.size() + kBlocks.size()));
  }

 private:
  static constexpr std::string_view kBlocks = "transformer.resblocks.";

  struct Cut {
    std::int64_t dimension = 0;
    at::Tensor indices = {};
    at::Tensor mask = {};  // Undefined if the weight does not absorb it.
  };

  [[nodiscard]] std::vector<Cut> cuts_of(const std::string& name) const {
    const auto is = [&](std::string_view end) { return name.ends_with(end); };
    const auto stream = [&](std::int64_t d) { return Cut{d, kept_.width, kept_.width_mask}; };
    const auto reads_stream = [&](std::int64_t d) { return Cut{d, kept_.width, {}}; };
    // What is added to the residual stream absorbs its mask; norms read the stream.
    if (is("conv1.weight") || is("conv1.bias") || is("class_embedding")) return {stream(0)};
    if (is("positional_embedding") || is("token_embedding.weight")) return {stream(1)};
    if (name.find("ln_pre.") != std::string::npos || name.find("ln_post.") != std::string::npos ||
        name.find("ln_final.") != std::string::npos)
      return {stream(0)};
    if (is("proj") || is("text_projection")) return {reads_stream(0)};
    if (is("text_projection.weight")) return {reads_stream(1)};
    if (name.find(kBlocks) == std::string::npos) return {};

    const auto layer = layer_of(name);
    const auto& hidden = kept_.hidden[layer];
    if (is("attn.in_proj_weight")) return {{0, rows_of_heads(layer, 3), {}}, reads_stream(1)};
    if (is("attn.in_proj_bias")) return {{0, rows_of_heads(layer, 3), {}}};
    if (is("attn.out_proj.weight"))
      return {stream(0),
              {1, rows_of_heads(layer, 1),
               kept_.heads_mask[layer].repeat_interleave(kept_.units.head_width)}};
    if (is("mlp.c_fc.weight")) return {{0, hidden, {}}, reads_stream(1)};
    if (is("mlp.c_fc.bias")) return {{0, hidden, {}}};
    if (is("mlp.c_proj.weight")) return {stream(0), {1, hidden, kept_.hidden_mask[layer]}};
    if (is("attn.out_proj.bias") || is("mlp.c_proj.bias")) return {stream(0)};
    return {reads_stream(0)};  // ln_1 and ln_2.
  }

  /// Rows of the heads that are kept, in each of `copies` blocks of all heads.
  [[nodiscard]] at::Tensor rows_of_heads(std::size_t layer, std::int64_t copies) const {
    const auto numbers = kept_.units.head_width;
    const auto rows = (kept_.heads[layer].unsqueeze(1) * numbers + at::arange(numbers)).flatten();
    std::vector<at::Tensor> all;
    for (std::int64_t i = 0; i < copies; ++i)
      all.push_back(rows + i * kept_.units.heads[layer] * numbers);
    return at::cat(all);
  }

  KeptUnits kept_;
};

}  // namespace detail

/// Takes the units out that the present masks of `masks` remove: from a model, and from tensors
/// that belong to its parameters, such as an average or the moments of an optimizer. It copies the
/// masks, so it does not change when they do.
class Extraction {
 public:
  /// `config` is that of the model with the masks. Call PruningMasks::fix_() first.
  Extraction(const PruningMasks& masks, ModelConfig config) : config_(std::move(config)) {
    for (auto& kept : masks.kept()) towers_.emplace_back(std::move(kept));
    config_.name += "-pruned";
    for (const auto& tower : towers_) {
      const auto& kept = tower.kept();
      if (kept.units.prefix == "visual.")
        resize(std::get<VisionTransformerOptions>(config_.image), kept);
      else
        resize(config_.text, kept);
    }
  }

  /// The configuration of the smaller model. Its layers differ in heads and hidden units.
  [[nodiscard]] const ModelConfig& config() const { return config_; }

  /// Returns the smaller model, on the device and in the dtypes of `masked`. Its outputs are those
  /// of the masked model up to rounding.
  [[nodiscard]] DualEncoder model(const DualEncoder& masked) const {
    const at::NoGradGuard no_grad;
    auto smaller = make_dual_encoder(config_);
    const TensorMap source = tensors(detail::named_tensors(*masked));
    auto target = detail::named_tensors(*smaller);
    const char* failure = "Extraction: the masks belong to another model";
    detail::check_tensors(failure, target, source);
    for (auto& [name, tensor] : target)  // The device and dtype of each tensor of the model.
      tensor.set_data(at::empty_like(tensor, source.at(name).options()));
    detail::load_tensors(failure, target, source);
    smaller->train(masked->is_training());
    return smaller;
  }

  /// Returns the tensors of the smaller model from `all`, named as in the masked model, such as
  /// weights or their averages. Names that it does not have are left out.
  [[nodiscard]] TensorMap tensors(const TensorMap& all) const {
    const at::NoGradGuard no_grad;
    auto result = cut(all, 1.0);
    for (const auto& tower : towers_) fold_biases(tower, all, result);
    return result;
  }

  /// Returns the state of the average (Ema) of the smaller model from that of the masked model.
  [[nodiscard]] State averages(const State& state) const {
    return {tensors(state.tensors), state.scalars};
  }

  /// Returns the state of the optimizer of the smaller model from that of the masked model, which
  /// is an Optimizer or ShardedOptimizer with any rule of the library. A weight that absorbs a mask
  /// m becomes m times larger and its gradient 1 / m times, so means of gradients are divided by m
  /// and those of their squares by its square. Raises for another tensor of state.
  [[nodiscard]] State optimizer_state(const State& state) const {
    const at::NoGradGuard no_grad;
    State result;
    std::size_t known = 0;
    std::set<std::string> parameters;
    for (const auto& [prefix, power] :
         {std::pair{"exp_avg.", -1.0}, std::pair{"momentum_buffer.", -1.0},
          std::pair{"exp_avg_sq.", -2.0}}) {
      const auto found = with_prefix(state.tensors, prefix);
      known += found.size();
      for (auto& [name, tensor] : cut(found, power)) {
        result.tensors[prefix + name] = tensor;
        parameters.insert(name);
      }
    }
    const auto masters = with_prefix(state.tensors, "master.");
    for (auto& [name, tensor] : tensors(masters)) result.tensors["master." + name] = tensor;
    TORCH_CHECK(
        known + masters.size() == state.tensors.size(), "Extraction: the optimizer keeps ",
        state.tensors.size() - known - masters.size(),
        " tensors that are no means of gradients or of their squares, and it is not known how "
        "to take units out of them; use an optimizer of the library");
    for (const auto& [name, value] : state.scalars)
      if (parameters.contains(name.substr(std::string_view("step.").size())))
        result.scalars[name] = value;
    return result;
  }

  /// A line for each tower: what is kept of it.
  [[nodiscard]] std::vector<std::string> report() const {
    std::vector<std::string> lines;
    for (const auto& tower : towers_) {
      const auto& kept = tower.kept();
      const auto list = [](const std::vector<at::Tensor>& units) {
        std::string text;
        for (const auto& layer : units)
          text += (text.empty() ? "" : ", ") + std::to_string(layer.numel());
        return text;
      };
      lines.push_back((kept.units.prefix == "visual." ? "image: width " : "text: width ") +
                      std::to_string(kept.width.numel()) + " of " +
                      std::to_string(kept.units.width) + ", heads " + list(kept.heads) +
                      ", hidden units " + list(kept.hidden));
    }
    return lines;
  }

 private:
  template <class Options>
  static void resize(Options& options, const KeptUnits& kept) {
    options.width = kept.width.numel();
    options.head_width = kept.units.head_width;
    options.layer_heads.clear();
    options.layer_hidden.clear();
    for (const auto& heads : kept.heads) options.layer_heads.push_back(heads.numel());
    for (const auto& hidden : kept.hidden) options.layer_hidden.push_back(hidden.numel());
  }

  [[nodiscard]] static TensorMap with_prefix(const TensorMap& all, std::string_view prefix) {
    TensorMap found;
    for (const auto& [name, tensor] : all)
      if (name.starts_with(prefix)) found[name.substr(prefix.size())] = tensor;
    return found;
  }

  [[nodiscard]] TensorMap cut(const TensorMap& all, double power) const {
    TensorMap result;
    for (const auto& [name, tensor] : all) {
      const detail::TowerExtraction* owner = nullptr;
      for (const auto& tower : towers_)
        if (tower.owns(name)) owner = &tower;
      if (owner == nullptr)
        result[name] = tensor.detach();
      else if (owner->keeps(name))
        result[name] = (*owner)(name, tensor, power);
    }
    return result;
  }

  /// The output bias of an attention without heads still reaches the residual stream, so what was
  /// added to every token just before absorbs it.
  static void fold_biases(const detail::TowerExtraction& tower, const TensorMap& all,
                          TensorMap& result) {
    const auto& prefix = tower.kept().units.prefix;
    for (std::size_t i = 0; i < tower.kept().units.layers(); ++i) {
      const auto block = [&](std::size_t layer) {
        return prefix + "transformer.resblocks." + std::to_string(layer) + ".";
      };
      const auto name = block(i) + "attn.out_proj.bias";
      const auto bias = all.find(name);
      if (bias == all.end() || tower.keeps(name)) continue;
      auto into = prefix + "ln_pre.bias";
      if (i > 0)
        into = block(i - 1) + "mlp.c_proj.bias";
      else if (!result.contains(into))
        into = prefix + "positional_embedding";
      auto& target = result.at(into);
      target = target + tower(name, bias->second, 1.0).to(target.scalar_type());
    }
  }

  ModelConfig config_;
  std::vector<detail::TowerExtraction> towers_;
};

/// Returns the network that the present masks leave; see Extraction, which also converts averages
/// and the optimizer's state. Call `masks.fix_()` first.
[[nodiscard]] inline PrunedModel extract_pruned(const DualEncoder& model, const ModelConfig& config,
                                                const PruningMasks& masks) {
  const Extraction extraction(masks, config);
  return {extraction.config(), extraction.model(model)};
}

}  // namespace contrapunto
