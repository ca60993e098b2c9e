// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Usage: parity_evaluate INPUT.safetensors OUTPUT.safetensors RESULT.json
// Builds a classifier and evaluates; also writes every tensor of the input back, for comparing
// files.

#include <cstdint>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "contrapunto/evaluate/retrieval_metrics.hpp"
#include "contrapunto/evaluate/zero_shot_accuracy.hpp"
#include "contrapunto/evaluate/zero_shot_classifier.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "support/catch.hpp"

namespace {

nlohmann::json to_json(const contrapunto::RetrievalMetrics::Direction& d) {
  return {{"R@1", d.recall_at_1},
          {"R@5", d.recall_at_5},
          {"R@10", d.recall_at_10},
          {"mean_rank", d.mean_rank},
          {"median_rank", d.median_rank}};
}

}  // namespace

int main(int argc, char** argv) try {
  TORCH_CHECK(argc == 4, "usage: parity_evaluate INPUT.safetensors OUTPUT.safetensors RESULT.json");
  auto tensors = contrapunto::read_safetensors(argv[1]);
  const auto metadata = contrapunto::read_safetensors_metadata(argv[1]);

  // The stand-in for a tokenizer: a text is the number it begins with.
  const auto tokenize = [](const std::vector<std::string>& texts) {
    std::vector<std::int64_t> numbers;
    for (const auto& text : texts) numbers.push_back(std::stoll(text));
    return torch::tensor(numbers);
  };
  const auto encode = [&](const at::Tensor& tokens) {
    return tensors.at("text_features").index({tokens});
  };
  const auto names = nlohmann::json::parse(metadata.at("names")).get<std::vector<std::string>>();
  const auto prompts =
      nlohmann::json::parse(metadata.at("prompts")).get<std::vector<std::string>>();
  const auto classifier = contrapunto::zero_shot_classifier(encode, tokenize, names, prompts, 20);

  contrapunto::ZeroShotAccuracy accuracy;
  const auto images = tensors.at("zero_shot_images").split(64);
  const auto labels = tensors.at("labels").split(64);
  for (std::size_t i = 0; i < images.size(); ++i) accuracy.add(images[i], labels[i], classifier);
  const auto zero_shot = accuracy.result();

  const auto x = tensors.at("images");
  const auto retrieval =
      contrapunto::retrieval_metrics(x, tensors.at("texts"), torch::arange(x.size(0)), 100);
  std::ofstream(argv[3]) << nlohmann::json{{"top1", zero_shot.top1},
                                           {"top5", zero_shot.top5},
                                           {"image_to_text", to_json(retrieval.x_to_y)},
                                           {"text_to_image", to_json(retrieval.y_to_x)}};
  tensors["classifier"] = classifier;
  contrapunto::write_safetensors(argv[2], tensors, metadata);
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
