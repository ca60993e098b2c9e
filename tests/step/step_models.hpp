// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/step/detail/chunks.hpp"
#include "contrapunto/step/pair_step_model.hpp"
#include "contrapunto/step/step_model.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/modified_resnet.hpp"
#include "contrapunto/towers/text_transformer.hpp"
#include "contrapunto/towers/vision_transformer.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace contrapunto::test {

/// A transformer between dropouts.
struct DroppingTextImpl : torch::nn::Module {
  explicit DroppingTextImpl(double p) {
    text = register_module("text", TextTransformer(TextTransformerOptions{.context_length = 12,
                                                                          .vocab_size = 40,
                                                                          .width = 16,
                                                                          .heads = 2,
                                                                          .layers = 2,
                                                                          .output_dim = 8}));
    first = register_module("first", torch::nn::Dropout(p));
    mix = register_module("mix", torch::nn::Linear(8, 8));
    second = register_module("second", torch::nn::Dropout(p));
  }
  at::Tensor forward(const at::Tensor& tokens) { return second(mix(first(text(tokens)))); }

  TextTransformer text{nullptr};
  torch::nn::Dropout first{nullptr}, second{nullptr};
  torch::nn::Linear mix{nullptr};
};
TORCH_MODULE(DroppingText);

inline VisionTransformer small_vit(double patch_dropout) {
  return VisionTransformer(VisionTransformerOptions{.image_size = 16,
                                                    .patch_size = 4,
                                                    .width = 16,
                                                    .layers = 2,
                                                    .heads = 2,
                                                    .output_dim = 8,
                                                    .patch_dropout = patch_dropout});
}

inline ModifiedResNet small_resnet() {
  return ModifiedResNet(ModifiedResNetOptions{
      .image_size = 32, .layers = {1, 1, 1, 1}, .width = 4, .heads = 4, .output_dim = 8});
}

/// A ViT and a text transformer, with the same weights in every call.
inline DualEncoder small_model(double dropout = 0.0, double scale = 10.0, bool bias = false) {
  torch::manual_seed(3);
  DualEncoderOptions options{.initial_logit_scale = std::log(scale)};
  if (bias) options.initial_logit_bias = -2.0;
  return DualEncoder(small_vit(dropout > 0.0 ? 0.5 : 0.0), DroppingText(dropout), options);
}

/// `samples` pairs; texts of 3 to 12 tokens, the end token 39 last.
inline Batch small_batch(std::int64_t samples, at::ScalarType dtype = torch::kFloat,
                         std::int64_t size = 16) {
  torch::manual_seed(11 + samples);
  auto tokens = torch::randint(1, 38, {samples, 12}, torch::kLong);
  Batch batch;
  for (std::int64_t i = 0; i < samples; ++i) {
    const auto end = 2 + (i * 7) % 10;
    tokens[i][end] = 39;
    tokens[i].narrow(0, end + 1, 11 - end).zero_();
    batch.keys.push_back("sample " + std::to_string(i));
  }
  batch.tensors = {{"image", torch::randn({samples, 3, size, size}).to(dtype)}, {"text", tokens}};
  return batch;
}

/// The samples of `batch` from `begin` on, as a rank reads them.
inline Batch part_of(const Batch& batch, std::int64_t begin, std::int64_t count) {
  Batch part;
  for (const auto& [name, tensor] : batch.tensors)
    part.tensors.emplace(name, tensor.narrow(0, begin, count));
  return part;
}

/// Gradients by name, zeros where there are none; clears them.
inline std::vector<std::pair<std::string, at::Tensor>> take_gradients(torch::nn::Module& module) {
  std::vector<std::pair<std::string, at::Tensor>> gradients;
  for (auto& item : module.named_parameters()) {
    auto& gradient = item.value().mutable_grad();
    gradients.emplace_back(item.key(),
                           gradient.defined() ? gradient.clone() : torch::zeros_like(item.value()));
    gradient.reset();
  }
  return gradients;
}

using Gradients = std::vector<std::pair<std::string, at::Tensor>>;

/// Largest error over all gradients, each relative to its own largest entry, but to no less than
/// `floor` times the largest of all: some are zero up to rounding.
inline double gradient_error(const Gradients& result, const Gradients& expected,
                             double floor = 1e-3) {
  double largest = 0.0, worst = 0.0;
  for (const auto& [_, gradient] : expected)
    largest = std::max(largest, gradient.abs().max().item<double>());
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto& e = expected[i].second;
    const double own = std::max(floor * largest, e.abs().max().item<double>());
    const double difference =
        (result[i].second.to(torch::kDouble) - e.to(torch::kDouble)).abs().max().item<double>();
    if (std::isnan(difference)) return difference;
    worst = std::max(worst, difference / own);
  }
  // A comparison of two empty sets would pass as well.
  return largest > 0.0 ? worst : std::nan("");
}

/// One step, with the seed of the random numbers set before.
template <class Step>
Gradients gradients_of(Step& step, const Batch& batch, torch::nn::Module& module,
                       double* loss = nullptr) {
  torch::manual_seed(77);
  const LossTerms terms = step(batch);
  if (loss != nullptr) *loss = terms.total.template item<double>();
  return take_gradients(module);
}

/// The function whose gradient GradCache computes, with all graphs kept: the chunks run one after
/// another in GradCache's order, and then the loss over all features.
template <class Loss>
Gradients all_graphs_kept(const StepModel<>& step, const Loss& loss, const Batch& batch,
                          std::int64_t chunk, torch::nn::Module& module) {
  torch::manual_seed(77);
  std::vector<Features> features;
  for (const auto& encoder : step.encoders) {
    const auto& input = batch.at(encoder.input);
    const auto chunking = detail::chunks_of(encoder, input, chunk);
    std::vector<at::Tensor> parts;
    for (const auto& c : chunking.chunks)
      parts.push_back(encoder.forward(chunking.input(input, c)).tensors.front());
    auto whole = torch::cat(parts);
    if (chunking.order.defined())
      whole = whole.index_select(0, chunking.order.argsort().to(whole.device()));
    features.emplace_back(whole);
  }
  LossTerms(loss(step.head(features, batch))).total.backward();
  return take_gradients(module);
}

}  // namespace contrapunto::test
