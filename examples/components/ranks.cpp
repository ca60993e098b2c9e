// SPDX-License-Identifier: CC0-1.0
// Ranks: the same program runs alone and as many processes, with the same gradients.
//
//   ranks;  scripts/launch -n 2 ranks;  torchrun --no-python --nproc-per-node 2 ranks
//
// Expect the same losses for any number of ranks that divides 64.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

void train(const cp::Ranks& ranks) {
  torch::manual_seed(1);  // the same weights on every rank
  const cp::Tokenizer tokenizer = cp::ByteTokenizer({.context_length = 48});
  cp::ModelConfig config;
  config.image = cp::VisionTransformerOptions{
      .image_size = 32, .patch_size = 8, .width = 64, .layers = 2, .heads = 2, .output_dim = 32};
  config.text = {.context_length = 48,
                 .vocab_size = tokenizer.vocab_size,
                 .width = 64,
                 .heads = 2,
                 .layers = 2};
  config.embed_dim = config.text.output_dim = 32;
  cp::DualEncoder model = cp::make_dual_encoder(config);
  model->to(ranks.device());
  const auto pixels = [&](const at::Tensor& bytes) {
    return cp::normalize_images(bytes, config.image_mean, config.image_std);
  };
  // snippet: ranks
  cp::DataLoader loader(std::make_shared<cp::SyntheticShapes>(cp::SyntheticShapesOptions{2'000}),
                        cp::ImageTransform({.image_size = 32, .train = true}), tokenizer.encode,
                        {.batch_size = 64 / ranks.size(), .ranks = ranks});
  const cp::TiledInfoNce loss({}, ranks);  // over the batch of all ranks
  cp::FullBatch compute_gradients(
      cp::pair_step_model(model, ranks.device(), {.prepare_x = pixels}), loss,
      {.device = ranks.device(), .ranks = ranks});  // gradients are summed over the ranks
  // snippet end
  cp::AdamW optimizer(cp::decay_groups(*model, 0.1));
  loader.start_epoch(0);
  for (int step = 0; step < 10; ++step) {
    optimizer.zero_grad();
    const double value = compute_gradients(*loader.next()).total.item<double>();
    optimizer.step(1e-3);
    if (ranks.is_first()) std::cout << "step " << step << ": loss " << value << "\n";
  }
}

int main() {
  cp::Ranks ranks;
  try {
    ranks = cp::join_ranks();  // one process if no launcher started more
    train(ranks);
    ranks.sign_off();
  } catch (const std::exception& error) {
    std::cerr << "ranks: " << ranks.explain(error) << "\n";
    return 1;
  }
}
