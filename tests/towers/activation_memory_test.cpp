// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/activation_memory.hpp"

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

/// Bytes alive after the forward of `batch` pairs that were not alive before.
double measured_bytes(const ModelConfig& config, std::int64_t batch) {
  DualEncoder model = make_dual_encoder(config);
  model->train();
  const auto size = config.image_size();
  const auto images = torch::randn({batch, 3, size, size});
  auto tokens = torch::randint(1, 400, {batch, config.text.context_length});
  tokens.select(1, config.text.context_length - 1).fill_(config.text.vocab_size - 1);

  const MemoryMeter meter;
  const Embeddings e = model(images, tokens);
  return static_cast<double>(meter.current_bytes()) / static_cast<double>(batch);
}

}  // namespace

TEST_CASE("Estimated activations are within a fifth of what is counted", "[towers][cpu]") {
  const std::string kind = GENERATE("ViT-S-32", "RN50", "irregular");
  auto config = model_config(kind == "irregular" ? "ViT-S-32" : kind);
  if (kind == "irregular") {
    auto& vit = std::get<VisionTransformerOptions>(config.image);
    config.name = kind;
    vit.head_width = config.text.head_width = 64;
    vit.layer_heads = config.text.layer_heads = {6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5};
    vit.layer_hidden =
        config.text.layer_hidden = {64, 0, 128, 500, 300, 900, 100, 200, 300, 400, 500, 600};
  }
  config.text.vocab_size = 500;
  config.text.context_length = 24;
  const double measured = measured_bytes(config, 4);
  const double estimated = activation_bytes(config, 4.0);
  INFO(config.name << ": measured " << measured << " bytes a pair, estimated " << estimated);
  REQUIRE(estimated == Approx(measured).epsilon(0.2));
}
