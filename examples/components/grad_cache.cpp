// SPDX-License-Identifier: CC0-1.0
// GradCache: the gradient of a batch of 64 pairs in the memory of 8. Expect the same loss twice,
// and gradients that differ by rounding only.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

int main() {
  torch::manual_seed(1);
  cp::ModelConfig config;
  config.image = cp::VisionTransformerOptions{
      .image_size = 32, .patch_size = 8, .width = 64, .layers = 2, .heads = 2, .output_dim = 32};
  config.text = {.context_length = 16, .vocab_size = 512, .width = 64, .heads = 2, .layers = 2};
  config.embed_dim = config.text.output_dim = 32;
  cp::DualEncoder model = cp::make_dual_encoder(config);

  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({64, 3, 32, 32})},
                   {"text", torch::randint(1, 512, {64, 16})}};
  // snippet: grad_cache
  const auto parts = cp::pair_step_model(model, torch::kCPU);
  const cp::TiledInfoNce loss;
  cp::FullBatch whole(parts, loss);                      // activations of 64 pairs in memory
  cp::GradCache cached(parts, loss, {.chunk_size = 8});  // of 8 pairs; 0: measured
  // snippet end
  const auto gradient_of = [&](auto& step) {
    model->zero_grad();
    std::cout << "loss " << step(batch).total.template item<double>() << "\n";
    return model->logit_scale.grad().item<double>();
  };
  const double expected = gradient_of(whole);
  const double difference = std::abs(gradient_of(cached) - expected);
  std::cout << "gradient of the scale " << expected << ", difference " << difference << "\n";
  return difference < 1e-5 * std::abs(expected) + 1e-7 ? 0 : 1;
}
