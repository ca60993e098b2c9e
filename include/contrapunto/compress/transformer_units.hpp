// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// What is counted of a model.
enum class SizeMeasure {
  kParameters,  ///< The matrices of the attention and the MLP of all blocks, as TinyCLIP counts.
  kMacs         ///< Multiply-adds of one image or one text of the longest length, as published.
};

/// The units of a transformer tower that can be removed, and what a unit costs. The size of the
/// tower with w numbers in the residual stream and with h_l heads and f_l hidden units in layer l
/// is w (per_width + sum of per_head_width h_l + per_hidden_width f_l) + sum of per_head h_l.
struct TransformerUnits {
  std::string prefix = {};                ///< "visual." or "text.", of the names in a DualEncoder.
  std::int64_t width = 0;                 ///< Numbers of the residual stream.
  std::int64_t head_width = 0;            ///< Numbers of a head.
  std::vector<std::int64_t> heads = {};   ///< Of each layer.
  std::vector<std::int64_t> hidden = {};  ///< Hidden units of the MLP of each layer.
  double per_width = 0.0;
  double per_head_width = 0.0;
  double per_hidden_width = 0.0;
  double per_head = 0.0;

  [[nodiscard]] std::size_t layers() const { return heads.size(); }

  /// The size of the tower with all its units.
  [[nodiscard]] double size() const {
    double heads_of_all = 0.0, hidden_of_all = 0.0;
    for (const auto n : heads) heads_of_all += static_cast<double>(n);
    for (const auto n : hidden) hidden_of_all += static_cast<double>(n);
    return static_cast<double>(width) *
               (per_width + per_head_width * heads_of_all + per_hidden_width * hidden_of_all) +
           per_head * heads_of_all;
  }
};

namespace detail {

template <class Options>
TransformerUnits units_of(const std::string& prefix, const Options& o, SizeMeasure measure,
                          std::int64_t tokens, double width_macs) {
  TransformerUnits units{.prefix = prefix, .width = o.width, .head_width = o.numbers_per_head()};
  for (std::int64_t i = 0; i < o.layers; ++i) {
    units.heads.push_back(o.heads_in(i));
    units.hidden.push_back(o.hidden_in(i));
  }
  const auto head = static_cast<double>(units.head_width);
  const auto length = static_cast<double>(tokens);
  const double uses = measure == SizeMeasure::kMacs ? length : 1.0;  // Of a matrix, per sample.
  units.per_head_width = uses * 4.0 * head;
  units.per_hidden_width = uses * 2.0;
  if (measure == SizeMeasure::kMacs) {
    units.per_width = width_macs;
    units.per_head = 2.0 * length * length * head;
  }
  return units;
}

}  // namespace detail

/// Returns the units of the image tower of `config`. Raises unless it is a vision transformer in
/// OpenCLIP's own layout whose feature is the class token or the average.
[[nodiscard]] inline TransformerUnits image_units(const ModelConfig& config, SizeMeasure measure) {
  const auto* vit = std::get_if<VisionTransformerOptions>(&config.image);
  TORCH_CHECK(vit != nullptr && vit->pool != ImagePool::kAttention && !vit->parts.attention &&
                  !vit->parts.mlp,
              "units can be removed from the image tower of ", config.name,
              " only if it is a vision transformer with the library's attention and MLP and "
              "without an attention pool; leave the image tower out");
  const auto patches = vit->grid() * vit->grid();
  const auto pixels = static_cast<double>(3 * vit->patch_size * vit->patch_size);
  return detail::units_of("visual.", *vit, measure, patches + vit->prefix(),
                          static_cast<double>(patches) * pixels +
                              (vit->projection ? static_cast<double>(vit->output_dim) : 0.0));
}

/// Returns the units of the text tower of `config`. Raises if it has an attention or MLP of the
/// user.
[[nodiscard]] inline TransformerUnits text_units(const ModelConfig& config, SizeMeasure measure) {
  TORCH_CHECK(!config.text.parts.attention && !config.text.parts.mlp,
              "units can be removed from the text tower of ", config.name,
              " only if it has the library's attention and MLP; leave the text tower out");
  return detail::units_of("text.", config.text, measure, config.text.context_length,
                          static_cast<double>(config.text.output_dim));
}

}  // namespace contrapunto
