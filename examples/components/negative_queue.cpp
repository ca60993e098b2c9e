// SPDX-License-Identifier: CC0-1.0
// A queue of earlier embeddings as negatives: each image of a small batch is compared with the
// texts of the last 64 pairs too, and each text with their images. The queue is part of the
// checkpoints, and with ranks it holds the pairs of all of them. Expect a loss that falls once
// the queue is full.
#include <contrapunto/contrapunto.hpp>
#include <iostream>
#include <numeric>

namespace cp = contrapunto;

int main() {
  torch::manual_seed(1);
  cp::ModelConfig config;
  config.image = cp::VisionTransformerOptions{
      .image_size = 32, .patch_size = 8, .width = 32, .layers = 2, .heads = 2, .output_dim = 32};
  config.text = {.context_length = 16, .vocab_size = 512, .width = 32, .heads = 2, .layers = 2};
  config.embed_dim = config.text.output_dim = 32;
  cp::DualEncoder model = cp::make_dual_encoder(config);
  cp::AdamW optimizer(cp::decay_groups(*model, 0.1));
  const auto images = torch::rand({128, 3, 1, 1}) + 0.1 * torch::rand({128, 3, 32, 32});
  const auto texts = torch::randint(1, 512, {128, 16});

  // snippet: negative_queue
  cp::NegativeQueue queue({.pairs = 64, .both_directions = true});
  const cp::QueuedLoss loss(cp::TiledInfoNce({.symmetric = false}), queue);
  cp::GradCache compute_gradients(cp::pair_step_model(model, torch::kCPU), loss,
                                  {.chunk_size = 16});
  cp::CheckpointParts parts;
  parts.add("model", *model).add("optimizer", optimizer).add("queue", queue);
  // snippet end

  std::vector<double> losses;
  for (int step = 0; step < 200; ++step) {
    const auto rows = 32 * (step % 4);
    const cp::Batch batch{
        .tensors = {{"image", images.narrow(0, rows, 32)}, {"text", texts.narrow(0, rows, 32)}}};
    optimizer.zero_grad();
    losses.push_back(compute_gradients(batch).total.item<double>());
    cp::clip_grad_norm_(optimizer.parameters(), 1.0);
    optimizer.step(5e-4);
    queue.push();  // once per optimizer step
    if (step % 20 == 0)
      std::cout << "step " << step << ": loss " << losses.back() << " with " << queue.size()
                << " queued pairs\n";
  }
  const auto states = parts.save();
  std::cout << "the checkpoint holds " << states.at("queue").tensor("y").sizes() << " texts\n";
  const auto mean_from = [&](std::size_t begin) {
    return std::accumulate(&losses[begin], &losses[begin] + 8, 0.0) / 8;
  };
  return mean_from(192) < mean_from(16) ? 0 : 1;
}
