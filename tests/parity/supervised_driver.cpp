// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Usage: parity_supervised INPUT.safetensors OUTPUT.safetensors
// Computes losses of labeled and of mixed samples with their gradients, mixes images, and draws
// mixing parameters. The metadata of the input lists "losses" and "mixing" as JSON.

#include <cstdint>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "contrapunto/image/mixup.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/loss/class_loss.hpp"
#include "support/catch.hpp"

namespace {

namespace cp = contrapunto;

cp::Mixup mixup_of(const nlohmann::json& json) {
  const std::string mode = json.at("mode");
  return {.mixup = json.at("mixup"),
          .cutmix = json.at("cutmix"),
          .probability = json.at("probability"),
          .cutmix_share = json.at("cutmix_share"),
          .mode = mode == "pair"   ? cp::MixupMode::kPair
                  : mode == "elem" ? cp::MixupMode::kElement
                                   : cp::MixupMode::kBatch};
}

/// Numbers of rows: weight of the label, weight of the pixels in the box, top, bottom, left, right.
at::Tensor table_of(const std::vector<cp::MixedRow>& rows) {
  std::vector<double> numbers;
  for (const auto& row : rows) {
    const auto& box = row.box;
    numbers.insert(numbers.end(),
                   {row.weight, row.own, static_cast<double>(box.top),
                    static_cast<double>(box.top + box.height), static_cast<double>(box.left),
                    static_cast<double>(box.left + box.width)});
  }
  return torch::tensor(numbers, torch::kDouble).view({-1, 6});
}

}  // namespace

int main(int argc, char** argv) try {
  TORCH_CHECK(argc == 3, "usage: parity_supervised INPUT.safetensors OUTPUT.safetensors");
  const auto input = cp::read_safetensors(argv[1]);
  const auto metadata = cp::read_safetensors_metadata(argv[1]);
  cp::TensorMap output;

  cp::Batch plain, mixed;
  plain.tensors["label"] = input.at("label");
  mixed = plain;
  mixed.tensors[cp::kMixedLabelName] = input.at(cp::kMixedLabelName);
  mixed.tensors[cp::kLabelWeightName] = input.at(cp::kLabelWeightName);
  for (const auto& options : nlohmann::json::parse(metadata.at("losses"))) {
    const std::string name = options.at("name");
    const cp::ClassLoss loss({.kind = options.at("kind"),
                              .label_smoothing = options.at("smoothing"),
                              .threshold = options.at("threshold"),
                              .sum_classes = options.at("sum_classes")});
    const auto logits = input.at("logits").clone().requires_grad_(true);
    const auto value = loss(logits, options.at("mixed") ? mixed : plain).total;
    value.backward();
    output[name + ".value"] = value.detach();
    output[name + ".gradient"] = logits.grad();
  }

  cp::Batch batch;
  batch.tensors = {{"image", input.at("images")}, {"label", input.at("image_labels")}};
  const auto height = input.at("images").size(2), width = input.at("images").size(3);
  for (const auto& options : nlohmann::json::parse(metadata.at("mixing"))) {
    const std::string name = options.at("name");
    const auto mixup = mixup_of(options);
    cp::RandomStream random(7);
    const auto rows = mixup.draw(batch.size(), height, width, random);
    output[name + ".rows"] = table_of(rows);
    output[name + ".images"] = cp::mix_images(input.at("images"), rows);
    std::vector<cp::MixedRow> draws;
    const std::int64_t count = options.at("draws"), size = options.at("size");
    for (std::int64_t i = 0; i < count; ++i) draws.push_back(mixup.draw(2, size, size, random)[0]);
    output[name + ".draws"] = table_of(draws);
  }
  cp::write_safetensors(argv[2], output);
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
