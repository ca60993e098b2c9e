// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "contrapunto/compress/detail/resnet_inheritance.hpp"
#include "contrapunto/compress/detail/transformer_inheritance.hpp"
#include "contrapunto/compress/detail/units.hpp"
#include "contrapunto/compress/unit_importance.hpp"
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
  kLeading,     ///< The first ones, as in TinyCLIP.
  kMagnitude,   ///< Those with the largest sum of squared weights, in their order. The weights of a
                ///< ResNet are multiplied by the scale of their batch norm first.
  kActivation,  ///< Those with the largest importance that InheritOptions gives, in their order,
                ///< such as the mean activations of measure_importance(). For transformers.
};

/// Returns the rule with the name "leading", "magnitude" or "activation". Raises for another name.
[[nodiscard]] inline UnitRule unit_rule(const std::string& name) {
  if (name == "leading") return UnitRule::kLeading;
  if (name == "magnitude") return UnitRule::kMagnitude;
  TORCH_CHECK(name == "activation", "unit_rule: there is no rule '", name,
              "'; it must be leading, magnitude or activation");
  return UnitRule::kActivation;
}

struct InheritOptions {
  bool image = true;  ///< Inherit the image tower.
  bool text = true;   ///< Inherit the text tower, and the scale.
  LayerRule layers = LayerRule::kTinyClip;
  std::vector<std::int64_t> image_layers = {};  ///< Layers to inherit; overrides `layers`. Only for
                                                ///< vision transformers.
  std::vector<std::int64_t> text_layers = {};
  UnitRule units = UnitRule::kLeading;
  UnitImportance image_importance = {};  ///< Of the source, for `UnitRule::kActivation`.
  UnitImportance text_importance = {};
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
                               const std::vector<std::int64_t>& wanted,
                               const UnitImportance& measured, const auto& belongs) {
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
    const auto magnitudes = options.units == UnitRule::kMagnitude
                                ? detail::magnitude_importance(source, prefix, larger)
                                : UnitImportance();
    const detail::TransformerInheritance inherit(source, prefix, larger, smaller, layers,
                                                 options.units == UnitRule::kLeading ? nullptr
                                                 : options.units == UnitRule::kMagnitude
                                                     ? &magnitudes
                                                     : &measured);
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
                  options.image_layers, options.image_importance, in_image);
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
      TORCH_CHECK(
          options.units != UnitRule::kActivation,
          "inherit_weights: UnitRule::kActivation is for transformers; choose kMagnitude or "
          "kLeading for a ResNet");
      const detail::ResNetInheritance inherit(source, larger, smaller, stages,
                                              options.units == UnitRule::kMagnitude);
      for (auto& [name, tensor] : state)
        if (in_image(name)) tensor = detail::leading_part(name, inherit(name), tensor);
      report.push_back("image: blocks " + text + ", width " + std::to_string(smaller.width) +
                       " of " + std::to_string(larger.width) + " from " + from.name);
    }
  }
  if (options.text) {
    TORCH_CHECK(from.text.vocab_size == to.text.vocab_size, "inherit_weights: the vocabularies of ",
                from.name, " (", from.text.vocab_size, ") and ", to.name, " (", to.text.vocab_size,
                ") differ");
    transformer("", detail::TransformerShape(from.text), detail::TransformerShape(to.text),
                options.text_layers, options.text_importance, in_text);
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
