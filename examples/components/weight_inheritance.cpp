// SPDX-License-Identifier: CC0-1.0
// Weight inheritance: a student of half the layers, and of half the hidden units in every MLP,
// starts with a part of the weights of a larger model instead of random ones. Expect that after the
// same few steps its loss is lower than that of a student that starts from scratch.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

cp::ModelConfig make_config(std::int64_t layers, double mlp_ratio) {
  cp::ModelConfig config;
  config.name = std::to_string(layers) + " layers";
  config.image = cp::VisionTransformerOptions{.image_size = 32,
                                              .patch_size = 8,
                                              .width = 64,
                                              .layers = layers,
                                              .heads = 4,
                                              .mlp_ratio = mlp_ratio,
                                              .output_dim = 32};
  config.text = {.context_length = 16,
                 .vocab_size = 512,
                 .width = 64,
                 .heads = 4,
                 .layers = layers,
                 .mlp_ratio = mlp_ratio,
                 .output_dim = 32};
  config.embed_dim = 32;
  return config;
}

/// Trains for `steps` steps and returns the last loss.
double train(cp::DualEncoder model, const cp::Batch& batch, int steps) {
  cp::FullBatch compute_gradients(cp::pair_step_model(model, torch::kCPU), cp::TiledInfoNce());
  cp::AdamW optimizer(cp::decay_groups(*model, 0.1));
  double loss = 0.0;
  for (int step = 0; step < steps; ++step) {
    optimizer.zero_grad();
    loss = compute_gradients(batch).total.item<double>();
    optimizer.step(1e-3);
  }
  return loss;
}

int main() {
  torch::manual_seed(1);
  const auto large = make_config(6, 4.0), small = make_config(3, 2.0);
  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({32, 3, 32, 32})},
                   {"text", torch::randint(1, 512, {32, 16})}};
  cp::DualEncoder teacher = cp::make_dual_encoder(large);
  train(teacher, batch, 30);

  // snippet: inherit
  cp::DualEncoder student = cp::make_dual_encoder(small);
  for (const auto& line :
       cp::inherit_weights(student, small, cp::open_clip_state(teacher, large), large,
                           {.layers = cp::LayerRule::kEven, .units = cp::UnitRule::kMagnitude}))
    std::cout << line << "\n";
  // snippet end

  const double inherited = train(student, batch, 10);
  const double from_scratch = train(cp::make_dual_encoder(small), batch, 10);
  std::cout << "loss after 10 steps: " << inherited << " inherited, " << from_scratch
            << " from scratch\n";
  return inherited < from_scratch ? 0 : 1;
}
