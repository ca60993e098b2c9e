// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

struct PairStepOptions {
  std::string x_input = "image";  ///< Batch tensor that the first tower reads.
  std::string y_input = "text";   ///< Batch tensor that the second tower reads.
  /// Converts a slice of `x_input` to the input of the first tower, such as normalized images on
  /// the device. If empty, the slice is only moved to the device.
  std::function<at::Tensor(const at::Tensor&)> prepare_x = {};
  std::function<at::Tensor(const at::Tensor&)> prepare_y = {};  ///< The same for `y_input`.
  /// The first tower reads texts and ignores all tokens behind the end token, so the texts may be
  /// sorted by length and trimmed; see Encoder::trims_text. TextTransformerOptions::reads_padding()
  /// returns whether a text tower reads these tokens.
  bool trim_x = false;
  bool trim_y = false;  ///< The same for the second tower.
  /// Batch tensor [B, K, ...] with K hard negatives per pair for the second tower. If empty, there
  /// are none.
  std::string negatives_input = {};
  /// Pairs with the same key in the batch get the same group id, so that they are not negatives of
  /// each other. Use it for batches with repeated captions or images, with a loss that supports
  /// group ids.
  bool group_by_key = false;
};

/// Returns a 64-bit hash of each key, so that keys can be compared on the device.
[[nodiscard]] inline at::Tensor key_hashes(const std::vector<std::string>& keys) {
  std::vector<std::int64_t> hashes;
  for (const auto& key : keys) hashes.push_back(hash_of(key));
  return at::tensor(hashes, at::kLong);
}

/// Makes a StepModel from a DualEncoder or from any type with encode_image, encode_text, scale,
/// logit_bias, parameters and buffers.
template <class Model>
[[nodiscard]] StepModel<> pair_step_model(Model model, at::Device device,
                                          PairStepOptions options = {}) {
  const auto prepared = [device](const std::function<at::Tensor(const at::Tensor&)>& prepare) {
    return [prepare, device](const at::Tensor& slice) {
      const auto there = slice.to(device, slice.scalar_type(), /*non_blocking=*/true);
      return prepare ? prepare(there) : there;
    };
  };
  const auto text = [model,
                     prepare = prepared(options.prepare_y)](const at::Tensor& slice) -> Features {
    return model->encode_text(prepare(slice));
  };
  StepModel<> step;
  step.encoders.push_back(
      {options.x_input,
       [model, prepare = prepared(options.prepare_x)](const at::Tensor& slice) -> Features {
         return model->encode_image(prepare(slice));
       },
       options.trim_x});
  step.encoders.push_back({options.y_input, text, options.trim_y});
  if (!options.negatives_input.empty())
    step.encoders.push_back(
        {options.negatives_input,
         [text](const at::Tensor& slice) -> Features {  // [b, K, ...] to [b, K, D]
           const auto rows = text(slice.flatten(0, 1)).tensors.front();
           return rows.view({slice.size(0), slice.size(1), rows.size(1)});
         },
         options.trim_y});
  step.head = [model, options, device](const std::vector<Features>& features, const Batch& batch) {
    Embeddings e{features[0].tensors.front(), features[1].tensors.front(), model->scale()};
    TORCH_CHECK(e.x.sizes() == e.y.sizes(), "the towers made ", e.x.sizes(), " of '",
                options.x_input, "' and ", e.y.sizes(), " of '", options.y_input,
                "'; they must agree in samples and width");
    if (model->logit_bias.defined()) e.bias = model->logit_bias;
    if (features.size() > 2) e.negatives = features[2].tensors.front().flatten(0, 1);
    if (options.group_by_key) {
      TORCH_CHECK(static_cast<std::int64_t>(batch.keys.size()) == e.x.size(0),
                  "pair_step_model: group_by_key is set, but the batch has ", batch.keys.size(),
                  " keys for ", e.x.size(0), " pairs");
      e.group_ids = key_hashes(batch.keys).to(device);
      if (e.negatives)  // Negatives have no keys, so they get an id of no pair.
        e.negative_group_ids = at::full({e.negatives->size(0)}, -1, e.group_ids->options());
    }
    return e;
  };
  step.parameters = model->parameters();
  step.buffers = model->buffers();
  return step;
}

}  // namespace contrapunto
