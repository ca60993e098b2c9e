// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "contrapunto/core/state.hpp"
#include "contrapunto/io/read_weights.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/open_clip_state.hpp"

namespace contrapunto {

/// Which layers of a deep tower a shallower one inherits.
enum class LayerRule {
  /// Layer i inherits layer i * floor(L / l) of L layers, as in TinyCLIP: 12 to 6 takes 0, 2, 4, 6,
  /// 8, 10, and 12 to 9 takes 0 to 8.
  kTinyClip,
  /// l layers at equal distances, with the first and the last one: 12 to 6 takes 0, 2, 4, 7, 9, 11.
  kEven,
};

/// Which units of a wide tower a narrower one inherits.
enum class UnitRule {
  kLeading,    ///< The first ones, as in TinyCLIP.
  kMagnitude,  ///< Those with the largest sum of squared weights, in their order.
};

struct InheritOptions {
  bool image = true;  ///< Inherit the image tower.
  bool text = true;   ///< Inherit the text tower, and the scale.
  LayerRule layers = LayerRule::kTinyClip;
  std::vector<std::int64_t> image_layers = {};  ///< Layers to inherit; overrides `layers`. Only for
                                                ///< vision transformers.
  std::vector<std::int64_t> text_layers = {};
  UnitRule units = UnitRule::kLeading;  ///< Of transformers; a ResNet inherits leading channels.
};

/// Returns the layers that a tower of `to` layers inherits from one of `from` layers. Raises if
/// there are not enough.
[[nodiscard]] inline std::vector<std::int64_t> inherited_layers(std::int64_t from, std::int64_t to,
                                                                LayerRule rule) {
  TORCH_CHECK(0 < to && to <= from, "inherited_layers: ", to, " layers cannot be inherited from ",
              from);
  std::vector<std::int64_t> layers;
  for (std::int64_t i = 0; i < to; ++i)
    layers.push_back(rule == LayerRule::kTinyClip ? i * (from / to)
                     : to == 1                    ? 0
                               : (2 * i * (from - 1) + (to - 1)) / (2 * (to - 1)));
  return layers;
}

namespace detail {

/// The parts of a CLIP transformer that determine its shapes.
struct TransformerShape {
  std::int64_t width, head_width;
  std::vector<std::int64_t> heads, hidden;  ///< Of each layer.
  Activation activation;

