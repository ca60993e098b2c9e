// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Device.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/evaluate/forward_seconds.hpp"
#include "contrapunto/log/format.hpp"
#include "contrapunto/nn/parameter_count.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/forward_gflops.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// What a model of a compression costs and can do.
struct StageResult {
  std::string name = {};
  std::int64_t image_parameters = 0;
  std::int64_t text_parameters = 0;           ///< With the embeddings of tokens.
  double gmacs = 0.0;                         ///< 10^9 multiply-adds for an image and a text.
  double image_ms = 0.0;                      ///< Milliseconds for one image, in a batch.
  double text_ms = 0.0;                       ///< Milliseconds for one text of the longest length.
  std::optional<double> top1 = std::nullopt;  ///< Accuracy, from 0 to 1; unset: not measured.
};

/// Measures `model`, built from `config`, on `device`: the median time of its towers for batches
/// of `batch` samples, in eval mode and in the dtype of its weights. `top1` is the accuracy that
/// the caller has measured. The model ends in the mode in which it was.
[[nodiscard]] inline StageResult stage_result(std::string name, const ModelConfig& config,
                                              DualEncoder& model, at::Device device,
                                              std::optional<double> top1 = std::nullopt,
                                              std::int64_t batch = 32) {
  const bool training = model->is_training();
  model->eval();
  const auto size = config.image_size();
  const auto images =
      at::zeros({batch, 3, size, size}, at::TensorOptions(device).dtype(at::kFloat));
  auto texts = at::ones({batch, config.text.context_length}, at::TensorOptions(at::kLong));
  texts.select(1, config.text.context_length - 1).fill_(config.text.vocab_size - 1);  // The end.
  texts = texts.to(device);
  const double per_sample = 1e3 / static_cast<double>(batch);
  StageResult result{
      .name = std::move(name),
      .image_parameters = parameter_count(*model->visual()),
      .text_parameters = parameter_count(*model->text()),
      .gmacs = forward_gflops(model).total() / 2.0,
      .image_ms = per_sample * forward_seconds([&] { return model->encode_image(images); }, device),
      .text_ms = per_sample * forward_seconds([&] { return model->encode_text(texts); }, device),
      .top1 = top1};
  model->train(training);
  return result;
}

/// Returns the results as a table, a line for each.
[[nodiscard]] inline std::string stage_table(const std::vector<StageResult>& results) {
  std::vector<std::vector<std::string>> rows{
      {"model", "image params", "text params", "GMACs", "ms/image", "ms/text", "top-1"}};
  for (const auto& result : results)
    rows.push_back(
        {result.name, with_decimals(static_cast<double>(result.image_parameters) / 1e6, 2) + " M",
         with_decimals(static_cast<double>(result.text_parameters) / 1e6, 2) + " M",
         with_digits(result.gmacs, 3), with_digits(result.image_ms, 3),
         with_digits(result.text_ms, 3), result.top1 ? as_percent(*result.top1, 2) : "-"});
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - row[i].size(), ' ');
      text += i == 0 ? row[i] + gap : "  " + gap + row[i];
    }
    text += "\n";
  }
  return text;
}

}  // namespace contrapunto
