// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <array>
#include <optional>
#include <string>

#include "contrapunto/export/detail/describe_modified_resnet.hpp"
#include "contrapunto/export/detail/describe_text_transformer.hpp"
#include "contrapunto/export/detail/describe_vision_transformer.hpp"
#include "contrapunto/export/graph.hpp"
#include "contrapunto/export/graph_builder.hpp"
#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

struct ModelGraphOptions {
  at::ScalarType weight_dtype = at::kFloat;  ///< float32, float16 or bfloat16.
  /// The features have unit length.
  bool normalize = true;
  /// The input is uint8 [B, image_size, image_size, 3] as decoders return it, and the graph
  /// subtracts the mean and divides by the standard deviation. Otherwise it is float32 [B, 3,
  /// image_size, image_size], normalized before.
  bool raw_images = false;
};

/// Which results of a DualEncoder a graph has.
enum class ModelGraphPart {
  kImage,  ///< `images` to `image_features` [images, D].
  kText,   ///< `texts` (int64 [texts, context_length]) to `text_features` [texts, D].
  kBoth    ///< Both, and `similarity` [images, texts] of unit features, with scale and bias.
};

/// Describes the tower `tower`, which must be one of the library, from `input` to its features [B,
/// D]. Raises for other towers and for parts of other types: use GraphBuilder for them.
inline GraphValue describe_tower(GraphBuilder& g, const AnyTower& tower, GraphValue input) {
  const at::NoGradGuard no_grad;
  const auto& module = *tower;
  if (const auto* vision = detail::own_part<VisionTransformerImpl>(module))
    return detail::describe_vision_transformer(g, *vision, input);
  if (const auto* text = detail::own_part<TextTransformerImpl>(module))
    return detail::describe_text_transformer(g, *text, input);
  const auto* resnet = detail::own_part<ModifiedResNetImpl>(module);
  TORCH_CHECK(resnet != nullptr, "export: the tower '", module.name(),
              "' is not one of the library, so there is no description of its graph; describe it "
              "yourself with GraphBuilder, see docs/guides/export.md");
  return detail::describe_modified_resnet(g, *resnet, input);
}

namespace detail {

/// x / |x|, and 0 for a row of zeros.
inline GraphValue describe_unit_rows(GraphBuilder& g, GraphValue x) {
  return g.divide(x, g.add(g.norm(x), g.constant("epsilon", 1e-12)));
}

/// Declares the input `images` and returns normalized images [B, 3, H, W].
inline GraphValue describe_image_input(GraphBuilder& g, const ModelConfig& config,
                                       const ModelGraphOptions& options) {
  const auto size = config.image_size();
  if (!options.raw_images) return g.input("images", at::kFloat, {-1, 3, size, size});
  const auto bytes = g.input("images", at::kByte, {-1, size, size, 3});
  const auto scope = g.scope("preprocess");
  const auto row = [](const std::array<double, 3>& numbers) {
    return at::tensor(at::ArrayRef<double>(numbers), at::kFloat).mul_(255.0).view({1, 3, 1, 1});
  };
  const auto pixels = g.transpose(g.cast(bytes, at::kFloat), {0, 3, 1, 2});
  return g.divide(g.subtract(pixels, g.constant("mean", row(config.image_mean))),
                  g.constant("std", row(config.image_std)));
}

/// Describes the tower `tower` within the scope `name` and declares the output `output`. Returns
/// unit features.
inline GraphValue describe_features_of(GraphBuilder& g, const AnyTower& tower, GraphValue input,
                                       const char* name, const char* output, bool normalize) {
  const auto scope = g.scope(name);
  const auto features = describe_tower(g, tower, input);
  const auto unit = describe_unit_rows(g, features);
  g.output(output, normalize ? unit : features);
  return unit;
}

}  // namespace detail

/// Describes an image tower of `config`: `images` to `image_features` [images, D].
[[nodiscard]] inline Graph image_graph(const AnyTower& tower, const ModelConfig& config,
                                       const ModelGraphOptions& options = {}) {
  GraphBuilder g(options.weight_dtype);
  detail::describe_features_of(g, tower, detail::describe_image_input(g, config, options), "visual",
                               "image_features", options.normalize);
  return g.graph();
}

/// Describes `model`, of `config`, as it computes in evaluation mode. Parameters are not copied, so
/// they must not change before the graph is written. Raises for towers that are not of the library;
/// see describe_tower().
[[nodiscard]] inline Graph model_graph(const DualEncoderImpl& model, const ModelConfig& config,
                                       ModelGraphPart part, const ModelGraphOptions& options = {}) {
  if (part == ModelGraphPart::kImage) return image_graph(model.visual(), config, options);
  GraphBuilder g(options.weight_dtype);
  std::optional<GraphValue> images;
  if (part == ModelGraphPart::kBoth)
    images = detail::describe_features_of(g, model.visual(),
                                          detail::describe_image_input(g, config, options),
                                          "visual", "image_features", options.normalize);
  const auto texts = detail::describe_features_of(
      g, model.text(), g.input("texts", at::kLong, {-1, config.text.context_length}), "text",
      "text_features", options.normalize);
  if (!images) return g.graph();
  const auto cosine = g.matmul(*images, g.transpose(texts, {1, 0}));
  auto similarity = g.multiply(cosine, g.constant("scale", model.scale().detach()));
  if (model.logit_bias.defined())
    similarity = g.add(similarity, g.constant("bias", model.logit_bias.detach()));
  g.output("similarity", similarity);
  return g.graph();
}

}  // namespace contrapunto