  template <class TransformerOptions>
  explicit TransformerShape(const TransformerOptions& o)
      : width(o.width), head_width(o.numbers_per_head()), activation(o.activation) {
    for (std::int64_t i = 0; i < o.layers; ++i) {
      heads.push_back(o.heads_in(i));
      hidden.push_back(o.hidden_in(i));
    }
  }
  [[nodiscard]] std::int64_t layers() const { return std::ssize(heads); }
};

inline std::string list_of(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const auto number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

/// Returns the number that all layers share, or the numbers of all layers in parentheses.
inline std::string list_of_layers(const std::vector<std::int64_t>& numbers) {
  const bool alike = std::all_of(numbers.begin(), numbers.end(),
                                 [&](std::int64_t number) { return number == numbers.front(); });
  return alike ? std::to_string(numbers.front()) : "(" + list_of(numbers) + ")";
}

/// Returns the `count` units with the largest `importance`, in their order.
inline at::Tensor largest_units(const at::Tensor& importance, std::int64_t count) {
  return std::get<0>(std::get<1>(importance.topk(count)).sort());
}

/// Selects the weights of one transformer, whose OpenCLIP names begin with `prefix`.
class TransformerInheritance {
 public:
  TransformerInheritance(const TensorMap& source, std::string prefix, const TransformerShape& from,
                         const TransformerShape& to, const std::vector<std::int64_t>& layers,
                         UnitRule rule)
      : source_(source), prefix_(std::move(prefix)), from_(from), to_(to), layers_(layers) {
    TORCH_CHECK(from.head_width == to.head_width, "inherit_weights: the heads of '", prefix_,
                "' have ", to.head_width, " numbers and those of the source ", from.head_width,
                "; heads are inherited whole, so choose width and heads with the same quotient");
    TORCH_CHECK(to.width <= from.width, "inherit_weights: '", prefix_, "' is wider (", to.width,
                ") than the source (", from.width, ")");
    for (std::size_t i = 0; i < layers.size(); ++i) {
      TORCH_CHECK(0 <= layers[i] && layers[i] < from.layers(), "inherit_weights: layer ", layers[i],
                  " of '", prefix_, "' does not exist; the source has ", from.layers());
      const auto theirs = static_cast<std::size_t>(layers[i]);
      TORCH_CHECK(to.heads[i] <= from.heads[theirs] && to.hidden[i] <= from.hidden[theirs],
                  "inherit_weights: layer ", i, " of '", prefix_, "' is wider (", to.heads[i],
                  " heads, MLP ", to.hidden[i], ") than layer ", theirs, " of the source (",
                  from.heads[theirs], " heads, MLP ", from.hidden[theirs], ")");
    }
    choose_units(rule);
  }

  /// Returns the source of the tensor `name` of the student, cut to its shape.
  [[nodiscard]] at::Tensor operator()(const std::string& name) const {
    auto own = name.substr(prefix_.size());
    std::size_t layer = 0;
    if (const auto at = own.find(kBlocks); at != std::string::npos) {
      const auto begin = at + kBlocks.size();
      const auto end = own.find('.', begin);
      layer = std::stoul(own.substr(begin, end - begin));
      own = own.substr(0, begin) + std::to_string(layers_[layer]) + own.substr(end);
    }
    auto tensor = find(own);
    for (std::int64_t d = 0; d < tensor.dim(); ++d)
      if (const auto units = units_of(own, d, layer); units.defined())
        tensor = tensor.index_select(d, units.to(tensor.device()));
    return tensor;
  }

 private:
  static constexpr std::string_view kBlocks = "transformer.resblocks.";

  [[nodiscard]] const at::Tensor& find(const std::string& own) const {
    const auto found = source_.find(prefix_ + own);
    TORCH_CHECK(found != source_.end(), "inherit_weights: the source has no tensor '", prefix_, own,
                "'; the towers must be of the same kind");
    return found->second;
  }

  /// Units of dimension `d` that are inherited; undefined for a dimension that is kept whole.
  [[nodiscard]] at::Tensor units_of(const std::string& own, std::int64_t d,
                                    std::size_t layer) const {
    const auto is = [&](const char* end) { return own.ends_with(end); };
    const auto rows_of_heads = [&](std::int64_t copies) {
      const auto width = from_.head_width;
      const auto inner = from_.heads[static_cast<std::size_t>(layers_[layer])] * width;
      const auto rows = (heads_[layer].unsqueeze(1) * width + at::arange(width)).flatten();
      std::vector<at::Tensor> all;
      for (std::int64_t i = 0; i < copies; ++i) all.push_back(rows + i * inner);
      return at::cat(all);
    };
    if (is("attn.in_proj_weight") || is("attn.in_proj_bias"))
      return d == 0 ? rows_of_heads(3) : width_;
    if (is("attn.out_proj.weight")) return d == 0 ? width_ : rows_of_heads(1);
    if (is("mlp.c_fc.weight") || is("mlp.c_fc.bias")) return d == 0 ? hidden_[layer] : width_;
    if (is("mlp.c_proj.weight")) return d == 0 ? width_ : hidden_[layer];
    if (is("positional_embedding") || is("token_embedding.weight"))
      return d == 1 ? width_ : at::Tensor();
    if (is("conv1.weight") || is("proj") || is("text_projection"))
      return d == 0 ? width_ : at::Tensor();
    return width_;  // Class embedding, layer norms and biases.
  }

  void choose_units(UnitRule rule) {
    if (rule == UnitRule::kLeading) {
      width_ = at::arange(to_.width);
      for (const auto heads : to_.heads) heads_.push_back(at::arange(heads));
      for (const auto hidden : to_.hidden) hidden_.push_back(at::arange(hidden));
      return;
    }
    const auto energy = [](const at::Tensor& tensor, std::int64_t kept) {
      std::vector<std::int64_t> others;
      for (std::int64_t d = 0; d < tensor.dim(); ++d)
        if (d != kept) others.push_back(d);
      const auto squares = tensor.to(at::kDouble).cpu().square();
      return others.empty() ? squares : squares.sum(others);
    };
    auto width = at::zeros({from_.width}, at::kDouble);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto block = std::string(kBlocks) + std::to_string(layers_[i]) + ".";
      const auto fc = find(block + "mlp.c_fc.weight"), proj = find(block + "mlp.c_proj.weight");
      width += energy(fc, 1) + energy(proj, 0);
      hidden_.push_back(largest_units(energy(fc, 0) + energy(proj, 1), to_.hidden[i]));
      const auto heads = from_.heads[static_cast<std::size_t>(layers_[i])];
      auto rows = at::zeros({heads}, at::kDouble);
      if (heads > 0) {
        const auto in = find(block + "attn.in_proj_weight"),
                   out = find(block + "attn.out_proj.weight");
        width += energy(in, 1) + energy(out, 0);
        rows = energy(in, 0).view({3, heads, -1}).sum(at::IntArrayRef({0, 2})) +
               energy(out, 1).view({heads, -1}).sum(1);
      }
      heads_.push_back(largest_units(rows, to_.heads[i]));
    }
    width_ = largest_units(width, to_.width);
  }

  const TensorMap& source_;
  std::string prefix_;
  TransformerShape from_, to_;
  std::vector<std::int64_t> layers_;
  at::Tensor width_;                        // Of all layers, because the residual stream is shared.
  std::vector<at::Tensor> heads_, hidden_;  // Of each inherited layer.
};

/// Returns the leading part of `source` with the shape of `target`.
inline at::Tensor leading_part(const std::string& name, at::Tensor source,
                               const at::Tensor& target) {
  const auto shape = target.sizes();
  TORCH_CHECK(source.dim() == target.dim(), "inherit_weights: '", name, "' is ", source.sizes(),
              " in the source and ", shape, " in the model");
  for (std::int64_t d = 0; d < source.dim(); ++d) {
    TORCH_CHECK(shape[static_cast<std::size_t>(d)] <= source.size(d), "inherit_weights: '", name,
                "' is ", shape, " in the model, which is larger than ", source.sizes(),
                " in the source");
    TORCH_CHECK(d < 2 || shape[static_cast<std::size_t>(d)] == source.size(d),
                "inherit_weights: the kernel of '", name, "' is ", shape, " in the model and ",
                source.sizes(), " in the source; choose the same patch size");
    source = source.narrow(d, 0, shape[static_cast<std::size_t>(d)]);
  }
  return source;
}

}  // namespace detail

/// Starts `model`, built from `to`, with a part of the weights of a larger model of the same kind:
/// manual weight inheritance. `source` holds OpenCLIP weights of a model of `from`. Layers and
/// units are chosen by `options`; heads are inherited whole. Text positions beyond the context of
/// the model are left out. With `image` or `text` off that tower keeps its weights, so that the
/// towers can come from two sources. Returns what came from where, a line for each tower. Raises
/// for towers of different kinds, activations, patch sizes or numbers of positions, and if the
/// model is larger than the source. Reference: Wu et al. 2023, https://arxiv.org/abs/2309.12314,
/// section 3.2
[[nodiscard]] inline std::vector<std::string> inherit_weights(DualEncoder& model,
                                                              const ModelConfig& to,
                                                              TensorMap source,
                                                              const ModelConfig& from,
                                                              const InheritOptions& options = {}) {
  const at::NoGradGuard no_grad;
  source = detail::tidy_open_clip_names(std::move(source), /*custom_text=*/false);
  auto state = open_clip_state(model, /*custom_text=*/false);
  std::vector<std::string> report;
  const auto transformer = [&](const std::string& prefix, const detail::TransformerShape& larger,
                               const detail::TransformerShape& smaller,
                               const std::vector<std::int64_t>& wanted, const auto& belongs) {
    const std::string what = prefix.empty() ? "text" : "image";
    TORCH_CHECK(larger.activation == smaller.activation, "inherit_weights: the ", what,
                " towers of ", from.name, " and ", to.name,
                " have different activations (QuickGELU and GELU), so the weights of one do not "
                "work in the other; choose a configuration with the activation of the source "
                "(OpenCLIP's names with QuickGELU end in -quickgelu)");
    TORCH_CHECK(wanted.empty() || std::ssize(wanted) == smaller.layers(),
                "inherit_weights: ", wanted.size(), " layers are listed for the ", what,
                " tower, which has ", smaller.layers());
    const auto layers = wanted.empty()
                            ? inherited_layers(larger.layers(), smaller.layers(), options.layers)
                            : wanted;
    const detail::TransformerInheritance inherit(source, prefix, larger, smaller, layers,
                                                 options.units);
    for (auto& [name, tensor] : state)
      if (belongs(name)) tensor = detail::leading_part(name, inherit(name), tensor);
    const auto of = [](const std::vector<std::int64_t>& all,
                       const std::vector<std::int64_t>& kept) {
      return detail::list_of_layers(kept) + " of " + detail::list_of_layers(all);
    };
    report.push_back(what + ": layers " + detail::list_of(layers) + " of " +
                     std::to_string(larger.layers()) + ", width " +
                     of({larger.width}, {smaller.width}) + ", heads " +
                     of(larger.heads, smaller.heads) + ", MLP " +
                     of(larger.hidden, smaller.hidden) + " from " + from.name);
  };
  const auto in_image = [](const std::string& name) { return name.starts_with("visual."); };
  const auto in_text = [&](const std::string& name) {
    return !in_image(name) && name != "logit_scale" && name != "logit_bias";
  };

  if (options.image) {
    TORCH_CHECK(from.image.index() == to.image.index(), "inherit_weights: the image towers of ",
                from.name, " and ", to.name, " are of different kinds");
    if (const auto* vit = std::get_if<VisionTransformerOptions>(&to.image)) {
      const auto& larger = std::get<VisionTransformerOptions>(from.image);
      TORCH_CHECK(!vit->timm_names && !larger.timm_names,
                  "inherit_weights: the image towers must have OpenCLIP's own layout");
      TORCH_CHECK(vit->patch_size == larger.patch_size && vit->grid() == larger.grid(),
                  "inherit_weights: the image tower has patches of ", vit->patch_size,
                  " in a grid of ", vit->grid(), " and the source patches of ", larger.patch_size,
                  " in a grid of ", larger.grid(), "; choose the same patch and image size");
      transformer("visual.", detail::TransformerShape(larger), detail::TransformerShape(*vit),
                  options.image_layers, in_image);
    } else {
      const auto& smaller = std::get<ModifiedResNetOptions>(to.image);
      const auto& larger = std::get<ModifiedResNetOptions>(from.image);
      TORCH_CHECK(smaller.image_size == larger.image_size, "inherit_weights: the image size is ",
                  smaller.image_size, " in the model and ", larger.image_size,
                  " in the source; choose the same");
      TORCH_CHECK(smaller.width * larger.heads == larger.width * smaller.heads,
                  "inherit_weights: the heads of the attention pool have ",
                  32 * smaller.width / smaller.heads, " numbers in the model and ",
                  32 * larger.width / larger.heads,
                  " in the source; choose width and heads with the same quotient");
      std::array<std::vector<std::int64_t>, 4> stages;
      std::string text;
      for (std::size_t s = 0; s < stages.size(); ++s) {
        stages[s] = inherited_layers(larger.layers[s], smaller.layers[s], options.layers);
        text += (s == 0 ? "" : "; ") + detail::list_of(stages[s]) + " of " +
                std::to_string(larger.layers[s]);
      }
      for (auto& [name, tensor] : state) {
        if (!in_image(name)) continue;
        auto theirs = name;
        for (std::size_t s = 0; s < stages.size(); ++s) {
          const auto prefix = "visual.layer" + std::to_string(s + 1) + ".";
          if (!name.starts_with(prefix)) continue;
          const auto end = name.find('.', prefix.size());
          const auto block = std::stoul(name.substr(prefix.size(), end - prefix.size()));
          theirs = prefix + std::to_string(stages[s][block]) + name.substr(end);
        }
        const auto found = source.find(theirs);
        TORCH_CHECK(found != source.end(), "inherit_weights: the source has no tensor '", theirs,
                    "'");
        tensor = detail::leading_part(name, found->second, tensor);
      }
      report.push_back("image: blocks " + text + ", width " + std::to_string(smaller.width) +
                       " of " + std::to_string(larger.width) + " from " + from.name);
    }
  }
  if (options.text) {
    TORCH_CHECK(from.text.vocab_size == to.text.vocab_size, "inherit_weights: the vocabularies of ",
                from.name, " (", from.text.vocab_size, ") and ", to.name, " (", to.text.vocab_size,
                ") differ");
    transformer("", detail::TransformerShape(from.text), detail::TransformerShape(to.text),
                options.text_layers, in_text);
    if (const auto scale = source.find("logit_scale"); scale != source.end())
      state["logit_scale"] = scale->second.reshape({});
  }
  load_open_clip_state(model, /*custom_text=*/false, std::move(state), to.name);
  return report;
}

/// Starts `model`, built from `config`, with the OpenCLIP weights in `path`; see read_weights(). If
/// `source_model` names another model (see find_model_config), whose weights they are, the model
/// inherits a part of them as `options` say, and what it inherits is returned. If it is empty, the
/// weights are those of the model itself, and nothing is returned.
inline std::vector<std::string> start_from(DualEncoder& model, const ModelConfig& config,
                                           const std::filesystem::path& path,
                                           const std::string& source_model,
                                           const InheritOptions& options = {}) {
  auto weights = read_weights(path);
  if (source_model.empty()) {
    load_open_clip_state(model, config, std::move(weights));
    return {};
  }
  auto source = find_model_config(source_model);
  source.text.vocab_size = config.text.vocab_size;
  return inherit_weights(model, config, std::move(weights), source, options);
}

}  // namespace contrapunto
