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
  auto config = model_config(GENERATE("ViT-S-32", "RN50"));
  config.text.vocab_size = 500;
  config.text.context_length = 24;
  const double measured = measured_bytes(config, 4);
  const double estimated = activation_bytes(config, 4.0);
  INFO(config.name << ": measured " << measured << " bytes a pair, estimated " << estimated);
  REQUIRE(estimated == Approx(measured).epsilon(0.2));
}
